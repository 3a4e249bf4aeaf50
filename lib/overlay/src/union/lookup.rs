//! Looking a name up: through the layers from the top down, by the rules of [`crate::merge`].

use super::Stack;
use super::node::{Body, Node, Seat, UPPER};
use super::search::Found;
use crate::layer::{Answer, Errno, Stat};
use rustix::fs::FileType;
use std::ffi::OsStr;
use std::sync::Arc;

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
        let node = self.adopt(parent, name, found);
        Ok(Some((node.clone(), Stat { inode: node.number(), ..stat })))
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
        let Found { stat, layer, branches, data, number } = found;
        let kind = stat.kind();
        let mut opened = Vec::new();
        let share = layer == UPPER || self.features.index && stat.links > 1 && self.uuids.of(layer).is_some();
        let node = self.nodes.adopt(parent, name, layer, &stat, share, |id| {
            let body = if kind == FileType::Directory {
                let branches: Vec<_> = branches.into_iter().map(Arc::new).collect();
                opened = branches.clone();
                Body::Folder(branches)
            } else {
                Body::File(Seat { data, ..Seat::new(layer, stat.identity()) })
            };
            Node::new(id, number, kind, body)
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
}
