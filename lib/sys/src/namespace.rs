//! Namespaces behind descriptors: `ioctl(NS_GET_USERNS)`, `ioctl(NS_GET_MNTNS_ID)` (ioctl_nsfs(2)), `ioctl(SIOCGSKNS)`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The user namespace that owns the namespace behind `fd`; of a user namespace, its parent. EPERM where that is not at or below
/// the caller's own.
pub fn owner_of(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // _IO(0xb7, 1) of <linux/nsfs.h>.
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    opened_by(fd, NS_GET_USERNS)
}

/// The number of the mount namespace behind `fd`, by which the kernel tells older ones from younger (Linux 6.8; ENOTTY before).
pub fn mount_id(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // _IOR(0xb7, 5, __u64) of <linux/nsfs.h>.
    const NS_GET_MNTNS_ID: libc::Ioctl = 0x8008_b705_u32 as libc::Ioctl;
    let mut id = 0_u64;
    // SAFETY: the request writes one u64 to where its argument points, which lives until it returns.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_MNTNS_ID, &raw mut id) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
}

/// The network namespace that the socket `fd` is of. Needs CAP_NET_ADMIN there.
pub fn of_socket(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // <linux/sockios.h>.
    const SIOCGSKNS: libc::Ioctl = 0x894c;
    opened_by(fd, SIOCGSKNS)
}

/// The descriptor that a request without an argument gives.
fn opened_by(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: its callers' requests take no argument, and give a new descriptor or an error.
    let opened = unsafe { libc::ioctl(fd.as_raw_fd(), request, 0) };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made by the kernel, close-on-exec, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}
