//! Removing a tree by descriptor, without following links and without a limit on its depth.
//!
//! One descriptor is open at a time: the way back up is `..`, checked against the inode it came from. Directories whose mode
//! keeps their owner out are opened up first, so that what a layer made unreadable can be removed by the user who unpacked it.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Removes `name` in `dir` with everything below it. That it is not there is no error.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    if rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).is_ok() {
        return Ok(());
    }
    empty(enter(dir, name)?)?;
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Removes everything in `dir`, and leaves the directory itself.
pub fn remove_contents(dir: BorrowedFd<'_>) -> rustix::io::Result<()> {
    empty(enter(dir, c".")?)
}

fn enter(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // By descriptor: what is open cannot become a link to something else.
            let fd = rustix::fs::openat(dir, name, flags | OFlags::PATH, Mode::empty())?;
            rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), Mode::RWXU)?;
            rustix::fs::openat(fd, c".", flags, Mode::empty())
        }
        other => other,
    }
}

fn same(a: &Stat, b: &Stat) -> bool {
    a.st_dev == b.st_dev && a.st_ino == b.st_ino
}

/// A directory on the way down: the one above it, and what of its own is still to be emptied.
struct Level {
    above: Option<Stat>,
    full: Vec<CString>,
}

fn empty(top: OwnedFd) -> rustix::io::Result<()> {
    let mut levels = vec![Level { above: None, full: sweep(top.as_fd())? }];
    let mut current = top;
    while let Some(level) = levels.last() {
        if let Some(name) = level.full.last() {
            let above = Some(rustix::fs::fstat(&current)?);
            current = enter(current.as_fd(), name)?;
            levels.push(Level { above, full: sweep(current.as_fd())? });
            continue;
        }
        let above = level.above;
        levels.pop();
        let (Some(level), Some(above)) = (levels.last_mut(), above) else { break };
        let parent = enter(current.as_fd(), c"..")?;
        if !same(&rustix::fs::fstat(&parent)?, &above) {
            return Err(Errno::STALE);
        }
        if let Some(name) = level.full.pop() {
            match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        current = parent;
    }
    Ok(())
}

/// Removes what can be removed at once; gives the directories that are not empty.
fn sweep(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    match try_sweep(dir) {
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(dir, Mode::RWXU)?;
            try_sweep(dir)
        }
        other => other,
    }
}

fn try_sweep(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut full = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let directory = entry.file_type() == FileType::Directory;
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(dir, name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR) => full.push(name.to_owned()),
            Err(e) => return Err(e),
        }
    }
    Ok(full)
}

/// Whether `dir` holds nothing.
pub fn is_empty(dir: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            return Ok(false);
        }
    }
    Ok(true)
}
