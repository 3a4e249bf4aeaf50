//! Decoding from somewhere in the middle, before anybody knows what comes before.
//!
//! What matches refer to before the start is written as markers, 16 bits a symbol. Once the last 32 KiB hold none, nothing
//! behind them can refer to what is unknown, and bytes are written from there on. Behind the header of a member nothing is
//! unknown either.

use super::finder::{Finder, Start};
use super::{Event, Stream};
use crate::compression::deflate::{Broken, Input, MARKER, SLACK, WINDOW};
use crate::compression::pieces::Piece;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many symbols with markers and how many bytes one guess may have: a bomb must not take memory.
const SYMBOLS_CAP: usize = WINDOW + (3 << 20);
const BYTES_CAP: usize = WINDOW + (8 << 20);

/// How much is written between two looks for markers, and at whether anybody still wants it.
const STEP: usize = 128 << 10;

/// Which bytes of the blob to decode.
#[derive(Debug)]
pub(super) struct Range {
    /// The pieces that hold them and some more; the first holds `start`.
    pub(super) pieces: Vec<Arc<Piece>>,
    /// Where to look for a start, and where to stop at the next boundary.
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    packed: Vec<u8>,
    symbols: Vec<u16>,
    bytes: Vec<u8>,
}

/// Something between the bytes of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A member begins.
    Member,
    /// A member ends: its CRC32 and size modulo 2^32.
    Trailer(u32, u32),
}

/// What was decoded.
#[derive(Debug)]
pub(super) struct Guess {
    /// Where it starts, in the blob.
    pub(super) start: Start,
    memory: Memory,
    symbols_end: usize,
    bytes_end: usize,
    /// Marks, each with how many bytes come before it.
    pub(super) marks: Vec<(usize, Mark)>,
    /// The decoder where it stopped, and where that is in the blob, in bits.
    pub(super) stream: Stream,
    pub(super) position: u64,
    /// It stopped at the end of everything.
    pub(super) ended: bool,
}

impl Guess {
    /// What may hold markers; [`bytes`](Self::bytes) come behind it.
    pub(super) fn symbols(&self) -> &[u16] {
        &self.memory.symbols[WINDOW..self.symbols_end]
    }

    /// What is known for certain.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.bytes.get(WINDOW..self.bytes_end).unwrap_or_default()
    }

    /// The memory, to be used again.
    pub(super) fn into_memory(self) -> Memory {
        self.memory
    }
}

/// Decodes from the first start in `range` that leads to its end, to the boundary there. `None` where there is none, or
/// `abort` says that nobody wants it.
pub(super) fn guess(range: &Range, mut memory: Memory, abort: &AtomicBool) -> Result<Guess, Memory> {
    let mut packed = std::mem::take(&mut memory.packed);
    packed.clear();
    let mut last = false;
    for piece in &range.pieces {
        let from = range.start.saturating_sub(piece.start).min(piece.bytes().len() as u64) as usize;
        packed.extend_from_slice(&piece.bytes()[from.max(if packed.is_empty() { 0 } else { piece.lead })..]);
        last = piece.last;
    }
    let input = Input { bytes: &packed, last };
    let end = ((range.end - range.start) as usize).min(packed.len());
    let mut finder = Finder::new(input, end);
    while let Some(start) = finder.next() {
        if abort.load(Ordering::Relaxed) {
            break;
        }
        let mut attempt = Attempt::new(start, memory);
        let done = attempt.decode(input, end * 8, abort);
        if done == Ok(true) {
            let position = range.start * 8 + attempt.position as u64;
            attempt.memory.packed = packed;
            return Ok(Guess {
                start: start.behind(range.start),
                memory: attempt.memory,
                symbols_end: attempt.symbols_end,
                bytes_end: attempt.bytes_end,
                marks: attempt.marks,
                stream: attempt.stream,
                position,
                ended: attempt.ended,
            });
        }
        memory = attempt.memory;
    }
    memory.packed = packed;
    Err(memory)
}

struct Attempt {
    memory: Memory,
    symbols_end: usize,
    bytes_end: usize,
    floor: usize,
    marks: Vec<(usize, Mark)>,
    stream: Stream,
    position: usize,
    in_bytes: bool,
    ended: bool,
}

impl Attempt {
    fn new(start: Start, mut memory: Memory) -> Self {
        if memory.symbols.len() < WINDOW {
            memory.symbols.resize(WINDOW, 0);
        }
        for (n, symbol) in memory.symbols[..WINDOW].iter_mut().enumerate() {
            *symbol = MARKER + n as u16;
        }
        Self {
            memory,
            symbols_end: WINDOW,
            bytes_end: WINDOW,
            floor: 0,
            marks: Vec::new(),
            stream: if matches!(start, Start::Member(_)) { Stream::new() } else { Stream::in_body() },
            position: start.bit() as usize,
            in_bytes: false,
            ended: false,
        }
    }

    /// Decodes to the first boundary at or behind bit `end`, or as far as memory and input go. False if nobody wants it.
    fn decode(&mut self, input: Input<'_>, end: usize, abort: &AtomicBool) -> Result<bool, Broken> {
        loop {
            if abort.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let full = if self.in_bytes { self.bytes_end >= BYTES_CAP } else { self.symbols_end >= SYMBOLS_CAP };
            if full {
                return Ok(true);
            }
            match self.step(input)? {
                Event::Full => {}
                Event::Block if self.position >= end => return Ok(true),
                Event::Block => {}
                Event::Input => return Ok(true),
                Event::End => {
                    self.ended = true;
                    return Ok(true);
                }
                Event::Trailer(crc, size) => {
                    self.marks.push((self.count(), Mark::Trailer(crc, size)));
                    if self.position >= end && !input.last {
                        return Ok(true);
                    }
                }
                Event::Member => {
                    self.marks.push((self.count(), Mark::Member));
                    self.enter_bytes();
                    self.floor = self.bytes_end;
                }
            }
            if !self.in_bytes && self.is_known() {
                self.enter_bytes();
            }
        }
    }

    fn step(&mut self, input: Input<'_>) -> Result<Event, Broken> {
        let position = &mut self.position;
        if self.in_bytes {
            let (at, all) = (&mut self.bytes_end, &mut self.memory.bytes);
            let out = room(all, *at, BYTES_CAP);
            self.stream.run(input, position, out, at, self.floor)
        } else {
            let (at, all) = (&mut self.symbols_end, &mut self.memory.symbols);
            let out = room(all, *at, SYMBOLS_CAP);
            self.stream.run(input, position, out, at, self.floor)
        }
    }

    fn count(&self) -> usize {
        self.symbols_end + self.bytes_end - 2 * WINDOW
    }

    /// Whether the window that what comes may refer to is without markers.
    fn is_known(&self) -> bool {
        let window = &self.memory.symbols[self.symbols_end - WINDOW..self.symbols_end];
        window.chunks(512).rev().all(|part| part.iter().fold(0, |all, s| all | s) < MARKER)
    }

    /// From here on bytes are written; the window goes over.
    fn enter_bytes(&mut self) {
        if self.in_bytes {
            return;
        }
        self.in_bytes = true;
        let bytes = &mut self.memory.bytes;
        if bytes.len() < WINDOW {
            bytes.resize(WINDOW, 0);
        }
        for (to, from) in bytes.iter_mut().zip(&self.memory.symbols[self.symbols_end - WINDOW..self.symbols_end]) {
            // Markers are left only where nothing may refer to any more.
            *to = *from as u8;
        }
    }
}

/// The first bytes of `all`, with room for a step behind `at`, but not beyond `cap`.
fn room<T: Copy + Default>(all: &mut Vec<T>, at: usize, cap: usize) -> &mut [T] {
    let end = (at + STEP).min(cap) + SLACK;
    if all.len() < end {
        let grown = (all.len() + all.len() / 2).clamp(end, cap + SLACK);
        all.reserve_exact(grown - all.len());
        all.resize(grown, T::default());
    }
    &mut all[..end]
}

/// The byte that each symbol stands for, whichever of the 65,536 it is: looking it up takes no branch.
#[derive(Debug)]
pub(super) struct Bytes(Box<[u8; 1 << 16]>);

impl Bytes {
    /// Where the window is that.
    pub(super) fn behind(window: &[u8]) -> Self {
        let mut all = Box::new([0; 1 << 16]);
        for (byte, to) in (0..=u8::MAX).zip(all.iter_mut()) {
            *to = byte;
        }
        all[usize::from(MARKER)..].copy_from_slice(window);
        Self(all)
    }
}

/// Writes symbols as bytes.
pub(super) fn resolve(symbols: &[u16], known: &Bytes, out: &mut [u8]) {
    let (wide, wide_rest) = symbols.as_chunks::<16>();
    let (to, to_rest) = out.as_chunks_mut::<16>();
    for (symbols, to) in wide.iter().zip(to) {
        if symbols.iter().fold(0, |all, s| all | s) < MARKER {
            for (to, symbol) in to.iter_mut().zip(symbols) {
                *to = *symbol as u8;
            }
        } else {
            for (to, symbol) in to.iter_mut().zip(symbols) {
                *to = known.0[usize::from(*symbol)];
            }
        }
    }
    for (to, symbol) in to_rest.iter_mut().zip(wide_rest) {
        *to = known.0[usize::from(*symbol)];
    }
}
