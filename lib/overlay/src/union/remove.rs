//! Removing: the upper object goes, and where a layer below would show through, a whiteout takes its place in the same
//! step.

use super::Stack;
use super::lock::held;
use super::node::{Node, UPPER};
use super::reach::Spot;
use crate::layer::{Answer, Errno, Folder, Identity, Stat, stat_of};
use rustix::fs::{AtFlags, RenameFlags};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

impl Stack {
    /// Removes the name of something that is not a directory.
    pub fn unlink(&self, parent: &Arc<Node>, name: &OsStr) -> Answer<()> {
        let node = self.known(parent, name)?.ok_or(Errno::NOENT)?;
        if node.is_folder() {
            return Err(Errno::ISDIR);
        }
        let work = self.work()?;
        let _turn = held(&node.turn);
        self.before_unlink(&node, parent, name)?;
        // What lies below itself needs no search.
        let below = !node.is_in_upper() || self.is_below(parent, name)?;
        let parting = self.before_parting(&node)?;
        if below {
            let above = self.raise_folder(parent)?;
            let fd = above.descriptor().ok_or(Errno::IO)?;
            if self.hide_by_name(fd, name)? {
                if node.is_in_upper() {
                    rustix::fs::unlinkat(fd, name, AtFlags::empty())?;
                }
            } else if node.is_in_upper() {
                let whiteout = work.whiteout()?;
                rustix::fs::renameat(work.fd(), &whiteout, fd, name).inspect_err(|_| work.discard(&whiteout))?;
            } else {
                work.place_whiteout(fd, name)?;
            }
        } else {
            let above = self.folder(parent, UPPER)?;
            rustix::fs::unlinkat(above.descriptor().ok_or(Errno::IO)?, name, AtFlags::empty())?;
        }
        self.part(&node, parent, name, parting);
        Ok(())
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, parent: &Arc<Node>, name: &OsStr) -> Answer<()> {
        let (node, stat) = self.lookup(parent, name)?.ok_or(Errno::NOENT)?;
        if !node.is_folder() {
            return Err(Errno::NOTDIR);
        }
        let work = self.work()?;
        let _turn = held(&node.turn);
        self.demand_empty(&node)?;
        let below = self.is_below(parent, name)?;
        let above = self.raise_folder(parent)?;
        let fd = above.descriptor().ok_or(Errno::IO)?;
        if below {
            if self.hide_by_name(fd, name)? {
                if node.is_in_upper() {
                    self.remove_upper_folder(&*above, name)?;
                }
            } else if node.is_in_upper() {
                let whiteout = work.whiteout()?;
                let exchanged = rustix::fs::renameat_with(work.fd(), &whiteout, fd, name, RenameFlags::EXCHANGE);
                // After the exchange it is the directory, with the whiteouts in it.
                work.discard(&whiteout);
                exchanged?;
            } else {
                work.place_whiteout(fd, name)?;
            }
        } else {
            self.remove_upper_folder(&*above, name)?;
        }
        node.set_gone(Some(Stat { links: 0, ..stat }));
        if let Some(identity) = node.identity() {
            self.layers.numbers.removed(identity);
        }
        self.nodes.take_place(&node, parent, name);
        Ok(())
    }

    /// ENOTEMPTY where the merged directory shows anything.
    pub(crate) fn demand_empty(&self, node: &Arc<Node>) -> Answer<()> {
        // `.` and `..` are always there.
        if self.list(node)?.len() > 2 { Err(Errno::NOTEMPTY) } else { Ok(()) }
    }

    /// Removes an upper directory that holds nothing but whiteouts: in one step, then at leisure.
    pub(crate) fn remove_upper_folder(&self, above: &dyn Folder, name: &OsStr) -> Answer<()> {
        let work = self.work()?;
        let fd = above.descriptor().ok_or(Errno::IO)?;
        match rustix::fs::unlinkat(fd, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                let aside = work.name();
                rustix::fs::renameat(fd, name, work.fd(), &aside)?;
                work.discard(&aside);
                Ok(())
            }
            other => other,
        }
    }

    /// What must be known of a file before one of its names goes.
    pub(crate) fn before_parting(&self, node: &Node) -> Answer<Parting> {
        let identity = node.identity();
        if !node.is_open() {
            return Ok(Parting { stat: self.raw_stat(node)?, keep: None, identity });
        }
        // While it is open, the file itself stays within reach.
        let spot = self.spot(node)?;
        let mut stat = stat_of(spot.fd()?)?;
        stat.links = self.union_links(&stat);
        let keep = if let Spot::File(fd) = spot { Some(fd) } else { None };
        Ok(Parting { stat, keep, identity })
    }

    /// The node lost the name `name` in `parent`.
    pub(crate) fn part(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &OsStr, parting: Parting) {
        let lower = !node.is_in_upper();
        let last = lower || parting.stat.links <= 1;
        if node.place_count() <= 1 {
            if let Some(file) = parting.keep {
                node.set_orphan(Arc::new(file));
            }
            if last {
                node.set_gone(Some(Stat { links: 0, ..parting.stat }));
            }
        }
        if last
            && !lower
            && let Some(identity) = parting.identity
        {
            self.layers.numbers.removed(identity);
        }
        if !lower && let Some(identity) = parting.identity {
            self.after_unlink(identity);
        }
        self.nodes.take_place(node, parent, name);
    }
}

/// See [`Stack::before_parting`].
#[derive(Debug)]
pub(crate) struct Parting {
    stat: Stat,
    keep: Option<OwnedFd>,
    identity: Option<Identity>,
}
