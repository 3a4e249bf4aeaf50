//! Small files of the system read and written whole: /proc, state, configuration. `std::fs` is barred in this room, so that
//! no path inside a root file system is ever opened through it by accident; what is opened here belongs to the machine.

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Everything that can be read from `fd` on.
pub(crate) fn read_all(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut chunk = [0_u8; 4096];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut chunk[..]))? {
            0 => return Ok(all),
            n => all.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

/// Writes all of `bytes`.
pub(crate) fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = rustix::io::retry_on_intr(|| rustix::io::write(&fd, bytes))?;
        bytes = bytes.get(n..).unwrap_or_default();
    }
    Ok(())
}

/// The content of `path` below `dir`.
pub(crate) fn read_at(dir: BorrowedFd<'_>, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    read_all(rustix::fs::openat(dir, path.as_ref(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The content of `path`.
pub(crate) fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    read_at(CWD, path)
}

/// The content of `path` as text; bytes that are none are replaced.
pub(crate) fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes `bytes` in one go to a file that exists, as files of /proc want it.
pub(crate) fn write_existing(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let fd = rustix::fs::open(path.as_ref(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&fd, bytes))?;
    Ok(())
}

/// Puts `bytes` where `name` in `dir` is, whole or not at all, whenever we are killed.
pub(crate) fn replace_at(dir: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let half = format!(".{name}.{}", rustix::process::getpid().as_raw_nonzero());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::openat(dir, &half, flags, Mode::from_raw_mode(0o600))?;
    let written = write_all(&fd, bytes).and_then(|()| Ok(rustix::fs::renameat(dir, &half, dir, name)?));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(dir, &half, AtFlags::empty());
    }
    written
}

/// Opens a folder by descriptor.
pub(crate) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes the folder `path` and those above it, mode 0700.
pub(crate) fn make_dirs(path: &Path) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(rustix::io::Errno::NOENT) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).ok_or(rustix::io::Errno::NOENT)?;
            make_dirs(parent)?;
            match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
                Err(e) => Err(e.into()),
            }
        }
        Err(e) => Err(e.into()),
    }
}
