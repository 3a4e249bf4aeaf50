//! Open directories: the merged listing, taken when reading starts and kept for the descriptor.
//!
//! Offsets are places in that listing, so they are stable while the descriptor is open; reading from the start again
//! takes a new one (overlayfs does the same). `.` and `..` come first.

use super::Stack;
use super::lock::held;
use super::lookup::Found;
use super::node::{Node, UPPER};
use crate::layer::{Answer, Errno, Identity, Stat};
use crate::merge::{Entry, Listing};
use rustix::fs::FileType;
use std::sync::{Arc, Mutex};

/// An open directory.
#[derive(Debug)]
pub struct OpenFolder {
    /// What was opened.
    pub node: Arc<Node>,
    entries: Mutex<Option<Arc<Vec<Entry>>>>,
}

impl Stack {
    /// Opens a directory for listing.
    pub fn open_folder(&self, node: &Arc<Node>) -> Answer<OpenFolder> {
        if !node.is_folder() {
            return Err(Errno::NOTDIR);
        }
        Ok(OpenFolder { node: node.clone(), entries: Mutex::default() })
    }

    /// The listing: a new one at offset 0, else the one this descriptor has.
    pub fn entries(&self, open: &OpenFolder, offset: u64) -> Answer<Arc<Vec<Entry>>> {
        let mut kept = held(&open.entries);
        if offset != 0
            && let Some(entries) = kept.as_ref()
        {
            return Ok(entries.clone());
        }
        let entries = Arc::new(self.list(&open.node)?);
        *kept = Some(entries.clone());
        Ok(entries)
    }

    /// Lists the merged directory, with `.` and `..`.
    pub fn list(&self, node: &Arc<Node>) -> Answer<Vec<Entry>> {
        let parent = node.place().map_or(node.id(), |p| p.parent.id());
        let dots = [(".", node.id()), ("..", parent)].map(|(name, inode)| Entry {
            name: name.into(),
            kind: FileType::Directory,
            inode,
            layer: 0,
        });
        let mut listing = Listing::default();
        listing.entries.extend(dots);
        if node.is_gone() {
            return Ok(listing.entries);
        }
        let branches = node.branches();
        for branch in &branches {
            let folder = self.folder(node, branch.layer)?;
            let mut found = Vec::new();
            folder.list(&mut |raw| {
                let identity = Identity { device: branch.identity.device, inode: raw.inode };
                found.push((raw.name.to_owned(), raw.kind, identity));
            })?;
            for (name, mut kind, identity) in found {
                if listing.hides(&name) {
                    continue;
                }
                let mut whiteout = false;
                let suspect = kind == FileType::CharacterDevice
                    || kind == FileType::Unknown
                    || branch.xattr_whiteouts && kind == FileType::RegularFile;
                if suspect {
                    let Ok(Some(stat)) = folder.find(&name) else { continue };
                    kind = stat.kind();
                    whiteout =
                        stat.is_whiteout() || branch.xattr_whiteouts && self.is_xattr_whiteout(&*folder, &name, &stat);
                }
                let inode = self.nodes.number_for(branch.layer, identity);
                listing.add(Entry { name, kind, inode, layer: branch.layer }, whiteout, branches.len() == 1);
            }
        }
        Ok(listing.entries)
    }

    /// Node and attributes of an entry of a listing; `None` when it is gone meanwhile.
    pub fn look_up_entry(&self, parent: &Arc<Node>, entry: &Entry) -> Answer<Option<(Arc<Node>, Stat)>> {
        if entry.kind == FileType::Directory || self.nodes.child(parent, &entry.name).is_some() {
            return self.lookup(parent, &entry.name);
        }
        // The listing knows which layer has it: of the others only the upper may have changed since.
        let folder = match self.folder(parent, entry.layer) {
            Ok(folder) => folder,
            Err(_) => return self.lookup(parent, &entry.name),
        };
        if entry.layer != UPPER
            && let Some(upper) = self.upper_folder(parent)?
            && upper.find(&entry.name)?.is_some()
        {
            return self.lookup(parent, &entry.name);
        }
        match folder.find(&entry.name)? {
            Some(stat) if !stat.is_folder() && !stat.is_whiteout() && stat.kind() == entry.kind => {
                let (stat, layer) = self.with_links(parent, &entry.name, stat, entry.layer)?;
                let shown = self.shown(&stat, layer, false);
                let found = Found { stat, layer, branches: Vec::new() };
                Ok(Some((self.adopt(parent, &entry.name, found), shown)))
            }
            _ => self.lookup(parent, &entry.name),
        }
    }
}
