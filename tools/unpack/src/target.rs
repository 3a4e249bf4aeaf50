//! The folder that is unpacked into, as it was found.

use cli::Failure;
use layer::{Kind, remove};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The folder to unpack into.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    fd: OwnedFd,
    made: bool,
    pub(crate) was_empty: bool,
}

impl Target {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |op, e: Errno| -> Failure {
            layer::Error::new(Kind::System, op, path.display()).because(io::Error::from(e)).into()
        };
        let made = match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST | Errno::ISDIR) => false,
            Err(e) => return Err(fail("mkdir", e)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| fail("open", e))?;
        let was_empty = made || remove::is_empty(fd.as_fd()).map_err(|e| fail("read", e))?;
        Ok(Self { path: path.to_owned(), fd, made, was_empty })
    }

    /// Leaves it as it was found, where that is possible: it was empty.
    pub(crate) fn take_back(&self) {
        if self.was_empty {
            let _ = remove::remove_contents(self.fd());
        }
        if self.made {
            let _ = rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR);
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
