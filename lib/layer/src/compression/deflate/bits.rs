//! Bits out of bytes, lowest first, up to 64 of them at hand. Behind the end there are zeros; [`Bits::overrun`] tells.

/// A reader. `buffer` holds `count` bits (in its low byte: what is above is rubbish) and perhaps more that do not count;
/// `at` is the byte behind those that count.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// From bit `position` on.
    pub(super) fn new(bytes: &'a [u8], position: usize) -> Self {
        let mut bits = Self { bytes, at: position / 8, buffer: 0, count: 0 };
        bits.refill();
        bits.take((position % 8) as u32);
        bits
    }

    fn count(&self) -> u32 {
        self.count & 0xff
    }

    /// Where the next bit is.
    pub(super) fn position(&self) -> usize {
        self.at * 8 - self.count() as usize
    }

    /// Whether more was read than there is.
    #[inline]
    pub(super) fn overrun(&self) -> bool {
        self.position() > self.bytes.len() * 8
    }

    /// How many bytes are left, at least.
    pub(super) fn bytes_ahead(&self) -> usize {
        self.bytes.len().saturating_sub(self.position().div_ceil(8))
    }

    /// Brings at least 56 bits to hand.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let word = match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.word_at_end(),
        };
        let count = self.count();
        self.buffer |= word << (count & 63);
        self.at += ((63 - (count & 63)) >> 3) as usize;
        self.count = count | 56;
    }

    #[cold]
    fn word_at_end(&self) -> u64 {
        let mut word = [0; 8];
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        u64::from_le_bytes(word)
    }

    /// The next `count` bits, at most 16 of those at hand.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let value = self.buffer as u32 & ((1 << count) - 1);
        self.drop(count);
        value
    }

    /// Passes over as many bits as the low six bits of `entry` say.
    #[inline(always)]
    pub(super) fn drop(&mut self, entry: u32) {
        self.buffer >>= entry & 63;
        self.count = self.count.wrapping_sub(entry & 63);
    }

    /// Passes over what is left of the byte.
    pub(super) fn align(&mut self) {
        let over = self.count() % 8;
        self.drop(over);
    }
}
