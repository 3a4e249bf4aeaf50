//! One tar header block and its fields (tar(5); POSIX.1-1988 ustar; GNU and star where they differ).
//!
//! ```text
//!   0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8 | 156 type 1
//! 157 link 100 | 257 magic 8 | 265 uname 32 | 297 gname 32 | 329 major 8 | 337 minor 8 | 345 prefix 155
//! ```

/// Bytes of a header, and the unit all data is padded to.
pub(crate) const BLOCK_BYTES: usize = 512;

/// A header block.
#[derive(Debug)]
pub(crate) struct Header<'a>(&'a [u8; BLOCK_BYTES]);

/// Whether `start` begins with a header whose checksum holds, or with the zeros that end an archive.
pub(crate) fn is_header(start: &[u8]) -> bool {
    match start.first_chunk::<BLOCK_BYTES>() {
        Some(block) => block.iter().all(|&b| b == 0) || Header::new(block).checksum_holds(),
        None => false,
    }
}

impl<'a> Header<'a> {
    pub(crate) fn new(block: &'a [u8; BLOCK_BYTES]) -> Self {
        Self(block)
    }

    /// The sum of all bytes, those of the checksum taken as blanks; old writers summed signed bytes.
    pub(crate) fn checksum_holds(&self) -> bool {
        let Ok(expected) = number(&self.0[148..156]) else { return false };
        let others = || self.0[..148].iter().chain(&self.0[156..]);
        let unsigned: i64 = others().map(|&b| i64::from(b)).sum::<i64>() + 8 * 32;
        let signed = || others().map(|&b| i64::from(b.cast_signed())).sum::<i64>() + 8 * 32;
        expected == unsigned || expected == signed()
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// The name, with ustar's prefix before it.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = match &self.0[257..265] {
            b"ustar\x0000" if &self.0[508..512] == b"tar\0" => until_nul(&self.0[345..476]),
            [b'u', b's', b't', b'a', b'r', 0, ..] => until_nul(&self.0[345..500]),
            _ => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    pub(crate) fn mode(&self) -> Result<u32, String> {
        Ok((self.field("mode", 100..108)? & 0o7777) as u32)
    }

    pub(crate) fn uid(&self) -> Result<u64, String> {
        self.unsigned("owner", 108..116)
    }

    pub(crate) fn gid(&self) -> Result<u64, String> {
        self.unsigned("group", 116..124)
    }

    pub(crate) fn size(&self) -> Result<u64, String> {
        self.unsigned("size", 124..136)
    }

    pub(crate) fn mtime(&self) -> Result<i64, String> {
        self.field("time", 136..148)
    }

    pub(crate) fn uname(&self) -> Vec<u8> {
        self.posix_text(265..297)
    }

    pub(crate) fn gname(&self) -> Vec<u8> {
        self.posix_text(297..329)
    }

    /// What only headers with a magic have.
    fn posix_text(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        if &self.0[257..262] == b"ustar" { until_nul(&self.0[range]).to_vec() } else { Vec::new() }
    }

    pub(crate) fn device(&self) -> Result<(u32, u32), String> {
        if &self.0[257..262] != b"ustar" {
            return Ok((0, 0));
        }
        let part =
            |range| u32::try_from(self.unsigned("device number", range)?).map_err(|_| "bad device number".to_owned());
        Ok((part(329..337)?, part(337..345)?))
    }

    fn unsigned(&self, what: &str, range: std::ops::Range<usize>) -> Result<u64, String> {
        u64::try_from(self.field(what, range)?).map_err(|_| format!("negative {what} in its header"))
    }

    fn field(&self, what: &str, range: std::ops::Range<usize>) -> Result<i64, String> {
        number(&self.0[range]).map_err(|()| format!("bad {what} in its header"))
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}

/// Octal digits between blanks and NULs (none at all: 0), or with the first bit set a big-endian two's complement number in
/// the bits after it (GNU's base-256).
fn number(field: &[u8]) -> Result<i64, ()> {
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
        _ => {
            let blank = |b: &u8| matches!(b, b' ' | 0);
            let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
            let digits = &field[start..];
            let end = digits.iter().position(blank).unwrap_or(digits.len());
            let mut value: i64 = 0;
            for digit in &digits[..end] {
                if !matches!(digit, b'0'..=b'7') {
                    return Err(());
                }
                value = value.checked_mul(8).ok_or(())? + i64::from(digit - b'0');
            }
            Ok(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn reads_octal_and_base_256() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"00000000000\0"), Ok(0));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(number(b"77777777"), Ok(0o77777777));
        assert_eq!(number(b"00008\0\0\0"), Err(()));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Ok(256));
        assert_eq!(number(&[0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]), Ok(1 << 56));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Ok(-2));
        assert_eq!(number(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(()));
    }
}
