//! The table of nodes: numbers, names and how long each is kept.
//!
//! A node's number is its inode number below (with the file system's index in the high bits, as overlayfs' xino), so that
//! it is the same for every look-up; where that is taken or out of range, a number of our own with the top bit set. A file
//! keeps its number when it is copied up: the table remembers which upper object has which number.
//!
//! Kept: a node the kernel knows (look-ups not yet forgotten), and what hangs below it. The tree's lock is held for no
//! system call. FUSE limits: node id and `st_ino` are one number in the transport, so two names of one lower file, which
//! copy-up will part, show two inode numbers.

use super::lock::held;
use super::node::{Node, Place};
use crate::layer::{Answer, Errno, Identity, Stat};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// The root's number.
pub const ROOT: u64 = 1;

#[derive(Debug)]
struct Slot {
    node: Arc<Node>,
    lookups: u64,
    children: HashMap<OsString, u64>,
}

#[derive(Debug, Default)]
struct Tree {
    slots: HashMap<u64, Slot>,
    made: u64,
    /// Upper files with several names.
    linked: HashMap<Identity, u64>,
    /// Nodes without look-ups that something still hangs on.
    idle: HashSet<u64>,
}

/// The table of nodes.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Mutex<Tree>);

impl Tree {
    fn make_number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Drops `id` if nothing needs it, and then its parents.
    fn collect(&mut self, id: u64) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let Some(slot) = self.slots.get(&id) else { continue };
            if id == ROOT || slot.lookups > 0 {
                continue;
            }
            if slot.node.id() != id {
                // A number it had before.
                self.slots.remove(&id);
                continue;
            }
            if Arc::strong_count(&slot.node) > 1 {
                self.idle.insert(id);
                continue;
            }
            let Some(slot) = self.slots.remove(&id) else { continue };
            if let Some(identity) = slot.node.identity()
                && self.linked.get(&identity) == Some(&id)
            {
                self.linked.remove(&identity);
            }
            self.idle.remove(&id);
            let places = std::mem::take(&mut *held(&slot.node.places));
            for place in places {
                let parent = place.parent.id();
                if let Some(above) = self.slots.get_mut(&parent)
                    && above.children.get(&place.name) == Some(&id)
                {
                    above.children.remove(&place.name);
                }
                drop(place);
                open.push(parent);
            }
        }
    }
}

impl Nodes {
    pub(crate) fn set_root(&self, root: Arc<Node>) {
        let mut tree = held(&self.0);
        tree.made = ROOT;
        tree.slots.insert(ROOT, Slot { node: root, lookups: 1, children: HashMap::new() });
    }

    pub(crate) fn get(&self, id: u64) -> Answer<Arc<Node>> {
        held(&self.0).slots.get(&id).map(|s| s.node.clone()).ok_or(Errno::STALE)
    }

    pub(crate) fn child(&self, parent: &Node, name: &OsStr) -> Option<Arc<Node>> {
        let tree = held(&self.0);
        let id = tree.slots.get(&parent.id())?.children.get(name)?;
        tree.slots.get(id).map(|s| s.node.clone())
    }

    /// The node for what was found as `stat` in `layer` under `name`: the one that is known, or the one `make` gives for
    /// a free number. `share`: names of one file are one node.
    pub(crate) fn adopt(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        layer: usize,
        stat: &Stat,
        share: bool,
        make: impl FnOnce(u64) -> Node,
    ) -> Arc<Node> {
        let mut tree = held(&self.0);
        if let Some(known) = tree.slots.get(&parent.id()).and_then(|s| s.children.get(name))
            && let Some(slot) = tree.slots.get(known)
        {
            return slot.node.clone();
        }
        let place = Place { parent: parent.clone(), name: name.to_owned() };
        let shared = share && stat.links > 1 && !stat.is_folder();
        if shared
            && let Some(id) = tree.linked.get(&stat.identity())
            && let Some(slot) = tree.slots.get(id)
            && is_same_file(&slot.node, layer, stat)
        {
            let node = slot.node.clone();
            held(&node.places).push(place);
            tree.children_of(parent).insert(name.to_owned(), node.id());
            return node;
        }
        let id = tree.make_number();
        if shared {
            tree.linked.insert(stat.identity(), id);
        }
        let node = Arc::new(make(id));
        held(&node.places).push(place);
        tree.slots.insert(id, Slot { node: node.clone(), lookups: 0, children: HashMap::new() });
        tree.children_of(parent).insert(name.to_owned(), id);
        node
    }

    /// A node without a name, for a free number.
    pub(crate) fn add_unnamed(&self, make: impl FnOnce(u64) -> Node) -> Arc<Node> {
        let mut tree = held(&self.0);
        let id = tree.make_number();
        let node = Arc::new(make(id));
        tree.slots.insert(id, Slot { node: node.clone(), lookups: 0, children: HashMap::new() });
        node
    }

    /// The kernel was told of the node once more.
    pub(crate) fn count(&self, node: &Arc<Node>) {
        let mut tree = held(&self.0);
        let slot = tree.slots.entry(node.id()).or_insert_with(|| Slot {
            node: node.clone(),
            lookups: 0,
            children: HashMap::new(),
        });
        slot.lookups += 1;
    }

    /// The kernel forgets `lookups` mentions of the node.
    pub(crate) fn forget(&self, id: u64, lookups: u64) {
        let mut tree = held(&self.0);
        let Some(slot) = tree.slots.get_mut(&id) else { return };
        slot.lookups = slot.lookups.saturating_sub(lookups);
        if slot.lookups == 0 && id != ROOT {
            tree.collect(id);
        }
        if tree.idle.len() > 64 {
            for id in std::mem::take(&mut tree.idle) {
                tree.collect(id);
            }
        }
    }

    /// The file `node`, which has several names, is the upper object `identity` from now on.
    pub(crate) fn share(&self, node: &Node, identity: Identity) {
        held(&self.0).linked.insert(identity, node.id());
    }

    pub(crate) fn add_place(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &OsStr) {
        parent.changes.fetch_add(1, Ordering::AcqRel);
        let mut tree = held(&self.0);
        held(&node.places).push(Place { parent: parent.clone(), name: name.to_owned() });
        tree.children_of(parent).insert(name.to_owned(), node.id());
    }

    pub(crate) fn take_place(&self, node: &Node, parent: &Node, name: &OsStr) {
        parent.changes.fetch_add(1, Ordering::AcqRel);
        node.changes.fetch_add(1, Ordering::AcqRel);
        let mut tree = held(&self.0);
        let mut places = held(&node.places);
        let taken = places.iter().position(|p| p.parent.id() == parent.id() && p.name == name);
        let taken = taken.map(|at| places.remove(at));
        drop(places);
        drop(taken);
        if let Some(slot) = tree.slots.get_mut(&parent.id())
            && slot.children.get(name) == Some(&node.id())
        {
            slot.children.remove(name);
        }
    }

    /// `node` went from one name to another.
    pub(crate) fn move_place(&self, node: &Arc<Node>, from: (&Arc<Node>, &OsStr), to: (&Arc<Node>, &OsStr)) {
        // The new place first: whoever looks meanwhile finds the old one, sees that it is not so, and looks again.
        self.add_place(node, to.0, to.1);
        self.take_place(node, from.0, from.1);
    }

    /// Two nodes changed names.
    pub(crate) fn swap_places(&self, one: (&Arc<Node>, &OsStr, &Arc<Node>), two: (&Arc<Node>, &OsStr, &Arc<Node>)) {
        self.add_place(one.2, two.0, two.1);
        self.add_place(two.2, one.0, one.1);
        self.take_place(one.2, one.0, one.1);
        self.take_place(two.2, two.0, two.1);
    }

    /// Gives `node` a new number under all its names; by the old one it is found too, until the kernel forgets it.
    pub(crate) fn renumber(&self, node: &Arc<Node>) {
        let mut tree = held(&self.0);
        let old = node.id();
        let id = tree.make_number();
        tree.slots.insert(id, Slot { node: node.clone(), lookups: 0, children: HashMap::new() });
        node.set_id(id);
        for place in held(&node.places).iter() {
            if let Some(child) =
                tree.slots.get_mut(&place.parent.id()).and_then(|above| above.children.get_mut(&place.name))
                && *child == old
            {
                *child = id;
            }
        }
        for linked in tree.linked.values_mut().filter(|linked| **linked == old) {
            *linked = id;
        }
        if tree.slots.get(&old).is_some_and(|slot| slot.lookups == 0) {
            tree.slots.remove(&old);
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        held(&self.0).slots.len()
    }
}

impl Tree {
    fn children_of(&mut self, parent: &Arc<Node>) -> &mut HashMap<OsString, u64> {
        let slot = self.slots.entry(parent.id()).or_insert_with(|| Slot {
            node: parent.clone(),
            lookups: 0,
            children: HashMap::new(),
        });
        &mut slot.children
    }
}

/// Whether `node` is the very file of `stat` under another of its names.
fn is_same_file(node: &Node, layer: usize, stat: &Stat) -> bool {
    !node.is_folder()
        && node.kind == stat.kind()
        && !node.is_gone()
        && node.seat().is_some_and(|s| s.layer == layer && s.identity == stat.identity())
}
