//! Reading and changing attributes: stat, chmod, chown, truncate, utimens, statfs.

use super::Stack;
use super::copy_up::Content;
use super::handle::OpenFile;
use super::lock::read;
use super::node::{Node, UPPER};
use crate::layer::{Answer, Errno, Stat, Time, stat_of};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The moment of the call.
    Now,
    /// This one.
    At(Time),
}

/// What setattr is to change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// Last access.
    pub accessed: Option<When>,
    /// Last change of content.
    pub modified: Option<When>,
    /// Whoever truncates may not keep set-id bits (no CAP_FSETID).
    pub drop_set_id: bool,
}

impl Stack {
    /// The attributes of `node` as the union shows them.
    pub fn stat(&self, node: &Node) -> Answer<Stat> {
        if node.is_folder()
            && let Some(gone) = node.gone()
        {
            return Ok(gone);
        }
        let mut stat = self.raw_stat(node)?;
        stat.inode = node.number();
        if let Some(data) = node.seat().and_then(|seat| seat.data) {
            stat.blocks = data.blocks;
        }
        Ok(self.shown(&stat, node.top().unwrap_or(UPPER), node.is_merged()))
    }

    /// How attributes found in `layer` show.
    pub(crate) fn shown(&self, stat: &Stat, layer: usize, merged: bool) -> Stat {
        let mut shown = *stat;
        if merged && stat.is_folder() {
            shown.links = 1;
        }
        self.owners.show(&mut shown, layer);
        shown
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, node: &Node) -> Answer<Vec<u8>> {
        if node.kind != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        let spot = self.spot(node)?;
        Ok(rustix::fs::readlinkat(spot.fd()?, c"", Vec::new())?.into_bytes())
    }

    /// Changes attributes, first copying the file up where it lies below. `file`: by this descriptor.
    pub fn set_attributes(&self, node: &Arc<Node>, change: &Change, file: Option<&OpenFile>) -> Answer<Stat> {
        let content = match change.size_bytes {
            Some(bytes) => Content::First(bytes),
            None => Content::Attributes,
        };
        self.raise(node, content)?;
        self.forget_bequest(node);
        if let Some(size) = change.size_bytes {
            self.truncate(node, size, file)?;
        }
        let open = file.filter(|_| node.has_upper_content()).map(OpenFile::descriptor);
        let (spot, open) = match open {
            Some((file, true)) => (None, Some(file)),
            _ => (Some(self.spot(node)?), None),
        };
        let fd = match (&spot, &open) {
            (Some(spot), _) => spot.fd()?,
            (None, Some(file)) => file.as_fd(),
            (None, None) => return Err(Errno::IO),
        };
        if change.uid.is_some() || change.gid.is_some() {
            let uid = change.uid.map(|uid| self.owners.stored_uid(uid)).transpose()?;
            let gid = change.gid.map(|gid| self.owners.stored_gid(gid)).transpose()?;
            self.give(fd, uid, gid, None)?;
        }
        if let Some(mode) = change.mode {
            self.set_mode(fd, mode)?;
        } else if change.size_bytes.is_some() && change.drop_set_id {
            self.drop_set_id(fd)?;
        }
        if change.accessed.is_some() || change.modified.is_some() {
            let times =
                Timestamps { last_access: timespec(change.accessed), last_modification: timespec(change.modified) };
            self.set_times(fd, &times)?;
        }
        if open.is_some() { self.stat_open(node, fd) } else { self.stat(node) }
    }

    /// The attributes of a node whose upper file is `fd`.
    pub(crate) fn stat_open(&self, node: &Node, fd: BorrowedFd<'_>) -> Answer<Stat> {
        let mut stat = self.dressed_fd(stat_of(fd)?, UPPER, fd);
        stat.links = self.union_links(&stat);
        stat.inode = node.number();
        Ok(self.shown(&stat, UPPER, false))
    }

    fn truncate(&self, node: &Node, size: u64, file: Option<&OpenFile>) -> Answer<()> {
        match node.kind {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::INVAL),
        }
        if let Some(file) = file.filter(|f| f.writes) {
            return rustix::fs::ftruncate(&*read(&file.file).clone(), size);
        }
        let spot = self.spot(node)?;
        let fd = self.reopen(spot.fd()?, OFlags::WRONLY | OFlags::NONBLOCK)?;
        rustix::fs::ftruncate(&fd, size)
    }

    /// chmod by a descriptor that may be O_PATH.
    pub(crate) fn set_mode(&self, fd: BorrowedFd<'_>, mode: u32) -> Answer<()> {
        if self.keeps_modes() {
            return self.give(fd, None, None, Some(mode));
        }
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmodat(&self.proc, Self::proc_name(fd), mode, AtFlags::empty())
    }

    /// Takes set-user-id, and set-group-id where the group may execute, as a write by an ordinary user does.
    pub(crate) fn drop_set_id(&self, fd: BorrowedFd<'_>) -> Answer<()> {
        let stat = self.dressed_fd(stat_of(fd)?, UPPER, fd);
        let kept = kept_by_write(stat.mode);
        if stat.kind() == FileType::RegularFile && kept != stat.mode {
            self.set_mode(fd, kept)?;
        }
        Ok(())
    }

    /// utimens by a descriptor that may be O_PATH.
    pub(crate) fn set_times(&self, fd: BorrowedFd<'_>, times: &Timestamps) -> Answer<()> {
        match rustix::fs::utimensat(fd, c"", times, AtFlags::EMPTY_PATH) {
            // AT_EMPTY_PATH of utimensat(2) came with Linux 5.8.
            Err(Errno::INVAL | Errno::NOENT) => {
                rustix::fs::utimensat(&self.proc, Self::proc_name(fd), times, AtFlags::empty())
            }
            other => other,
        }
    }

    /// The file system behind the layer that takes the writes, or behind the topmost.
    pub fn stat_file_system(&self) -> Answer<rustix::fs::StatFs> {
        let root = self.nodes.get(super::ROOT)?;
        let top = root.top().ok_or(Errno::STALE)?;
        let folder = self.folder(&root, top)?;
        rustix::fs::fstatfs(folder.descriptor().ok_or(Errno::NOSYS)?.as_fd())
    }
}

/// The mode that is left after a write by one without CAP_FSETID.
pub(crate) fn kept_by_write(mode: u32) -> u32 {
    let mode = mode & !libc::S_ISUID;
    if mode & libc::S_IXGRP != 0 { mode & !libc::S_ISGID } else { mode }
}

fn timespec(when: Option<When>) -> Timespec {
    match when {
        None => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        Some(When::Now) => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        Some(When::At(time)) => Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) },
    }
}

pub(crate) fn times_of(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: timespec(Some(When::At(stat.accessed))),
        last_modification: timespec(Some(When::At(stat.modified))),
    }
}

#[cfg(test)]
mod tests {
    use super::kept_by_write;

    #[test]
    fn a_write_keeps_set_group_id_only_as_a_lock_mark() {
        assert_eq!(kept_by_write(0o6755), 0o0755);
        assert_eq!(kept_by_write(0o2644), 0o2644);
        assert_eq!(kept_by_write(0o4644), 0o0644);
    }
}
