//! `/dev/fuse` and a mount on it, made by ourselves through the new mount API (fs/fuse/inode.c, `fuse_fs_parameters`).
//!
//! The mount comes detached: it is attached at the target only after the server has answered, so that nobody ever sees an
//! unserved one. The device must have been opened in the user namespace that mounts it.

use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::kernel::{attributes, settings};
use crate::options::Options;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::{getegid, geteuid};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What follows `fuse.` in the type that /proc/mounts shows.
pub(crate) const SUBTYPE: &str = "ovl-mount";

/// A connection to the kernel and the mount on it.
#[derive(Debug)]
pub(crate) struct Detached {
    /// The server's end.
    pub(crate) device: OwnedFd,
    /// The mount, visible nowhere; dropped, it is gone and the device ends with ENODEV.
    pub(crate) mount: OwnedFd,
}

/// Makes a FUSE mount for an overlay of `folders`.
pub(crate) fn mount(folders: &Folders, options: &Options) -> Result<Detached> {
    let device = open_device()?;
    let failed = |errno: Errno| {
        let error = Error::new(Kind::Driver, "fuse mount for", folders.target.path.display()).because(io(errno));
        match errno {
            Errno::NODEV => error.hint("load the module: modprobe fuse"),
            Errno::PERM => error.hint("mounting needs CAP_SYS_ADMIN in the namespace that opened /dev/fuse"),
            _ => error,
        }
    };
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed)?;
    let set = |key: &str, value: &str| fsconfig_set_string(context.as_fd(), key, value).map_err(failed);
    set("source", options.fsname.as_deref().unwrap_or(SUBTYPE))?;
    set("subtype", options.subtype.as_deref().unwrap_or(SUBTYPE))?;
    set("fd", &device.as_raw_fd().to_string())?;
    set("rootmode", "40000")?;
    set("user_id", &geteuid().as_raw().to_string())?;
    set("group_id", &getegid().as_raw().to_string())?;
    fsconfig_set_flag(context.as_fd(), "default_permissions").map_err(failed)?;
    if options.allow_other.unwrap_or(true) {
        fsconfig_set_flag(context.as_fd(), "allow_other").map_err(failed)?;
    }
    for (key, value) in settings::of_any(options) {
        settings::say(&context, &key, value.as_deref()).map_err(failed)?;
    }
    fsconfig_create(context.as_fd()).map_err(failed)?;
    let attributes = attributes(&options.flags, folders.upper.is_none());
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)?;
    Ok(Detached { device, mount })
}

/// Opens the server's end of a new connection.
pub(crate) fn open_device() -> Result<OwnedFd> {
    open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
        let error = Error::new(Kind::Driver, "open", "/dev/fuse").because(io(errno));
        match errno {
            Errno::NOENT => {
                error.hint("this machine or container has no FUSE device: --device /dev/fuse, or modprobe fuse")
            }
            Errno::NODEV | Errno::NXIO => error.hint("load the module: modprobe fuse"),
            Errno::ACCESS | Errno::PERM => {
                error.hint("this user may not open it: chmod 666 /dev/fuse, or --driver kernel")
            }
            _ => error,
        }
    })
}

fn io(errno: Errno) -> std::io::Error {
    errno.into()
}
