//! Small files written by helpers, while the entries behind them are read.
//!
//! ```text
//! tree ── batch (names, attributes, data) ──▶ helper: create, write, dress, close
//!   └── everything else, and what no helper takes
//! ```
//!
//! Only small regular files under names where nothing stands go that way; directories, links, large files and all that removes
//! something stay with the tree. So one rule keeps the order of the archive: before the tree looks at a name or below it, what
//! is still to be written under that name is written ([`Writers::settle`]). Helpers come and go with the
//! [budget](crate::compression::budget) of the process: where all cores have work, the tree writes all itself.

use super::dirs::Dir;
use super::files::{self, NewFile};
use super::metadata::Dresser;
use crate::compression::budget::{self, Busy};
use crate::error::Fault;
use crate::queue::{Receiver, Sender, bounded};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CString;
use std::fmt;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is small.
const SMALL_BYTES: u64 = 32 << 10;
/// When a batch is full.
const BATCH_BYTES: usize = 128 << 10;
const BATCH_FILES: usize = 32;
/// Batches on their way.
const QUEUED: usize = 4;
/// After so many small files it is asked again whether there is a core for a helper.
const ASK_EACH: u32 = 32;
/// As many names are kept in mind.
const PENDING: usize = 1 << 16;
/// A helper that has nothing to do for so long makes room for others.
const IDLE: Duration = Duration::from_millis(4);

struct SmallFile {
    dir: Arc<Dir>,
    name: CString,
    new: NewFile,
    data: Range<usize>,
}

#[derive(Default)]
struct Batch {
    files: Vec<SmallFile>,
    bytes: Vec<u8>,
}

impl Batch {
    fn write(&self, dresser: &Dresser) -> Result<(), Fault> {
        for SmallFile { dir, name, new, data } in &self.files {
            let mode = dresser.opening_mode(&new.attributes);
            let fd = files::create(dir.as_fd(), name, mode).map_err(|e| match e {
                Errno::EXIST => super::resolve::changed(&new.entry),
                e => Fault::system(&new.entry, "create", e),
            })?;
            files::write_small(fd.as_fd(), new, self.bytes.get(data.clone()).unwrap_or_default(), dresser)?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    helpers: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Batches that are not written yet.
    outstanding: usize,
    /// What went wrong first.
    fault: Option<Fault>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, batch: &Batch, dresser: &Dresser) {
        let failed = self.state().fault.is_some();
        let done = if failed { Ok(()) } else { batch.write(dresser) };
        let mut state = self.state();
        state.outstanding -= 1;
        if let Err(fault) = done {
            state.fault.get_or_insert(fault);
        }
        self.changed.notify_all();
    }
}

/// The helpers of one extraction, and what is on its way to them.
pub(super) struct Writers {
    dresser: Arc<Dresser>,
    batch: Batch,
    /// Hashes of the names that may not be written yet.
    pending: HashSet<u64>,
    to: Option<Sender<Batch>>,
    from: Receiver<Batch>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    small: u32,
}

impl fmt::Debug for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writers").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl Writers {
    pub(super) fn new(dresser: &Arc<Dresser>) -> Self {
        let (to, from) = bounded(QUEUED);
        Self {
            dresser: Arc::clone(dresser),
            batch: Batch::default(),
            pending: HashSet::new(),
            to: Some(to),
            from,
            shared: Arc::default(),
            threads: Vec::new(),
            small: 0,
        }
    }

    /// Whether a file of that size is to come here.
    pub(super) fn take(&mut self, size: u64) -> bool {
        if size > SMALL_BYTES {
            return false;
        }
        self.small += 1;
        if self.small.is_multiple_of(ASK_EACH) && self.shared.helpers.load(Ordering::Relaxed) + 1 < budget::limit() {
            self.hire();
        }
        self.shared.helpers.load(Ordering::Relaxed) > 0
    }

    fn hire(&mut self) {
        let Some(busy) = Busy::helper() else { return };
        self.threads.retain(|thread| !thread.is_finished());
        let (from, shared, dresser) = (self.from.clone(), Arc::clone(&self.shared), Arc::clone(&self.dresser));
        // It shares our umask: a thread is born with what the one that starts it has.
        shared.helpers.fetch_add(1, Ordering::Relaxed);
        let started = std::thread::Builder::new().name("writer".into()).spawn(move || {
            while let Ok(batch) = from.recv_timeout(IDLE) {
                shared.write(&batch, &dresser);
                if budget::is_crowded() {
                    break;
                }
            }
            shared.helpers.fetch_sub(1, Ordering::Relaxed);
            drop(busy);
        });
        match started {
            Ok(thread) => self.threads.push(thread),
            Err(_) => {
                self.shared.helpers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Room for the data of the file that is [put](Self::put) next.
    pub(super) fn data(&mut self) -> &mut Vec<u8> {
        &mut self.batch.bytes
    }

    /// A file whose data are the last `size` bytes of [`data`](Self::data); `key` is the hash of its name.
    pub(super) fn put(
        &mut self,
        key: u64,
        dir: Arc<Dir>,
        name: CString,
        new: NewFile,
        size: usize,
    ) -> Result<(), Fault> {
        let end = self.batch.bytes.len();
        self.batch.files.push(SmallFile { dir, name, new, data: end - size..end });
        self.pending.insert(key);
        if self.batch.files.len() >= BATCH_FILES || end >= BATCH_BYTES {
            self.send()?;
        }
        if self.pending.len() >= PENDING { self.settle_all() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Fault> {
        let batch = std::mem::take(&mut self.batch);
        if batch.files.is_empty() {
            return Ok(());
        }
        {
            let mut state = self.shared.state();
            if let Some(fault) = state.fault.take() {
                return Err(fault);
            }
            state.outstanding += 1;
        }
        let refused = match &self.to {
            Some(to) => to.try_send(batch).err(),
            None => Some(batch),
        };
        if let Some(batch) = refused {
            self.shared.write(&batch, &self.dresser);
        }
        Ok(())
    }

    /// Waits for what is still to be written under the name with that hash.
    pub(super) fn settle(&mut self, key: u64) -> Result<(), Fault> {
        if self.pending.contains(&key) { self.settle_all() } else { Ok(()) }
    }

    /// Waits for everything.
    pub(super) fn settle_all(&mut self) -> Result<(), Fault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.send()?;
        // Those whose helper has gone, and those no helper has come to yet.
        while let Ok(batch) = self.from.try_recv() {
            self.shared.write(&batch, &self.dresser);
        }
        let mut state = self.shared.state();
        while state.outstanding > 0 {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.pending.clear();
        state.fault.take().map_or(Ok(()), Err)
    }
}

impl Drop for Writers {
    /// When this is gone nobody writes any more.
    fn drop(&mut self) {
        while self.from.try_recv().is_ok() {}
        self.to = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
