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
use crate::compression::budget::Stretch;
use crate::compression::crew::{Crew, Given, Helpers};
use crate::compression::pieces::Piece;
use crate::queue::{Receiver, Sender, unbounded};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much a range is to unpack to, about, and its bounds in packed bytes.
const RANGE_UNPACKED_BYTES: u64 = 5 << 19;
const RANGE_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 20);

/// What a helper sees behind its range: the block there must end in it.
const BEYOND_BYTES: u64 = 256 << 10;

/// The ranges given out, in order.
#[derive(Debug)]
pub(super) struct Ahead {
    crew: Crew<Range, Option<Guess>>,
    spare: Sender<Memory>,
    given: VecDeque<Part>,
    /// Where the next range begins, and how many were given out since the one in order had a share.
    horizon: u64,
    in_turn: usize,
    /// The share of the one in order, in 16ths of a range.
    share: u64,
    /// How many guesses were right.
    pub(super) taken_over: u64,
}

#[derive(Debug)]
struct Part {
    start: u64,
    given: Given<Range, Option<Guess>>,
    /// The guess, once it has been waited for.
    guess: Option<Guess>,
}

impl Ahead {
    pub(super) fn new(helpers: Helpers) -> Self {
        let (spare, again) = unbounded();
        let home = spare.clone();
        let crew = Crew::new(helpers, move |range: Range, abort| {
            let stretch = Stretch::begin();
            let guessed = guess(&range, again.try_recv().unwrap_or_default(), abort);
            stretch.end();
            guessed.map_err(|memory| home.send(memory)).ok()
        });
        Self { crew, spare, given: VecDeque::new(), horizon: 0, in_turn: 0, share: 16, taken_over: 0 }
    }

    fn range_bytes(&self, ratio: f64) -> u64 {
        if let Some(told) = self.crew.told_bytes() {
            return told;
        }
        ((RANGE_UNPACKED_BYTES as f64 / ratio.max(0.1)) as u64).clamp(*RANGE_BYTES.start(), *RANGE_BYTES.end())
    }

    /// Gives out ranges behind byte `at`, where the one in order is, as far as `pieces` go (those from `at` on). Says up to which
    /// byte of the blob more is wanted. `ratio` is how many bytes a packed one gives.
    pub(super) fn plan(&mut self, at: u64, pieces: &[&Arc<Piece>], ratio: f64) -> u64 {
        let count = self.crew.count(self.given.is_empty());
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
            let range = Range { pieces: wanted.map(|p| Arc::clone(p)).collect(), start, end };
            self.given.push_back(Part { start, given: self.crew.give(range, count), guess: None });
            (self.horizon, self.in_turn) = (end, self.in_turn + 1);
        }
        0
    }

    /// The guess that starts where the one in order is; `is_here` says whether a start is that. `bit` is his position.
    pub(super) fn take_over(&mut self, bit: u64, is_here: impl Fn(Start) -> bool) -> Option<Guess> {
        let patient = self.crew.told_bytes().is_some();
        while let Some(part) = self.given.front_mut() {
            if bit < part.start * 8 {
                return None;
            }
            if part.guess.is_none() {
                if !patient && part.given.take_back().is_some() {
                    self.given.pop_front();
                    continue;
                }
                let (answer, waited) = wait(&part.given.reply);
                // Who waits has too little to do himself, whom everybody waits for too much.
                self.share = if waited { (self.share + 2).min(64) } else { self.share.saturating_sub(1).max(4) };
                part.guess = answer;
            }
            let Some(guess) = &part.guess else {
                self.given.pop_front();
                continue;
            };
            if is_here(guess.start) {
                self.taken_over += 1;
                return self.given.pop_front().and_then(|p| p.guess);
            }
            if guess.start.bit() + 8 > bit {
                // Not there yet.
                return None;
            }
            if let Some(guess) = self.given.pop_front().and_then(|p| p.guess) {
                self.give_back(guess);
            }
        }
        None
    }

    /// A guess that is no longer needed.
    pub(super) fn give_back(&self, guess: Guess) {
        let _ = self.spare.send(guess.into_memory());
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
