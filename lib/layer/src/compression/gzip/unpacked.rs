//! The bytes of a gzip in order, in chunks: what a member's trailer says is checked as its end is met.

use super::ahead::Ahead;
use super::finder::Start;
use super::guess::{Bytes, Guess, Mark, resolve};
use super::sum::Sum;
use super::{Event, Stream};
use crate::compression::chunk::{Chunk, Unpack};
use crate::compression::crew::Helpers;
use crate::compression::deflate::{Broken, Input, MARKER, WINDOW};
use crate::compression::pieces::{Piece, Source};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Unpacks pieces into chunks.
#[derive(Debug)]
pub(crate) struct Unpacked<S> {
    source: S,
    piece: Option<Arc<Piece>>,
    /// Pieces behind it that are there already, for those ahead.
    later: VecDeque<Arc<Piece>>,
    ahead: Ahead,
    stream: Stream,
    /// In bits, from the start of the blob.
    position: u64,
    unpacked_bytes: u64,
    /// Of this member's bytes.
    sum: Sum,
    /// The last bytes of the chunk before, and how many of them this member wrote.
    window: Box<[u8; WINDOW]>,
    known: usize,
    taken_over: Option<TakenOver>,
    ended: bool,
}

/// A guess that turned out right, on its way into chunks.
#[derive(Debug)]
struct TakenOver {
    guess: Guess,
    /// What its symbols stand for.
    known: Bytes,
    /// How many of its bytes and marks are done.
    bytes: usize,
    marks: usize,
}

impl<S: Source> Unpacked<S> {
    pub(crate) fn new(source: S, helpers: Helpers) -> Self {
        Self {
            source,
            piece: None,
            later: VecDeque::new(),
            ahead: Ahead::new(helpers),
            stream: Stream::new(),
            position: 0,
            unpacked_bytes: 0,
            sum: Sum::default(),
            window: Box::new([0; WINDOW]),
            known: 0,
            taken_over: None,
            ended: false,
        }
    }

    /// How many guesses were right.
    #[cfg(test)]
    pub(crate) fn taken_over_count(&self) -> u64 {
        self.ahead.taken_over
    }

    fn fill_behind(&mut self, chunk: &mut Chunk, floor: &mut usize) -> io::Result<()> {
        while !self.ended || self.taken_over.is_some() {
            if self.taken_over.is_some() {
                if self.write_taken_over(chunk, floor).map_err(fault)? {
                    return Ok(());
                }
                continue;
            }
            let Some(piece) = self.piece.clone() else {
                if self.later.is_empty() && chunk.to > chunk.from && !self.source.is_ready() {
                    return Ok(());
                }
                self.next_piece()?;
                continue;
            };
            if self.take_over(&piece, chunk, *floor) {
                self.plan_ahead()?;
                continue;
            }
            let input = Input { bytes: piece.bytes(), last: piece.last };
            let base = piece.start * 8;
            let mut position = (self.position - base) as usize;
            let before = chunk.to;
            let event = self.stream.run(input, &mut position, &mut chunk.memory, &mut chunk.to, *floor);
            self.position = base + position as u64;
            self.sum.update(&chunk.memory[before..chunk.to]);
            match event.map_err(fault)? {
                Event::Block => {}
                Event::Full => return Ok(()),
                Event::Input => self.piece = None,
                Event::Member => {
                    self.sum = Sum::default();
                    *floor = chunk.to;
                }
                Event::Trailer(crc, size) => self.check(crc, size).map_err(fault)?,
                Event::End => self.ended = true,
            }
        }
        Ok(())
    }

    /// Goes on to the next piece.
    fn next_piece(&mut self) -> io::Result<()> {
        self.piece = match self.later.pop_front() {
            None => self.source.next()?,
            later => later,
        };
        if self.piece.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.plan_ahead()
    }

    /// Gives out what lies behind the current piece, as far as it has come.
    fn plan_ahead(&mut self) -> io::Result<()> {
        let Some(piece) = &self.piece else { return Ok(()) };
        let at = self.position / 8;
        let ratio = self.unpacked_bytes as f64 / at.max(1) as f64;
        loop {
            let pieces: Vec<&Arc<Piece>> = std::iter::once(piece).chain(&self.later).collect();
            let wanted = self.ahead.plan(at, &pieces, ratio);
            let newest = pieces.last().is_none_or(|p| p.last || p.end() >= wanted);
            if newest || !self.source.is_ready() {
                return Ok(());
            }
            match self.source.next()? {
                Some(piece) => self.later.push_back(piece),
                None => return Ok(()),
            }
        }
    }

    /// Takes over a guess that starts here, if there is one.
    fn take_over(&mut self, piece: &Piece, chunk: &Chunk, floor: usize) -> bool {
        let (before_block, between) = (self.stream.is_before_block(), self.stream.is_between_members());
        if !before_block && !between {
            return false;
        }
        let bit = self.position;
        let is_here = |start| match start {
            Start::Block(at) => before_block && at == bit,
            Start::Member(at) => between && at * 8 == bit,
            Start::Stored(at) => before_block && (bit + 3).div_ceil(8) == at && is_stored(piece, bit),
        };
        let Some(guess) = self.ahead.take_over(bit, is_here) else { return false };
        let unknown = WINDOW - (chunk.to - floor).min(WINDOW);
        if before_block && unknown > 0 {
            // With nothing known its end is the last symbol there is. Who refers to what is not known reads on by itself, and says where.
            let too_far = MARKER..=MARKER + (unknown - 1) as u16;
            if guess.symbols().iter().any(|s| too_far.contains(s)) {
                return false;
            }
        }
        let known = Bytes::behind(&chunk.memory[chunk.to - WINDOW..chunk.to]);
        self.taken_over = Some(TakenOver { guess, known, bytes: 0, marks: 0 });
        true
    }

    /// Writes on what was taken over; true if the chunk is full.
    fn write_taken_over(&mut self, chunk: &mut Chunk, floor: &mut usize) -> Result<bool, Broken> {
        let Some(mut taken) = self.taken_over.take() else { return Ok(false) };
        let room = WINDOW + Chunk::ROOM;
        loop {
            let (symbols, bytes) = (taken.guess.symbols(), taken.guess.bytes());
            let next = taken.guess.marks.get(taken.marks).copied();
            let end = next.map_or(symbols.len() + bytes.len(), |(at, _)| at);
            while taken.bytes < end {
                let left = room.saturating_sub(chunk.to);
                if left == 0 {
                    self.taken_over = Some(taken);
                    return Ok(true);
                }
                let count;
                if taken.bytes < symbols.len() {
                    let part = &symbols[taken.bytes..symbols.len().min(end)];
                    count = part.len().min(left);
                    resolve(&part[..count], &taken.known, &mut chunk.memory[chunk.to..chunk.to + count]);
                } else {
                    let part = &bytes[taken.bytes - symbols.len()..end - symbols.len()];
                    count = part.len().min(left);
                    chunk.memory[chunk.to..chunk.to + count].copy_from_slice(&part[..count]);
                }
                self.sum.update(&chunk.memory[chunk.to..chunk.to + count]);
                chunk.to += count;
                taken.bytes += count;
            }
            match next {
                None => break,
                Some((_, Mark::Member)) => {
                    self.sum = Sum::default();
                    *floor = chunk.to;
                }
                Some((_, Mark::Trailer(crc, size))) => self.check(crc, size)?,
            }
            taken.marks += 1;
        }
        // From where the guess ended it goes on in order.
        self.position = taken.guess.position;
        self.ended = taken.guess.ended;
        self.stream = std::mem::replace(&mut taken.guess.stream, Stream::new());
        self.ahead.give_back(taken.guess);
        while self.piece.as_ref().is_some_and(|p| p.end() * 8 < self.position) {
            self.piece = self.later.pop_front();
        }
        Ok(false)
    }

    fn check(&self, crc: u32, size: u32) -> Result<(), Broken> {
        if crc != self.sum.crc {
            return Err(Broken::Invalid("checksum mismatch"));
        }
        if size != self.sum.bytes {
            return Err(Broken::Invalid("length mismatch"));
        }
        Ok(())
    }
}

/// Whether the three bits from `bit` on are the header of a stored block that is not the last.
fn is_stored(piece: &Piece, bit: u64) -> bool {
    let at = (bit - piece.start * 8) as usize;
    let Some(two) = piece.bytes().get(at / 8..).and_then(<[u8]>::first_chunk) else { return false };
    u16::from_le_bytes(*two) >> (at % 8) & 7 == 0
}

fn fault(broken: Broken) -> io::Error {
    match broken {
        Broken::Cut => io::ErrorKind::UnexpectedEof.into(),
        Broken::Invalid(why) => io::Error::new(io::ErrorKind::InvalidData, why),
    }
}

impl<S: Source> Unpack for Unpacked<S> {
    fn fill(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        chunk.clear();
        chunk.memory[..WINDOW].copy_from_slice(&self.window[..]);
        let mut floor = WINDOW - self.known;
        let filled = self.fill_behind(chunk, &mut floor);
        let end = chunk.to;
        self.window.copy_from_slice(&chunk.memory[end - WINDOW..end]);
        self.known = (end - floor).min(WINDOW);
        self.unpacked_bytes += chunk.bytes().len() as u64;
        filled
    }
}
