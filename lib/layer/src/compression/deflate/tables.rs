//! The tables of a block: what the next bits mean.
//!
//! ```text
//! literal    1....... ......cc bbbbbbbb aaaaaaaa ..tttttt   one or two (c) literals a, b and the bits of both (t)
//! length     0....... .......v vvvvvvvv 0...llll ..tttttt   base v; bits of its code l, of code and extra bits t
//! distance   vvvvvvvv vvvvvvvv 0...llll ..tttttt            the same
//! end        EXCEPTIONAL, END_OF_BLOCK and t
//! subtable   EXCEPTIONAL, SUBTABLE, start v, l = bits of its index, t = bits of the index into the first table
//! invalid    EXCEPTIONAL alone
//! ```
//!
//! A code that is longer than the index of its table leads to a subtable behind it.

use super::Broken;
use super::bits::Bits;

pub(super) const LITERAL: u32 = 1 << 31;
pub(super) const EXCEPTIONAL: u32 = 1 << 15;
pub(super) const SUBTABLE: u32 = 1 << 14;
pub(super) const END_OF_BLOCK: u32 = 1 << 13;

const LITERAL_BITS: usize = 11;
const DISTANCE_BITS: usize = 8;
const PRE_BITS: usize = 7;
/// Large enough for the subtables too: zlib's `enough` gives 2,342 and 402 entries at most.
const LITERAL_SIZE: usize = 4096;
const DISTANCE_SIZE: usize = 512;

const MAX_BITS: usize = 15;

/// The tables, and which they are.
pub(super) struct Tables {
    literals: [u32; LITERAL_SIZE],
    distances: [u32; DISTANCE_SIZE],
    is_fixed: bool,
}

impl Default for Tables {
    fn default() -> Self {
        Self { literals: [EXCEPTIONAL; LITERAL_SIZE], distances: [EXCEPTIONAL; DISTANCE_SIZE], is_fixed: false }
    }
}

/// What a length's or distance's entry says, with its extra bits out of the bits it was found by.
#[inline(always)]
pub(super) fn value(entry: u32, bits: u64) -> usize {
    let extra = (bits & !(u64::MAX << (entry & 63))) >> (entry >> 8 & 15);
    (entry >> 16) as usize + extra as usize
}

impl Tables {
    /// The entry for the literals or the length that comes next.
    #[inline(always)]
    pub(super) fn literal(&self, bits: u64) -> u32 {
        self.literals[bits as usize & ((1 << LITERAL_BITS) - 1)]
    }

    /// The same in a subtable, its pointer's bits passed over.
    #[inline(always)]
    pub(super) fn literal_below(&self, pointer: u32, bits: u64) -> u32 {
        self.literals[below(pointer, bits) & (LITERAL_SIZE - 1)]
    }

    /// The entry for the distance that comes next.
    #[inline(always)]
    pub(super) fn distance(&self, bits: u64) -> u32 {
        self.distances[bits as usize & ((1 << DISTANCE_BITS) - 1)]
    }

    /// The same in a subtable, its pointer's bits passed over.
    #[inline(always)]
    pub(super) fn distance_below(&self, pointer: u32, bits: u64) -> u32 {
        self.distances[below(pointer, bits) & (DISTANCE_SIZE - 1)]
    }

    /// Makes them those of a block with the fixed codes.
    pub(super) fn fixed(&mut self) {
        if self.is_fixed {
            return;
        }
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        build(&mut self.literals, LITERAL_BITS, &lengths, &LITERALS);
        pair_literals(&mut self.literals);
        build(&mut self.distances, DISTANCE_BITS, &[5; 32], &DISTANCES);
        self.is_fixed = true;
    }

    /// Reads the codes of a block with its own, behind the three bits of the block's header.
    pub(super) fn read(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        self.is_fixed = false;
        let (lengths, literals, distances) = code_lengths(bits)?;
        if lengths[256] == 0 {
            return Err(Broken::Invalid("invalid code: no end of block"));
        }
        let (literals, distances) = (&lengths[..literals], &lengths[literals..literals + distances]);
        if !build(&mut self.literals, LITERAL_BITS, literals, &LITERALS) {
            return Err(Broken::Invalid("invalid literal/lengths set"));
        }
        if !build(&mut self.distances, DISTANCE_BITS, distances, &DISTANCES) {
            return Err(Broken::Invalid("invalid distances set"));
        }
        pair_literals(&mut self.literals);
        Ok(())
    }
}

#[inline(always)]
fn below(pointer: u32, bits: u64) -> usize {
    (pointer >> 16) as usize + (bits & !(u64::MAX << (pointer >> 8 & 15))) as usize
}

/// In which order the lengths of the code for code lengths come.
const PRE_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The lengths of all codes, those of distances behind those of literals and lengths; how many of which.
fn code_lengths(bits: &mut Bits<'_>) -> Result<([u8; 320], usize, usize), Broken> {
    bits.refill();
    let literals = bits.take(5) as usize + 257;
    let distances = bits.take(5) as usize + 1;
    let codes = bits.take(4) as usize + 4;
    if literals > 286 || distances > 30 {
        return Err(Broken::Invalid("too many length or distance symbols"));
    }
    let mut pre = [0; 19];
    for &at in &PRE_ORDER[..codes] {
        bits.refill();
        pre[at] = bits.take(3) as u8;
    }
    let mut table = [0; 1 << PRE_BITS];
    if !build(&mut table, PRE_BITS, &pre, &PRE) || pre.iter().all(|&l| l == 0) || is_lone(&pre) {
        return Err(Broken::Invalid("invalid code lengths set"));
    }
    let mut lengths = [0; 320];
    let (mut at, all) = (0, literals + distances);
    while at < all {
        bits.refill();
        let entry = table[bits.buffer as usize & ((1 << PRE_BITS) - 1)];
        bits.drop(entry);
        let (value, count) = match entry >> 16 {
            16 if at == 0 => return Err(Broken::Invalid("invalid bit length repeat")),
            16 => (lengths[at - 1], 3 + bits.take(2) as usize),
            17 => (0, 3 + bits.take(3) as usize),
            18 => (0, 11 + bits.take(7) as usize),
            length => (length as u8, 1),
        };
        if at + count > all {
            return Err(Broken::Invalid("invalid bit length repeat"));
        }
        lengths[at..at + count].fill(value);
        at += count;
    }
    Ok((lengths, literals, distances))
}

/// Whether a code has but one code, of one bit.
fn is_lone(lengths: &[u8]) -> bool {
    lengths.iter().map(|&l| u32::from(l)).sum::<u32>() == 1
}

/// Fills `table` for the code of the given lengths, whose symbols mean `meanings`; false if there is no such code: too many codes,
/// or too few and not just one of one bit, or none.
fn build(table: &mut [u32], index_bits: usize, lengths: &[u8], meanings: &[u32]) -> bool {
    let mut counts = [0_usize; MAX_BITS + 1];
    for &length in lengths {
        counts[usize::from(length & 15)] += 1;
    }
    counts[0] = 0;
    let mut left = 1_i32;
    let mut starts = [0_usize; MAX_BITS + 2];
    for length in 1..=MAX_BITS {
        left = (left << 1) - counts[length] as i32;
        if left < 0 {
            return false;
        }
        starts[length + 1] = starts[length] + counts[length];
    }
    let used = starts[MAX_BITS + 1];
    if left > 0 && !(used == 0 || (used == 1 && counts[1] == 1)) {
        return false;
    }
    let mut sorted = [0_u16; 288];
    for (symbol, &length) in lengths.iter().enumerate() {
        if length != 0 {
            let start = &mut starts[usize::from(length & 15)];
            sorted[*start] = symbol as u16;
            *start += 1;
        }
    }
    table[0] = EXCEPTIONAL;
    table[1] = EXCEPTIONAL;
    let mut code = 0; // its first bit lowest, as the input has it
    let mut symbols = sorted[..used].iter().map(|&s| meanings[usize::from(s)]);
    for (length, &count) in counts.iter().enumerate().take(index_bits + 1).skip(1) {
        for meaning in symbols.by_ref().take(count) {
            table[code] = with_length(meaning, length);
            code = next_code(code, length);
        }
        if length < index_bits {
            table.copy_within(..1 << length, 1 << length);
        }
    }
    // What is longer: subtables, each as large as the codes of its start need it.
    let (mut start, mut prefix, mut below_bits) = (1 << index_bits, usize::MAX, 0);
    for length in index_bits + 1..=MAX_BITS {
        for n in 0..counts[length] {
            let Some(meaning) = symbols.next() else { return false };
            if code & ((1 << index_bits) - 1) != prefix {
                if prefix != usize::MAX {
                    start += 1 << below_bits;
                }
                prefix = code & ((1 << index_bits) - 1);
                below_bits = length - index_bits;
                let mut room = counts[length] - n;
                while room < 1 << below_bits && index_bits + below_bits < MAX_BITS {
                    below_bits += 1;
                    room = (room << 1) + counts[index_bits + below_bits];
                }
                let pointer = EXCEPTIONAL | SUBTABLE | (start as u32) << 16 | (below_bits as u32) << 8;
                table[prefix] = pointer | index_bits as u32;
            }
            let entry = with_length(meaning, length - index_bits);
            for at in (code >> index_bits..1 << below_bits).step_by(1 << (length - index_bits)) {
                table[start + at] = entry;
            }
            code = next_code(code, length);
        }
    }
    true
}

/// The code behind `code`, of the same length; the lowest bit is the first.
fn next_code(code: usize, length: usize) -> usize {
    let ones = (!code & ((1 << length) - 1)) as u64;
    if ones == 0 {
        return code;
    }
    let zero = 1 << (63 - ones.leading_zeros());
    code & (zero - 1) | zero
}

fn with_length(meaning: u32, length: usize) -> u32 {
    let length = length as u32;
    if meaning & LITERAL != 0 { meaning + length } else { meaning + length + (length << 8) }
}

/// Where one literal and the next fit into the index, one entry gives both.
fn pair_literals(table: &mut [u32; LITERAL_SIZE]) {
    // Downwards, for what an entry is joined with lies below it, and must be one literal still.
    for at in (0..1 << LITERAL_BITS).rev() {
        let first = table[at];
        if first & LITERAL == 0 {
            continue;
        }
        let bits = first & 63;
        let second = table[at >> bits];
        if second & LITERAL != 0 && bits + (second & 63) <= LITERAL_BITS as u32 {
            table[at] = LITERAL | 2 << 24 | (second & 0xff00) << 8 | first & 0xff00 | (bits + (second & 63));
        }
    }
}

/// What the symbols of the code for code lengths mean.
const PRE: [u32; 19] = {
    let mut all = [0; 19];
    let mut symbol = 0;
    while symbol < 19 {
        all[symbol] = (symbol as u32) << 16;
        symbol += 1;
    }
    all
};

/// What literals and lengths mean, extra bits counted in t.
const LITERALS: [u32; 288] = {
    let mut all = [EXCEPTIONAL; 288];
    let mut symbol = 0;
    while symbol < 256 {
        all[symbol] = LITERAL | 1 << 24 | (symbol as u32) << 8;
        symbol += 1;
    }
    all[256] = EXCEPTIONAL | END_OF_BLOCK;
    let mut base = 3;
    symbol = 257;
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        all[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    all[285] = 258 << 16;
    all
};

/// What distances mean, extra bits counted in t.
const DISTANCES: [u32; 32] = {
    let mut all = [EXCEPTIONAL; 32];
    let mut base = 1;
    let mut symbol = 0;
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { symbol as u32 / 2 - 1 };
        all[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    all
};
