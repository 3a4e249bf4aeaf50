//! The end of a layer: directories get owner, mode, xattrs and times, those below before those above.
//!
//! One pass down and up again. On the way down the descriptors above are kept, up to [`KEPT`] of them; beyond that the way back
//! is `..`, checked against the inode it came from, so that no depth needs more.

use super::nodes::{NodeId, ROOT};
use super::resolve::changed;
use super::tree::Tree;
use crate::error::Fault;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const KEPT: usize = 64;

const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way down.
struct Level {
    node: NodeId,
    /// Its child that comes next.
    next: usize,
    /// Device and inode, to know it again.
    inode: (u64, u64),
    /// It belongs to our own ids.
    plain: bool,
    /// Its descriptor, if it is kept.
    fd: Option<OwnedFd>,
}

impl Tree<'_> {
    /// Gives all directories what they are due.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        self.dirs.forget();
        let family = self.dirs.nodes.family();
        let root = self.dirs.open_as(ROOT, OFlags::RDONLY);
        let root = root.map_err(|e| Fault::system(b".", "open directory", e))?;
        let mut levels = vec![self.level(ROOT, root)?];
        while let Some(at) = levels.len().checked_sub(1) {
            let level = &mut levels[at];
            let (node, next) = (level.node, level.next);
            level.next += 1;
            if let Some(child) = family.child(node, next) {
                let fd = self.down(level, child)?;
                let below = self.level(child, fd)?;
                levels.push(below);
                // The way up from there is `..`.
                if at >= KEPT {
                    levels[at].fd = None;
                }
                continue;
            }
            let Some(Level { fd: Some(fd), plain, .. }) = levels.pop() else { continue };
            if let Some(above) = levels.last_mut()
                && above.fd.is_none()
            {
                let parent = rustix::fs::openat(&fd, c"..", READ, Mode::empty());
                let parent = parent.map_err(|e| Fault::system(&self.dirs.nodes.path(node), "open directory", e))?;
                let stat = self.stat_of(above.node, &parent)?;
                if (stat.st_dev, stat.st_ino) != above.inode {
                    return Err(changed(&self.dirs.nodes.path(above.node)));
                }
                above.fd = Some(parent);
            }
            self.dress(node, fd.as_fd(), plain)?;
        }
        Ok(())
    }

    fn down(&self, level: &Level, child: NodeId) -> Result<OwnedFd, Fault> {
        let path = || self.dirs.nodes.path(child);
        let Some(from) = &level.fd else { return Err(changed(&path())) };
        let name = CString::new(self.dirs.nodes.name(child)).unwrap_or_default();
        rustix::fs::openat(from, name, READ, Mode::empty()).map_err(|e| match e {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => changed(&path()),
            e => Fault::system(&path(), "open directory", e),
        })
    }

    fn level(&self, node: NodeId, fd: OwnedFd) -> Result<Level, Fault> {
        let stat = self.stat_of(node, &fd)?;
        let plain = (stat.st_uid, stat.st_gid) == self.dirs.me();
        Ok(Level { node, next: 0, inode: (stat.st_dev, stat.st_ino), plain, fd: Some(fd) })
    }

    fn stat_of(&self, node: NodeId, fd: &OwnedFd) -> Result<Stat, Fault> {
        rustix::fs::fstat(fd).map_err(|e| Fault::system(&self.dirs.nodes.path(node), "stat", e))
    }

    fn dress(&mut self, node: NodeId, fd: BorrowedFd<'_>, plain: bool) -> Result<(), Fault> {
        let Some(due) = self.dirs.nodes.due(node) else { return Ok(()) };
        let path = self.dirs.nodes.path(node);
        if !self.dirs.nodes.made(node) {
            self.remember(node, fd, &due)?;
        }
        let name = if path.is_empty() { &b"."[..] } else { &path };
        self.ways.dress_directory(fd, name, &due, plain)
    }
}
