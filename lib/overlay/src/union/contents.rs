//! Which names one layer has in a merged directory: so much of it as saves asking.
//!
//! Lower layers do not change while mounted, so a part that was listed once tells for good which names it does not have.
//! Names are kept as halves of 64-bit hashes, sorted: four bytes each, and one that is taken for another costs a probe. Of
//! the upper part only the `.wh.` files are kept: everything else there changes.

use super::Stack;
use super::branch::Branch;
use super::lock::held;
use super::node::{Node, UPPER};
use super::search::hidden_by;
use crate::layer::{Answer, Errno};
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A directory with more names than this is asked name by name.
const MOST_NAMES: usize = 1 << 18;

/// The names of one part of a merged directory.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    names: Box<[u32]>,
    hidden: Box<[u32]>,
    hasher: RandomState,
}

/// What is known of a part's names.
#[derive(Debug, Clone, Default)]
pub(crate) enum Known {
    /// Not looked at yet.
    #[default]
    Nothing,
    /// Too many, or not to be listed.
    Never,
    /// These.
    All(Arc<Contents>),
}

impl Contents {
    /// Of names and of names that `.wh.` files hide, by their hashes.
    pub(crate) fn new(names: Vec<u64>, hidden: Vec<u64>, hasher: &RandomState) -> Self {
        let sorted = |hashes: Vec<u64>| {
            let mut halves: Box<[u32]> = hashes.into_iter().map(half).collect();
            halves.sort_unstable();
            halves
        };
        Self { names: sorted(names), hidden: sorted(hidden), hasher: hasher.clone() }
    }

    /// By what names are told apart in contents and listings.
    pub(crate) fn hash(hasher: &RandomState, name: &OsStr) -> u64 {
        hasher.hash_one(name)
    }

    pub(crate) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// Whether the part may have `name`; `false` is certain.
    pub(crate) fn has(&self, name: &OsStr) -> bool {
        self.names.binary_search(&half(Self::hash(&self.hasher, name))).is_ok()
    }

    /// Whether a `.wh.` file in it hides what the layers below have as `name`.
    pub(crate) fn hides(&self, name: &OsStr) -> bool {
        !self.hidden.is_empty() && self.hidden.binary_search(&half(Self::hash(&self.hasher, name))).is_ok()
    }
}

fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Stack {
    /// The names of one of the parts of `node`; `None` where they cannot be had, and must be asked for one by one.
    pub(crate) fn contents(&self, node: &Arc<Node>, part: &Arc<Branch>) -> Answer<Option<Arc<Contents>>> {
        if part.layer == UPPER && self.layers.upper_hides_by_files.load(Ordering::Acquire) {
            return Ok(None);
        }
        if part.layer == UPPER && self.layers.upper_is_ours.load(Ordering::Relaxed) {
            return Ok(Some(self.layers.nothing.clone()));
        }
        match &*held(&part.contents) {
            Known::All(contents) => return Ok(Some(contents.clone())),
            Known::Never => return Ok(None),
            Known::Nothing => {}
        }
        let folder = self.part_folder(node, part)?;
        let (mut names, mut hidden) = (Vec::new(), Vec::new());
        let hasher = self.layers.nothing.hasher();
        let listed = folder.list(&mut |entry| {
            match hidden_by(entry.name) {
                Some(name) => hidden.push(Contents::hash(hasher, name)),
                None if part.layer != UPPER => names.push(Contents::hash(hasher, entry.name)),
                None => {}
            }
            if names.len() + hidden.len() > MOST_NAMES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let known = match listed {
            Ok(ControlFlow::Continue(())) => Some(Arc::new(Contents::new(names, hidden, hasher))),
            Ok(ControlFlow::Break(())) | Err(Errno::ACCESS | Errno::BADF) => None,
            Err(e) => return Err(e),
        };
        *held(&part.contents) = known.clone().map_or(Known::Never, Known::All);
        Ok(known)
    }
}
