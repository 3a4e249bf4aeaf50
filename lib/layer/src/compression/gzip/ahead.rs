//! Who decodes ahead: threads that guess at ranges of the blob further on, while the one in order comes up to them.
//!
//! ```text
//! blob     |== in order ==|-- range --|-- range --|== in order ==|-- range --| …      (two helpers)
//!                         ^ here the one in order asks for the guess; where it starts at the very bit
//!                           he has come to he takes it over, else he throws it away and decodes on
//! ```
//!
//! So what comes out is what one decoder in order gives, whatever helpers guess. They are let in only while cores idle
//! ([`budget`](crate::compression::budget)), and ranges are given out only while the consumer waits for more: decoding
//! in order costs the least.
//!
//! Memory. A guess takes at most 14 MiB and its part of the blob, and there are two for each helper.

use super::finder::Start;
use super::guess::{Guess, Memory, Range, guess};
use crate::compression::budget::{self, Busy};
use crate::compression::pieces::Piece;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// More helpers than this wait for the digest, which cannot be divided.
const HELPERS: usize = 6;

/// How much a range is to unpack to, about, and its bounds in packed bytes.
const RANGE_UNPACKED_BYTES: u64 = 5 << 19;
const RANGE_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 20);

/// What a helper sees behind its range: the block there must end in it.
const BEYOND_BYTES: u64 = 256 << 10;

/// Who may help.
pub(crate) enum Helpers {
    /// Nobody.
    None,
    /// Whoever idles, while `hungry` says that what is unpacked is waited for.
    Idle { hungry: Box<dyn Fn() -> bool + Send> },
    /// So many, always, each with ranges of so many bytes.
    #[cfg(test)]
    Always { count: usize, range_bytes: u64 },
}

impl Helpers {
    /// Whether every range is waited for, so that tests see guesses whoever is how fast.
    fn are_always(&self) -> bool {
        #[cfg(test)]
        if let Self::Always { .. } = self {
            return true;
        }
        false
    }
}

impl std::fmt::Debug for Helpers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Helpers")
    }
}

/// The ranges given out, in order.
#[derive(Debug)]
pub(super) struct Ahead {
    helpers: Helpers,
    busy: Vec<Busy>,
    threads: Vec<JoinHandle<()>>,
    jobs: Option<(Sender<Job>, Receiver<Job>)>,
    spare: (Sender<Memory>, Receiver<Memory>),
    abort: Arc<AtomicBool>,
    given: VecDeque<Given>,
    /// Where the next range begins, and how many were given out since the one in order had a share.
    horizon: u64,
    in_turn: usize,
    /// The share of the one in order, in 16ths of a range.
    share: u64,
    /// What [`Ahead`] did, for tests and measurements.
    pub(super) taken_over: u64,
}

#[derive(Debug)]
struct Given {
    start: u64,
    begun: Arc<AtomicBool>,
    reply: Receiver<Option<Guess>>,
    /// The guess, once it has been waited for.
    guess: Option<Guess>,
}

#[derive(Debug)]
struct Job {
    range: Range,
    begun: Arc<AtomicBool>,
    reply: Sender<Option<Guess>>,
}

impl Ahead {
    pub(super) fn new(helpers: Helpers) -> Self {
        Self {
            helpers,
            busy: Vec::new(),
            threads: Vec::new(),
            jobs: None,
            spare: unbounded(),
            abort: Arc::default(),
            given: VecDeque::new(),
            horizon: 0,
            in_turn: 0,
            share: 16,
            taken_over: 0,
        }
    }

    /// How many may help now.
    fn count(&mut self) -> usize {
        match &self.helpers {
            Helpers::None => 0,
            #[cfg(test)]
            Helpers::Always { count, .. } => *count,
            Helpers::Idle { hungry } => {
                if !hungry() {
                    if self.given.is_empty() {
                        self.busy.clear();
                    }
                    return 0;
                }
                if budget::is_crowded() {
                    self.busy.pop();
                } else if self.busy.len() < HELPERS
                    && let Some(busy) = Busy::helper()
                {
                    self.busy.push(busy);
                }
                self.busy.len()
            }
        }
    }

    fn range_bytes(&self, ratio: f64) -> u64 {
        #[cfg(test)]
        if let Helpers::Always { range_bytes, .. } = self.helpers {
            return range_bytes;
        }
        ((RANGE_UNPACKED_BYTES as f64 / ratio.max(0.1)) as u64).clamp(*RANGE_BYTES.start(), *RANGE_BYTES.end())
    }

    /// Gives out ranges behind byte `at`, where the one in order is, as far as `pieces` go (those from `at` on). Says up to which
    /// byte of the blob more is wanted. `ratio` is how many bytes a packed one gives.
    pub(super) fn plan(&mut self, at: u64, pieces: &[&Arc<Piece>], ratio: f64) -> u64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        let bytes = self.range_bytes(ratio);
        let share = bytes * self.share / 16;
        while self.given.len() < 2 * count {
            if self.given.is_empty() && self.horizon < at + share {
                (self.horizon, self.in_turn) = (at + share, 0);
            } else if self.in_turn >= count {
                (self.horizon, self.in_turn) = (self.horizon + share, 0);
            }
            let (start, end) = (self.horizon, self.horizon + bytes);
            let Some(newest) = pieces.last() else { return end };
            if newest.end() < end + BEYOND_BYTES && !newest.last {
                return end + BEYOND_BYTES;
            }
            if start + BEYOND_BYTES / 4 >= newest.end() {
                return 0;
            }
            let wanted = pieces.iter().filter(|p| p.end() > start && p.start < end + BEYOND_BYTES);
            self.give(Range { pieces: wanted.map(|p| Arc::clone(p)).collect(), start, end });
            (self.horizon, self.in_turn) = (end, self.in_turn + 1);
            if self.threads.len() < count {
                self.start_thread();
            }
        }
        0
    }

    fn give(&mut self, range: Range) {
        let (jobs, _) = self.jobs.get_or_insert_with(unbounded);
        let (reply, answer) = bounded(1);
        let begun = Arc::<AtomicBool>::default();
        self.given.push_back(Given { start: range.start, begun: Arc::clone(&begun), reply: answer, guess: None });
        let _ = jobs.send(Job { range, begun, reply });
    }

    fn start_thread(&mut self) {
        let Some((_, jobs)) = &self.jobs else { return };
        let (jobs, spare, abort) = (jobs.clone(), self.spare.clone(), Arc::clone(&self.abort));
        let help = move || {
            for job in jobs {
                // Whoever sets it first has the range: the helper, or the one in order that takes it back.
                if job.begun.swap(true, Ordering::AcqRel) {
                    continue;
                }
                let guessed = guess(&job.range, spare.1.try_recv().unwrap_or_default(), &abort);
                drop(job.range);
                let _ = match guessed {
                    Ok(guess) => job.reply.send(Some(guess)),
                    Err(memory) => {
                        let _ = spare.0.send(memory);
                        job.reply.send(None)
                    }
                };
            }
        };
        // Without a thread the range stays, and is taken back when its turn comes.
        if let Ok(thread) = std::thread::Builder::new().name("inflate ahead".into()).spawn(help) {
            self.threads.push(thread);
        }
    }

    /// The guess that starts where the one in order is; `is_here` says whether a start is that. `bit` is his position.
    pub(super) fn take_over(&mut self, bit: u64, is_here: impl Fn(Start) -> bool) -> Option<Guess> {
        let patient = self.helpers.are_always();
        while let Some(given) = self.given.front_mut() {
            if bit < given.start * 8 {
                return None;
            }
            if given.guess.is_none() {
                if !patient && !given.begun.swap(true, Ordering::AcqRel) {
                    self.given.pop_front();
                    continue;
                }
                let (answer, waited) = wait(&given.reply);
                // Who waits has too little to do himself, whom everybody waits for too much.
                self.share = if waited { (self.share + 2).min(64) } else { self.share.saturating_sub(1).max(4) };
                given.guess = answer;
            }
            let Some(guess) = &given.guess else {
                self.given.pop_front();
                continue;
            };
            if is_here(guess.start) {
                self.taken_over += 1;
                return self.given.pop_front().and_then(|g| g.guess);
            }
            if guess.start.bit() + 8 > bit {
                // Not there yet.
                return None;
            }
            if let Some(guess) = self.given.pop_front().and_then(|g| g.guess) {
                self.give_back(guess);
            }
        }
        None
    }

    /// A guess that is no longer needed.
    pub(super) fn give_back(&self, guess: Guess) {
        let _ = self.spare.0.send(guess.into_memory());
    }
}

/// The answer, and whether it had to be waited for.
fn wait(reply: &Receiver<Option<Guess>>) -> (Option<Guess>, bool) {
    if let Ok(answer) = reply.try_recv() {
        return (answer, false);
    }
    let begun = Instant::now();
    let answer = reply.recv().unwrap_or(None);
    (answer, begun.elapsed() > Duration::from_micros(300))
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.abort.store(true, Ordering::Relaxed);
        self.jobs = None;
        self.given.clear();
        for thread in self.threads.drain(..) {
            // A helper that panicked has said so; what it was to guess was decoded in order.
            let _ = thread.join();
        }
    }
}
