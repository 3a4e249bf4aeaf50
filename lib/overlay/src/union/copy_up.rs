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
use super::branch::Branch;
use super::content::copy_content;
use super::lock::held;
use super::node::{Data, Node, Seat, UPPER};
use super::origin::Origin;
use super::reach::Spot;
use crate::layer::{Answer, Directory, Errno, Folder, Stat, stat_of};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};
use spec::override_stat;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// How much of a file's content has to be in the upper layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// All of it.
    Whole,
    /// So many bytes: it is truncated to them anyway.
    First(u64),
    /// None, if the upper may hold a file without its content (`overlay.metacopy`): only attributes or names change.
    Attributes,
}

impl Stack {
    /// Sees to it that `node` is in the upper layer.
    pub(crate) fn raise(&self, node: &Arc<Node>, content: Content) -> Answer<()> {
        self.work()?;
        if is_raised(node, content) {
            return Ok(());
        }
        let _turn = held(&node.turn);
        self.raise_held(node, content)
    }

    /// The same for one who has the node's turn.
    pub(crate) fn raise_held(&self, node: &Arc<Node>, content: Content) -> Answer<()> {
        let work = self.work()?;
        if is_raised(node, content) {
            return Ok(());
        }
        if node.is_folder() {
            self.copy_folder(node)?;
        } else if node.is_in_upper() {
            self.complete(node, content)?;
        } else {
            self.copy_file(node, content)?;
        }
        work.count_copy();
        Ok(())
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
        self.set_impure(&place.parent)?;
        let layer = node.top().ok_or(Errno::STALE)?;
        let source = self.folder(node, layer)?;
        let stat = self.to_copy(&*source, layer)?;
        let name = work.name();
        rustix::fs::mkdirat(work.fd(), &name, Mode::from_raw_mode(0o700))?;
        let made = (|| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(work.fd(), &name, flags, Mode::empty())?;
            let origin = source.descriptor().and_then(|source| self.origin_of(layer, source));
            self.set_origin(fd.as_fd(), origin.as_ref())?;
            self.copy_attributes(source.descriptor(), fd.as_fd(), &stat)?;
            self.settle(&*above, |above| {
                rustix::fs::renameat_with(work.fd(), &name, above, &*place.name, RenameFlags::NOREPLACE)
            })?;
            Directory::new(fd, false)
        })();
        let made = made.inspect_err(|_| work.discard(&name))?;
        let identity = made.identity();
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
        let (spot, stat) = self.file_spot(node)?;
        let stat = self.dressed_fd(stat, seat.layer, spot.fd()?);
        let stat = self.owners.copy(stat, seat.layer);
        let named = place.is_some();
        let origin = if named { self.origin_of(seat.layer, spot.fd()?) } else { None };
        let shared = if stat.links > 1 { self.index_for(origin.as_ref(), stat.kind()) } else { None };
        let plan = Plan {
            content,
            // As overlayfs: a link that is broken has no origin, or two files would have one number.
            origin: (named && (stat.links == 1 || shared.is_some())).then_some(origin.as_ref()),
        };
        let data = match &place {
            Some(place) if self.may_stay_below(&stat, content) => Some(match &seat.data {
                Some(data) => data.clone(),
                None => {
                    let path = self.file_path_in(&place.parent, &place.name, seat.layer)?;
                    Arc::new(Data::new(seat.layer, path, &stat))
                }
            }),
            _ => None,
        };
        if let Some(place) = &place {
            self.set_impure(&place.parent)?;
        }
        let made = self.make_copy(&seat, &spot, &stat, &plan, data.is_some())?;
        let finish = (|| {
            match (&shared, &place, &above) {
                (Some(name), ..) => self.settle_in_index(&made, name, stat.links)?,
                (None, Some(place), Some(above)) => {
                    self.settle(&**above, |above| self.install(&made, above, &place.name))?;
                }
                _ => {}
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
            self.settle_number(node, copied.identity(), plan.origin);
            if shared.is_some() {
                self.nodes.share(node, copied.identity());
            }
            None
        } else {
            if let Some(name) = &made.name {
                work.discard(name);
            }
            Some(Arc::new(made.fd))
        };
        node.take_seat(Seat { layer: UPPER, identity: copied.identity(), orphan, data });
        if let (Some(_), Some(place)) = (shared, place) {
            self.link_up(node, &place.parent, &place.name)?;
        }
        Ok(())
    }

    /// Whether a copy may leave the content where it is.
    fn may_stay_below(&self, stat: &Stat, content: Content) -> bool {
        self.features.metacopy
            && content == Content::Attributes
            && stat.kind() == FileType::RegularFile
            && stat.size_bytes > 0
    }

    /// The copy takes its place, where nothing is.
    pub(crate) fn install(&self, made: &Made, above: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
        match &made.name {
            Some(temporary) => {
                rustix::fs::renameat_with(self.work()?.fd(), temporary, above, name, RenameFlags::NOREPLACE)
            }
            None => {
                let source = Self::proc_name(made.fd.as_fd());
                rustix::fs::linkat(&self.proc, source, above, name, AtFlags::SYMLINK_FOLLOW)
            }
        }
    }

    /// The copy, finished but for its place.
    fn make_copy(&self, seat: &Seat, spot: &Spot, stat: &Stat, plan: &Plan<'_>, bare: bool) -> Answer<Made> {
        let work = self.work()?;
        let name = work.name();
        let source = spot.fd()?;
        let point = |name: &OsStr| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(work.fd(), name, flags, Mode::empty())
        };
        let made = match stat.kind() {
            FileType::RegularFile => self.make_unfinished()?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(source, c"", Vec::new())?;
                rustix::fs::symlinkat(&*target, work.fd(), &name)?;
                Made { fd: point(&name)?, name: Some(name) }
            }
            FileType::Directory | FileType::Unknown => return Err(Errno::IO),
            kind => {
                let device = rustix::fs::makedev(stat.rdev.0, stat.rdev.1);
                rustix::fs::mknodat(work.fd(), &name, kind, Mode::from_raw_mode(0o600), device)?;
                Made { fd: point(&name)?, name: Some(name) }
            }
        };
        let filled = (|| {
            if !bare && let Some((file, bytes)) = self.content_of(seat, spot, stat, plan.content)? {
                copy_content(file.as_fd(), made.fd.as_fd(), bytes)?;
                if !self.volatile {
                    rustix::fs::fdatasync(&made.fd)?;
                }
            }
            if bare {
                rustix::fs::ftruncate(&made.fd, stat.size_bytes)?;
            }
            if let Some(origin) = plan.origin {
                self.set_origin(made.fd.as_fd(), origin)?;
            }
            if bare {
                rustix::fs::fsetxattr(&made.fd, self.xattrs.metacopy(), b"", XattrFlags::empty())?;
            }
            self.copy_attributes(Some(source), made.fd.as_fd(), stat)
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

    /// An empty regular file in the work folder: without a name, where the file system can.
    fn make_unfinished(&self) -> Answer<Made> {
        let work = self.work()?;
        let private = Mode::from_raw_mode(0o600);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(work.fd(), c".", flags | OFlags::TMPFILE, private) {
            Ok(fd) => Ok(Made { fd, name: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let name = work.name();
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                Ok(Made { fd: rustix::fs::openat(work.fd(), &name, flags, private)?, name: Some(name) })
            }
            Err(e) => Err(e),
        }
    }

    /// Owner, xattrs, mode and times; in this order, since each of the former takes from the latter.
    fn copy_attributes(&self, source: Option<BorrowedFd<'_>>, target: BorrowedFd<'_>, stat: &Stat) -> Answer<()> {
        let own = stat_of(target)?;
        if (own.uid, own.gid) != (stat.uid, stat.gid) {
            self.give(target, Some(stat.uid), Some(stat.gid), Some(stat.mode))?;
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
    pub(crate) fn settle(&self, above: &dyn Folder, change: impl Fn(BorrowedFd<'_>) -> Answer<()>) -> Answer<()> {
        let fd = above.descriptor().ok_or(Errno::IO)?;
        let before = stat_of(fd)?;
        change(fd)?;
        // What is done is done, whether or not the times can be put back.
        let _ = self.set_times(fd, &times_of(&before));
        Ok(())
    }
}

/// What others' overlays write of a file beside its attributes: it is true of the lower one, or taken into account.
const OTHER_BOOKS: [&[u8]; 3] =
    [b"user.fuseoverlayfs.opaque", override_stat::FUSE_OVERLAYFS.to_bytes(), override_stat::CONTAINERS.to_bytes()];

/// A copy on its way.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) fd: OwnedFd,
    /// Its name in the work folder; a file without a name has none.
    pub(crate) name: Option<OsString>,
}

#[derive(Debug)]
struct Plan<'a> {
    content: Content,
    /// Written down, even if it is not known; not at all where `None`.
    origin: Option<Option<&'a Origin>>,
}

/// Whether nothing is to be done to have so much of `node` in the upper layer.
fn is_raised(node: &Node, content: Content) -> bool {
    node.is_in_upper() && (node.is_folder() || content == Content::Attributes || node.has_upper_content())
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
            if self.xattrs.is_own(name) || OTHER_BOOKS.contains(&name.as_bytes()) {
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
