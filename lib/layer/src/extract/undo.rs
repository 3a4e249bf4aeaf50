//! Taking back what was unpacked into a directory that held something: what was made goes, what was there is as it was.
//!
//! ```text
//! DIR/.unpack-replaced-<pid>-<random>/<n>     what stood in a new entry's place, while we work
//! ```
//!
//! What is replaced is renamed into that folder, on the same file system, and renamed back on failure; at success the folder
//! is removed. After `kill -9` it stays, under a name that says what it is, and nobody sweeps it away: what is in it is the
//! user's. Of directories that were there, attributes and times are noted before they change. Undone is in reverse.

use super::dirs::Dir;
use super::metadata::OVERRIDE;
use super::nodes::{Due, NodeId, ROOT};
use super::steps::{Step, Steps};
use super::tree::{Place, Tree};
use crate::error::{Fault, shown};
use crate::{remove, times, xattrs};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Stat, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

const PREFIX: &str = ".unpack-replaced-";

/// The number of a step that made something. Of any other it is that under which something was put aside.
const MADE: u32 = u32::MAX;

/// A directory as it was.
#[derive(Debug)]
struct Was {
    node: NodeId,
    stat: Stat,
    xattrs: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What was done, in order.
#[derive(Debug)]
pub(super) struct Journal {
    steps: Steps,
    stash: Option<(OwnedFd, CString)>,
    put_aside: u32,
    was: Vec<Was>,
    noted: HashSet<(NodeId, Vec<u8>)>,
    times: HashMap<NodeId, Timestamps>,
}

impl Journal {
    /// Nothing yet, in the directory `dest`.
    pub(super) fn new(dest: BorrowedFd<'_>) -> std::io::Result<Self> {
        Ok(Self {
            steps: Steps::new(dest)?,
            stash: None,
            put_aside: 0,
            was: Vec::new(),
            noted: HashSet::new(),
            times: HashMap::new(),
        })
    }

    /// `name` in `node` was made just now.
    pub(super) fn made(&mut self, node: NodeId, name: &[u8]) {
        self.steps.push(node, name, MADE);
    }
}

impl Tree<'_> {
    /// Notes the times of a directory before something in it changes.
    pub(super) fn touch(&mut self, node: NodeId, entry: &[u8]) -> Result<(), Fault> {
        if self.journal.as_ref().is_none_or(|j| self.dirs.nodes.made(node) || j.times.contains_key(&node)) {
            return Ok(());
        }
        let dir = self.dir(node, entry)?;
        let stat = rustix::fs::fstat(&*dir).map_err(|e| Fault::system(entry, "stat", e))?;
        if let Some(journal) = &mut self.journal {
            journal.times.insert(node, times::of(&stat));
        }
        Ok(())
    }

    /// Notes what a directory that was there is, before it gets what is due.
    pub(super) fn remember(&mut self, node: NodeId, fd: BorrowedFd<'_>, due: &Due) -> Result<(), Fault> {
        if self.journal.is_none() {
            return Ok(());
        }
        let stat = rustix::fs::fstat(fd).map_err(|e| Fault::system(&self.dirs.nodes.path(node), "stat", e))?;
        for key in due.xattrs.iter().map(|(key, _)| &key[..]).chain([OVERRIDE.to_bytes()]) {
            self.remember_xattr(node, key)?;
        }
        if let Some(journal) = &mut self.journal {
            journal.times.entry(node).or_insert_with(|| times::of(&stat));
            journal.was.push(Was { node, stat, xattrs: Vec::new() });
        }
        Ok(())
    }

    /// Notes an xattr of a directory before it is set.
    pub(super) fn remember_xattr(&mut self, node: NodeId, key: &[u8]) -> Result<(), Fault> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if self.dirs.nodes.made(node) || !journal.noted.insert((node, key.to_vec())) {
            return Ok(());
        }
        let fault = |e| Fault::system(&self.dirs.nodes.path(node), "read an xattr", e);
        let fd = self.dirs.open_as(node, OFlags::RDONLY).map_err(fault)?;
        let value = match xattrs::Of::Fd(fd.as_fd()).value(key) {
            Ok(value) => Some(value),
            Err(Errno::NODATA | Errno::NOTSUP) => None,
            Err(e) => return Err(fault(e)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(fault)?;
        journal.was.push(Was { node, stat, xattrs: vec![(key.to_vec(), value)] });
        Ok(())
    }

    /// Renames what is at `place` into the stash.
    pub(super) fn put_aside(&mut self, place: &Place, entry: &[u8]) -> Result<(), Fault> {
        self.touch(place.node, entry)?;
        self.touch(ROOT, entry)?;
        let root = self.dir(ROOT, entry)?;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let number = journal.put_aside;
        let stash = match &journal.stash {
            Some((fd, _)) => fd.as_fd(),
            None => {
                let made =
                    new_stash(&root).map_err(|e| Fault::system(entry, "make a folder for what it replaces", e))?;
                journal.stash.insert(made).0.as_fd()
            }
        };
        let name = CString::new(number.to_string()).unwrap_or_default();
        rustix::fs::renameat_with(&*place.dir, &place.last, stash, &name, RenameFlags::NOREPLACE).map_err(|e| {
            let fault = Fault::system(entry, "put aside what was there", e);
            match e {
                Errno::XDEV | Errno::BUSY => fault.hint("something is mounted there; unmount it, or unpack elsewhere"),
                _ => fault,
            }
        })?;
        journal.put_aside += 1;
        journal.steps.push(place.node, place.last.to_bytes(), number);
        self.disown(place.node, place.last.to_bytes());
        Ok(())
    }

    /// Whether that is the stash itself.
    pub(super) fn is_stash(&self, place: &Place) -> bool {
        let stash = self.journal.as_ref().and_then(|journal| journal.stash.as_ref());
        place.node == ROOT && stash.is_some_and(|(_, name)| *name == place.last)
    }

    /// All went well: what was replaced goes.
    pub(super) fn keep(&mut self) -> Result<(), Fault> {
        let Some((_, name)) = self.journal.take().and_then(|journal| journal.stash) else { return Ok(()) };
        let root = self.dir(ROOT, b".")?;
        let before = rustix::fs::fstat(&*root).map_err(|e| Fault::system(b".", "stat", e))?;
        remove::remove_tree(root.as_fd(), &name)
            .map_err(|e| Fault::system(name.to_bytes(), "remove what was replaced", e))?;
        // The root has its time already.
        let _ = set_times(root.as_fd(), &times::of(&before));
        Ok(())
    }

    /// Takes everything back. Gives what could not be taken back, in words.
    pub(super) fn undo(&mut self) -> Vec<String> {
        let Some(mut journal) = self.journal.take() else { return Vec::new() };
        let mut left = Vec::new();
        self.dirs.forget();
        loop {
            let Step { node, name, number } = match journal.steps.pop() {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    left.push(format!("what was made first: {error}"));
                    break;
                }
            };
            let done = self.dirs.get(node).and_then(|dir| {
                let stash = journal.stash.as_ref().map(|(fd, _)| fd.as_fd());
                undo_step(&dir, &name, number, stash)
            });
            if number != MADE {
                // A directory may have come back under a name that was another's meanwhile.
                self.dirs.forget();
            }
            if let Err(error) = done {
                let mut path = self.dirs.nodes.path(node);
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name.to_bytes());
                left.push(format!("{}: {}", shown(&path), std::io::Error::from(error)));
            }
        }
        for was in journal.was.iter().rev() {
            let done = self.dirs.open_as(was.node, OFlags::RDONLY).and_then(|fd| restore(fd.as_fd(), was));
            if let Err(error) = done {
                left.push(format!("{}: {}", shown(&self.dirs.nodes.path(was.node)), std::io::Error::from(error)));
            }
        }
        if let Some((_, name)) = &journal.stash
            && let Ok(root) = self.dirs.get(ROOT)
            && let Err(error) = rustix::fs::unlinkat(&*root, name, AtFlags::REMOVEDIR)
        {
            left.push(format!("{}: {}", shown(name.to_bytes()), std::io::Error::from(error)));
        }
        for (node, times) in &journal.times {
            if let Ok(dir) = self.dirs.get(*node) {
                let _ = set_times(dir.as_fd(), times);
            }
        }
        left
    }
}

fn undo_step(dir: &Arc<Dir>, name: &CStr, number: u32, stash: Option<BorrowedFd<'_>>) -> rustix::io::Result<()> {
    if number == MADE {
        let removed = match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR),
            other => other,
        };
        return match removed {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        };
    }
    let aside = CString::new(number.to_string()).unwrap_or_default();
    rustix::fs::renameat_with(stash.ok_or(Errno::NOENT)?, &aside, dir, name, RenameFlags::NOREPLACE)
}

fn restore(fd: BorrowedFd<'_>, was: &Was) -> rustix::io::Result<()> {
    for (key, value) in &was.xattrs {
        match value {
            Some(value) => rustix::fs::fsetxattr(fd, &key[..], value, XattrFlags::empty())?,
            None => match rustix::fs::fremovexattr(fd, &key[..]) {
                Err(Errno::NODATA | Errno::NOTSUP) | Ok(()) => {}
                Err(e) => return Err(e),
            },
        }
    }
    let now = rustix::fs::fstat(fd)?;
    if (now.st_uid, now.st_gid) != (was.stat.st_uid, was.stat.st_gid) {
        let (uid, gid) = (Uid::from_raw(was.stat.st_uid), Gid::from_raw(was.stat.st_gid));
        rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(was.stat.st_mode & 0o7777))
}

fn set_times(dir: BorrowedFd<'_>, times: &Timestamps) -> rustix::io::Result<()> {
    rustix::fs::utimensat(dir, c".", times, AtFlags::SYMLINK_NOFOLLOW)
}

fn new_stash(root: &Arc<Dir>) -> rustix::io::Result<(OwnedFd, CString)> {
    let mut random = [0; 8];
    let _ = rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::NONBLOCK);
    let name = format!("{PREFIX}{}-{:016x}", std::process::id(), u64::from_ne_bytes(random));
    let name = CString::new(name).unwrap_or_default();
    rustix::fs::mkdirat(root, &name, Mode::RWXU)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok((rustix::fs::openat(root, &name, flags, Mode::empty())?, name))
}

/// The names below `dir` of folders in which runs that were killed have left what they replaced. They are the user's: nothing
/// removes them.
pub fn left_behind(dir: BorrowedFd<'_>) -> Vec<CString> {
    let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return Vec::new() };
    let names = entries.filter_map(|e| Some(e.ok()?.file_name().to_owned()));
    names.filter(|n| n.to_bytes().starts_with(PREFIX.as_bytes())).collect()
}
