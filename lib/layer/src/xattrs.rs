//! Extended attributes by descriptor, or by directory and a name that is not followed.
//!
//! By name it is `listxattrat(2)` and its like; before Linux 6.13, which has none, the name below the directory's own link in `/proc`.

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whose they are.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// Of what is open.
    Fd(BorrowedFd<'a>),
    /// Of what has that name in that directory.
    Name(BorrowedFd<'a>, &'a CStr),
}

impl Of<'_> {
    /// All names, a NUL behind each; none where the file system has no xattrs.
    pub fn names(self) -> rustix::io::Result<Vec<u8>> {
        let listed = grown(|buffer| match self {
            Self::Fd(fd) => rustix::fs::flistxattr(fd, buffer),
            Self::Name(dir, name) => match errno(sys::xattrat::list(dir, name, buffer)) {
                Err(Errno::NOSYS) => rustix::fs::llistxattr(&by_path(dir, name)[..], buffer),
                other => other,
            },
        });
        match listed {
            Err(Errno::NOTSUP | Errno::NODATA) => Ok(Vec::new()),
            other => other,
        }
    }

    /// The value of the one called `xattr`.
    pub(crate) fn value(self, xattr: &[u8]) -> rustix::io::Result<Vec<u8>> {
        let xattr = &CString::new(xattr).map_err(|_| Errno::INVAL)?;
        grown(|buffer| match self {
            Self::Fd(fd) => rustix::fs::fgetxattr(fd, xattr, buffer),
            Self::Name(dir, name) => match errno(sys::xattrat::get(dir, name, xattr, buffer)) {
                Err(Errno::NOSYS) => rustix::fs::lgetxattr(&by_path(dir, name)[..], xattr, buffer),
                other => other,
            },
        })
    }

    /// Sets the one called `xattr`.
    pub(crate) fn set(self, xattr: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        let xattr = &CString::new(xattr).map_err(|_| Errno::INVAL)?;
        match self {
            Self::Fd(fd) => rustix::fs::fsetxattr(fd, xattr, value, XattrFlags::empty()),
            Self::Name(dir, name) => match errno(sys::xattrat::set(dir, name, xattr, value)) {
                Err(Errno::NOSYS) => rustix::fs::lsetxattr(&by_path(dir, name)[..], xattr, value, XattrFlags::empty()),
                other => other,
            },
        }
    }
}

/// Reads with a small buffer, and with a larger one where it does not fit.
fn grown(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 256];
    match read(&mut small) {
        Ok(length) => return Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {}
        Err(e) => return Err(e),
    }
    let mut size = 4096;
    loop {
        let mut large = vec![0; size];
        match read(&mut large) {
            Ok(length) => {
                large.truncate(length);
                return Ok(large);
            }
            Err(Errno::RANGE) if size < 1 << 20 => size *= 4,
            Err(e) => return Err(e),
        }
    }
}

pub(crate) fn errno<T>(result: std::io::Result<T>) -> rustix::io::Result<T> {
    result.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

fn by_path(dir: BorrowedFd<'_>, name: &CStr) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    path
}
