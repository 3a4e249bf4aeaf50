//! Netlink attributes: length, kind, value, padded to four bytes (`struct nlattr`, lib/nlattr.c).
//!
//! [`Attributes`] writes them, [`read`] walks over them. Reading is by hand and skips what it does not know, so that a
//! newer kernel's answer is never a decoding error; the lengths it is told are checked, never trusted.

/// Marks a value made of attributes (`NLA_F_NESTED`).
const NESTED: u16 = 1 << 15;
/// The bits of the kind that are the kind (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;

/// A list of attributes being written.
#[derive(Debug, Default, Clone)]
pub struct Attributes {
    bytes: Vec<u8>,
}

impl Attributes {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value as it is.
    #[must_use]
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// Adds a string with the NUL the kernel wants behind it.
    #[must_use]
    pub fn text(mut self, kind: u16, value: &str) -> Self {
        let mut text = value.as_bytes().to_vec();
        text.push(0);
        self.push(kind, &text);
        self
    }

    /// Adds a number in network order, as nf_tables wants them all.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds a list of attributes.
    #[must_use]
    pub fn nest(mut self, kind: u16, inner: Attributes) -> Self {
        self.push(kind | NESTED, &inner.bytes);
        self
    }

    /// The bytes as they go on the wire.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).expect("an attribute holds less than 64 KiB");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Walks over the attributes in `bytes`: kind and value. Ends at the first that is malformed.
pub fn read(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & KIND;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of `kind`.
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    read(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A value as a number in the machine's order.
pub fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?))
}

/// A value as text, without its NUL.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Attributes, find, number, read, text};

    #[test]
    fn what_is_written_is_read() {
        let inner = Attributes::new().text(1, "abcd");
        let bytes = Attributes::new().bytes(7, &9_u32.to_ne_bytes()).nest(3, inner).into_bytes();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(find(&bytes, 7).and_then(number), Some(9));
        let nested = find(&bytes, 3).expect("nested");
        assert_eq!(find(nested, 1).map(text).as_deref(), Some("abcd"));
    }

    #[test]
    fn lying_lengths_end_the_walk() {
        assert_eq!(read(&[255, 255, 1, 0, 1, 2]).count(), 0);
        assert_eq!(read(&[0, 0, 1, 0]).count(), 0, "a length shorter than its own header");
        assert_eq!(read(&[3]).count(), 0);
        assert_eq!(read(&[5, 0, 1, 0, 9]).count(), 1, "the last one may lack its padding");
    }
}
