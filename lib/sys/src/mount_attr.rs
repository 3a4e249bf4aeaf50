//! `mount_setattr(2)`: flags, propagation and id maps of a mount, whole trees at once (Linux 5.12).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Change what [`mount_setattr`] is told to; the bits are `MOUNT_ATTR_*`, propagation one of `MS_SHARED`, `MS_SLAVE`,
/// `MS_PRIVATE`, `MS_UNBINDABLE` or 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct MountAttr<'a> {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// New propagation type, or 0 to keep it.
    pub propagation: u64,
    /// The user namespace whose id map the mount gets; needs `MOUNT_ATTR_IDMAP` in `set`.
    pub user_namespace: Option<BorrowedFd<'a>>,
}

/// Changes the mount at `path` below `dir`, and all below it where `recursive`. With an empty path the mount `dir` itself.
pub fn mount_setattr(dir: BorrowedFd<'_>, path: &CStr, recursive: bool, attr: &MountAttr<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Raw {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let raw = Raw {
        attr_set: attr.set,
        attr_clr: attr.clear,
        propagation: attr.propagation,
        userns_fd: attr.user_namespace.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let mut flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    }
    // SAFETY: the kernel reads size_of::<Raw>() bytes from `raw` and a NUL-terminated string from `path`, both of
    // which outlive the call; the descriptors are borrowed and so open.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, dir.as_raw_fd(), path.as_ptr(), flags, &raw const raw, size_of::<Raw>())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
