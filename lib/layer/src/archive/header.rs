//! One tar header block and its fields (tar(5); POSIX.1-1988 ustar; GNU and star where they differ).
//!
//! ```text
//!   0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8 | 156 type 1
//! 157 link 100 | 257 magic 6, version 2 | 265 uname 32 | 297 gname 32 | 329 major 8 | 337 minor 8
//!   ustar: 345 prefix 155
//!   star:  345 prefix 131 | 476 atime 12 | 488 ctime 12 | 508 "tar\0"
//!   GNU:   345 atime 12 | 357 ctime 12 | 369 offset 12 | 386 four of (offset 12, length 12) | 482 more follow | 483 real size 12
//! ```
//!
//! Before ustar (v7) nothing behind the link is defined.

use super::refusal::Refusal;
use crate::error::shown;
use std::ops::Range;

/// Bytes of a header, and the unit all data is padded to.
pub(crate) const BLOCK_BYTES: usize = 512;

/// A block of a tar.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// A header block.
#[derive(Debug)]
pub(crate) struct Header<'a>(&'a Block);

/// Who defined what lies behind the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    V7,
    Ustar,
    Gnu,
}

/// Whether `start` begins with a header whose checksum holds, or with the zeros that end an archive.
pub(crate) fn is_header(start: &[u8]) -> bool {
    match start.first_chunk::<BLOCK_BYTES>() {
        Some(block) => is_zero(block) || Header::new(block).checksum_holds(),
        None => false,
    }
}

/// Whether there is nothing in it.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| b == 0)
}

impl<'a> Header<'a> {
    pub(crate) fn new(block: &'a Block) -> Self {
        Self(block)
    }

    /// The sum of all bytes, those of the checksum taken as blanks; old writers summed signed bytes.
    pub(crate) fn checksum_holds(&self) -> bool {
        let field = &self.0[148..156];
        let Ok(expected) = octal(field) else { return false };
        let sum = |bytes: &[u8]| bytes.iter().map(|&b| u32::from(b)).sum::<u32>();
        let unsigned = sum(self.0) - sum(field) + 8 * u32::from(b' ');
        let high = || self.0[..148].iter().chain(&self.0[156..]).filter(|b| **b >= 0x80).count();
        let expected = i64::from(unsigned) - expected;
        expected == 0 || expected == 256 * high() as i64
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match &self.0[257..265] {
            b"ustar  \0" => Dialect::Gnu,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    /// The name, with ustar's prefix before it; refused where readers differ on what is a prefix.
    pub(crate) fn path(&self) -> Result<Vec<u8>, Refusal> {
        let name = until_nul(&self.0[..100]);
        let prefix = until_nul(&self.0[345..500]);
        if prefix.is_empty() {
            return Ok(name.to_vec());
        }
        let joined = || [prefix, b"/", name].concat();
        let both = |what: &str, one: &str, other: &str, long: &[u8]| {
            Refusal::disputed(
                what,
                format_args!("{one} reads the path {}", shown(name)),
                format_args!("{other} {}", shown(long)),
            )
        };
        match self.dialect() {
            Dialect::Ustar if &self.0[508..512] == b"tar\0" && prefix.len() > 131 => {
                Err(both("a prefix that runs into star's times", "star", "GNU tar", &joined()))
            }
            Dialect::Ustar => Ok(joined()),
            // Go takes what is no time for a prefix, since before 1.8 it wrote such archives; nobody else does.
            Dialect::Gnu => {
                let time = |range: Range<usize>| self.0[range.start] == 0 || number(&self.0[range]).is_ok();
                if (time(345..357) && time(357..369)) || !prefix.is_ascii() {
                    return Ok(name.to_vec());
                }
                Err(both("a GNU header with a prefix", "GNU tar", "Go", &joined()))
            }
            Dialect::V7 if self.0.get(257..262) == Some(b"ustar") => {
                Err(both("a prefix in a header that is neither ustar nor GNU", "GNU tar", "bsdtar", &joined()))
            }
            Dialect::V7 => Ok(name.to_vec()),
        }
    }

    /// The name for messages about headers that are not read further.
    pub(crate) fn name(&self) -> &'a [u8] {
        until_nul(&self.0[..100])
    }

    pub(crate) fn link(&self) -> &'a [u8] {
        until_nul(&self.0[157..257])
    }

    pub(crate) fn mode(&self) -> Result<u32, Refusal> {
        Ok((self.field("mode", 100..108)? & 0o7777) as u32)
    }

    pub(crate) fn uid(&self) -> Result<u64, Refusal> {
        self.unsigned("owner", 108..116)
    }

    pub(crate) fn gid(&self) -> Result<u64, Refusal> {
        self.unsigned("group", 116..124)
    }

    pub(crate) fn size(&self) -> Result<u64, Refusal> {
        exact_size(&self.0[124..136])
    }

    pub(crate) fn mtime(&self) -> Result<i64, Refusal> {
        self.field("time", 136..148)
    }

    pub(crate) fn uname(&self) -> &'a [u8] {
        self.posix_text(265..297)
    }

    pub(crate) fn gname(&self) -> &'a [u8] {
        self.posix_text(297..329)
    }

    pub(crate) fn device(&self) -> Result<(u32, u32), Refusal> {
        if &self.0[257..262] != b"ustar" {
            return Ok((0, 0));
        }
        let part = |range| {
            u32::try_from(self.unsigned("device number", range)?).map_err(|_| Refusal::corrupt("bad device number"))
        };
        Ok((part(329..337)?, part(337..345)?))
    }

    /// GNU's map of holes in the header itself.
    pub(crate) fn sparse_entries(&self) -> &'a [u8] {
        &self.0[386..482]
    }

    /// Whether blocks with more of the map follow.
    pub(crate) fn sparse_goes_on(&self) -> bool {
        self.0[482] != 0
    }

    /// The size of a file with holes.
    pub(crate) fn real_size(&self) -> Result<u64, Refusal> {
        exact_size(&self.0[483..495])
    }

    /// What only headers with a magic have.
    fn posix_text(&self, range: Range<usize>) -> &'a [u8] {
        if &self.0[257..262] == b"ustar" { until_nul(&self.0[range]) } else { &[] }
    }

    fn unsigned(&self, what: &str, range: Range<usize>) -> Result<u64, Refusal> {
        u64::try_from(self.field(what, range)?)
            .map_err(|_| Refusal::corrupt(format_args!("negative {what} in its header")))
    }

    fn field(&self, what: &str, range: Range<usize>) -> Result<i64, Refusal> {
        number(&self.0[range]).map_err(|()| Refusal::corrupt(format_args!("bad {what} in its header")))
    }
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    match bytes.iter().position(|&b| b == 0) {
        Some(end) => &bytes[..end],
        None => bytes,
    }
}

/// A size, which all readers must read alike: GNU tar takes NULs before the digits for the end, Go passes over them.
pub(super) fn exact_size(field: &[u8]) -> Result<u64, Refusal> {
    let blanks = field.iter().take_while(|&&b| b == b' ').count();
    let rest = &field[blanks..];
    if blanks > 0 && is_zero(rest) {
        return Err(Refusal::disputed("blanks for a size", "Go reads 0", "GNU tar no header"));
    }
    if rest.first() == Some(&0) && rest.iter().any(|b| !matches!(b, 0 | b' ')) {
        return Err(Refusal::disputed("NUL before the digits of a size", "bsdtar reads 0", "Go what is behind"));
    }
    match number(field) {
        Ok(size) => u64::try_from(size).map_err(|_| Refusal::corrupt("negative size in its header")),
        Err(()) => Err(Refusal::corrupt("bad size in its header")),
    }
}

/// A number of a header: octal, or with the first bit set a big-endian two's complement number in the bits after it (GNU's
/// base-256).
pub(super) fn number(field: &[u8]) -> Result<i64, ()> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            let negative = first & 0x40 != 0;
            let mut value: i128 = if negative { -1 } else { 0 };
            value = (value << 6) | i128::from(first & 0x3f);
            for byte in rest {
                value = (value << 8) | i128::from(*byte);
            }
            i64::try_from(value).map_err(|_| ())
        }
        _ => octal(field),
    }
}

/// Octal digits between blanks and NULs (none at all: 0). What is behind a NUL is old writers' leavings; what is behind a
/// blank is a mistake.
fn octal(field: &[u8]) -> Result<i64, ()> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !until_nul(rest).iter().all(blank) {
        return Err(());
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8).map(|value| value + i64::from(digit - b'0')).ok_or(()),
        _ => Err(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_octal_and_base_256() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"00000000000\0"), Ok(0));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(number(b"77777777"), Ok(0o77777777));
        assert_eq!(number(b"0644\0xyz"), Ok(0o644));
        assert_eq!(number(b"00008\0\0\0"), Err(()));
        assert_eq!(number(b"0644 777"), Err(()));
        assert_eq!(number(b"-000001\0"), Err(()));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Ok(256));
        assert_eq!(number(&[0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]), Ok(1 << 56));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Ok(-2));
        assert_eq!(number(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(()));
        assert!(exact_size(b"\x00000000644\0\0").is_err() && exact_size(b"  \x000000644\0\0").is_err());
        assert!(exact_size(&[b' '; 12]).is_err() && exact_size(b"        \0\0\0\0").is_err());
        assert_eq!(exact_size(&[0; 12]).unwrap(), 0);
    }

    #[test]
    fn sums_signed_and_unsigned() {
        let mut block = [0_u8; BLOCK_BYTES];
        block[..2].copy_from_slice(b"\xff\x80");
        for (sum, holds) in [(255 + 128 + 256, true), (-1 - 128 + 256, true), (255 + 256, false)] {
            block[148..155].copy_from_slice(format!("{sum:07o}").as_bytes());
            assert_eq!(Header::new(&block).checksum_holds(), holds, "{sum}");
        }
    }
}
