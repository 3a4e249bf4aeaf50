//! What is remembered of paths: hashes of a million, and what differs at a few.

use super::{Change, DIFFERENCES_KEPT, Difference, Differs};
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// A set of paths as 128 bits of each, keyed anew in each run, so that nobody can make two that meet.
#[derive(Debug, Default)]
pub(super) struct Paths {
    keys: (RandomState, RandomState),
    known: HashSet<u128, BuildHasherDefault<Folded>>,
}

impl Paths {
    fn key(&self, path: &[u8]) -> u128 {
        let half = |state: &RandomState| u128::from(state.hash_one(path));
        half(&self.keys.0) << 64 | half(&self.keys.1)
    }

    /// Adds it; false if it was there.
    pub(super) fn insert(&mut self, path: &[u8]) -> bool {
        self.known.insert(self.key(path))
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.known.contains(&self.key(path))
    }
}

/// What is a hash already needs no hashing.
#[derive(Debug, Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// What differs, by path.
#[derive(Debug, Default)]
pub(super) struct Findings {
    at: BTreeMap<Vec<u8>, Difference>,
    pub(super) more: u64,
}

impl Findings {
    pub(super) fn add(&mut self, path: &[u8], how: Difference) {
        let room = self.at.len() < DIFFERENCES_KEPT;
        match (self.at.get_mut(path), how) {
            (Some(Difference::Changed(changes)), Difference::Changed(new)) => changes.extend(new),
            (Some(old), how) => *old = how,
            (None, how) if room => {
                self.at.insert(path.to_vec(), how);
            }
            (None, _) => self.more += 1,
        }
    }

    pub(super) fn change(&mut self, path: &[u8], what: &str, here: &str, layer: &str) {
        let change = Change { what: what.to_owned(), here: here.to_owned(), layer: layer.to_owned() };
        self.add(path, Difference::Changed(vec![change]));
    }

    /// A later entry of the same name has come: what was said of the one before, and below it, does not count.
    pub(super) fn forget(&mut self, path: &[u8], below: bool) {
        self.at.remove(path);
        if below {
            // All that starts with `path/` sorts before `path0`, the byte after the slash.
            let range = [path, b"/"].concat()..[path, b"0"].concat();
            let gone: Vec<Vec<u8>> = self.at.range(range).map(|(p, _)| p.clone()).collect();
            for path in gone {
                self.at.remove(&path);
            }
        }
    }

    pub(super) fn sorted(self) -> Vec<Differs> {
        let named = |path: Vec<u8>| if path.is_empty() { b".".to_vec() } else { path };
        self.at.into_iter().map(|(path, how)| Differs { path: named(path), how }).collect()
    }
}

pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}
