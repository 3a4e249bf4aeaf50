//! From an entry's name to the descriptor of its parent directory, without ever leaving the layer's directory.
//!
//! All lookups are `openat2(2)` below the root's descriptor with RESOLVE_BENEATH: the kernel itself refuses a `..` or a link
//! that leads out. An absolute link on the way is read as it will be inside the container (RESOLVE_IN_ROOT), provided that
//! its target is in the layer; where it is not, the entry is refused: read as tar reads it, it would leave the layer.

use crate::error::{Fault, Kind, shown};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Directories opened last; entries come grouped by directory.
const CACHED: usize = 8;

/// The layer's directory.
#[derive(Debug)]
pub(super) struct Root<'a> {
    pub(super) fd: BorrowedFd<'a>,
    cache: Vec<(Vec<u8>, Rc<OwnedFd>)>,
}

/// Why a directory could not be opened.
#[derive(Debug)]
pub(super) enum Blocked {
    /// It is not there.
    Missing,
    /// Something on the way is no directory.
    NotDirectory,
    /// Anything else.
    Fault(Fault),
}

impl<'a> Root<'a> {
    pub(super) fn new(fd: BorrowedFd<'a>) -> Self {
        Self { fd, cache: Vec::with_capacity(CACHED) }
    }

    /// The directory `path` (normalised) as an O_PATH descriptor; `entry` is for messages.
    pub(super) fn directory(&mut self, path: &[u8], entry: &[u8]) -> Result<Rc<OwnedFd>, Blocked> {
        if let Some(at) = self.cache.iter().position(|(cached, _)| cached == path) {
            if at + 1 < self.cache.len() {
                let found = self.cache.remove(at);
                self.cache.push(found);
            }
            return Ok(Rc::clone(&self.cache[self.cache.len() - 1].1));
        }
        let fd = Rc::new(self.open(path, OFlags::PATH, entry)?);
        if self.cache.len() == CACHED {
            self.cache.remove(0);
        }
        self.cache.push((path.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Opens the directory `path` with `flags`.
    pub(super) fn open(&self, path: &[u8], flags: OFlags, entry: &[u8]) -> Result<OwnedFd, Blocked> {
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.is_empty() { b"." } else { path };
        match retry(|| rustix::fs::openat2(self.fd, path, flags, Mode::empty(), BENEATH)) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT) => Err(Blocked::Missing),
            Err(Errno::NOTDIR) => Err(Blocked::NotDirectory),
            Err(Errno::XDEV) => self.open_through_link(path, flags, entry).map_err(Blocked::Fault),
            Err(Errno::LOOP) => {
                Err(Blocked::Fault(Fault::entry(Kind::Corrupt, entry, "too many symbolic links on the way to it")))
            }
            Err(e) => Err(Blocked::Fault(Fault::system(entry, "openat2", e))),
        }
    }

    fn open_through_link(&self, path: &[u8], flags: OFlags, entry: &[u8]) -> Result<OwnedFd, Fault> {
        let (link, target) = self.culprit(path);
        if target.starts_with(b"/")
            && let Ok(fd) = retry(|| rustix::fs::openat2(self.fd, path, flags, Mode::empty(), IN_ROOT))
        {
            return Ok(fd);
        }
        let why = format!("climbs out of the layer through the symbolic link {} -> {}", shown(&link), shown(&target));
        Err(Fault::entry(Kind::Escape, entry, why).hint("the layer is hostile or broken; do not use this image"))
    }

    /// The first link of `path` that leads out, and its target.
    fn culprit(&self, path: &[u8]) -> (Vec<u8>, Vec<u8>) {
        for (end, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/').chain([(path.len(), &0)]) {
            let prefix = &path[..end];
            let opened =
                retry(|| rustix::fs::openat2(self.fd, prefix, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), BENEATH));
            if matches!(opened, Err(Errno::XDEV)) {
                let target = self.read_link(prefix);
                return (prefix.to_vec(), target);
            }
        }
        (path.to_vec(), b"?".to_vec())
    }

    fn read_link(&self, path: &[u8]) -> Vec<u8> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        retry(|| rustix::fs::openat2(self.fd, path, flags, Mode::empty(), BENEATH))
            .and_then(|link| rustix::fs::readlinkat(link, "", Vec::new()))
            .map_or_else(|_| b"?".to_vec(), |target| target.into_bytes())
    }

    /// Forgets opened directories: something was removed, so a name may mean another directory now.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
    }
}

/// EAGAIN is openat2's answer when somebody renames on the way just then.
fn retry<T>(mut open: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    for _ in 0..32 {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    open()
}

/// An entry's name as a path below the root: no `/` before it, no `.`, no `..`; empty for the root itself.
pub(crate) fn normalise(name: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if path.is_empty() {
                    return None;
                }
                let end = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
                path.truncate(end);
            }
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Some(path)
}

/// A normalised path as parent and last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_below_the_root() {
        for (name, path) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("./", Some("")),
            ("a/../b", Some("b")),
            ("a/b/../c", Some("a/c")),
            ("..", None),
            ("a/../../b", None),
            ("/../b", None),
        ] {
            assert_eq!(normalise(name.as_bytes()), path.map(|p| p.as_bytes().to_vec()), "{name}");
        }
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"c"), (&b""[..], &b"c"[..]));
    }
}
