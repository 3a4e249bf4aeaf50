//! Passthrough: files that the kernel reads and writes itself.
//!
//! What is answered to OPEN may name a backing file; reads, writes and mappings then never get here (fs/fuse/passthrough.c).
//! The kernel's rule (fs/fuse/iomode.c): while an inode is open by a backing, every further open must name the same one, and
//! while it is open plainly none may name any; whatever else is answered fails with EIO. So the first open decides, and this
//! table knows what is open how.
//!
//! A backing cannot be changed while it is open. But who has a lower file open while it is copied up reads the upper one from
//! then on (fs/overlayfs/file.c, `ovl_real_file`). So only upper files are passed through, and lower ones where there is no
//! upper; other lower files are read by us, into the kernel's page cache. A file that is copied up while somebody reads it is
//! open plainly until all have closed it.
//!
//! Changes by write(2) the kernel notices; those by a shared mapping it does not, so attributes of files that are open for
//! both reading and writing are kept for a short while only.

use super::filesystem::Handle;
use fusewire::Connection;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

const SHARDS: usize = 16;

/// How a node is open.
#[derive(Debug)]
struct Open {
    /// The registration; `None`: plainly.
    backing: Option<u32>,
    /// Descriptors.
    count: usize,
    /// Open for reading and writing, so possibly mapped.
    mapped: bool,
    /// One of the descriptors.
    file: Weak<Handle>,
}

/// Which nodes are open, and how.
#[derive(Debug)]
pub(super) struct Backings {
    connection: Connection,
    shards: [Mutex<HashMap<u64, Open>>; SHARDS],
    /// The kernel refused for a reason that concerns all files.
    off: AtomicBool,
}

/// How a file is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// The kernel does it, by this registration.
    Backed(u32),
    /// By READ and WRITE.
    Plain,
}

impl Backings {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, shards: Default::default(), off: AtomicBool::new(false) }
    }

    fn shard(&self, node: u64) -> MutexGuard<'_, HashMap<u64, Open>> {
        let shard = self.shards.get(node as usize % SHARDS).unwrap_or(&self.shards[0]);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file is about to be opened under the node id `node`: as `backing`, where that is given. `mapped`: for reading and
    /// writing.
    pub(super) fn attach(&self, node: u64, backing: Option<BorrowedFd<'_>>, mapped: bool) -> Attached {
        let mut shard = self.shard(node);
        let known = shard.entry(node).or_insert_with(|| {
            let backing = backing.and_then(|file| self.register(file));
            Open { backing, count: 0, mapped: false, file: Weak::new() }
        });
        known.count += 1;
        known.mapped |= mapped;
        known.backing.map_or(Attached::Plain, Attached::Backed)
    }

    /// What was attached is this.
    pub(super) fn remember(&self, node: u64, file: &Arc<Handle>) {
        if let Some(open) = self.shard(node).get_mut(&node) {
            open.file = Arc::downgrade(file);
        }
    }

    /// An open file of this node: quicker than looking it up by its name.
    pub(super) fn open_file(&self, node: u64) -> Option<Arc<Handle>> {
        self.shard(node).get(&node)?.file.upgrade()
    }

    fn register(&self, fd: BorrowedFd<'_>) -> Option<u32> {
        if self.off.load(Ordering::Relaxed) {
            return None;
        }
        match self.connection.open_backing(fd) {
            Ok(id) => Some(id),
            Err(e) => {
                // Without the right there is no use asking again; other refusals concern this file (ELOOP: its file system
                // is a stacked one).
                if e.raw_os_error() == Some(libc::EPERM) {
                    self.off.store(true, Ordering::Relaxed);
                }
                log::debug!("no passthrough: {e}");
                None
            }
        }
    }

    /// One descriptor less.
    pub(super) fn detach(&self, node: u64) {
        let mut shard = self.shard(node);
        let Entry::Occupied(mut known) = shard.entry(node) else { return };
        known.get_mut().count -= 1;
        if known.get().count > 0 {
            return;
        }
        let open = known.remove();
        drop(shard);
        if let Some(id) = open.backing {
            self.connection.close_backing(id);
            if open.mapped {
                // Nobody need wait for this; a node the kernel has forgotten meanwhile is no fault.
                let _ = self.connection.forget_inode(node, -1, 0);
            }
        }
    }

    /// Whether the file's attributes can change without a word.
    pub(super) fn may_be_mapped(&self, node: u64) -> bool {
        self.shard(node).get(&node).is_some_and(|open| open.mapped && open.backing.is_some())
    }
}
