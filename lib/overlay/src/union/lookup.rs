//! Looking a name up: through the layers from the top down, by the rules of [`crate::merge`].

use super::Stack;
use super::node::{Body, Branch, Node, Seat, UPPER};
use super::reach::refuse_redirect;
use crate::layer::{Answer, Errno, Folder, Stat, Void};
use crate::merge::{Merge, Sight};
use rustix::fs::FileType;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, RwLock};

/// What the layers have under a name.
#[derive(Debug)]
pub(crate) struct Found {
    /// Attributes in the topmost layer that has it.
    pub(crate) stat: Stat,
    pub(crate) layer: usize,
    /// For a directory its parts, topmost first.
    pub(crate) branches: Vec<Branch>,
}

impl Stack {
    /// The node of `name` in `parent`, and its attributes; `None` where there is nothing.
    pub fn lookup(&self, parent: &Arc<Node>, name: &OsStr) -> Answer<Option<(Arc<Node>, Stat)>> {
        if !parent.is_folder() {
            return Err(Errno::NOTDIR);
        }
        if let Some(node) = self.nodes.child(parent, name)
            && let Ok(stat) = self.stat(&node)
        {
            return Ok(Some((node, stat)));
        }
        let Some(found) = self.probe(parent, name, 0)? else { return Ok(None) };
        let stat = self.shown(&found.stat, found.layer, found.branches.len() > 1);
        Ok(Some((self.adopt(parent, name, found), stat)))
    }

    /// The node of `name`, without its attributes: for one that is known nothing is asked below.
    pub(crate) fn known(&self, parent: &Arc<Node>, name: &OsStr) -> Answer<Option<Arc<Node>>> {
        match self.nodes.child(parent, name) {
            Some(node) => Ok(Some(node)),
            None => Ok(self.lookup(parent, name)?.map(|(node, _)| node)),
        }
    }

    /// The node for what was found.
    pub(crate) fn adopt(&self, parent: &Arc<Node>, name: &OsStr, found: Found) -> Arc<Node> {
        let Found { stat, layer, branches } = found;
        let kind = stat.kind();
        let mut opened = Vec::new();
        let share = layer == UPPER || self.features.index && stat.links > 1 && self.uuids.of(layer).is_some();
        let node = self.nodes.adopt(parent, name, layer, &stat, share, |id| {
            let body = if kind == FileType::Directory {
                let branches: Vec<_> = branches.into_iter().map(Arc::new).collect();
                opened = branches.clone();
                Body::Folder(RwLock::new(branches))
            } else {
                Body::File(RwLock::new(Seat::new(layer, stat.identity())))
            };
            Node::new(id, kind, body)
        });
        for branch in opened {
            // A mount point's stand-in is no descriptor and stays.
            let open = super::lock::held(&branch.folder).as_ref().is_some_and(|f| f.descriptor().is_some());
            if open {
                self.folders.keep(&branch);
            }
        }
        node
    }

    /// What the layers from number `from` on have under `name` in `parent`.
    pub(crate) fn probe(&self, parent: &Node, name: &OsStr, from: usize) -> Answer<Option<Found>> {
        let layers = parent.branches();
        let mut merge = Merge::default();
        let mut top: Option<(Stat, usize)> = None;
        let mut branches = Vec::new();
        for (at, branch) in layers.iter().enumerate() {
            if branch.layer < from {
                continue;
            }
            if merge.done {
                break;
            }
            let folder = self.folder(parent, branch.layer)?;
            let Some(stat) = folder.find(name)? else { continue };
            let last = at + 1 == layers.len();
            let (sight, part) = self.look(&*folder, name, &stat, branch, last)?;
            merge.see(branch.layer, sight);
            if merge.layers.last() == Some(&branch.layer) {
                if top.is_none() {
                    top = Some((stat, branch.layer));
                }
                branches.extend(part);
            }
        }
        let Some((stat, layer)) = top else { return Ok(None) };
        let (stat, layer) = if from == 0 { self.with_links(parent, name, stat, layer)? } else { (stat, layer) };
        Ok(Some(Found { stat, layer, branches }))
    }

    /// What was found, or the copy that it and further links of it stand for; with as many links as the union shows.
    pub(crate) fn with_links(&self, parent: &Node, name: &OsStr, stat: Stat, layer: usize) -> Answer<(Stat, usize)> {
        if stat.is_folder() || stat.links < 2 {
            return Ok((stat, layer));
        }
        let (mut stat, layer) = match self.find_in_index(parent, name, layer, &stat)? {
            Some(copy) => (copy, UPPER),
            None => (stat, layer),
        };
        if layer == UPPER {
            stat.links = self.union_links(&stat);
        }
        Ok((stat, layer))
    }

    /// What `stat`, found as `name` in one layer's `folder`, means for the union, and a directory's part.
    fn look(
        &self,
        folder: &dyn Folder,
        name: &OsStr,
        stat: &Stat,
        of: &Branch,
        last: bool,
    ) -> Answer<(Sight, Option<Branch>)> {
        if stat.is_whiteout() {
            return Ok((Sight::Whiteout, None));
        }
        if !stat.is_folder() {
            let whiteout = of.xattr_whiteouts && self.is_xattr_whiteout(folder, name, stat);
            return Ok((if whiteout { Sight::Whiteout } else { Sight::File }, None));
        }
        if stat.mounted {
            let part = Branch::new(of.layer, stat.identity(), Some(Arc::new(Void(*stat))));
            return Ok((Sight::Folder { opaque: false }, Some(part)));
        }
        let mut part = Branch::new(of.layer, stat.identity(), None);
        if last {
            return Ok((Sight::Folder { opaque: false }, Some(part)));
        }
        let open = folder.folder(name)?;
        let marks = open.marks(self.xattrs)?;
        if marks.redirected {
            return Err(refuse_redirect(name));
        }
        part.xattr_whiteouts = marks.holds_xattr_whiteouts;
        part.checked.store(true, Ordering::Relaxed);
        part.folder = Mutex::new(Some(open));
        Ok((Sight::Folder { opaque: marks.opaque }, Some(part)))
    }

    pub(crate) fn is_xattr_whiteout(&self, folder: &dyn Folder, name: &OsStr, stat: &Stat) -> bool {
        stat.kind() == FileType::RegularFile
            && stat.size_bytes == 0
            && folder
                .open(name)
                .and_then(|fd| rustix::fs::fgetxattr(fd.as_fd(), self.xattrs.whiteout(), &mut [0_u8; 0]))
                .is_ok()
    }

    /// Whether a layer below shows something under `name`: then its removal needs a whiteout.
    pub(crate) fn is_below(&self, parent: &Node, name: &OsStr) -> Answer<bool> {
        Ok(parent.has_lower() && self.probe(parent, name, UPPER + 1)?.is_some())
    }
}
