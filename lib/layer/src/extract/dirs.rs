//! The directories of a layer as descriptors: opened below the root's, a bounded number of them at a time.
//!
//! A known directory is opened through directories only, never through a link (openat2(2) with RESOLVE_BENEATH and
//! RESOLVE_NO_SYMLINKS), a piece at a time where its path is longer than PATH_MAX. What another process puts in its place is
//! at worst another directory below the root.

use super::nodes::{NodeId, Nodes, ROOT};
use crate::beneath::{STRAIGHT, retry};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Directories kept open; entries come grouped by directory.
const CACHED: usize = 64;
/// A path for one call; PATH_MAX is 4096.
const PIECE_BYTES: usize = 4000;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    /// What is made in it belongs to our own ids: it is ours itself and hands no group on.
    pub(crate) plain: bool,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The directories, by number and by descriptor.
#[derive(Debug)]
pub(crate) struct Dirs {
    pub(crate) nodes: Nodes,
    root: Arc<Dir>,
    /// The ones used last are last.
    open: Vec<(NodeId, Arc<Dir>)>,
    /// Our own ids.
    me: (u32, u32),
}

impl Dirs {
    /// Everything below `root`.
    pub(crate) fn new(root: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let fd = rustix::fs::openat(root, c".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let root = Arc::new(Self::dir(fd, me)?);
        Ok(Self { nodes: Nodes::new(), root, open: Vec::with_capacity(CACHED), me })
    }

    fn dir(fd: OwnedFd, me: (u32, u32)) -> rustix::io::Result<Dir> {
        let stat = rustix::fs::fstat(&fd)?;
        let plain = (stat.st_uid, stat.st_gid) == me && stat.st_mode & libc::S_ISGID == 0;
        Ok(Dir { fd, plain })
    }

    /// Our own user and group.
    pub(crate) fn me(&self) -> (u32, u32) {
        self.me
    }

    /// The directory's descriptor (O_PATH).
    pub(crate) fn get(&mut self, id: NodeId) -> rustix::io::Result<Arc<Dir>> {
        if let Some((_, dir)) = self.open.last().filter(|(open, _)| *open == id) {
            return Ok(Arc::clone(dir));
        }
        if id == ROOT {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(at) = self.open.iter().rposition(|(open, _)| *open == id) {
            let found = self.open.remove(at);
            let dir = Arc::clone(&found.1);
            self.open.push(found);
            return Ok(dir);
        }
        let fd = self.open_as(id, OFlags::PATH)?;
        self.keep(id, fd)
    }

    /// Keeps the descriptor of the directory `id`, which was opened just now.
    pub(crate) fn keep(&mut self, id: NodeId, fd: OwnedFd) -> rustix::io::Result<Arc<Dir>> {
        let dir = Arc::new(Self::dir(fd, self.me)?);
        if self.open.len() == CACHED {
            self.open.remove(0);
        }
        self.open.push((id, Arc::clone(&dir)));
        Ok(dir)
    }

    /// Opens the directory anew, with `flags`.
    pub(crate) fn open_as(&self, id: NodeId, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // From the nearest directory above that is open, or from the root.
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = id;
        let start = loop {
            if at == ROOT {
                break &self.root;
            }
            names.push(self.nodes.name(at));
            at = self.nodes.parent(at);
            if let Some((_, dir)) = self.open.iter().rfind(|(open, _)| *open == at) {
                break dir;
            }
        };
        if names.is_empty() {
            return rustix::fs::openat(start, c".", flags, Mode::empty());
        }
        let mut current: Option<OwnedFd> = None;
        let mut path = Vec::new();
        while let Some(name) = names.pop() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let last = names.is_empty();
            if !last && path.len() + names.last().map_or(0, |n| n.len()) < PIECE_BYTES {
                continue;
            }
            let from = current.as_ref().map_or(start.as_fd(), AsFd::as_fd);
            let how = if last { flags } else { flags | OFlags::PATH };
            let next = retry(|| rustix::fs::openat2(from, &path[..], how, Mode::empty(), STRAIGHT))?;
            current = Some(next);
            path.clear();
        }
        current.ok_or(Errno::NOENT)
    }

    /// Forgets descriptors: something was removed, so a name may mean another directory now.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}
