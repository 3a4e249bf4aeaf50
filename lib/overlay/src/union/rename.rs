//! Renaming: the source is copied up first, then one rename in the upper layer does it.
//!
//! A directory that lower layers have a part in, and a file whose content lies below, take along where that is
//! ([`super::redirect`]); where the upper may hold no redirects such a directory is not moved (EXDEV, as overlayfs without
//! redirect_dir): callers copy it. What is written on an object before it is moved is true where it still is, so that a
//! crash between the two changes nothing. Where a layer below would show under the old name, the rename leaves a whiteout
//! (RENAME_WHITEOUT). A new directory that comes to lie in a merged one becomes opaque, so that nothing from below mixes in.
//!
//! Turns of source and target are taken in the order of their numbers, then [`Stack::moving`].

use super::Stack;
use super::copy_up::Content;
use super::lock::{held, read, write};
use super::node::{Node, UPPER};
use super::search::refuse_reserved;
use crate::layer::{Answer, Errno, Folder, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One of the two ends of a rename.
#[derive(Debug, Clone, Copy)]
struct End<'a> {
    parent: &'a Arc<Node>,
    name: &'a OsStr,
}

impl Stack {
    /// Moves `name` of `parent` to `new_name` of `new_parent`. `exchange`: both exist and change places; `keep`: fail
    /// with EEXIST rather than replace.
    pub fn rename(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        new_parent: &Arc<Node>,
        new_name: &OsStr,
        keep: bool,
        exchange: bool,
    ) -> Answer<()> {
        self.work()?;
        refuse_reserved(new_name)?;
        if keep && exchange {
            return Err(Errno::INVAL);
        }
        let (from, to) = (End { parent, name }, End { parent: new_parent, name: new_name });
        let source = self.known(parent, name)?.ok_or(Errno::NOENT)?;
        let target = self.known(new_parent, new_name)?;
        if keep && target.is_some() {
            return Err(Errno::EXIST);
        }
        if let Some(target) = &target
            && target.id() == source.id()
        {
            return Ok(());
        }
        let movable = |node: &Node| self.features.redirect || !node.is_folder() || !node.has_lower();
        if !movable(&source) || exchange && target.as_ref().is_some_and(|t| !movable(t)) {
            return Err(Errno::XDEV);
        }
        // Turns in the order of numbers; a child's before its parent's is kept, since neither is the other's ancestor.
        let target_first = target.as_ref().is_some_and(|t| t.id() < source.id());
        let (one, two) = if target_first { (target.as_ref(), Some(&source)) } else { (Some(&source), target.as_ref()) };
        let _one = one.map(|n| held(&n.turn));
        let _two = two.map(|n| held(&n.turn));
        if exchange {
            let target = target.as_ref().ok_or(Errno::NOENT)?;
            return self.exchange((from, &source), (to, target));
        }
        if let Some(target) = &target {
            match (source.is_folder(), target.is_folder()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => self.demand_empty(target)?,
                (false, false) => {}
            }
        }
        self.raise_for_move(&source, from)?;
        let above = self.raise_folder(parent)?;
        let new_above = self.raise_folder(new_parent)?;
        let (from_fd, to_fd) = (descriptor(&*above)?, descriptor(&*new_above)?);
        let leaves_whiteout = self.is_below(parent, name)?;
        if let Some(target) = &target {
            self.before_unlink(target, new_parent, new_name)?;
        }
        let still = self.keep_still(&[&source]);
        self.take_along(&source, from, to.parent)?;
        let parting = match &target {
            Some(target) if !target.is_folder() => Some(self.before_parting(target)?),
            _ => None,
        };
        let replaced = target.as_ref().filter(|t| t.is_folder()).and_then(|t| self.stat(t).ok());
        let standing = new_above.find(new_name)?;
        let over_whiteout = standing.is_some_and(|s| s.is_whiteout());
        if standing.is_some_and(|s| s.is_folder()) {
            self.clear_folder(to_fd, new_name)?;
        }
        if source.is_folder() && over_whiteout {
            // A directory cannot replace a device: they change places, and the whiteout may be just what is needed.
            rustix::fs::renameat_with(from_fd, name, to_fd, new_name, RenameFlags::EXCHANGE)?;
            if !leaves_whiteout {
                rustix::fs::unlinkat(from_fd, name, AtFlags::empty())?;
            }
        } else if leaves_whiteout {
            self.move_leaving_whiteout((from_fd, name), (to_fd, new_name))?;
        } else {
            rustix::fs::renameat(from_fd, name, to_fd, new_name)?;
        }
        if source.has_lower() {
            self.unhide(to_fd, new_name)?;
        }
        if let Some(target) = &target {
            match parting {
                Some(parting) => self.part(target, new_parent, new_name, parting),
                None => {
                    target.set_gone(replaced.map(|s| Stat { links: 0, ..s }));
                    if let Some(identity) = target.identity() {
                        self.layers.numbers.removed(identity);
                    }
                    self.nodes.take_place(target, new_parent, new_name);
                }
            }
        }
        self.nodes.move_place(&source, (parent, name), (new_parent, new_name));
        drop(still);
        Ok(())
    }

    fn exchange(&self, (from, source): (End<'_>, &Arc<Node>), (to, target): (End<'_>, &Arc<Node>)) -> Answer<()> {
        self.raise_for_move(source, from)?;
        self.raise_for_move(target, to)?;
        let above = self.raise_folder(from.parent)?;
        let new_above = self.raise_folder(to.parent)?;
        let still = self.keep_still(&[source, target]);
        self.take_along(source, from, to.parent)?;
        self.take_along(target, to, from.parent)?;
        let (from_fd, to_fd) = (descriptor(&*above)?, descriptor(&*new_above)?);
        rustix::fs::renameat_with(from_fd, from.name, to_fd, to.name, RenameFlags::EXCHANGE)?;
        self.nodes.swap_places((from.parent, from.name, source), (to.parent, to.name, target));
        drop(still);
        Ok(())
    }

    /// What is to be moved is in the upper layer, under the name by which it is moved. Its turn is held.
    fn raise_for_move(&self, node: &Arc<Node>, end: End<'_>) -> Answer<()> {
        self.raise_held(node, Content::Attributes)?;
        self.link_up(node, end.parent, end.name)
    }

    /// Nobody reads the paths of directories while one with lower parts is moved, and no such directory is moved while
    /// anything else is.
    fn keep_still(&self, moved: &[&Arc<Node>]) -> Still<'_> {
        if moved.iter().any(|n| n.is_folder() && n.has_lower()) {
            Still::Alone { _guard: write(&self.moving) }
        } else {
            Still::Shared { _guard: read(&self.moving) }
        }
    }

    /// Writes on `node`, which is in the upper layer, what it needs to be itself in `new_parent`.
    fn take_along(&self, node: &Arc<Node>, end: End<'_>, new_parent: &Arc<Node>) -> Answer<()> {
        let same_folder = end.parent.id() == new_parent.id();
        if !node.is_folder() {
            return self.take_content_along(node, end, new_parent);
        }
        if !node.has_lower() {
            if new_parent.is_merged() {
                self.set_opaque(descriptor(&*self.folder(node, UPPER)?)?)?;
            }
            return Ok(());
        }
        self.set_redirect(descriptor(&*self.folder(node, UPPER)?)?, end.parent, end.name, same_folder)?;
        self.pin(node)?;
        if same_folder { Ok(()) } else { self.set_impure(new_parent) }
    }

    fn take_content_along(&self, node: &Arc<Node>, end: End<'_>, new_parent: &Arc<Node>) -> Answer<()> {
        let same_folder = end.parent.id() == new_parent.id();
        let seat = node.seat().ok_or(Errno::STALE)?;
        if seat.data.is_some() {
            let spot = self.spot(node)?;
            let fd = spot.fd()?;
            // Of a file with several names the content must be found from all of them.
            let alone = crate::layer::stat_of(fd)?.links == 1;
            match self.set_redirect(fd, end.parent, end.name, same_folder && alone) {
                // Too deep to be told: then the content comes along.
                Err(Errno::XDEV) => self.complete(node, Content::Whole)?,
                other => other?,
            }
        }
        if same_folder { Ok(()) } else { self.mark_if_copied(node, new_parent) }
    }

    /// The directory `parent` gets the file `node`, which may be a copy.
    pub(crate) fn mark_if_copied(&self, node: &Arc<Node>, parent: &Arc<Node>) -> Answer<()> {
        if parent.branch(UPPER).is_none_or(|b| b.impure.load(Ordering::Relaxed)) {
            return Ok(());
        }
        let spot = self.spot(node)?;
        let copied = self.get_stored(spot.fd()?, self.xattrs.origin()).is_ok();
        if copied { self.set_impure(parent) } else { Ok(()) }
    }

    /// The directory is empty in the union; whiteouts in its upper part would keep it from being replaced. It changes
    /// places with an empty opaque one, so that nothing shows through meanwhile.
    fn clear_folder(&self, above: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
        let work = self.work()?;
        let fresh = work.name();
        rustix::fs::mkdirat(work.fd(), &fresh, Mode::from_raw_mode(0o700))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let cleared = rustix::fs::openat(work.fd(), &fresh, flags, Mode::empty())
            .and_then(|fd| self.set_opaque(fd.as_fd()))
            .and_then(|()| rustix::fs::renameat_with(work.fd(), &fresh, above, name, RenameFlags::EXCHANGE));
        work.discard(&fresh);
        cleared
    }

    fn move_leaving_whiteout(
        &self,
        (from, name): (BorrowedFd<'_>, &OsStr),
        (to, new_name): (BorrowedFd<'_>, &OsStr),
    ) -> Answer<()> {
        match rustix::fs::renameat_with(from, name, to, new_name, RenameFlags::WHITEOUT) {
            // The upper's file system cannot: in two steps, between which the lower file shows again.
            Err(Errno::INVAL | Errno::PERM) => {
                rustix::fs::renameat(from, name, to, new_name)?;
                self.hide(from, name)
            }
            other => other,
        }
    }
}

/// See [`Stack::keep_still`].
#[derive(Debug)]
enum Still<'a> {
    Alone { _guard: std::sync::RwLockWriteGuard<'a, ()> },
    Shared { _guard: std::sync::RwLockReadGuard<'a, ()> },
}

fn descriptor(folder: &dyn Folder) -> Answer<BorrowedFd<'_>> {
    folder.descriptor().ok_or(Errno::IO)
}
