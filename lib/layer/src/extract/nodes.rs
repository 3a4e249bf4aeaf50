//! The directories of a layer as a tree of names, in little memory: what each is due at the end, and how to find it again.
//!
//! A record of 48 bytes and the name for each directory, and its place in a hash table of 5 bytes each: about 65 bytes, whatever its depth.
//! A node is a real directory, never a link to one, so two names that lead to the same directory lead to the same node. A node
//! that was removed stays, dead and not found any more, since others may speak of it by its number; all below it are as
//! unreachable as it is.

use crate::archive::Time;
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// The number of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    pub(super) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }
}

/// The directory that the layer becomes.
pub(crate) const ROOT: NodeId = NodeId(0);

/// No node; no xattrs.
const NONE: u32 = u32::MAX;

/// So many components of a path are shown.
const SHOWN_PARTS: usize = 1000;

const DEAD: u8 = 1;
const DUE: u8 = 2;
const TIMED: u8 = 4;
const MADE: u8 = 8;
const WORN: u8 = 16;

#[derive(Debug, Clone, Copy)]
struct Node {
    seconds: i64,
    nanoseconds: u32,
    parent: u32,
    name_at: u32,
    uid: u32,
    gid: u32,
    xattrs: u32,
    /// The last layer that has something here or below.
    layer: u32,
    mode: u16,
    name_bytes: u16,
    depth: u16,
    flags: u8,
}

/// Names and values.
pub(crate) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// What a directory gets at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// `None`: no entry named it, so no time is known.
    pub(crate) mtime: Option<Time>,
    pub(crate) xattrs: Xattrs,
}

/// All directories that are known.
#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    names: Vec<u8>,
    /// The living by the hash of parent and name.
    index: HashTable<u32>,
    hasher: RandomState,
    xattrs: Vec<Xattrs>,
}

impl Nodes {
    pub(crate) fn new() -> Self {
        let mut nodes = Self {
            nodes: Vec::new(),
            names: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            xattrs: Vec::new(),
        };
        nodes.push(NONE, &[], 0);
        nodes
    }

    fn push(&mut self, parent: u32, name: &[u8], flags: u8) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let name_at = u32::try_from(self.names.len()).unwrap_or(NONE);
        self.names.extend_from_slice(name);
        let depth = self.nodes.get(parent as usize).map_or(0, |above| above.depth.saturating_add(1));
        self.nodes.push(Node {
            depth,
            seconds: 0,
            nanoseconds: 0,
            parent,
            name_at,
            uid: 0,
            gid: 0,
            xattrs: NONE,
            layer: 0,
            mode: 0,
            name_bytes: u16::try_from(name.len()).unwrap_or(u16::MAX),
            flags,
        });
        id
    }

    /// How many there can be more: ids and names are counted in 32 bits.
    pub(crate) fn full(&self) -> bool {
        self.nodes.len() >= NONE as usize - 1 || self.names.len() >= NONE as usize - (1 << 16)
    }

    /// The hash of a name in a directory; keyed, so nobody can choose names that meet.
    pub(crate) fn hash(&self, parent: NodeId, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent.0, name))
    }

    fn at(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn at_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// The last component of its path.
    pub(crate) fn name(&self, id: NodeId) -> &[u8] {
        let node = self.at(id);
        &self.names[node.name_at as usize..][..node.name_bytes as usize]
    }

    /// How many directories are above it.
    pub(crate) fn depth(&self, id: NodeId) -> u16 {
        self.at(id).depth
    }

    /// The directory it is in; of the root, the root.
    pub(crate) fn parent(&self, id: NodeId) -> NodeId {
        let parent = self.at(id).parent;
        if parent == NONE { ROOT } else { NodeId(parent) }
    }

    /// The known directory `name` in `parent`.
    pub(crate) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let is_it = |at: &u32| self.nodes[*at as usize].parent == parent.0 && self.name(NodeId(*at)) == name;
        self.index.find(self.hash(parent, name), is_it).map(|at| NodeId(*at))
    }

    /// A directory that was not known; `made`: by this run.
    pub(crate) fn add(&mut self, parent: NodeId, name: &[u8], made: bool) -> NodeId {
        let id = self.push(parent.0, name, if made { MADE } else { 0 });
        let hash = self.hash(parent, name);
        let mut index = std::mem::take(&mut self.index);
        index.insert_unique(hash, id, |at| self.hash(self.parent(NodeId(*at)), self.name(NodeId(*at))));
        self.index = index;
        NodeId(id)
    }

    /// Forgets a directory that is gone, and with it all below.
    pub(crate) fn kill(&mut self, id: NodeId) {
        let hash = self.hash(self.parent(id), self.name(id));
        if let Ok(known) = self.index.find_entry(hash, |at| *at == id.0) {
            known.remove();
        }
        self.at_mut(id).flags |= DEAD;
    }

    /// Notes that it has xattrs of an entry.
    pub(crate) fn wear(&mut self, id: NodeId) {
        self.at_mut(id).flags |= WORN;
    }

    /// Whether it has.
    pub(crate) fn wears(&self, id: NodeId) -> bool {
        self.at(id).flags & WORN != 0
    }

    /// Whether this run made it.
    pub(crate) fn made(&self, id: NodeId) -> bool {
        self.at(id).flags & MADE != 0
    }

    /// What is due for it.
    pub(crate) fn due(&self, id: NodeId) -> Option<Due> {
        let node = self.at(id);
        (node.flags & DUE != 0).then(|| Due {
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            mtime: (node.flags & TIMED != 0).then_some(Time { seconds: node.seconds, nanoseconds: node.nanoseconds }),
            xattrs: self.xattrs.get(node.xattrs as usize).cloned().unwrap_or_default(),
        })
    }

    /// Says what is due; the last word counts.
    pub(crate) fn set_due(&mut self, id: NodeId, due: Due) {
        let old = self.at(id).xattrs;
        let xattrs = match (self.xattrs.get_mut(old as usize), due.xattrs.is_empty()) {
            (Some(place), _) => {
                *place = due.xattrs;
                old
            }
            (None, true) => NONE,
            (None, false) => {
                self.xattrs.push(due.xattrs);
                u32::try_from(self.xattrs.len() - 1).unwrap_or(NONE)
            }
        };
        let node = self.at_mut(id);
        (node.mode, node.uid, node.gid, node.xattrs) = (due.mode, due.uid, due.gid, xattrs);
        let time = due.mtime.unwrap_or_default();
        (node.seconds, node.nanoseconds) = (time.seconds, time.nanoseconds);
        node.flags = node.flags & !TIMED | DUE | if due.mtime.is_some() { TIMED } else { 0 };
    }

    /// Notes that `layer` has something in it, and so in all above it.
    pub(crate) fn claim(&mut self, id: NodeId, layer: u32) {
        let mut id = id;
        while self.at(id).layer != layer {
            self.at_mut(id).layer = layer;
            if id == ROOT {
                break;
            }
            id = self.parent(id);
        }
    }

    /// The last layer that has something in it.
    pub(crate) fn layer(&self, id: NodeId) -> u32 {
        self.at(id).layer
    }

    /// Its path, for people; empty for the root. Of a path that nobody reads to the end, the end.
    pub(crate) fn path(&self, id: NodeId) -> Vec<u8> {
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut id = id;
        while id != ROOT {
            if parts.len() == SHOWN_PARTS {
                parts.push(b"...");
                break;
            }
            parts.push(self.name(id));
            id = self.parent(id);
        }
        parts.reverse();
        parts.join(&b'/')
    }

    /// The living directories that are due something, or have such below them, as lists of children: those of node `n` are
    /// `children[starts[n]..starts[n + 1]]`.
    pub(crate) fn family(&self) -> Family {
        let count = self.nodes.len();
        // A node comes behind its parent, so one pass each way is enough.
        let mut wanted: Vec<bool> = self.nodes.iter().map(|n| n.flags & (DUE | DEAD) == DUE).collect();
        let mut alive = vec![true; count];
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            alive[at] = node.flags & DEAD == 0 && alive[node.parent as usize];
        }
        for at in (1..count).rev() {
            wanted[at] &= alive[at];
            if wanted[at] {
                let parent = self.nodes[at].parent as usize;
                wanted[parent] = true;
            }
        }
        let mut starts = vec![0_u32; count + 1];
        let wanted_nodes = || (1..count).filter(|at| wanted[*at]);
        for at in wanted_nodes() {
            starts[self.nodes[at].parent as usize] += 1;
        }
        // Where each one's children end; filled from behind, that becomes where they begin.
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut children = vec![0_u32; starts[count] as usize];
        for at in wanted_nodes().rev() {
            let place = &mut starts[self.nodes[at].parent as usize];
            *place -= 1;
            children[*place as usize] = u32::try_from(at).unwrap_or(NONE);
        }
        Family { starts, children }
    }
}

/// Who is in whom; see [`Nodes::family`].
#[derive(Debug)]
pub(crate) struct Family {
    starts: Vec<u32>,
    children: Vec<u32>,
}

impl Family {
    /// The child of `id` with number `at`.
    pub(crate) fn child(&self, id: NodeId, at: usize) -> Option<NodeId> {
        let (start, end) = (self.starts[id.0 as usize] as usize, self.starts[id.0 as usize + 1] as usize);
        self.children[start..end].get(at).map(|child| NodeId(*child))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_directory_and_all_below_are_not_found_but_keep_their_paths() {
        let mut nodes = Nodes::new();
        let a = nodes.add(ROOT, b"a", true);
        let b = nodes.add(a, b"b", true);
        assert_eq!((nodes.child(ROOT, b"a"), nodes.child(a, b"b"), nodes.child(a, b"c")), (Some(a), Some(b), None));
        nodes.kill(a);
        assert_eq!(nodes.child(ROOT, b"a"), None);
        let again = nodes.add(ROOT, b"a", true);
        assert_eq!((nodes.child(ROOT, b"a"), nodes.child(again, b"b")), (Some(again), None));
        assert_eq!(nodes.path(b), b"a/b");
        assert_eq!(size_of::<Node>(), 48);
    }

    #[test]
    fn the_family_holds_the_living_that_are_due_something_and_those_above() {
        let mut nodes = Nodes::new();
        let due = Due { mode: 0o755, uid: 1, gid: 2, mtime: None, xattrs: Vec::new() };
        let a = nodes.add(ROOT, b"a", true);
        let b = nodes.add(a, b"b", true);
        let dead = nodes.add(ROOT, b"dead", true);
        let below = nodes.add(dead, b"x", true);
        let idle = nodes.add(ROOT, b"idle", false);
        for id in [b, dead, below] {
            nodes.set_due(id, due.clone());
        }
        nodes.kill(dead);
        let family = nodes.family();
        assert_eq!((family.child(ROOT, 0), family.child(ROOT, 1)), (Some(a), None));
        assert_eq!((family.child(a, 0), family.child(b, 0)), (Some(b), None));
        assert_eq!((nodes.due(idle), nodes.due(b)), (None, Some(due)));
    }
}
