//! What a server of ours (names, ports) gives up before it hears its first stranger: everything but its sockets and its books.
//!
//! - Mounts: it gets a mount namespace with nothing in it but the folders it reads, read-only. It is started by an attach,
//!   which may be a container's supervisor in a namespace with that container's mounts: a copy of those would keep them
//!   alive as long as the server lives. A mount's root is bound, never what is mounted below it.
//! - Rights: no capability, none to be had again, `no_new_privs`; and a filter of system calls that knows no program to be
//!   executed, no file to be written, no process but this one.
//!
//! Where one cannot be had (no CAP_SYS_ADMIN for the mounts) the others are taken all the same.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, mkdirat, statx};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Leaves all mounts but what holds `folders`, which are absolute. One thread only.
pub(crate) fn leave_mounts(folders: &[&Path]) -> io::Result<()> {
    let mut binds = Vec::new();
    for path in to_bind(folders) {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        binds.push((path.clone(), path.is_dir(), open_tree(CWD, &path, flags)?));
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    let root = empty_root()?;
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(root.as_fd(), "", CWD, "/", empty)?;
    fchdir(&root)?;
    for (path, is_folder, tree) in binds {
        let place = path.strip_prefix("/").unwrap_or(&path);
        make_place(&root, place, is_folder)?;
        read_only(&tree)?;
        move_mount(tree.as_fd(), "", root.as_fd(), place, empty)?;
    }
    read_only(&root)?;
    // With one folder for both names the old root ends up on top of the new one (pivot_root(2), NOTES).
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    Ok(())
}

/// What is to be bound for `folders`, the upper before the lower: each of them, and each mount on the way to it below what
/// is bound already.
fn to_bind(folders: &[&Path]) -> BTreeSet<PathBuf> {
    let mut binds: BTreeSet<PathBuf> = BTreeSet::new();
    let sorted: BTreeSet<&&Path> = folders.iter().filter(|folder| folder.exists()).collect();
    for folder in sorted {
        let mut ways: Vec<&Path> = folder.ancestors().collect();
        ways.reverse();
        for way in ways.iter().skip(1) {
            let covered = binds.iter().any(|bound| way.starts_with(bound));
            let own_mount = mount_of(way) != way.parent().and_then(mount_of);
            if (covered && own_mount) || (!covered && way == folder) {
                binds.insert(way.to_path_buf());
            }
        }
    }
    binds
}

fn mount_of(path: &Path) -> Option<u64> {
    statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}

fn empty_root() -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "size", "64k")?;
    fsconfig_set_string(context.as_fd(), "mode", "555")?;
    fsconfig_create(context.as_fd())?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOSUID)?)
}

/// The folder or file that `place` is mounted on. In what is bound already it is there.
fn make_place(root: &OwnedFd, place: &Path, is_folder: bool) -> io::Result<()> {
    let mut way = PathBuf::new();
    let count = place.components().count();
    for (n, part) in place.components().enumerate() {
        way.push(part);
        let made = if n + 1 < count || is_folder {
            mkdirat(root, &way, Mode::from_raw_mode(0o555))
        } else {
            rustix::fs::openat(root, &way, OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o444)).map(drop)
        };
        match made {
            Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::ROFS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn read_only(mount: &OwnedFd) -> io::Result<()> {
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    // Private: what is mounted on it here must not turn up where it was cloned from.
    let private = MountPropagationFlags::PRIVATE.bits().into();
    let attributes = sys::mount_attr::MountAttr { set: set.bits().into(), propagation: private, ..Default::default() };
    sys::mount_attr::mount_setattr(mount.as_fd(), c"", false, &attributes)
}

/// The folders that reading `link` (`/etc/resolv.conf`) leads through: its own, and those of what it points to.
pub(crate) fn folders_of(link: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = link.parent().map(Path::to_path_buf).into_iter().collect();
    let mut at = link.to_path_buf();
    for _ in 0..8 {
        let Ok(target) = std::fs::read_link(&at) else { break };
        at = at.parent().unwrap_or(Path::new("/")).join(target);
        // `..` as it is walked, not as it is written.
        let Some(folder) = at.parent().and_then(|folder| folder.canonicalize().ok()) else { break };
        at = folder.join(at.file_name().unwrap_or_default());
        folders.push(folder);
    }
    // A file that something is mounted on, as in containers.
    folders.extend(at.canonicalize());
    folders
}

/// Gives up every capability for good.
pub(crate) fn leave_rights() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let _ = sys::capability::keep_bounding(0);
    let _ = sys::capability::clear_ambient();
    sys::capability::set(sys::capability::Sets::default())?;
    // A kernel without seccomp serves as well.
    let _ = sys::reading_only::confine();
    Ok(())
}

/// As many descriptors as may be had, at most `enough`; how many that is.
pub(crate) fn raise_descriptors(enough: u64) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(enough).min(enough);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).is_ok();
    usize::try_from(if raised { most } else { limit.current.unwrap_or(enough) }).unwrap_or(1024)
}
