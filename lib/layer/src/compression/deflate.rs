//! DEFLATE (RFC 1951): a decoder that can be stopped at any symbol, writes into memory of the caller, and can start in the
//! middle of a stream.
//!
//! ```text
//! input   ───────[ lead-in | piece k ]            pieces overlap by LEAD_BYTES, so that nothing ever straddles two
//!                       [ lead-in | piece k+1 ]
//! output  [ history: up to 32 KiB | room ]        a match copies from what lies before it in the same slice
//! ```
//!
//! It is generic over what it writes ([`Symbol`]): bytes, or 16 bits where a value from [`MARKER`] on stands for a byte of
//! the window before the start that nobody knows yet. The position in the input is counted in bits and kept by the caller,
//! so that decoders can be compared, handed over between threads and started anywhere.
//!
//! What is taken for valid is what zlib takes: a distance code may lack codes if it has one of one bit, or none at all; a
//! literal code must hold the end of the block.
//!
//! Speed. 64 bits of input are held in a register and filled without a branch; one look into a table of 11 bits gives up to two
//! literals or a length with its extra bits; matches are copied in steps of 16 that may write beyond their end, for which
//! [`SLACK`] symbols of room are kept.

mod bits;
mod symbol;
mod tables;

pub(crate) use symbol::{MARKER, Symbol};

use bits::Bits;
use tables::{END_OF_BLOCK, EXCEPTIONAL, LITERAL, SUBTABLE, Tables};

/// How far back a match may reach.
pub(crate) const WINDOW: usize = 32 << 10;

/// Room that [`Deflate::run`] wants before it decodes another symbol: the longest match, and what a step may write beyond.
pub(crate) const SLACK: usize = 258 + 32;

/// With so many bytes ahead, or the end of the input, it always gets on: the longest header of a block has 562 bytes.
pub(crate) const MARGIN_BYTES: usize = 640;

/// How much pieces of input overlap.
pub(crate) const LEAD_BYTES: usize = 1024;

/// Why it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A block has ended, and it was not the last.
    Block,
    /// The last block has ended. The position is that of the bit behind it.
    End,
    /// Less than [`SLACK`] room is left.
    Full,
    /// Less than [`MARGIN_BYTES`] of input are left, and there is more to come.
    Input,
}

/// What is wrong with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It ends too early.
    Cut,
    /// It is no DEFLATE; why.
    Invalid(&'static str),
}

/// Bytes of which more may follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) bytes: &'a [u8],
    /// Nothing follows.
    pub(crate) last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the header of a block.
    Boundary,
    /// In a stored block, with so many bytes to come.
    Stored { left: usize, last: bool },
    /// In a block with codes.
    Coded { last: bool },
}

/// A decoder.
pub(crate) struct Deflate {
    state: State,
    tables: Box<Tables>,
}

impl std::fmt::Debug for Deflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflate").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Deflate {
    /// One that stands before a block.
    pub(crate) fn new() -> Self {
        Self { state: State::Boundary, tables: Box::default() }
    }

    /// Forgets where it was: it stands before a block.
    pub(crate) fn restart(&mut self) {
        self.state = State::Boundary;
    }

    /// Whether it stands before a block.
    pub(crate) fn at_boundary(&self) -> bool {
        self.state == State::Boundary
    }

    /// Decodes from bit `position` of `input` into `out` from `at` on, until it must stop; moves both. Matches reach back to
    /// `out[floor]` at most.
    pub(crate) fn run<T: Symbol>(
        &mut self,
        input: Input<'_>,
        position: &mut usize,
        out: &mut [T],
        at: &mut usize,
        floor: usize,
    ) -> Result<Stop, Broken> {
        let mut bits = Bits::new(input.bytes, *position);
        let stop = loop {
            match self.state {
                State::Boundary => {
                    if !input.last && bits.bytes_ahead() < MARGIN_BYTES {
                        break Stop::Input;
                    }
                    // The position stays before a header that is wrong.
                    *position = bits.position();
                    self.state = self.header(&mut bits)?;
                }
                State::Stored { left, last } => {
                    let from = bits.position() / 8;
                    let count = left.min(out.len().saturating_sub(*at)).min(input.bytes.len().saturating_sub(from));
                    T::extend(out, *at, &input.bytes[from..from + count]);
                    *at += count;
                    bits = Bits::new(input.bytes, (from + count) * 8);
                    *position = bits.position();
                    self.state = State::Stored { left: left - count, last };
                    if left == count {
                        self.state = State::Boundary;
                        break if last { Stop::End } else { Stop::Block };
                    }
                    if out.len().saturating_sub(*at) == 0 {
                        break Stop::Full;
                    }
                    if input.last {
                        return Err(Broken::Cut);
                    }
                    break Stop::Input;
                }
                State::Coded { last } => {
                    let mut stop = coded::<T, false>(&self.tables, &mut bits, out, at, floor);
                    if input.last && stop == Ok(Coded::Input) {
                        stop = coded::<T, true>(&self.tables, &mut bits, out, at, floor);
                    }
                    *position = bits.position();
                    break match stop? {
                        Coded::Full => Stop::Full,
                        Coded::Input => Stop::Input,
                        Coded::End => {
                            self.state = State::Boundary;
                            if last { Stop::End } else { Stop::Block }
                        }
                    };
                }
            }
        };
        Ok(stop)
    }

    /// Whether bit `position` is the first of a block's header, as far as it can be told from the header alone. What this
    /// decoder was at is lost.
    pub(crate) fn is_header(&mut self, input: Input<'_>, position: usize) -> bool {
        let mut bits = Bits::new(input.bytes, position);
        self.header(&mut bits).is_ok()
    }

    /// Reads the header of a block; says what the block is.
    fn header(&mut self, bits: &mut Bits<'_>) -> Result<State, Broken> {
        bits.refill();
        let last = bits.take(1) == 1;
        let state = match bits.take(2) {
            0 => {
                bits.align();
                bits.refill();
                let length = bits.take(16) as usize;
                let check = bits.take(16) as usize;
                if bits.overrun() {
                    return Err(Broken::Cut);
                }
                if length != !check & 0xffff {
                    return Err(Broken::Invalid("invalid stored block lengths"));
                }
                State::Stored { left: length, last }
            }
            1 => {
                self.tables.fixed();
                State::Coded { last }
            }
            2 => {
                // What lies behind the end reads as zeros, and looks wrong rather than cut.
                self.tables.read(bits).map_err(|e| if bits.overrun() { Broken::Cut } else { e })?;
                State::Coded { last }
            }
            _ => return Err(if bits.overrun() { Broken::Cut } else { Broken::Invalid("invalid block type") }),
        };
        if bits.overrun() { Err(Broken::Cut) } else { Ok(state) }
    }
}

/// Why [`coded`] stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coded {
    End,
    Full,
    Input,
}

/// Decodes symbols of a block. Without `TAIL` it stops 16 bytes before the end of the input; with it, it goes on to the end
/// and takes back what it read beyond.
fn coded<T: Symbol, const TAIL: bool>(
    tables: &Tables,
    bits: &mut Bits<'_>,
    out: &mut [T],
    at: &mut usize,
    floor: usize,
) -> Result<Coded, Broken> {
    let mut b = *bits;
    let mut pos = *at;
    let mut before = (b, pos);
    let full = out.len().saturating_sub(SLACK);
    let stop = if b.bytes.len() >= 16 { b.bytes.len() - 16 } else { 0 };
    let enough = b.bytes.len() >= 16;
    let done = loop {
        if TAIL {
            if b.overrun() {
                (b, pos) = before;
                break Err(Broken::Cut);
            }
            before = (b, pos);
        }
        if pos >= full {
            break Ok(Coded::Full);
        }
        if !TAIL && (b.at > stop || !enough) {
            break Ok(Coded::Input);
        }
        b.refill();
        let mut entry = tables.literal(b.buffer);
        if entry & LITERAL != 0 {
            b.drop(entry);
            T::literals(out, &mut pos, entry);
            entry = tables.literal(b.buffer);
            if entry & LITERAL != 0 {
                b.drop(entry);
                T::literals(out, &mut pos, entry);
                entry = tables.literal(b.buffer);
                if entry & LITERAL != 0 {
                    b.drop(entry);
                    T::literals(out, &mut pos, entry);
                    continue;
                }
            }
            b.refill();
        }
        let mut saved = b.buffer;
        if entry & EXCEPTIONAL != 0 {
            if entry & SUBTABLE != 0 {
                b.drop(entry);
                saved = b.buffer;
                entry = tables.literal_below(entry, saved);
                if entry & LITERAL != 0 {
                    b.drop(entry);
                    T::literals(out, &mut pos, entry);
                    continue;
                }
            }
            if entry & EXCEPTIONAL != 0 {
                b.drop(entry);
                if entry & END_OF_BLOCK != 0 && !(TAIL && b.overrun()) {
                    break Ok(Coded::End);
                }
                if TAIL && b.overrun() {
                    continue;
                }
                break Err(Broken::Invalid("invalid literal/length code"));
            }
        }
        b.drop(entry);
        let length = tables::value(entry, saved);
        saved = b.buffer;
        let mut entry = tables.distance(saved);
        if entry & EXCEPTIONAL != 0 {
            if entry & SUBTABLE != 0 {
                b.drop(entry);
                saved = b.buffer;
                entry = tables.distance_below(entry, saved);
            }
            if entry & EXCEPTIONAL != 0 {
                b.drop(entry);
                if TAIL && b.overrun() {
                    continue;
                }
                break Err(Broken::Invalid("invalid distance code"));
            }
        }
        b.drop(entry);
        let distance = tables::value(entry, saved);
        if distance > pos - floor {
            if TAIL && b.overrun() {
                continue;
            }
            break Err(Broken::Invalid("invalid distance too far back"));
        }
        T::copy(out, pos, distance, length);
        pos += length;
    };
    *bits = b;
    *at = pos;
    done
}

#[cfg(test)]
mod tests;
