//! Where in the middle of a gzip a block or a member may begin. What is found may be none; what is not found is lost speed only.

use crate::compression::deflate::{Deflate, Input};

/// A place where decoding may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A block with codes of its own, by its first bit.
    Block(u64),
    /// A stored block, by the byte of its length: how many bits of filling are before that nobody can tell.
    Stored(u64),
    /// A member, by its first byte.
    Member(u64),
}

impl Start {
    /// The same place with everything counted from `base` bytes earlier.
    pub(super) fn behind(self, base: u64) -> Self {
        match self {
            Self::Block(bit) => Self::Block(bit + base * 8),
            Self::Stored(byte) => Self::Stored(byte + base),
            Self::Member(byte) => Self::Member(byte + base),
        }
    }

    /// The bit from which it can be decoded.
    pub(super) fn bit(self) -> u64 {
        match self {
            Self::Block(bit) => bit,
            // Three zeros before the length are the header of a stored block, and were looked for.
            Self::Stored(byte) => byte * 8 - 3,
            Self::Member(byte) => byte * 8,
        }
    }
}

/// Looks for starts.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    input: Input<'a>,
    /// The next bit to look at.
    bit: usize,
    end: usize,
    trial: Deflate,
}

impl<'a> Finder<'a> {
    /// In the bytes of `input` before `end`.
    pub(super) fn new(input: Input<'a>, end: usize) -> Self {
        Self { input, bit: 8, end: end * 8, trial: Deflate::new() }
    }

    fn word(&self, byte: usize) -> Option<u128> {
        self.input.bytes.get(byte..)?.first_chunk().map(|w| u128::from_le_bytes(*w))
    }

    /// The next start.
    pub(super) fn next(&mut self) -> Option<Start> {
        while self.bit < self.end {
            let byte = self.bit / 8;
            let word = self.word(byte)?;
            if self.bit.is_multiple_of(8) {
                let low = word as u32;
                // gzip, DEFLATE, no unknown flag
                if low & 0xe0ff_ffff == 0x0008_8b1f {
                    self.bit += 1;
                    return Some(Start::Member(byte as u64));
                }
                if low as u16 == !(low >> 16) as u16 && self.input.bytes[byte - 1] & 0xe0 == 0 {
                    self.bit += 1;
                    return Some(Start::Stored(byte as u64));
                }
            }
            for shift in self.bit % 8..8 {
                if may_be_header(word >> shift) {
                    let bit = byte * 8 + shift;
                    if self.trial.is_header(self.input, bit) {
                        self.bit = bit + 1;
                        // Where the shift was the last, the byte is done.
                        return Some(Start::Block(bit as u64));
                    }
                }
            }
            self.bit = (byte + 1) * 8;
        }
        None
    }
}

/// Whether 74 bits may be the start of a block that is not the last and has codes of its own: not too many symbols, and lengths for
/// the code of the code lengths that use up all codes.
#[inline]
fn may_be_header(bits: u128) -> bool {
    let low = bits as u32;
    if low & 7 != 4 || low >> 3 & 31 > 29 || low >> 8 & 31 > 29 {
        return false;
    }
    let count = 4 + (low >> 13 & 15);
    let mut lengths = (bits >> 17) as u64 & ((1 << (3 * count)) - 1);
    let mut used = 0;
    while lengths != 0 {
        used += u32::from(CODES_USED[(lengths & 0xfff) as usize]);
        lengths >>= 12;
    }
    used == 128
}

/// Of 128 codes of seven bits, how many four lengths of three bits take.
const CODES_USED: [u16; 4096] = {
    let mut all = [0; 4096];
    let mut four = 0;
    while four < 4096 {
        let mut rest = four;
        while rest != 0 {
            if rest & 7 != 0 {
                all[four] += 128 >> (rest & 7);
            }
            rest >>= 3;
        }
        four += 1;
    }
    all
};
