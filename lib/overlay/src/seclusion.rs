//! Where the server lives: in a mount namespace with nothing in it.
//!
//! A copy of the machine's mounts would keep every disk of it busy, and a copy of the server's own mount would keep that
//! alive for ever. So all of them are left: a tmpfs goes on top of the root, becomes the root, and what was there is
//! detached as a whole. It is made slave before, or that would unmount the machine. The layers are open by then; their
//! descriptors stay in the namespace they were opened in.

use rustix::fs::OFlags;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};
use std::io;
use std::os::fd::AsFd;

/// Leaves every mount behind. Needs CAP_SYS_ADMIN, and one thread only.
pub(crate) fn leave_all_mounts() -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "size", "4k")?;
    fsconfig_set_string(context.as_fd(), "mode", "555")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let empty = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(empty.as_fd(), "", rustix::fs::CWD, "/", flags)?;
    fchdir(&empty)?;
    // With one folder for both names the old root ends up on top of the new one (pivot_root(2), NOTES).
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    Ok(())
}

/// stdin, stdout and stderr to nowhere, with a descriptor of /dev/null opened while there was a /dev.
pub(crate) fn silence(null: impl AsFd) -> io::Result<()> {
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// Opens /dev/null.
pub(crate) fn open_null() -> io::Result<std::os::fd::OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty())?)
}
