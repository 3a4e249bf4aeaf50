//! Copy-up: a file of a lower layer gets its place in the upper one, with all that is known of it.
//!
//! The copy is made in the work folder (a regular file without a name, O_TMPFILE, where the file system can), brought to
//! the disk unless volatile, and takes its place by one link or rename that replaces nothing: a crash leaves the lower
//! file showing or the whole copy. Parents come first; their times stay as they were.
//!
//! Order on one object: the node's `turn` is held from the first look until the node points at the copy, so that two
//! writers make one copy and no rename or removal comes between. A node's parents are raised with their own turns.

use super::Stack;
use super::attributes::times_of;
use super::lock::held;
use super::node::{Branch, Node, Seat, UPPER};
use crate::layer::{Answer, Directory, Errno, Folder, Stat, stat_of};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, SeekFrom, Uid};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Most bytes copied by one call.
const PIECE_BYTES: u64 = 64 << 20;

/// How much of a file's content is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// All of it.
    Whole,
    /// None: it is truncated anyway.
    Empty,
}

impl Stack {
    /// Sees to it that `node` is in the upper layer.
    pub(crate) fn raise(&self, node: &Arc<Node>, content: Content) -> Answer<()> {
        self.work()?;
        if node.is_in_upper() {
            return Ok(());
        }
        let _turn = held(&node.turn);
        self.raise_held(node, content)
    }

    /// The same for one who has the node's turn.
    pub(crate) fn raise_held(&self, node: &Arc<Node>, content: Content) -> Answer<()> {
        self.work()?;
        if node.is_in_upper() {
            return Ok(());
        }
        if node.is_folder() { self.copy_folder(node) } else { self.copy_file(node, content) }
    }

    /// The upper part of a directory, made where there is none yet.
    pub(crate) fn raise_folder(&self, node: &Arc<Node>) -> Answer<Arc<dyn Folder>> {
        self.raise(node, Content::Whole)?;
        self.folder(node, UPPER)
    }

    fn copy_folder(&self, node: &Arc<Node>) -> Answer<()> {
        let work = self.work()?;
        let place = node.place().ok_or(Errno::NOENT)?;
        let above = self.raise_folder(&place.parent)?;
        let source = self.folder(node, node.top().ok_or(Errno::STALE)?)?;
        let stat = self.shown(&source.stat()?, UPPER + 1, false);
        let name = work.name();
        rustix::fs::mkdirat(work.fd(), &name, Mode::from_raw_mode(0o700))?;
        let made = (|| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(work.fd(), &name, flags, Mode::empty())?;
            self.copy_attributes(source.descriptor(), fd.as_fd(), &stat)?;
            self.settle(&*above, |above| {
                rustix::fs::renameat_with(work.fd(), &name, above, &place.name, RenameFlags::NOREPLACE)
            })?;
            Directory::new(fd, false)
        })();
        let made = made.inspect_err(|_| work.discard(&name))?;
        let identity = made.identity();
        self.nodes.moved_up(node, identity);
        let branch = Branch::new(UPPER, identity, Some(Arc::new(made)));
        node.add_upper(branch);
        if let Some(branch) = node.branch(UPPER) {
            self.folders.keep(&branch);
        }
        Ok(())
    }

    fn copy_file(&self, node: &Arc<Node>, content: Content) -> Answer<()> {
        let work = self.work()?;
        let seat = node.seat().ok_or(Errno::STALE)?;
        // A file that was removed while open is copied too, to be changed through its descriptor; it gets no name.
        let place = node.place();
        let above = match &place {
            Some(place) => Some(self.raise_folder(&place.parent)?),
            None => None,
        };
        let spot = self.spot(node)?;
        let stat = self.shown(&stat_of(spot.fd()?)?, seat.layer, false);
        let made = self.make_copy(&spot, &stat, content)?;
        let finish = (|| {
            if let (Some(place), Some(above)) = (&place, &above) {
                self.settle(&**above, |above| match &made.name {
                    Some(name) => {
                        rustix::fs::renameat_with(work.fd(), name, above, &place.name, RenameFlags::NOREPLACE)
                    }
                    None => {
                        let source = Self::proc_name(made.fd.as_fd());
                        rustix::fs::linkat(&self.proc, source, above, &place.name, AtFlags::SYMLINK_FOLLOW)
                    }
                })?;
            }
            stat_of(made.fd.as_fd())
        })();
        let copied = match finish {
            Ok(copied) => copied,
            Err(e) => {
                if let Some(name) = &made.name {
                    work.discard(name);
                }
                return Err(e);
            }
        };
        let orphan = if place.is_some() {
            self.nodes.moved_up(node, copied.identity());
            None
        } else {
            if let Some(name) = &made.name {
                work.discard(name);
            }
            Some(Arc::new(made.fd))
        };
        node.take_seat(Seat { layer: UPPER, identity: copied.identity(), orphan, data: None });
        Ok(())
    }

    /// The copy, finished but for its place.
    fn make_copy(&self, spot: &super::reach::Spot, stat: &Stat, content: Content) -> Answer<Made> {
        let work = self.work()?;
        let name = work.name();
        let source = spot.fd()?;
        let point = |name: &OsStr| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(work.fd(), name, flags, Mode::empty())
        };
        let private = Mode::from_raw_mode(0o600);
        let made = match stat.kind() {
            FileType::RegularFile => {
                let flags = OFlags::RDWR | OFlags::CLOEXEC;
                match rustix::fs::openat(work.fd(), c".", flags | OFlags::TMPFILE, private) {
                    Ok(fd) => Made { fd, name: None },
                    Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                        Made { fd: rustix::fs::openat(work.fd(), &name, flags, private)?, name: Some(name) }
                    }
                    Err(e) => return Err(e),
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(source, c"", Vec::new())?;
                rustix::fs::symlinkat(&*target, work.fd(), &name)?;
                Made { fd: point(&name)?, name: Some(name) }
            }
            FileType::Directory | FileType::Unknown => return Err(Errno::IO),
            kind => {
                let device = rustix::fs::makedev(stat.rdev.0, stat.rdev.1);
                rustix::fs::mknodat(work.fd(), &name, kind, private, device)?;
                Made { fd: point(&name)?, name: Some(name) }
            }
        };
        let filled = (|| {
            if stat.kind() == FileType::RegularFile {
                let file = self.reopen(source, OFlags::RDONLY | OFlags::NONBLOCK)?;
                self.refuse_metacopy(&file, stat)?;
                if content == Content::Whole {
                    copy_content(file.as_fd(), made.fd.as_fd(), stat)?;
                }
            }
            self.copy_attributes(Some(source), made.fd.as_fd(), stat)?;
            if stat.kind() == FileType::RegularFile && !self.volatile {
                rustix::fs::fsync(&made.fd)?;
            }
            Ok(())
        })();
        match filled {
            Ok(()) => Ok(made),
            Err(e) => {
                if let Some(name) = &made.name {
                    work.discard(name);
                }
                Err(e)
            }
        }
    }

    /// Owner, xattrs, mode and times; in this order, since each of the former takes from the latter.
    fn copy_attributes(&self, source: Option<BorrowedFd<'_>>, target: BorrowedFd<'_>, stat: &Stat) -> Answer<()> {
        let own = stat_of(target)?;
        if (own.uid, own.gid) != (stat.uid, stat.gid) {
            let (uid, gid) = (Some(Uid::from_raw(stat.uid)), Some(Gid::from_raw(stat.gid)));
            rustix::fs::chownat(target, c"", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        if let Some(source) = source {
            self.copy_xattrs(source, target)?;
        }
        if stat.kind() != FileType::Symlink {
            self.set_mode(target, stat.mode)?;
        }
        self.set_times(target, &times_of(stat))
    }

    /// Runs a change to the directory `above` that must not show in its times.
    fn settle(&self, above: &dyn Folder, change: impl Fn(BorrowedFd<'_>) -> Answer<()>) -> Answer<()> {
        let fd = above.descriptor().ok_or(Errno::IO)?;
        let before = stat_of(fd)?;
        change(fd)?;
        self.set_times(fd, &times_of(&before))
    }
}

#[derive(Debug)]
struct Made {
    fd: OwnedFd,
    /// Its name in the work folder; a file without a name has none.
    name: Option<OsString>,
}

/// Copies data and holes: by sharing blocks where the file systems can, else in the kernel, else through memory.
fn copy_content(source: BorrowedFd<'_>, target: BorrowedFd<'_>, stat: &Stat) -> Answer<()> {
    if stat.size_bytes == 0 {
        return Ok(());
    }
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    rustix::fs::ftruncate(target, stat.size_bytes)?;
    let mut at = 0;
    while at < stat.size_bytes {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data after `at`: the rest is a hole.
            Err(Errno::NXIO) => break,
            // A file system without holes.
            Err(_) => at,
        };
        let end = match rustix::fs::seek(source, SeekFrom::Hole(start)) {
            Ok(end) => end.min(stat.size_bytes),
            Err(_) => stat.size_bytes,
        };
        at = copy_piece(source, target, start, end.max(start + 1))?;
        if at < end {
            break;
        }
    }
    Ok(())
}

/// Copies the bytes from `start` to `end`; gives where it stopped, short of `end` only at the end of the source.
fn copy_piece(source: BorrowedFd<'_>, target: BorrowedFd<'_>, start: u64, end: u64) -> Answer<u64> {
    let mut at = start;
    while at < end {
        let (mut from, mut to) = (at, at);
        let length = usize::try_from((end - at).min(PIECE_BYTES)).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => return copy_through(source, target, at, end),
            Ok(done) => at += done as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::IO) => {
                return copy_through(source, target, at, end);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(at)
}

fn copy_through(source: BorrowedFd<'_>, target: BorrowedFd<'_>, start: u64, end: u64) -> Answer<u64> {
    let mut buffer = vec![0_u8; 128 << 10];
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let got = match rustix::io::pread(source, buffer.get_mut(..length).unwrap_or_default(), at) {
            Ok(0) => break,
            Ok(got) => got,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e),
        };
        let mut put = 0;
        while let Some(rest) = buffer.get(put..got).filter(|r| !r.is_empty()) {
            put += rustix::io::pwrite(target, rest, at + put as u64)?;
        }
        at += got as u64;
    }
    Ok(at)
}

impl Stack {
    /// Copies all xattrs but those of the overlay's books.
    fn copy_xattrs(&self, source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Answer<()> {
        let names = match self.list_stored(source) {
            Ok(names) => names,
            // A file system without them, or a file we may not read: nothing to copy.
            Err(Errno::NOTSUP | Errno::ACCESS | Errno::PERM) => return Ok(()),
            Err(e) => return Err(e),
        };
        for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
            let name = OsStr::from_bytes(name);
            if self.xattrs.is_own(name) {
                continue;
            }
            let value = match self.get_stored(source, name) {
                Ok(value) => value,
                Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => continue,
                Err(e) => return Err(e),
            };
            match self.set_stored(target, name, &value) {
                Ok(()) => {}
                // What the upper's file system or our rights cannot hold; overlayfs leaves these out as well.
                Err(Errno::NOTSUP) => {}
                Err(Errno::PERM)
                    if name.as_bytes().starts_with(b"security.") || name.as_bytes().starts_with(b"trusted.") => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
