//! The nodes by number: a slab, so that finding one is no search.
//!
//! ```text
//! number = generation (31 bits) | place in its part | part (4 bits)       the root's is 1
//! ```
//!
//! A place that is used again has another generation, so an old number never means a new node. The slab is in parts, each
//! with a lock of its own that is held for a few instructions; consecutive nodes are in different parts.

use super::lock::held;
use super::node::Node;
use crate::layer::{Answer, Errno};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The root's number.
pub const ROOT: u64 = 1;

const PART_BITS: u32 = 4;
const PARTS: usize = 1 << PART_BITS;
/// Places are made in pieces of so many, which never move.
const PIECE: usize = 256;
/// In a slot's generation: it was asked for since the last passage.
const USED: u32 = 1 << 31;

#[derive(Debug, Default)]
struct Slot {
    node: Option<Arc<Node>>,
    lookups: u32,
    generation: u32,
}

#[derive(Debug, Default)]
struct Part {
    pieces: Vec<Box<[Slot]>>,
    free: Vec<u32>,
}

impl Part {
    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let slot = self.at(place_of(number))?;
        (u64::from(slot.generation & !USED) == number >> 32).then_some(slot)
    }

    fn at(&mut self, place: usize) -> Option<&mut Slot> {
        self.pieces.get_mut(place / PIECE)?.get_mut(place % PIECE)
    }
}

/// The slab.
#[derive(Debug)]
pub(crate) struct Slots {
    parts: [Mutex<Part>; PARTS],
    next: AtomicUsize,
    held: AtomicUsize,
    /// Where the search for what was not used lately goes on.
    hand: AtomicUsize,
}

fn part_of(number: u64) -> usize {
    number as usize % PARTS
}

fn place_of(number: u64) -> usize {
    (number as u32 >> PART_BITS) as usize
}

/// What became of a node that the kernel forgot.
#[derive(Debug)]
pub(crate) enum Left {
    /// It is still known to the kernel, or was not there at all.
    Stays,
    /// Something still holds it.
    Held,
    /// It is out of the slab; its slot is to be given back when nothing points to it.
    Gone(Arc<Node>),
    /// It has this other number now, by which it stays.
    Renumbered(u64),
}

impl Slots {
    pub(crate) fn new() -> Self {
        let slots = Self {
            parts: Default::default(),
            next: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
        };
        // Place 0 of each part is the root's or nobody's.
        for part in &slots.parts {
            let mut part = held(part);
            part.grow();
            part.free.retain(|place| *place != 0);
        }
        slots
    }

    pub(crate) fn set_root(&self, root: Arc<Node>) {
        if let Some(slot) = held(&self.parts[part_of(ROOT)]).at(place_of(ROOT)) {
            slot.node = Some(root);
            slot.lookups = 1;
        }
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    fn part(&self, number: u64) -> &Mutex<Part> {
        // Always in range: the number of parts is what the rest was taken by.
        &self.parts[part_of(number)]
    }

    /// Puts in the node that `make` gives for a free number.
    pub(crate) fn add(&self, make: impl FnOnce(u64) -> Node) -> Arc<Node> {
        let (number, _) = self.take_place();
        let node = Arc::new(make(number));
        self.fill(number, node.clone());
        node
    }

    /// Puts `node` in once more, and gives its number there.
    pub(crate) fn add_again(&self, node: &Arc<Node>) -> u64 {
        let (number, _) = self.take_place();
        self.fill(number, node.clone());
        number
    }

    fn take_place(&self) -> (u64, usize) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % PARTS;
        let mut part = held(&self.parts[index]);
        if part.free.is_empty() {
            part.grow();
        }
        let place = part.free.pop().unwrap_or_default();
        let generation = part.at(place as usize).map_or(0, |slot| slot.generation & !USED);
        (u64::from(generation) << 32 | u64::from(place) << PART_BITS | index as u64, index)
    }

    fn fill(&self, number: u64, node: Arc<Node>) {
        if let Some(slot) = held(self.part(number)).slot(number) {
            slot.node = Some(node);
            slot.lookups = 0;
            slot.generation |= USED;
        }
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// The node with this number; ESTALE when there is none.
    pub(crate) fn get(&self, number: u64) -> Answer<Arc<Node>> {
        let mut part = held(self.part(number));
        let slot = part.slot(number).ok_or(Errno::STALE)?;
        slot.generation |= USED;
        slot.node.clone().ok_or(Errno::STALE)
    }

    /// What is in the slot of this number now, whatever the generation. `number`: its lower half.
    pub(crate) fn peek(&self, number: u32) -> Option<Arc<Node>> {
        let number = u64::from(number);
        let mut part = held(self.part(number));
        let slot = part.at(place_of(number))?;
        let node = slot.node.clone()?;
        slot.generation |= USED;
        Some(node)
    }

    /// The kernel was told of the node under this number once more.
    pub(crate) fn count(&self, number: u64) -> bool {
        let mut part = held(self.part(number));
        match part.slot(number) {
            Some(slot) if slot.node.is_some() => {
                slot.lookups = slot.lookups.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    /// The kernel forgets so many mentions of it. Tells whether it knows of none any more.
    pub(crate) fn forget(&self, number: u64, lookups: u64) -> bool {
        let mut part = held(self.part(number));
        let Some(slot) = part.slot(number) else { return false };
        slot.lookups = slot.lookups.saturating_sub(u32::try_from(lookups).unwrap_or(u32::MAX));
        slot.lookups == 0 && number != ROOT
    }

    /// Takes out the node that the kernel does not know and nothing else holds.
    pub(crate) fn collect(&self, number: u64) -> Left {
        let mut part = held(self.part(number));
        let Some(slot) = part.slot(number) else { return Left::Stays };
        let Some(node) = &slot.node else { return Left::Stays };
        if number == ROOT || slot.lookups > 0 {
            return Left::Stays;
        }
        if node.id() != number {
            let fresh = node.id();
            let node = slot.leave();
            drop(part);
            self.give_back(number);
            drop(node);
            return Left::Renumbered(fresh);
        }
        // Who finds it does so by this slot, whose lock we have, or holds it already.
        if Arc::strong_count(node) > 1 {
            return Left::Held;
        }
        slot.leave().map_or(Left::Stays, Left::Gone)
    }

    /// The slot of a node that is gone may be used again.
    pub(crate) fn give_back(&self, number: u64) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        held(self.part(number)).free.push(place_of(number) as u32);
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Up to `most` numbers of nodes that nobody asked for since they were last passed and that nothing here holds.
    pub(crate) fn unused(&self, most: usize) -> Vec<u64> {
        let mut found = Vec::new();
        // Twice round at most: the first time takes the marks away.
        for _ in 0..2 * PARTS {
            let index = self.hand.fetch_add(1, Ordering::Relaxed) % PARTS;
            let pieces = held(&self.parts[index]).pieces.len();
            for piece in 0..pieces {
                let mut part = held(&self.parts[index]);
                let slots = part.pieces.get_mut(piece).map(|p| &mut p[..]).unwrap_or_default();
                for (at, slot) in slots.iter_mut().enumerate() {
                    let Some(node) = &slot.node else { continue };
                    let used = slot.generation & USED != 0;
                    slot.generation &= !USED;
                    let number = u64::from(slot.generation) << 32 | ((piece * PIECE + at) << PART_BITS | index) as u64;
                    if !used && number != ROOT && slot.lookups > 0 && Arc::strong_count(node) == 1 {
                        found.push(number);
                    }
                }
                if found.len() >= most {
                    return found;
                }
            }
        }
        found
    }
}

impl Slot {
    /// Takes the node out; its number is not valid any more.
    fn leave(&mut self) -> Option<Arc<Node>> {
        self.generation = (self.generation & !USED).wrapping_add(1) & !USED;
        self.node.take()
    }
}

impl Part {
    fn grow(&mut self) {
        let first = self.pieces.len() * PIECE;
        self.pieces.push((0..PIECE).map(|_| Slot::default()).collect());
        self.free.extend((first..first + PIECE).rev().map(|place| place as u32));
    }
}

#[cfg(test)]
impl Slots {
    /// Bytes the slab takes, without the nodes.
    pub(crate) fn bytes(&self) -> usize {
        self.parts
            .iter()
            .map(|part| held(part))
            .map(|p| p.pieces.len() * PIECE * size_of::<Slot>() + p.free.capacity() * 4)
            .sum()
    }
}
