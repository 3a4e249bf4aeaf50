//! For tests: bytes of every texture, packed in every way, out of a seed.

use flate2::{Compress, Compression, FlushCompress, Status};
use testkit::dice::Dice;

/// About `length` bytes: runs, text, noise, repetitions near and far, in turns.
pub(crate) fn texture(random: &mut Dice, length: usize) -> Vec<u8> {
    let mut all: Vec<u8> = Vec::with_capacity(length + 70_000);
    while all.len() < length {
        let end = [20, 300, 5_000, 60_000][random.below(4)];
        let count = 1 + random.below(end);
        match random.below(6) {
            0 => all.extend(std::iter::repeat_n(random.any() as u8, count)),
            1 => all.extend((0..count).map(|_| random.any() as u8)),
            2 => all.extend((0..count).map(|_| b"etaoin shrdlu\n"[random.below(14)])),
            3 | 4 if !all.is_empty() => {
                let far = [5, 20, 300, 40_000][random.below(4)];
                let distance = 1 + random.below(all.len().min(far));
                for _ in 0..count {
                    all.push(all[all.len() - distance]);
                }
            }
            _ => all.extend((0..count).map(|n| (n / 3) as u8)),
        }
    }
    all.truncate(length);
    all
}

/// Raw DEFLATE of `bytes` at `level` (0 to 9), flushed now and then where `flushes`.
pub(crate) fn deflated(random: &mut Dice, bytes: &[u8], level: u32, flushes: bool) -> Vec<u8> {
    let mut packer = Compress::new(Compression::new(level), false);
    let mut packed = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 1000);
    let mut rest = bytes;
    while !rest.is_empty() && flushes {
        let count = (1 + random.below(30_000)).min(rest.len());
        let flush =
            [FlushCompress::Sync, FlushCompress::Full, FlushCompress::Partial, FlushCompress::None][random.below(4)];
        let mut part = &rest[..count];
        rest = &rest[count..];
        loop {
            packed.reserve(2_000 + part.len());
            let (before, room) = (packer.total_in(), packed.capacity());
            packer.compress_vec(part, &mut packed, flush).unwrap();
            part = &part[(packer.total_in() - before) as usize..];
            if part.is_empty() && packed.len() < room {
                break;
            }
        }
    }
    loop {
        packed.reserve(rest.len() / 2 + 2_000);
        let before = packer.total_in();
        let status = packer.compress_vec(rest, &mut packed, FlushCompress::Finish).unwrap();
        rest = &rest[(packer.total_in() - before) as usize..];
        if status == Status::StreamEnd {
            return packed;
        }
    }
}

/// A gzip member of `bytes`.
pub(crate) fn member(random: &mut Dice, bytes: &[u8], level: u32, flushes: bool) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    packed.extend(deflated(random, bytes, level, flushes));
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    packed.extend(crc.sum().to_le_bytes());
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}
