//! The headers of frames (RFC 8878, 3.1.1 and 3.1.2).

use super::{Refused, WINDOW_CAP_BYTES};
use std::io;

/// With so many bytes, or all there are, a header can be read.
pub(super) const HEADER_BYTES: usize = 18;

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE: u32 = 0x184d_2a50;

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// A frame with data.
    Data {
        /// Bytes of the header.
        header: usize,
        /// Bytes it unpacks to, where it says so.
        content: Option<u64>,
        /// Whether a checksum of four bytes follows its last block.
        checksum: bool,
    },
    /// A frame to pass over, of so many bytes with its header.
    Skippable { bytes: u64 },
}

/// Reads the header that `bytes` start with; nothing if there are none.
pub(super) fn read(bytes: &[u8]) -> io::Result<Option<Frame>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let number = |at: usize, count: usize| -> io::Result<u64> {
        let field = bytes.get(at..at + count).ok_or_else(cut)?;
        Ok(field.iter().rev().fold(0, |number, b| number << 8 | u64::from(*b)))
    };
    let magic = number(0, 4)? as u32;
    if magic & !15 == SKIPPABLE {
        return Ok(Some(Frame::Skippable { bytes: 8 + number(4, 4)? }));
    }
    if magic != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no zstd frame where one should begin"));
    }
    let flags = number(4, 1)?;
    let single = flags & 0x20 != 0;
    let checksum = flags & 4 != 0;
    if flags & 8 != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "unknown frame header flags"));
    }
    let mut at = 5;
    let mut window = 0;
    if !single {
        let descriptor = number(at, 1)?;
        let base = 1_u64 << (10 + (descriptor >> 3));
        window = base + base / 8 * (descriptor & 7);
        at += 1;
    }
    let id_bytes = [0, 1, 2, 4][(flags & 3) as usize];
    let dictionary = number(at, id_bytes)?;
    at += id_bytes;
    let content = match (flags >> 6, single) {
        (0, false) => None,
        (0, true) => Some((1, 0)),
        (1, _) => Some((2, 256)),
        (2, _) => Some((4, 0)),
        _ => Some((8, 0)),
    };
    let content = match content {
        None => None,
        Some((count, more)) => {
            let value = number(at, count)?;
            at += count;
            Some(value.saturating_add(more))
        }
    };
    if single {
        window = content.unwrap_or(0);
    }
    if window > WINDOW_CAP_BYTES {
        return Err(Refused::error(
            format!("it needs a window of {}, and at most {} are given", size(window), size(WINDOW_CAP_BYTES)),
            "pack it again with a smaller window: zstd -d --long=31 < OLD | zstd --long=27 > NEW",
        ));
    }
    if dictionary != 0 {
        return Err(Refused::error(
            format!("it needs the dictionary {dictionary}"),
            "pack it again without a dictionary; layers have none",
        ));
    }
    Ok(Some(Frame::Data { header: at, content, checksum }))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{bytes} bytes"),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}
