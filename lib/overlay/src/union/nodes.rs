//! The tables of nodes: by number ([`super::slots`]), by name, and files with several names by what they are.
//!
//! Kept: a node the kernel knows (look-ups not yet forgotten), and what hangs below it. The table of names holds no names: an
//! entry is a hash and a slot, and the node there says whether it is at that place. A file takes 200 bytes plus its name in
//! all of it (a test counts). How many there are is bounded: above a limit, those not used lately are named for the kernel to
//! forget ([`super::Stack::surplus`]).
//!
//! Lock order: names, then slots, then a node's own state. All are held for no system call.

use super::lock::held;
use super::node::{Node, Place};
use super::slots::{Left, Slots};
use crate::layer::{Answer, Identity, Stat};
use hashbrown::HashTable;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub use super::slots::ROOT;

/// The table of names is in so many parts.
const PARTS: usize = 16;
/// So many nodes without look-ups are looked over at once.
const IDLE: usize = 256;
/// So many are named for forgetting at once.
const MOST_SURPLUS: usize = 400;

/// That some node is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    hash: u32,
    /// The lower half of its number.
    slot: u32,
}

/// The tables.
#[derive(Debug)]
pub(crate) struct Nodes {
    slots: Slots,
    names: [Mutex<HashTable<Link>>; PARTS],
    hasher: RandomState,
    /// Files with several names, by what they are.
    linked: Mutex<HashMap<Identity, u64>>,
    /// Numbers of nodes the kernel may not know of, to be looked over.
    idle: Mutex<Idle>,
    /// Below this many nothing is named for forgetting.
    patience: AtomicUsize,
}

#[derive(Debug, Default)]
struct Idle {
    numbers: Vec<u64>,
    /// How many there were left over last time.
    left: usize,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            slots: Slots::new(),
            names: Default::default(),
            hasher: RandomState::new(),
            linked: Mutex::default(),
            idle: Mutex::default(),
            patience: AtomicUsize::new(0),
        }
    }
}

impl Nodes {
    pub(crate) fn set_root(&self, root: Arc<Node>) {
        self.slots.set_root(root);
    }

    pub(crate) fn get(&self, id: u64) -> Answer<Arc<Node>> {
        self.slots.get(id)
    }

    fn hash(&self, parent: &Node, name: &OsStr) -> u64 {
        self.hasher.hash_one((parent.id(), name))
    }

    fn names(&self, hash: u64) -> &Mutex<HashTable<Link>> {
        // Always in range: see the remainder.
        &self.names[hash as usize % PARTS]
    }

    /// The node a link leads to, if it is at that place.
    fn follow(&self, link: Link, hash: u64, parent: &Node, name: &OsStr) -> Option<Arc<Node>> {
        if link.hash != short(hash) {
            return None;
        }
        self.slots.peek(link.slot).filter(|node| node.is_at(parent, name))
    }

    pub(crate) fn child(&self, parent: &Node, name: &OsStr) -> Option<Arc<Node>> {
        let hash = self.hash(parent, name);
        let mut found = None;
        held(self.names(hash)).find(spread(short(hash)), |link| {
            found = self.follow(*link, hash, parent, name);
            found.is_some()
        });
        found
    }

    /// The node for what was found as `stat` under `name`: the one that is known under it; if the object may have further
    /// names (`share`), the one that is known under another; or the one `make` gives for a free number.
    pub(crate) fn adopt(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        layer: usize,
        stat: &Stat,
        share: bool,
        make: impl FnOnce(u64) -> Node,
    ) -> Arc<Node> {
        let hash = self.hash(parent, name);
        let node = {
            let mut names = held(self.names(hash));
            let mut known = None;
            names.find(spread(short(hash)), |link| {
                known = self.follow(*link, hash, parent, name);
                known.is_some()
            });
            if let Some(node) = known {
                return node;
            }
            let place = Place::new(parent, name);
            let shared = share && stat.links > 1 && !stat.is_folder();
            let node = if shared { self.adopt_shared(layer, stat, make) } else { self.slots.add(make) };
            node.add_place(place);
            let link = Link { hash: short(hash), slot: node.id() as u32 };
            names.insert_unique(spread(link.hash), link, |link| spread(link.hash));
            node
        };
        self.look_over(node.id());
        node
    }

    fn adopt_shared(&self, layer: usize, stat: &Stat, make: impl FnOnce(u64) -> Node) -> Arc<Node> {
        let mut linked = held(&self.linked);
        let known = linked.get(&stat.identity()).and_then(|id| self.slots.get(*id).ok());
        if let Some(node) = known.filter(|node| is_same_file(node, layer, stat)) {
            return node;
        }
        let node = self.slots.add(make);
        linked.insert(stat.identity(), node.id());
        node
    }

    /// A node without a name, for a free number.
    pub(crate) fn add_unnamed(&self, make: impl FnOnce(u64) -> Node) -> Arc<Node> {
        self.slots.add(make)
    }

    /// The kernel was told of the node once more: under this number.
    pub(crate) fn count(&self, node: &Arc<Node>) -> u64 {
        loop {
            let id = node.id();
            if self.slots.count(id) {
                return id;
            }
            if node.id() == id {
                // Dropped from the table while someone held it.
                let fresh = self.slots.add_again(node);
                node.set_id(fresh);
            }
        }
    }

    /// The kernel forgets `lookups` mentions of the node.
    pub(crate) fn forget(&self, id: u64, lookups: u64) {
        if self.slots.forget(id, lookups) {
            self.collect(id);
        }
    }

    /// Drops `id` if nothing needs it, and then its parents.
    fn collect(&self, id: u64) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            match self.slots.collect(id) {
                Left::Stays => {}
                Left::Renumbered(fresh) => open.push(fresh),
                Left::Held => held(&self.idle).numbers.push(id),
                Left::Gone(node) => {
                    if let Some(identity) = node.identity().filter(|_| !node.is_folder()) {
                        let mut linked = held(&self.linked);
                        if linked.get(&identity) == Some(&id) {
                            linked.remove(&identity);
                        }
                    }
                    for place in node.take_places() {
                        self.unlink(&place.parent, &place.name, id as u32);
                        open.push(place.parent.id());
                    }
                    self.slots.give_back(id);
                }
            }
        }
    }

    /// Notes a node that the kernel may never be told of, and drops those of them that it was not.
    fn look_over(&self, id: u64) {
        let numbers = {
            let mut idle = held(&self.idle);
            idle.numbers.push(id);
            if idle.numbers.len() < IDLE + 2 * idle.left {
                return;
            }
            std::mem::take(&mut idle.numbers)
        };
        for id in numbers {
            self.collect(id);
        }
        let mut idle = held(&self.idle);
        idle.left = idle.numbers.len();
    }

    fn unlink(&self, parent: &Node, name: &OsStr, slot: u32) {
        let hash = self.hash(parent, name);
        let link = Link { hash: short(hash), slot };
        if let Ok(found) = held(self.names(hash)).find_entry(spread(link.hash), |other| *other == link) {
            found.remove();
        }
    }

    /// The file `node`, which has several names, is the upper object `identity` from now on.
    pub(crate) fn share(&self, node: &Node, identity: Identity) {
        held(&self.linked).insert(identity, node.id());
    }

    pub(crate) fn add_place(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &OsStr) {
        parent.changed();
        let hash = self.hash(parent, name);
        let mut names = held(self.names(hash));
        let old = names.find_entry(spread(short(hash)), |link| self.follow(*link, hash, parent, name).is_some());
        if let Ok(old) = old {
            old.remove();
        }
        node.add_place(Place::new(parent, name));
        let link = Link { hash: short(hash), slot: node.id() as u32 };
        names.insert_unique(spread(link.hash), link, |link| spread(link.hash));
    }

    pub(crate) fn take_place(&self, node: &Node, parent: &Node, name: &OsStr) {
        parent.changed();
        node.changed();
        let taken = node.take_place(parent, name);
        self.unlink(parent, name, node.id() as u32);
        drop(taken);
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

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nodes that were not asked for lately, where there are more than `limit`: not more than the kernel takes at once, and
    /// not again before others came.
    pub(crate) fn surplus(&self, limit: usize) -> Vec<u64> {
        let now = self.len();
        if now <= limit.max(self.patience.load(Ordering::Relaxed)) {
            return Vec::new();
        }
        let unused = self.slots.unused(MOST_SURPLUS);
        self.patience.store(now.saturating_sub(unused.len()) + MOST_SURPLUS / 2, Ordering::Relaxed);
        unused
    }
}

fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The table takes its place from the low bits of a hash and its tag from the highest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Whether `node` is the very file of `stat` in `layer` under another of its names.
fn is_same_file(node: &Node, layer: usize, stat: &Stat) -> bool {
    !node.is_folder()
        && node.kind == stat.kind()
        && !node.is_gone()
        && node.seat().is_some_and(|s| s.layer == layer && s.identity == stat.identity())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::union::node::{Body, Seat};
    use rustix::fs::FileType;
    use std::ffi::OsString;

    /// Nodes below a root, with so many files in it.
    fn filled(count: usize) -> (Nodes, Arc<Node>) {
        let nodes = Nodes::default();
        let root = Arc::new(Node::new(ROOT, 2, FileType::Directory, Body::Folder(Vec::new())));
        nodes.set_root(root.clone());
        for n in 0..count {
            let node = adopt(&nodes, &root, &format!("file {n}"), n as u64 + 10);
            nodes.count(&node);
        }
        (nodes, root)
    }

    fn stat(inode: u64) -> Stat {
        let mut stat = crate::layer::stat_of(rustix::fs::CWD).expect("the working directory");
        (stat.inode, stat.links, stat.mode) = (inode, 1, libc::S_IFREG | 0o644);
        stat
    }

    fn adopt(nodes: &Nodes, parent: &Arc<Node>, name: &str, inode: u64) -> Arc<Node> {
        let stat = Stat { device: 1, ..STAT.with(|s| Stat { inode, ..*s }) };
        let seat = Seat::new(1, stat.identity());
        nodes.adopt(parent, OsStr::new(name), 1, &stat, false, |id| {
            Node::new(id, inode, FileType::RegularFile, Body::File(seat))
        })
    }

    thread_local! {
        static STAT: Stat = stat(1);
    }

    #[test]
    fn a_file_takes_no_more_than_200_bytes_and_its_name() {
        const COUNT: usize = 50_000;
        let (nodes, _root) = filled(COUNT);
        let tables: usize = nodes.names.iter().map(|names| held(names).allocation_size()).sum();
        // With the two counters in front, and what an allocator keeps in front of that; for the name too.
        let node = size_of::<Node>() + 16 + 8;
        let name = 8 + 15;
        let each = (tables + nodes.slots.bytes()) / COUNT + node + name;
        assert!(each <= 200, "{each} bytes: {node} the node, {} the tables", (tables + nodes.slots.bytes()) / COUNT);
    }

    #[test]
    fn numbers_are_not_used_again_and_what_is_forgotten_is_gone() {
        let (nodes, root) = filled(1000);
        let find = |n: usize| nodes.child(&root, OsStr::new(&format!("file {n}")));
        let ids: Vec<u64> = (0..1000).map(|n| find(n).expect("it").id()).collect();
        for id in &ids {
            nodes.forget(*id, 1);
        }
        assert_eq!(nodes.len(), 1);
        assert!((0..1000).all(|n| find(n).is_none()) && ids.iter().all(|id| nodes.get(*id).is_err()));
        let again = adopt(&nodes, &root, "file 1", 11);
        assert!(!ids.contains(&again.id()));
    }

    #[test]
    fn what_nobody_was_told_of_is_dropped_in_time() {
        let (nodes, root) = filled(0);
        for n in 0..10_000 {
            adopt(&nodes, &root, &format!("file {n}"), n + 10);
        }
        assert!(nodes.len() < 2 * IDLE, "{}", nodes.len());
    }

    #[test]
    fn a_surplus_is_what_was_not_asked_for_lately() {
        let (nodes, root) = filled(3000);
        assert!(nodes.surplus(3001).is_empty());
        let warm: Vec<u64> = (0..100)
            .filter_map(|n| nodes.child(&root, OsStr::new(&format!("file {n}"))))
            .map(|node| node.id())
            .collect();
        // The first passage takes the marks of all away, those that were made just now too.
        nodes.slots.unused(0);
        nodes.surplus(100);
        for id in &warm {
            nodes.get(*id).expect("it");
        }
        let mut forgotten = 0;
        while nodes.len() > 2000 {
            nodes.patience.store(0, Ordering::Relaxed);
            let surplus = nodes.surplus(100);
            for id in surplus {
                if warm.contains(&id) {
                    continue;
                }
                nodes.forget(id, 1);
                forgotten += 1;
            }
            for id in &warm {
                nodes.get(*id).expect("it");
            }
        }
        assert!(forgotten >= 1000);
    }

    #[test]
    fn many_threads_find_one_node_for_one_name() {
        let (nodes, root) = filled(0);
        let found: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let run = || {
                (0..2000_u64)
                    .map(|n| {
                        let node = adopt(&nodes, &root, &format!("file {}", n % 50), n % 50 + 10);
                        nodes.count(&node);
                        if n % 7 == 0 {
                            nodes.forget(node.id(), 1);
                        }
                        node.id()
                    })
                    .collect()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|t| t.join().expect("a thread")).collect()
        });
        let last: Vec<_> = found.iter().map(|ids| &ids[1950..]).collect();
        assert!(last.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(nodes.len(), 51);
    }

    #[test]
    fn places_come_and_go() {
        let (nodes, root) = filled(2);
        let name = |text: &str| OsString::from(text);
        let [one, two] = [0, 1].map(|n| nodes.child(&root, &name(&format!("file {n}"))).expect("it"));
        nodes.swap_places((&root, &name("file 0"), &one), (&root, &name("file 1"), &two));
        assert_eq!(nodes.child(&root, &name("file 0")).expect("it").id(), two.id());
        nodes.add_place(&one, &root, &name("third"));
        nodes.take_place(&one, &root, &name("file 1"));
        assert!(nodes.child(&root, &name("file 1")).is_none());
        nodes.move_place(&two, (&root, &name("file 0")), (&root, &name("third")));
        assert_eq!(nodes.child(&root, &name("third")).expect("it").id(), two.id());
    }
}
