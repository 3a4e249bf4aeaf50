//! `/dev/fuse` beyond read and write: its ioctls (fs/fuse/dev.c, `fuse_dev_ioctl`; include/uapi/linux/fuse.h).
//!
//! A second descriptor of a connection has a queue of its own for requests that are being answered: what was read from one
//! must be answered there. A backing file is one that the kernel reads and writes itself for an open file of the mount.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

const MAGIC: libc::c_ulong = 229;

/// `_IOC` of asm-generic/ioctl.h, which x86 and Arm share.
const fn number(direction: libc::c_ulong, index: libc::c_ulong, size: usize) -> libc::c_ulong {
    direction << 30 | (size as libc::c_ulong) << 16 | MAGIC << 8 | index
}

/// Linux 4.2.
const CLONE: libc::c_ulong = number(2, 0, 4);
/// Linux 6.9.
const BACKING_OPEN: libc::c_ulong = number(1, 1, 16);
const BACKING_CLOSE: libc::c_ulong = number(1, 2, 4);

#[repr(C)]
struct BackingMap {
    fd: RawFd,
    flags: u32,
    padding: u64,
}

fn checked(done: libc::c_int) -> io::Result<libc::c_int> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

/// Makes `fresh`, just opened from /dev/fuse, a further descriptor of the connection that `device` is one of.
pub fn join(fresh: BorrowedFd<'_>, device: BorrowedFd<'_>) -> io::Result<()> {
    let number = device.as_raw_fd() as u32;
    // SAFETY: FUSE_DEV_IOC_CLONE reads one u32, which outlives the call; both descriptors are borrowed and so open.
    checked(unsafe { libc::ioctl(fresh.as_raw_fd(), CLONE as _, &raw const number) }).map(drop)
}

/// Registers `file` as something the kernel may read and write itself; gives the number an answer to an open names.
///
/// EPERM without CAP_SYS_ADMIN in the first user namespace, or where passthrough was not agreed on; ELOOP where `file` lies
/// on as many stacked file systems as were allowed.
pub fn open_backing(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<u32> {
    let map = BackingMap { fd: file.as_raw_fd(), flags: 0, padding: 0 };
    // SAFETY: FUSE_DEV_IOC_BACKING_OPEN reads one fuse_backing_map, which outlives the call.
    let id = checked(unsafe { libc::ioctl(device.as_raw_fd(), BACKING_OPEN as _, &raw const map) })?;
    Ok(id as u32)
}

/// Takes a registration back; files that are open by it go on.
pub fn close_backing(device: BorrowedFd<'_>, id: u32) -> io::Result<()> {
    // SAFETY: FUSE_DEV_IOC_BACKING_CLOSE reads one u32, which outlives the call.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), BACKING_CLOSE as _, &raw const id) }).map(drop)
}
