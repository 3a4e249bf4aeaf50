//! How many threads of this process may be busy unpacking, so that work ahead of need is done only where a core would idle.
//!
//! A layer counts as one however many threads its pipeline has: they wait for one another most of the time. Who decodes
//! ahead counts too, and is let in only while there are fewer than cores (or than the caller's jobs), and while the time
//! this process takes of the processor says that a core idles: decoding ahead costs a fifth more than decoding in order.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

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

/// How often it is looked at how much of the processor is used.
const SAMPLE: Duration = Duration::from_millis(15);

/// How much of a core must have idled.
const IDLE: f64 = 0.25;

struct Sample {
    taken: Instant,
    cpu: Duration,
    idles: bool,
}

/// Whether this process left part of a core idle, of those it may use, when it was last looked at. Another process may have
/// taken it.
pub(crate) fn a_core_idles() -> bool {
    static LAST: Mutex<Option<Sample>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = Instant::now();
    if let Some(last) = last.as_ref()
        && taken.duration_since(last.taken) < SAMPLE
    {
        return last.idles;
    }
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::new(cpu.tv_sec.unsigned_abs(), cpu.tv_nsec.unsigned_abs() as u32);
    let idles = match last.as_ref() {
        None => true,
        Some(last) => {
            let used = cpu.saturating_sub(last.cpu).as_secs_f64();
            used / taken.duration_since(last.taken).as_secs_f64() < limit() as f64 - IDLE
        }
    };
    *last = Some(Sample { taken, cpu, idles });
    idles
}

/// Whether more are busy than may be: a helper should go.
pub(crate) fn is_crowded() -> bool {
    BUSY.load(Ordering::Relaxed) > limit()
}
