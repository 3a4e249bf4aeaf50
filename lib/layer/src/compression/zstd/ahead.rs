//! Whole frames, unpacked ahead by helpers: frames know nothing of one another, and their ends are found by walking the headers
//! of their blocks as they arrive.
//!
//! Small frames go in groups. A frame that is large, or does not say that it is small, is left to the one in order, who
//! streams it. Memory: a group has at most 4 MiB packed and 8 MiB unpacked, and there are two for each helper.

use super::header::{self, Frame, HEADER_BYTES};
use crate::compression::crew::{Crew, Given, Helpers};
use crate::compression::pieces::Piece;
use crate::queue::{Sender, unbounded};
use std::collections::VecDeque;
use std::sync::Arc;

const GROUP_BYTES: u64 = 512 << 10;
const GROUP_CAP_BYTES: u64 = 4 << 20;
const CONTENT_BYTES: u64 = 2 << 20;
const CONTENT_CAP_BYTES: u64 = 8 << 20;

/// Frames that stand behind one another.
#[derive(Debug)]
pub(super) struct Group {
    pieces: Vec<Arc<Piece>>,
    start: u64,
    end: u64,
    content: u64,
}

/// What a group unpacks to, and what it takes to unpack another.
pub(super) struct Unpacked {
    decoder: ::zstd::bulk::Decompressor<'static>,
    packed: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacked").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// The groups given out, in order.
#[derive(Debug)]
pub(super) struct Ahead {
    crew: Crew<Group, Option<Unpacked>>,
    spare: Sender<Unpacked>,
    given: VecDeque<(u64, u64, Given<Group, Option<Unpacked>>)>,
    walk: Walk,
    in_turn: usize,
    /// How many groups helpers have unpacked.
    pub(super) taken_over: u64,
}

impl Ahead {
    pub(super) fn new(helpers: Helpers) -> Self {
        let (spare, again) = unbounded::<Unpacked>();
        let crew = Crew::new(helpers, move |group: Group, _| {
            let mut tools = match again.try_recv() {
                Ok(tools) => tools,
                Err(_) => {
                    let decoder = ::zstd::bulk::Decompressor::new().ok()?;
                    Unpacked { decoder, packed: Vec::new(), bytes: Vec::new() }
                }
            };
            group.packed(&mut tools.packed);
            tools.bytes.clear();
            tools.bytes.reserve_exact(group.content as usize);
            // What is wrong with it is found again, and told, by the one in order.
            tools.decoder.decompress_to_buffer(&tools.packed, &mut tools.bytes).ok()?;
            Some(tools)
        });
        Self { crew, spare, given: VecDeque::new(), walk: Walk::default(), in_turn: usize::MAX, taken_over: 0 }
    }

    /// Whether it must be told where a frame begins before it can give out more.
    pub(super) fn is_lost(&self) -> bool {
        self.walk.lost
    }

    /// Gives out frames from byte `at` on, where the one in order is and a frame begins if `between`, as far as `pieces` go. True if more
    /// pieces are wanted.
    pub(super) fn plan(&mut self, at: u64, between: bool, pieces: &[&Arc<Piece>]) -> bool {
        let count = self.crew.count(self.given.is_empty());
        if count == 0 {
            self.walk.lost = true;
            return false;
        }
        // Of a group that the one in order has begun, the first pieces may be gone.
        if self.walk.lost || self.walk.start < at {
            if !between || !self.given.is_empty() {
                return false;
            }
            self.walk = Walk { at, start: at, content: 0, state: State::Header, lost: false };
        }
        while self.given.len() < 2 * count {
            let least = self.crew.told_bytes();
            let Some((start, end, content)) = self.walk.group(pieces, least.unwrap_or(GROUP_BYTES)) else {
                return !self.walk.lost;
            };
            // Each has a share, the one in order too.
            if self.in_turn >= count {
                self.in_turn = 0;
                continue;
            }
            self.in_turn += 1;
            let wanted = pieces.iter().filter(|p| p.end() > start && p.start < end);
            let group = Group { pieces: wanted.map(|p| Arc::clone(p)).collect(), start, end, content };
            self.given.push_back((start, end, self.crew.give(group, count)));
        }
        false
    }

    /// What a helper has made of the frames that begin at byte `at`, and where they end.
    pub(super) fn take_over(&mut self, at: u64) -> Option<(Unpacked, u64)> {
        while let Some((start, end, given)) = self.given.front() {
            if at < *start {
                return None;
            }
            let end = *end;
            let here = at == *start && (self.crew.told_bytes().is_some() || given.take_back().is_none());
            let answer = if here { given.reply.recv().ok().flatten() } else { None };
            self.given.pop_front();
            if let Some(unpacked) = answer {
                self.taken_over += 1;
                return Some((unpacked, end));
            }
        }
        None
    }

    /// Bytes that have been used.
    pub(super) fn give_back(&self, unpacked: Unpacked) {
        let _ = self.spare.send(unpacked);
    }
}

impl Group {
    fn packed(&self, packed: &mut Vec<u8>) {
        packed.clear();
        for piece in &self.pieces {
            let from = (self.start + packed.len() as u64 - piece.start) as usize;
            let to = (self.end - piece.start).min(piece.bytes().len() as u64) as usize;
            packed.extend_from_slice(piece.bytes().get(from..to).unwrap_or_default());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Blocks { checksum: bool },
}

/// From frame to frame.
#[derive(Debug)]
struct Walk {
    /// The next byte to look at.
    at: u64,
    /// Where the group begins, and what it unpacks to at most.
    start: u64,
    content: u64,
    state: State,
    /// It is at a frame whose end it does not look for, or at something wrong: it goes on where the one in order will be.
    lost: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self { at: 0, start: 0, content: 0, state: State::Header, lost: true }
    }
}

impl Walk {
    /// The next group that is all there: start, end, content. `None` as long as there is none.
    fn group(&mut self, pieces: &[&Arc<Piece>], least: u64) -> Option<(u64, u64, u64)> {
        let newest = pieces.last()?;
        while !self.lost {
            if self.at - self.start > GROUP_CAP_BYTES || self.content > CONTENT_CAP_BYTES {
                self.lost = true;
                break;
            }
            match self.state {
                State::Header => {
                    let ended = newest.last && self.at >= newest.end();
                    let size = self.at - self.start;
                    if (size >= least || self.content >= CONTENT_BYTES || ended && size > 0) && self.at <= newest.end()
                    {
                        let group = (self.start, self.at, self.content);
                        (self.start, self.content) = (self.at, 0);
                        return Some(group);
                    }
                    let Some(bytes) = look(pieces, self.at, HEADER_BYTES) else {
                        self.lost = ended;
                        return None;
                    };
                    match header::read(bytes) {
                        Ok(Some(Frame::Skippable { bytes })) => self.at += bytes,
                        Ok(Some(Frame::Data { header, content, checksum })) => {
                            self.at += header as u64;
                            // One that does not say may be anything, and a group is not cut into.
                            self.content = self.content.saturating_add(content.unwrap_or(u64::MAX));
                            self.state = State::Blocks { checksum };
                        }
                        Ok(None) | Err(_) => self.lost = true,
                    }
                }
                State::Blocks { checksum } => {
                    let bytes = look(pieces, self.at, 3)?;
                    let block = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
                    // A run of one byte has a block of one byte.
                    let size = if block >> 1 & 3 == 1 { 1 } else { block >> 3 };
                    self.at += 3 + u64::from(size);
                    if block & 1 == 1 {
                        self.at += if checksum { 4 } else { 0 };
                        self.state = State::Header;
                    }
                }
            }
        }
        None
    }
}

/// `count` bytes from `at` on, fewer only at the end of everything; `None` as long as they are not there.
fn look<'a>(pieces: &[&'a Arc<Piece>], at: u64, count: usize) -> Option<&'a [u8]> {
    let all = pieces.iter().rev().find(|p| p.start <= at)?;
    let rest = all.bytes().get((at - all.start) as usize..)?;
    let enough = rest.len() >= count || all.last && (count != 3 && !rest.is_empty());
    enough.then(|| &rest[..rest.len().min(count)])
}
