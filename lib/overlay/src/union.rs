//! The union as a file system with plain methods: look-ups in, answers and error numbers out, no FUSE.
//!
//! ```text
//! Stack ── layers: [upper] lower 1 .. lower n        every one a descriptor, no path is used after `open`
//!       ├─ nodes   the merged tree as far as the kernel knows it       (nodes, node)
//!       ├─ folders descriptors of directories, bounded                 (reach)
//!       └─ handles open files and listings                             (handle, listing)
//! ```
//!
//! Operations by family: [`lookup`], [`attributes`], [`listing`], [`handle`], [`copy_up`], [`create`], [`remove`],
//! [`rename`], [`xattr`]. Each changes the upper layer by one atomic step at the end (rename or link out of the work
//! folder), so that a crash leaves the old state or the new one.

mod attributes;
mod branch;
pub(crate) mod compat;
mod content;
mod contents;
mod convert;
mod copy_up;
mod create;
mod handle;
mod hide;
mod index;
mod layers;
mod listing;
mod lock;
mod lookup;
mod node;
mod nodes;
mod numbers;
mod open;
mod origin;
mod owners;
mod reach;
mod redirect;
mod remove;
mod rename;
mod search;
mod slots;
#[cfg(test)]
mod tests;
mod work;
mod xattr;

pub use attributes::{Change, When};
pub use compat::Compat;
pub use convert::{Converted, convert};
pub use create::{Maker, New};
pub use handle::OpenFile;
pub use listing::{Listed, OpenFolder};
pub use node::Node;
pub use nodes::ROOT;
pub use open::{Lower, StackSpec};
pub use owners::{Keeping, Owners};

use crate::XattrNamespace;
use crate::layer::{Answer, Errno};
use layers::Layers;
use listing::Listings;
use nodes::Nodes;
use reach::Folders;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, RwLock};
use work::Work;

/// An opened overlay: its layers by descriptor and what is known of the merged tree.
///
/// To be opened by the process that serves it: it holds a descriptor of that process' `/proc/self/fd`.
#[derive(Debug)]
pub struct Stack {
    pub(crate) nodes: Nodes,
    pub(crate) folders: Folders,
    pub(crate) layers: Layers,
    pub(crate) listings: Listings,
    pub(crate) outdated: numbers::Outdated,
    pub(crate) work: Option<Work>,
    pub(crate) xattrs: XattrNamespace,
    pub(crate) owners: Owners,
    pub(crate) node_limit: usize,
    pub(crate) volatile: bool,
    /// What may be written to the upper layer.
    pub(crate) features: compat::Features,
    /// Held while the paths of directories are read; for writing while one with lower parts is moved.
    pub(crate) moving: RwLock<()>,
    pub(crate) index: index::Index,
    /// What tells the layers' file systems apart for good.
    pub(crate) uuids: origin::Uuids,
    /// `/proc/self/fd`, by which descriptors opened by O_PATH are opened again.
    pub(crate) proc: OwnedFd,
    /// Tells it from all other stacks of this process and those it was forked from.
    pub(crate) token: u64,
}

impl Stack {
    /// The node the kernel knows by this number; ESTALE when there is none.
    pub fn node(&self, id: u64) -> Answer<Arc<Node>> {
        self.nodes.get(id)
    }

    /// The kernel was told of `node` (an answer to a look-up, a creation or an entry of a listing with attributes).
    /// Gives the number it was told, which is another where the kernel had forgotten it meanwhile.
    pub fn count(&self, node: &Arc<Node>) -> u64 {
        self.nodes.count(node)
    }

    /// The kernel forgets that it was told of a node so many times.
    pub fn forget(&self, id: u64, lookups: u64) {
        self.nodes.forget(id, lookups);
    }

    /// Numbers of nodes that were not asked for lately, where more are held than should be: the kernel is to be told that it
    /// may forget them. Cheap to ask often.
    pub fn surplus(&self) -> Vec<u64> {
        self.nodes.surplus(self.node_limit)
    }

    /// How many nodes are held in memory.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// How often something was copied up.
    pub fn copy_ups(&self) -> u64 {
        self.work.as_ref().map_or(0, Work::copies)
    }

    /// Whether nothing can be written.
    pub fn is_read_only(&self) -> bool {
        self.work.is_none()
    }

    /// A descriptor of this process's `/proc/self/fd`.
    pub fn own_descriptors(&self) -> std::io::Result<OwnedFd> {
        self.proc.try_clone()
    }

    /// Calls `with` with a descriptor of what `node` is made of; it may be O_PATH.
    pub fn by_descriptor<T>(&self, node: &Node, with: impl FnOnce(BorrowedFd<'_>) -> Answer<T>) -> Answer<T> {
        with(self.spot(node)?.fd()?)
    }

    /// Nothing more will be asked: what says that the overlay is open goes.
    pub fn end(&self) {
        if let Some(work) = &self.work {
            work.end();
        }
    }

    pub(crate) fn work(&self) -> Answer<&Work> {
        self.work.as_ref().ok_or(Errno::ROFS)
    }
}
