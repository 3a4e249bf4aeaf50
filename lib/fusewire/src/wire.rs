//! Numbers out of and into bytes, in the machine's order. Nothing here can panic: what is not there is `None`, what does not
//! fit is noted and written nowhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What is left of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_ne_bytes)
    }

    pub(crate) fn skip(&mut self, bytes: usize) -> Option<()> {
        self.bytes(bytes).map(drop)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    /// A text that ends with a zero byte.
    pub(crate) fn text(&mut self) -> Option<&'a OsStr> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let text = self.bytes(end)?;
        self.skip(1)?;
        Some(OsStr::from_bytes(text))
    }

    /// One path component: neither empty, nor `.` or `..`, nor with a slash.
    pub(crate) fn name(&mut self) -> Option<&'a OsStr> {
        let name = self.text()?;
        let bytes = name.as_bytes();
        let bad = bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/');
        (!bad).then_some(name)
    }
}

/// The body of an answer as it grows.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
    overflowed: bool,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, at: 0, overflowed: false }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.overflowed = true,
        }
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.bytes(&number.to_ne_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.bytes(&number.to_ne_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.bytes(&number.to_ne_bytes());
    }

    pub(crate) fn i64(&mut self, number: i64) {
        self.bytes(&number.to_ne_bytes());
    }

    pub(crate) fn zeros(&mut self, mut count: usize) {
        while count > 0 {
            let piece = count.min(8);
            self.bytes([0_u8; 8].get(..piece).unwrap_or_default());
            count -= piece;
        }
    }

    pub(crate) fn room(&self) -> usize {
        self.buffer.len() - self.at
    }

    pub(crate) fn length(&self) -> usize {
        self.at
    }

    /// The length, `None` when something did not fit.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.overflowed).then_some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_components() {
        for bad in [&b"\0"[..], b".\0", b"..\0", b"a/b\0", b"unended", b""] {
            assert_eq!(Reader(bad).name(), None, "{bad:?}");
        }
        assert_eq!(Reader(b"...\0").name(), Some(OsStr::new("...")));
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut buffer = [0_u8; 10];
        let mut writer = Writer::new(&mut buffer);
        writer.u64(1);
        writer.u32(2);
        assert_eq!(writer.length(), 8);
        assert_eq!(writer.finish(), None);
    }
}
