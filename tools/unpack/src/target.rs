//! The folder that is unpacked into, as it was found.

use cli::Failure;
use layer::xattrs::Of;
use layer::{Kind, remove, times};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder to unpack into.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    fd: OwnedFd,
    made: bool,
    pub(crate) was_empty: bool,
    /// What it was like, to be that again.
    stat: Stat,
    xattrs: Vec<u8>,
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
        let stat = rustix::fs::fstat(&fd).map_err(|e| fail("stat", e))?;
        let xattrs = Of::Fd(fd.as_fd()).names().unwrap_or_default();
        Ok(Self { path: path.to_owned(), fd, made, was_empty, stat, xattrs })
    }

    /// Leaves it as it was found. `wrote_here`: a tree was to come into the folder itself. If that held something, the
    /// extraction has taken it back already; if it was empty, all that is in it is ours. Folders of an image's layers never
    /// appear unless all is well, and those that are there may be somebody else's by now.
    pub(crate) fn take_back(&self, wrote_here: bool) {
        if wrote_here && self.was_empty {
            let _ = remove::remove_contents(self.fd());
            if !self.made {
                self.restore();
            }
        }
        if self.made {
            let _ = rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR);
        }
    }

    /// Owner, mode, xattrs and times, which the layer's own entry for its root may have set.
    fn restore(&self) {
        let known: Vec<&[u8]> = self.xattrs.split(|b| *b == 0).collect();
        let now = Of::Fd(self.fd()).names().unwrap_or_default();
        for name in now.split(|b| *b == 0).filter(|name| !known.contains(name)) {
            let _ = rustix::fs::fremovexattr(&self.fd, name);
        }
        let _ =
            rustix::fs::fchown(&self.fd, Some(Uid::from_raw(self.stat.st_uid)), Some(Gid::from_raw(self.stat.st_gid)));
        let _ = rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(self.stat.st_mode));
        let _ = rustix::fs::futimens(&self.fd, &times::of(&self.stat));
    }

    /// If we made it: the folder it is in and its name there, so that something complete can be renamed over it.
    pub(crate) fn beside(&self) -> Option<(OwnedFd, CString)> {
        let name = self.path.file_name().filter(|_| self.made)?;
        let parent = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(parent, flags, Mode::empty()).ok()?;
        Some((parent, CString::new(name.as_bytes()).ok()?))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
