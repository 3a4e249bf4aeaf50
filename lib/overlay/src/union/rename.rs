//! Renaming: the source is copied up first, then one rename in the upper layer does it.
//!
//! A directory that lower layers have a part in cannot be moved (EXDEV, as overlayfs without redirect_dir): callers copy
//! it. Where a layer below would show under the old name, the rename leaves a whiteout (RENAME_WHITEOUT). A directory that
//! comes to lie in a merged one becomes opaque, so that nothing from below mixes in.

use super::Stack;
use super::copy_up::Content;
use super::lock::held;
use super::node::{Node, UPPER};
use crate::layer::{Answer, Errno, Folder, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

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
        if keep && exchange {
            return Err(Errno::INVAL);
        }
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
        let movable = |node: &Node| !node.is_folder() || !node.has_lower();
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
            return self.exchange((parent, name, &source), (new_parent, new_name, target));
        }
        if let Some(target) = &target {
            match (source.is_folder(), target.is_folder()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => self.demand_empty(target)?,
                (false, false) => {}
            }
        }
        self.raise_held(&source, Content::Whole)?;
        let from = self.raise_folder(parent)?;
        let to = self.raise_folder(new_parent)?;
        let (from_fd, to_fd) = (descriptor(&*from)?, descriptor(&*to)?);
        let leaves_whiteout = self.is_below(parent, name)?;
        if source.is_folder() && new_parent.is_merged() {
            self.set_opaque(descriptor(&*self.folder(&source, UPPER)?)?)?;
        }
        let parting = match &target {
            Some(target) if !target.is_folder() => Some(self.before_parting(target)?),
            _ => None,
        };
        let replaced = target.as_ref().and_then(|t| self.stat(t).ok());
        let standing = to.find(new_name)?;
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
            self.move_leaving_whiteout(from_fd, name, to_fd, new_name)?;
        } else {
            rustix::fs::renameat(from_fd, name, to_fd, new_name)?;
        }
        if let Some(target) = &target {
            match parting {
                Some(parting) => self.part(target, new_parent, new_name, parting),
                None => {
                    *held(&target.gone) = replaced.map(|s| Stat { links: 0, ..s });
                    if let Some(identity) = target.identity() {
                        self.nodes.removed(identity);
                    }
                    self.nodes.take_place(target, new_parent, new_name);
                }
            }
        }
        self.nodes.move_place(&source, (parent, name), (new_parent, new_name));
        Ok(())
    }

    fn exchange(
        &self,
        (parent, name, source): (&Arc<Node>, &OsStr, &Arc<Node>),
        (new_parent, new_name, target): (&Arc<Node>, &OsStr, &Arc<Node>),
    ) -> Answer<()> {
        self.raise_held(source, Content::Whole)?;
        self.raise_held(target, Content::Whole)?;
        let from = self.raise_folder(parent)?;
        let to = self.raise_folder(new_parent)?;
        if source.is_folder() && new_parent.is_merged() {
            self.set_opaque(descriptor(&*self.folder(source, UPPER)?)?)?;
        }
        if target.is_folder() && parent.is_merged() {
            self.set_opaque(descriptor(&*self.folder(target, UPPER)?)?)?;
        }
        rustix::fs::renameat_with(descriptor(&*from)?, name, descriptor(&*to)?, new_name, RenameFlags::EXCHANGE)?;
        self.nodes.swap_places((parent, name, source), (new_parent, new_name, target));
        Ok(())
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
        from: BorrowedFd<'_>,
        name: &OsStr,
        to: BorrowedFd<'_>,
        new_name: &OsStr,
    ) -> Answer<()> {
        match rustix::fs::renameat_with(from, name, to, new_name, RenameFlags::WHITEOUT) {
            // The upper's file system cannot: in two steps, between which the lower file shows again.
            Err(Errno::INVAL | Errno::PERM) => {
                rustix::fs::renameat(from, name, to, new_name)?;
                self.work()?.place_whiteout(from, name)
            }
            other => other,
        }
    }
}

fn descriptor(folder: &dyn Folder) -> Answer<BorrowedFd<'_>> {
    folder.descriptor().ok_or(Errno::IO)
}
