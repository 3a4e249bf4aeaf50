//! Tars by hand, as honest or hostile as wanted: every field of every header can be set, also to what no writer would write.
//!
//! ```
//! use testkit::corpus::{Item, tar};
//! let layer = tar(&[Item::dir("etc/"), Item::file("etc/motd", b"hello").mode(0o600), Item::link("l", "/nowhere")]);
//! let evil = tar(&[Item::file("f", b"").claims(1 << 40), Item::file("g", b"").pax("size", "-1")]);
//! ```
//!
//! A header is ustar with the checksum it ought to have, unless [`Item::raw`] or [`Item::bad_checksum`] say otherwise. What
//! does not fit (a name of more than 100 bytes) goes into the extended header that [`Item::pax`] or [`Item::gnu_name`] make;
//! nothing is added unasked, but for [`Item::file`] and its like with a longer name, which get a PAX `path`.

/// Bytes of a block.
pub const BLOCK: usize = 512;

/// An entry, with the extended headers before it.
#[derive(Debug, Clone)]
pub struct Item {
    header: [u8; BLOCK],
    data: Vec<u8>,
    pax: Vec<u8>,
    before: Vec<u8>,
    good_checksum: bool,
    padded: bool,
}

impl Item {
    /// An entry of any type, as the header has it: `b'0'` is a file, `b'5'` a directory.
    pub fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        let mut item = Self {
            header: [0; BLOCK],
            data: Vec::new(),
            pax: Vec::new(),
            before: Vec::new(),
            good_checksum: true,
            padded: true,
        };
        item.header[156] = kind;
        item = item.raw(257, b"ustar\x0000").octal(100, 8, 0o644).octal(108, 8, 0).octal(116, 8, 0);
        item = item.octal(124, 12, 0).octal(136, 12, 1_000_000_000);
        let name = name.as_ref();
        item.put_text(0, 100, name);
        if name.len() > 100 { item.pax("path", name) } else { item }
    }

    /// A regular file with its data.
    pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        let item = Self::new(b'0', name).claims(data.as_ref().len() as u64);
        Self { data: data.as_ref().to_vec(), ..item }
    }

    /// A directory.
    pub fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', name).mode(0o755)
    }

    /// A symbolic link to `target`.
    pub fn link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'2', name).mode(0o777).target(target)
    }

    /// A hard link to the entry `target`.
    pub fn hard(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'1', name).target(target)
    }

    /// A character device.
    pub fn char_device(name: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        Self::new(b'3', name).octal(329, 8, major).octal(337, 8, minor)
    }

    fn target(mut self, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref();
        self.put_text(157, 100, target);
        if target.len() > 100 { self.pax("linkpath", target) } else { self }
    }

    /// Permission bits.
    #[must_use]
    pub fn mode(self, mode: u64) -> Self {
        self.octal(100, 8, mode)
    }

    /// Owner and group.
    #[must_use]
    pub fn owner(self, uid: u64, gid: u64) -> Self {
        self.octal(108, 8, uid).octal(116, 8, gid)
    }

    /// A time in the PAX header, as text: `-1.5`.
    #[must_use]
    pub fn mtime(self, time: &str) -> Self {
        self.pax("mtime", time)
    }

    /// The size that the header claims, whatever there is; in base-256 where octal digits do not do.
    #[must_use]
    pub fn claims(self, size: u64) -> Self {
        if size < 1 << 33 {
            return self.octal(124, 12, size);
        }
        let mut field = [0; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
        self.raw(124, &field)
    }

    /// Data behind the header, which goes on claiming the size it did.
    #[must_use]
    pub fn data(mut self, data: impl AsRef<[u8]>) -> Self {
        self.data = data.as_ref().to_vec();
        self
    }

    /// Data without the zeros that fill its last block.
    #[must_use]
    pub fn unpadded(mut self) -> Self {
        self.padded = false;
        self
    }

    /// An xattr, as star and GNU tar write it.
    #[must_use]
    pub fn xattr(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax([b"SCHILY.xattr.", name.as_ref()].concat(), value)
    }

    /// A record of the PAX header before the entry.
    #[must_use]
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax.extend(record(key.as_ref(), value.as_ref()));
        self
    }

    /// Bytes of the PAX header before the entry, whether they are records or not.
    #[must_use]
    pub fn pax_raw(mut self, bytes: &[u8]) -> Self {
        self.pax.extend_from_slice(bytes);
        self
    }

    /// GNU's header for a long name (`L`) before the entry.
    #[must_use]
    pub fn gnu_name(self, name: impl AsRef<[u8]>) -> Self {
        let long = Self::file("././@LongLink", [name.as_ref(), b"\0"].concat()).raw(156, b"L");
        self.after(&long.bytes())
    }

    /// GNU's header for a long link target (`K`) before the entry.
    #[must_use]
    pub fn gnu_link(self, target: impl AsRef<[u8]>) -> Self {
        let long = Self::file("././@LongLink", [target.as_ref(), b"\0"].concat()).raw(156, b"K");
        self.after(&long.bytes())
    }

    /// Any bytes before the entry and its PAX header.
    #[must_use]
    pub fn after(mut self, bytes: &[u8]) -> Self {
        self.before.extend_from_slice(bytes);
        self
    }

    /// Octal digits and a NUL in the `width` bytes at `at`.
    #[must_use]
    pub fn octal(self, at: usize, width: usize, value: u64) -> Self {
        let text = format!("{value:0digits$o}\0", digits = width - 1);
        assert!(text.len() <= width, "{value} does not fit into {width} bytes");
        self.raw(at, text.as_bytes())
    }

    /// Any bytes at any place of the header; the checksum is made to fit afterwards.
    #[must_use]
    pub fn raw(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// A checksum that is off by one.
    #[must_use]
    pub fn bad_checksum(mut self) -> Self {
        self.good_checksum = false;
        self
    }

    fn put_text(&mut self, at: usize, width: usize, text: &[u8]) {
        let count = text.len().min(width);
        self.header[at..at + width].fill(0);
        self.header[at..at + count].copy_from_slice(&text[..count]);
    }

    /// As it stands in a tar.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = self.before.clone();
        if !self.pax.is_empty() {
            let extended = Self::file("PaxHeaders/x", &self.pax).raw(156, b"x");
            all.extend(extended.bytes());
        }
        let mut header = self.header;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&b| u32::from(b)).sum::<u32>() + u32::from(!self.good_checksum);
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        all.extend(header);
        all.extend(&self.data);
        if self.padded {
            all.resize(all.len().next_multiple_of(BLOCK), 0);
        }
        all
    }
}

/// A global PAX header (`g`) of records.
pub fn global(records: &[(&str, &str)]) -> Vec<u8> {
    let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key.as_bytes(), value.as_bytes())).collect();
    Item::file("PaxHeaders/g", records).raw(156, b"g").bytes()
}

/// A record of a PAX header: its length, the key, the value.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// A tar of items, with the two blocks of zeros at its end.
pub fn tar(items: &[Item]) -> Vec<u8> {
    let mut all = open_ended(items);
    all.extend_from_slice(&[0; 2 * BLOCK]);
    all
}

/// The same without its end.
pub fn open_ended(items: &[Item]) -> Vec<u8> {
    items.iter().flat_map(Item::bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        assert_eq!(record(b"path", b"abc"), b"12 path=abc\n");
        for length in 0..1200 {
            let value = vec![b'x'; length];
            let made = record(b"k", &value);
            let digits = made.iter().take_while(|b| b.is_ascii_digit()).count();
            assert_eq!(std::str::from_utf8(&made[..digits]).unwrap().parse(), Ok(made.len()));
        }
    }

    #[test]
    fn an_item_is_headers_data_and_zeros() {
        assert_eq!(Item::file("f", b"x").bytes().len(), 2 * BLOCK);
        assert_eq!(Item::file("f", b"x").unpadded().bytes().len(), BLOCK + 1);
        assert_eq!(Item::dir("d/").xattr("user.a", b"b").bytes().len(), 3 * BLOCK);
        assert_eq!(Item::file(vec![b'n'; 300], b"").gnu_name("x").bytes().len(), 5 * BLOCK);
        assert_eq!(tar(&[]).len(), 1024);
    }
}
