//! How many threads of this process may be busy unpacking, so that work ahead of need is done only where a core would idle.
//!
//! A layer counts as one however many threads its pipeline has: they wait for one another most of the time. Who decodes
//! ahead counts too, and is let in only while there are fewer than cores (or than the caller's jobs).

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static BUSY: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Says how many may be busy at once; without it as many as there are cores.
pub fn limit_workers(jobs: NonZeroUsize) {
    LIMIT.store(jobs.get(), Ordering::Relaxed);
}

/// How many may be busy.
pub(crate) fn limit() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    match LIMIT.load(Ordering::Relaxed) {
        0 => *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get)),
        jobs => jobs,
    }
}

/// One that is busy, until dropped.
#[derive(Debug)]
pub(crate) struct Busy;

impl Busy {
    /// A layer that begins, whoever else is busy.
    pub(crate) fn layer() -> Self {
        BUSY.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// A helper, if there is a core for it.
    pub(crate) fn helper() -> Option<Self> {
        let limit = limit();
        let more = |busy| (busy < limit).then_some(busy + 1);
        BUSY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether more are busy than may be: a helper should go.
pub(crate) fn is_crowded() -> bool {
    BUSY.load(Ordering::Relaxed) > limit()
}
