//! Extended attributes by directory and name, without opening the file: `setxattrat(2)`, `getxattrat(2)` and `listxattrat(2)`
//! (Linux 6.13).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The same numbers on every architecture.
const SETXATTRAT: libc::c_long = 463;
const GETXATTRAT: libc::c_long = 464;
const LISTXATTRAT: libc::c_long = 465;

/// `struct xattr_args` of the kernel.
#[repr(C)]
struct Args {
    value: u64,
    size: u32,
    flags: u32,
}

/// Gives `name` in `dir` the xattr called `xattr`. Does not follow a link. With an empty name it is `dir` itself, which may be
/// O_PATH. ENOSYS on older kernels.
pub fn set(dir: BorrowedFd<'_>, name: &CStr, xattr: &CStr, value: &[u8]) -> io::Result<()> {
    let size = u32::try_from(value.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let args = Args { value: value.as_ptr() as u64, size, flags: 0 };
    // SAFETY: the kernel reads two NUL-terminated strings, size_of::<Args>() bytes of `args` and `size` bytes of `value`, all
    // borrowed for the call.
    let done = unsafe {
        libc::syscall(
            SETXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            at_flags(name),
            xattr.as_ptr(),
            &raw const args,
            size_of::<Args>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads the xattr called `xattr` of `name` in `dir` into `value`; gives its length, also where `value` is empty. Does not
/// follow a link. With an empty name that of `dir` itself, which may be O_PATH. ENOSYS on older kernels.
pub fn get(dir: BorrowedFd<'_>, name: &CStr, xattr: &CStr, value: &mut [u8]) -> io::Result<usize> {
    let args =
        Args { value: value.as_mut_ptr() as u64, size: u32::try_from(value.len()).unwrap_or(u32::MAX), flags: 0 };
    // SAFETY: the kernel reads two NUL-terminated strings and size_of::<Args>() bytes of `args`, and writes at most
    // `args.size` bytes to `value`, which is borrowed for the call and no shorter.
    let length = unsafe {
        libc::syscall(
            GETXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            at_flags(name),
            xattr.as_ptr(),
            &raw const args,
            size_of::<Args>(),
        )
    };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// Reads the names of the xattrs of `name` in `dir`, each ended by a zero byte, into `names`; gives the length of all.
/// Otherwise as [`get`].
pub fn list(dir: BorrowedFd<'_>, name: &CStr, names: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads a NUL-terminated string and writes at most `names.len()` bytes to `names`, which is
    // borrowed for the call.
    let length = unsafe {
        libc::syscall(LISTXATTRAT, dir.as_raw_fd(), name.as_ptr(), at_flags(name), names.as_mut_ptr(), names.len())
    };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

fn at_flags(name: &CStr) -> libc::c_int {
    libc::AT_SYMLINK_NOFOLLOW | if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_not_there_is_told_from_what_has_none() {
        let tmp = std::fs::File::open("/tmp").expect("a folder");
        let error = |name: &CStr| get(tmp.as_fd(), name, c"user.none", &mut []).expect_err("no such xattr");
        let known = [libc::ENODATA, libc::EOPNOTSUPP, libc::ENOSYS];
        assert!(error(c"").raw_os_error().is_some_and(|e| known.contains(&e)));
        let missing = error(c"no such file").raw_os_error();
        assert!(missing == Some(libc::ENOENT) || missing == Some(libc::ENOSYS));
    }
}
