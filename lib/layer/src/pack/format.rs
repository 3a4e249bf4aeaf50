//! The bytes of a layer's tar. One entry has one spelling, so that one tree has one digest.
//!
//! ```text
//! [ header 'x' "PaxHeaders.0/NAME" | records, padded ]   only where ustar cannot say it
//! header ustar                                           mode, owner, size, time, type, link target, device
//! data, padded to 512                                    of files; before it the map of the holes, padded, where there are any
//! ...
//! 1024 zeros                                             the end; no padding to a tape's record
//! ```
//!
//! - ustar (POSIX.1-1988): magic `ustar\0`, version `00`, numbers in octal ended by NUL, no user and no group names, the device
//!   fields `0000000` for what is no device. A name of more than 100 bytes is split at the last slash that makes both parts
//!   fit. Names are bytes as they are on disk.
//! - PAX (POSIX.1-2001) records in the order of their keys' bytes, and only these: `GNU.sparse.*`, `SCHILY.xattr.*`, `gid`,
//!   `hdrcharset`, `linkpath`, `mtime`, `path`, `size`, `uid`. Where a record says it, the ustar field has the nearest it can
//!   hold (0 for what is too large), as Go writes it.
//! - Times have their nanoseconds (`mtime`, without zeros at the end) where they are not zero. docker, containerd, buildah and
//!   umoci cut them off, and so lose with each commit what `make` and rsync go by; a layer of ours gives the tree back as it was,
//!   and where nanoseconds are zero (after `SOURCE_DATE_EPOCH`, or from such a layer) there is no record. No `atime`, no `ctime`.
//! - Files with holes are GNU's sparse format 1.0, which GNU tar, libarchive and Go read. Extents begin and end at multiples of
//!   64 KiB (the last one at the end of the file), since GNU tar pads each to blocks and Go does not.

use crate::archive::Time;
use crate::archive::header::BLOCK_BYTES;
use crate::error::{Fault, Kind, shown};

/// What an entry of the tar is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    File,
    Directory,
    Symlink,
    HardLink,
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// One entry as it will be written.
#[derive(Debug, Clone)]
pub(super) struct Head<'a> {
    /// Below the layer's root, without a slash at its start; of a directory without one at its end; empty for the root.
    pub(super) path: &'a [u8],
    pub(super) kind: Type,
    /// Target of a symbolic link, path of what a hard link names; else empty.
    pub(super) link: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    /// Bytes of the file as it is read.
    pub(super) size: u64,
    /// Offset and length of what is between the holes, if there are any; sorted.
    pub(super) extents: Option<&'a [(u64, u64)]>,
    /// Sorted by name.
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// Go reads no more than this of one extended header; 64 KiB of one xattr is Linux's limit.
const PAX_BYTES: usize = 1 << 20;
/// What ustar's octal fields hold.
const MAX_ID: u32 = 0o7_777_777;
const MAX_LONG: u64 = 0o77_777_777_777;

impl Head<'_> {
    /// Appends all blocks before the data, and gives how many bytes of data follow (without padding).
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<u64, Fault> {
        let name = self.name();
        let map = self.extents.map(|extents| map_of(extents, self.size));
        let data = match (&map, self.extents) {
            (Some(map), Some(extents)) => map.len() as u64 + extents.iter().map(|e| e.1).sum::<u64>(),
            _ => self.size,
        };
        let mut pax = Pax(Vec::new());
        if map.is_some() {
            pax.add(b"GNU.sparse.major", b"1");
            pax.add(b"GNU.sparse.minor", b"0");
            pax.add(b"GNU.sparse.name", &name);
            pax.add(b"GNU.sparse.realsize", self.size.to_string().as_bytes());
        }
        for (key, value) in self.xattrs {
            if key.contains(&b'=') {
                let why = format!("the name of its xattr {} has a = in it, which no tar can hold", shown(key));
                return Err(Fault::entry(Kind::Unsupported, self.path, why).hint("leave xattrs out with --no-xattrs"));
            }
            pax.add(&[b"SCHILY.xattr.", &key[..]].concat(), value);
        }
        if self.gid > MAX_ID {
            pax.add(b"gid", self.gid.to_string().as_bytes());
        }
        // What stands in the header where holes change the name that readers without them see.
        let header_name = if map.is_some() { sparse_name(&name) } else { name.clone() };
        let split = split(&header_name);
        let long_link = self.link.len() > 100;
        let binary = |text: &[u8]| std::str::from_utf8(text).is_err();
        if split.is_none() && binary(&header_name) || long_link && binary(self.link) {
            pax.add(b"hdrcharset", b"BINARY");
        }
        if long_link {
            pax.add(b"linkpath", self.link);
        }
        let seconds = u64::try_from(self.mtime.seconds).ok().filter(|s| *s <= MAX_LONG);
        if self.mtime.nanoseconds != 0 || seconds.is_none() {
            pax.add(b"mtime", decimal(self.mtime).as_bytes());
        }
        if split.is_none() {
            pax.add(b"path", &header_name);
        }
        if data > MAX_LONG {
            pax.add(b"size", data.to_string().as_bytes());
        }
        if self.uid > MAX_ID {
            pax.add(b"uid", self.uid.to_string().as_bytes());
        }
        if pax.0.len() > PAX_BYTES {
            let why = format!("its xattrs and names take {} bytes, more than readers of tar accept", pax.0.len());
            return Err(Fault::entry(Kind::Unsupported, self.path, why).hint("leave xattrs out with --no-xattrs"));
        }
        if !pax.0.is_empty() {
            let mut block = Block::new(b'x');
            block.name(&pax_name(&name), b"");
            block.octal(100..108, 0o644);
            block.octal(124..136, pax.0.len() as u64);
            block.octal(136..148, 0);
            out.extend_from_slice(&block.finish());
            out.extend_from_slice(&pax.0);
            pad(out);
        }
        let mut block = Block::new(match self.kind {
            Type::File => b'0',
            Type::HardLink => b'1',
            Type::Symlink => b'2',
            Type::Char(..) => b'3',
            Type::Block(..) => b'4',
            Type::Directory => b'5',
            Type::Fifo => b'6',
        });
        match split {
            Some((prefix, name)) => block.name(name, prefix),
            None => block.name(&header_name[..100], b""),
        }
        block.put(157, &self.link[..self.link.len().min(100)]);
        block.octal(100..108, u64::from(self.mode));
        block.octal(108..116, if self.uid > MAX_ID { 0 } else { u64::from(self.uid) });
        block.octal(116..124, if self.gid > MAX_ID { 0 } else { u64::from(self.gid) });
        block.octal(124..136, if data > MAX_LONG { 0 } else { data });
        block.octal(136..148, seconds.unwrap_or(0));
        if let Type::Char(major, minor) | Type::Block(major, minor) = self.kind {
            block.octal(329..337, u64::from(major));
            block.octal(337..345, u64::from(minor));
        }
        out.extend_from_slice(&block.finish());
        if let Some(map) = map {
            out.extend_from_slice(&map);
        }
        Ok(data)
    }

    fn name(&self) -> Vec<u8> {
        match (&self.kind, self.path) {
            (Type::Directory, b"") => b"./".to_vec(),
            (Type::Directory, path) => [path, b"/"].concat(),
            (_, path) => path.to_vec(),
        }
    }
}

/// What ends the tar.
pub(super) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Zeros up to the next block.
pub(super) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
}

/// How many zeros follow `size` bytes.
pub(super) fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK_BYTES as u64) as usize
}

/// The holes' map as it stands before the data: decimal numbers a line, how many extents, then offset and length of each. A
/// hole at the end of the file is told by an empty extent behind it: GNU tar takes the size from there.
fn map_of(extents: &[(u64, u64)], size: u64) -> Vec<u8> {
    let end = extents.last().map_or(0, |(offset, length)| offset + length);
    let last = (end < size).then_some((size, 0));
    let mut map = format!("{}\n", extents.len() + usize::from(last.is_some()));
    for (offset, length) in extents.iter().chain(&last) {
        map.push_str(&format!("{offset}\n{length}\n"));
    }
    let mut map = map.into_bytes();
    pad(&mut map);
    map
}

/// `dir/GNUSparseFile.0/name`: where readers that do not know holes put the map and the data.
fn sparse_name(name: &[u8]) -> Vec<u8> {
    let (dir, last) = match name.iter().rposition(|&b| b == b'/') {
        Some(at) => (&name[..=at], &name[at + 1..]),
        None => (&b""[..], name),
    };
    [dir, b"GNUSparseFile.0/", last].concat()
}

/// The name of the extended header's own entry: only readers that know no PAX see it.
fn pax_name(name: &[u8]) -> Vec<u8> {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let last = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let mut all = b"PaxHeaders.0/".to_vec();
    all.extend(last.iter().map(|&b| if b.is_ascii_graphic() { b } else { b'_' }).take(100 - all.len()));
    all
}

/// Prefix and name as ustar holds them; `None` where it cannot.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // The last slash that leaves a name behind it: that of a directory ends in one.
    let most = name.len() - 1;
    let at = name[..most.min(156)].iter().rposition(|&b| b == b'/')?;
    let (prefix, last) = (&name[..at], &name[at + 1..]);
    (!prefix.is_empty() && last.len() <= 100).then_some((prefix, last))
}

fn decimal(time: Time) -> String {
    let (sign, seconds, nanoseconds) = match (time.seconds, time.nanoseconds) {
        (seconds, 0) if seconds < 0 => ("-", seconds.unsigned_abs(), 0),
        (seconds, nanoseconds) if seconds < 0 => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        (seconds, nanoseconds) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    if nanoseconds == 0 {
        return format!("{sign}{seconds}");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{seconds}.{}", fraction.trim_end_matches('0'))
}

struct Pax(Vec<u8>);

impl Pax {
    /// `LENGTH KEY=VALUE\n`, the length being that of all of it, its own digits among it.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        loop {
            let all = rest + digits(length);
            if all == length {
                break;
            }
            length = all;
        }
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

struct Block([u8; BLOCK_BYTES]);

impl Block {
    fn new(kind: u8) -> Self {
        let mut block = Self([0; BLOCK_BYTES]);
        block.0[156] = kind;
        block.put(257, b"ustar\x0000");
        for range in [108..116, 116..124, 329..337, 337..345] {
            block.octal(range, 0);
        }
        block
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn name(&mut self, name: &[u8], prefix: &[u8]) {
        self.put(0, name);
        self.put(345, prefix);
    }

    /// All of the field but its last byte, which stays NUL.
    fn octal(&mut self, field: std::ops::Range<usize>, value: u64) {
        let mut rest = value;
        for at in (field.start..field.end - 1).rev() {
            self.0[at] = b'0' + (rest & 7) as u8;
            rest >>= 3;
        }
    }

    fn finish(mut self) -> [u8; BLOCK_BYTES] {
        self.0[148..156].fill(b' ');
        let sum: u64 = self.0.iter().map(|&b| u64::from(b)).sum();
        self.octal(148..155, sum);
        self.0[154] = 0;
        self.0
    }
}

#[cfg(test)]
mod tests;
