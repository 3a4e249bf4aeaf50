//! `fchmodat2(2)` (Linux 6.6): the mode of what a name stands for, without following a link.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The same number on every architecture.
const FCHMODAT2: libc::c_long = 452;

/// Gives `name` in `dir` the permission bits `mode`. A link is not followed: EOPNOTSUPP. With an empty name it is `dir` itself,
/// which may be O_PATH. ENOSYS on older kernels.
pub fn chmod(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    let flags = libc::AT_SYMLINK_NOFOLLOW | if name.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: the kernel reads one NUL-terminated string, borrowed for the call; the descriptor is borrowed too.
    let done = unsafe { libc::syscall(FCHMODAT2, dir.as_raw_fd(), name.as_ptr(), mode, flags) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_link_is_not_followed() {
        let dir = std::env::temp_dir().join(format!("veneer-chmodat-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a folder");
        let inside = || {
            std::fs::write(dir.join("f"), "")?;
            std::os::unix::fs::symlink("f", dir.join("l"))?;
            let fd = std::fs::File::open(&dir)?;
            let link = chmod(fd.as_fd(), c"l", 0o777);
            if link.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ENOSYS)) {
                return Ok(None);
            }
            chmod(fd.as_fd(), c"f", 0o640)?;
            Ok::<_, io::Error>(Some((link.is_err(), std::fs::metadata(dir.join("f"))?.permissions().mode() & 0o7777)))
        };
        let result = inside();
        std::fs::remove_dir_all(&dir).expect("removed");
        assert!(matches!(result.expect("calls"), None | Some((true, 0o640))));
    }
}
