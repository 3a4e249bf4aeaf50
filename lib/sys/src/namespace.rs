//! Namespaces behind descriptors: `ioctl(NS_GET_USERNS)` (ioctl_nsfs(2)), `ioctl(SIOCGSKNS)`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The user namespace that owns the namespace behind `fd`; of a user namespace, its parent. EPERM where that is not at or below
/// the caller's own.
pub fn owner_of(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // _IO(0xb7, 1) of <linux/nsfs.h>.
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    opened_by(fd, NS_GET_USERNS)
}

/// The network namespace that the socket `fd` is of. Needs CAP_NET_ADMIN there.
pub fn of_socket(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // <linux/sockios.h>.
    const SIOCGSKNS: libc::Ioctl = 0x894c;
    opened_by(fd, SIOCGSKNS)
}

/// The descriptor that a request without an argument gives.
fn opened_by(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: both requests of this file take no argument, and give a new descriptor or an error.
    let opened = unsafe { libc::ioctl(fd.as_raw_fd(), request, 0) };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made by the kernel, close-on-exec, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}
