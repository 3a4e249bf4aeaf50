//! How many threads of this process may be busy unpacking, so that work ahead of need is done only where a core would idle.
//!
//! A layer counts as one however many threads its pipeline has: they wait for one another most of the time. Who decodes
//! ahead counts too, and is let in only while there are fewer than cores (or than the caller's jobs), and while the time
//! this process takes of the processor says that a core idles: decoding ahead costs a fifth more than decoding in order. On a
//! machine that others keep busy the time tells nothing; there a helper notices that it waits ([`Stretch`]), and none is let in.

use rustix::time::ClockId;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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

/// How long nobody helps where a helper had to wait for a core.
const PAUSE: Duration = Duration::from_millis(200);

/// Until when nobody helps, in milliseconds since the first [`Stretch`].
static PAUSED_UNTIL: AtomicU64 = AtomicU64::new(0);

fn now_ms() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_millis() as u64
}

fn time_of(clock: ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// A stretch of work that waits for nothing but a core. What this process takes of the processor does not say whether others
/// leave it a core; that such work takes much longer than its own time of the processor does.
#[derive(Debug)]
pub(crate) struct Stretch {
    begun: Instant,
    cpu: Duration,
}

impl Stretch {
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), cpu: time_of(ClockId::ThreadCPUTime) }
    }

    /// Where the work had less than a third of a core, nobody is let in for a while.
    pub(crate) fn end(self) {
        if is_starved(self.begun.elapsed(), time_of(ClockId::ThreadCPUTime).saturating_sub(self.cpu)) {
            PAUSED_UNTIL.store(now_ms() + PAUSE.as_millis() as u64, Ordering::Relaxed);
        }
    }
}

/// A turn that another had in between is no sign yet.
fn is_starved(wall: Duration, cpu: Duration) -> bool {
    wall > 3 * cpu + Duration::from_millis(2)
}

/// Whether this process left part of a core idle, of those it may use, when it was last looked at, and no helper had to wait for
/// one of late.
pub(crate) fn a_core_idles() -> bool {
    if now_ms() < PAUSED_UNTIL.load(Ordering::Relaxed) {
        return false;
    }
    static LAST: Mutex<Option<Sample>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = Instant::now();
    if let Some(last) = last.as_ref()
        && taken.duration_since(last.taken) < SAMPLE
    {
        return last.idles;
    }
    let cpu = time_of(ClockId::ProcessCPUTime);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_less_than_a_third_of_a_core_is_starved() {
        let ms = Duration::from_millis;
        assert!(!is_starved(ms(5), ms(5)));
        assert!(!is_starved(ms(14), ms(5)));
        assert!(is_starved(ms(18), ms(5)));
        // A job of nothing that met one other's turn.
        assert!(!is_starved(ms(2), ms(0)));
    }
}
