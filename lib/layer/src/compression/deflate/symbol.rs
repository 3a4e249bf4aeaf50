//! What the decoder writes: bytes, or bytes and markers for bytes that are not known yet.

/// A symbol of 16 bits from here on stands for a byte of the unknown window: `MARKER + n` for its byte `n`.
pub(crate) const MARKER: u16 = 0x8000;

/// Something that a byte fits in.
pub(crate) trait Symbol: Copy + Default {
    fn of(byte: u8) -> Self;

    /// Writes `bytes` at `at`.
    fn extend(out: &mut [Self], at: usize, bytes: &[u8]);

    /// Writes the one or two literals of a table's entry; there is room for two.
    #[inline(always)]
    fn literals(out: &mut [Self], at: &mut usize, entry: u32) {
        if let Some(two) = out.get_mut(*at..).and_then(<[Self]>::first_chunk_mut::<2>) {
            *two = [Self::of((entry >> 8) as u8), Self::of((entry >> 16) as u8)];
        }
        *at += (entry >> 24 & 3) as usize;
    }

    /// Copies `length` symbols from `distance` before `at`; may write 15 more, for which there is room.
    #[inline(always)]
    fn copy(out: &mut [Self], at: usize, distance: usize, length: usize) {
        if distance >= 16 {
            // Most matches are no longer than two steps, and a branch that guesses wrong costs more than a step.
            step::<Self, 16>(out, at, distance);
            step::<Self, 16>(out, at + 16, distance);
            let mut done = 32;
            while done < length {
                step::<Self, 16>(out, at + done, distance);
                done += 16;
            }
            return;
        }
        copy_near(out, at, distance, length);
    }
}

#[inline(always)]
fn step<T: Copy, const N: usize>(out: &mut [T], at: usize, distance: usize) {
    let Some(part) = out.get(at - distance..).and_then(<[T]>::first_chunk::<N>).copied() else { return };
    if let Some(to) = out.get_mut(at..).and_then(<[T]>::first_chunk_mut::<N>) {
        *to = part;
    }
}

/// A match that overlaps itself within a step.
#[inline]
fn copy_near<T: Copy + Default>(out: &mut [T], at: usize, distance: usize, length: usize) {
    if distance >= 8 {
        let mut done = 0;
        while done < length {
            step::<T, 8>(out, at + done, distance);
            done += 8;
        }
        return;
    }
    // The period written out to 16 symbols; as many whole periods as fit are one step.
    let mut pattern = [T::default(); 16];
    let Some(period) = out.get(at - distance..at) else { return };
    if let [one] = period {
        pattern = [*one; 16];
    } else {
        for (to, from) in pattern.iter_mut().zip(period.iter().cycle()) {
            *to = *from;
        }
    }
    let stride = 16 - 16 % distance;
    let mut done = 0;
    while done < length {
        if let Some(to) = out.get_mut(at + done..).and_then(<[T]>::first_chunk_mut::<16>) {
            *to = pattern;
        }
        done += stride;
    }
}

impl Symbol for u8 {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        byte
    }

    fn extend(out: &mut [Self], at: usize, bytes: &[u8]) {
        out[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl Symbol for u16 {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        Self::from(byte)
    }

    fn extend(out: &mut [Self], at: usize, bytes: &[u8]) {
        for (to, from) in out[at..at + bytes.len()].iter_mut().zip(bytes) {
            *to = Self::from(*from);
        }
    }
}
