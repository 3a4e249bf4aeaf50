//! Listings of merged directories, in the order of a hash of the name.
//!
//! The hash (63 bits of a keyed one) is the entry's offset too, so that reading can go on anywhere without a handle:
//! whatever was made or removed meanwhile, and also when the listing was dropped, what was there all the time comes once.
//! `.` and `..` come first, with offsets 1 and 2. A listing is kept on its node for the requests that follow, and a new one
//! taken when reading starts and the directory was changed since; it goes when it was read to its end. All of them together
//! are bounded.
//!
//! An entry's inode number is the one its attributes show: for what lies below as it is there, for what lies in the upper
//! layer by its origin, and for directories there by a look-up.

use super::Stack;
use super::branch::Branch;
use super::contents::{Contents, Known};
use super::lock::held;
use super::node::{Node, UPPER};
use super::search::{Found, hidden_by};
use crate::layer::{Answer, Errno, Folder, Identity, RawEntry, Stat};
use crate::merge::{Entry, Listing};
use rustix::fs::FileType;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

/// So many entries are kept over all directories; a single one may have more.
const MOST_ENTRIES: usize = 1 << 17;

/// A listing kept on its node.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    entries: Arc<Vec<Entry>>,
    /// The directory's count of changes before it was listed.
    changes: u32,
}

/// Which directories have a listing.
#[derive(Debug, Default)]
pub(crate) struct Listings(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<(Weak<Node>, usize)>,
    entries: usize,
}

impl Listings {
    fn keep(&self, node: &Arc<Node>, kept: Kept) {
        let length = kept.entries.len();
        node.keep_listing(Some(kept));
        let mut dropped = Vec::new();
        {
            let mut ring = held(&self.0);
            ring.kept.push_back((Arc::downgrade(node), length));
            ring.entries += length;
            loop {
                // Most were read to their end and are gone already.
                let idle = |old: &Weak<Node>| old.upgrade().is_none_or(|node| node.listing().is_none());
                let over = ring.entries > MOST_ENTRIES && ring.kept.len() > 1;
                if !over && !ring.kept.front().is_some_and(|(old, _)| idle(old)) {
                    break;
                }
                let Some((old, length)) = ring.kept.pop_front() else { break };
                ring.entries -= length;
                dropped.extend(over.then_some(old));
            }
        }
        for old in dropped.iter().filter_map(Weak::upgrade) {
            old.keep_listing(None);
        }
    }
}

/// What is left of a listing from an offset on.
#[derive(Debug, Clone)]
pub struct Listed {
    entries: Arc<Vec<Entry>>,
    start: usize,
}

impl Listed {
    /// The entries, in the order of their offsets.
    pub fn entries(&self) -> &[Entry] {
        self.entries.get(self.start..).unwrap_or_default()
    }
}

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

    /// What comes after the entry with this offset; all for 0.
    pub fn list_from(&self, node: &Arc<Node>, offset: u64) -> Answer<Listed> {
        if !node.is_folder() {
            return Err(Errno::NOTDIR);
        }
        let changes = node.changes();
        let kept = node.listing().filter(|kept| offset != 0 || kept.changes == changes);
        let entries = match kept {
            Some(kept) => kept.entries,
            None => {
                let entries = Arc::new(self.list(node)?);
                self.listings.keep(node, Kept { entries: entries.clone(), changes });
                entries
            }
        };
        let start = entries.partition_point(|entry| entry.offset <= offset);
        if offset > 0 && start == entries.len() {
            // Read to its end: what was read is kept by the kernel.
            node.keep_listing(None);
        }
        Ok(Listed { entries, start })
    }

    /// Lists the merged directory, with `.` and `..`, in the order of offsets.
    pub fn list(&self, node: &Arc<Node>) -> Answer<Vec<Entry>> {
        let parent = node.place().map_or(node.number(), |p| p.parent.number());
        let mut listing = Listing::default();
        listing.add_dots(node.number(), parent);
        if !node.is_gone() {
            let branches = node.branches();
            for (at, part) in branches.iter().enumerate() {
                self.list_part(node, part, (branches.len() == 1, at + 1 == branches.len()), &mut listing)?;
            }
        }
        Ok(listing.finish())
    }

    fn list_part(
        &self,
        node: &Arc<Node>,
        part: &Arc<Branch>,
        (only, last): (bool, bool),
        listing: &mut Listing,
    ) -> Answer<()> {
        let folder = self.part_folder(node, part)?;
        let xattr_whiteouts = !last && part.layer != UPPER && part.xattr_whiteouts.load(Ordering::Relaxed);
        let learns = !last && part.layer != UPPER && matches!(*held(&part.contents), Known::Nothing);
        let hasher = self.layers.nothing.hasher();
        let (mut names, mut hidden) = (Vec::new(), Vec::new());
        let mut failed = None;
        let listed = folder.list(&mut |raw| {
            if let Some(name) = hidden_by(raw.name) {
                hidden.push(Contents::hash(hasher, name));
                return ControlFlow::Continue(());
            }
            let hash = Contents::hash(hasher, raw.name);
            if learns {
                names.push(hash);
            }
            if !only && listing.hides(hash) {
                return ControlFlow::Continue(());
            }
            match self.entry(node, part, &*folder, (raw, hash), (only, xattr_whiteouts)) {
                Ok(Some((entry, whiteout))) => listing.add(entry, hash, whiteout, only),
                Ok(None) => {}
                Err(e) => {
                    failed = Some(e);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        let _ = listed?;
        if let Some(e) = failed {
            return Err(e);
        }
        for hash in &hidden {
            listing.hide(*hash);
        }
        if learns {
            *held(&part.contents) = Known::All(Arc::new(Contents::new(names, hidden, hasher)));
        }
        Ok(())
    }

    /// What one layer's entry is, and whether it is a whiteout; `None` when it is gone meanwhile.
    fn entry(
        &self,
        node: &Arc<Node>,
        part: &Branch,
        folder: &dyn Folder,
        (raw, hash): (RawEntry<'_>, u64),
        (only, xattr_whiteouts): (bool, bool),
    ) -> Answer<Option<(Entry, bool)>> {
        let mut kind = raw.kind;
        let mut whiteout = false;
        if matches!(kind, FileType::CharacterDevice | FileType::Unknown)
            || xattr_whiteouts && kind == FileType::RegularFile
        {
            let Some(stat) = folder.find(raw.name)? else { return Ok(None) };
            kind = stat.kind();
            whiteout = stat.is_whiteout() || xattr_whiteouts && self.is_xattr_whiteout(folder, raw.name, &stat);
        }
        let own = Identity { device: part.identity.device, inode: raw.inode };
        let impure = part.impure.load(Ordering::Relaxed);
        let inode = if whiteout || part.layer != UPPER {
            self.layers.numbers.of(own)
        } else if let Some(known) = self.nodes.child(node, raw.name) {
            known.number()
        } else if kind == FileType::Directory && (impure || !only) {
            match self.lookup(node, raw.name) {
                Ok(Some((found, _))) => found.number(),
                Ok(None) => return Ok(None),
                // Shown, and told what is wrong with it when it is looked at.
                Err(_) => self.layers.numbers.of(own),
            }
        } else if impure {
            self.upper_number(folder, raw.name, own)?
        } else {
            self.layers.numbers.of_upper(own)
        };
        let entry = Entry { name: raw.name.to_owned(), kind, inode, layer: part.layer, offset: hash };
        Ok(Some((entry, whiteout)))
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
        let kept = parent.listing().map(|kept| kept.changes);
        if entry.layer != UPPER
            && kept != Some(parent.changes())
            && let Some(upper) = self.upper_folder(parent)?
            && upper.find(&entry.name)?.is_some()
        {
            return self.lookup(parent, &entry.name);
        }
        let Some(stat) = folder.find(&entry.name)? else { return self.lookup(parent, &entry.name) };
        let impure = parent.branch(entry.layer).is_none_or(|part| part.impure.load(Ordering::Relaxed));
        if stat.is_folder()
            || stat.is_whiteout()
            || stat.kind() != entry.kind
            || self.is_suspect(&stat, entry.layer, impure)
        {
            return self.lookup(parent, &entry.name);
        }
        let stat = self.dressed_at(stat, entry.layer, &*folder, &entry.name)?;
        let number = match entry.layer {
            UPPER if stat.links > 1 && !impure => self.upper_number(&*folder, &entry.name, stat.identity())?,
            _ => entry.inode,
        };
        let (stat, layer) = self.with_links(parent, &entry.name, stat, entry.layer)?;
        if layer != entry.layer {
            // A copy that other names led to: whether its content is there is for a look-up to find out.
            return self.lookup(parent, &entry.name);
        }
        let shown = self.shown(&stat, layer, false);
        let found = Found { stat, layer, branches: Vec::new(), data: None, number };
        let node = self.adopt(parent, &entry.name, found);
        Ok(Some((node.clone(), Stat { inode: node.number(), ..shown })))
    }

    /// The names in `node` changed: a listing that is kept is not to be started again.
    pub(crate) fn changed(&self, node: &Node) {
        node.changed();
    }
}
