//! Tar entries out of a stream of bytes: ustar (POSIX.1-1988), PAX (POSIX.1-2001, pax(1) "pax Interchange Format"), GNU
//! (tar(5), `long names`, base-256 numbers) and what came before them.
//!
//! Written by hand rather than on a library, since a layer needs what readers for general use leave out: xattrs whose
//! values hold newlines, nanoseconds, times before 1970, memory bounded whatever a header claims. Where readers differ and the
//! difference could hide an entry, Go's `archive/tar` decides, for that is what wrote most layers and what other engines
//! read them with; so a size on an entry without data (a link, a device) is ignored.
//!
//! The order of names: a PAX `path` beats a GNU long name beats the header. A PAX `size` belongs to the entry only, never to
//! the GNU headers between.

pub(crate) mod header;
mod pax;

use crate::error::{Fault, Kind, shown};
use header::{BLOCK_BYTES, Header};
use pax::Pax;
use std::io::{self, BufRead, Seek};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its data follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of an entry before.
    HardLink,
    /// A character device with its major and minor number.
    CharDevice(u32, u32),
    /// A block device with its major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// Seconds since 1970 (negative: before) and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanoseconds: u32,
}

/// A file with holes, of which only what is between them is in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// Bytes of the whole file, holes among them.
    pub real_size: u64,
    /// Where in the file the data goes, as offset and length: sorted, not overlapping, none beyond `real_size`, none empty;
    /// together [`Entry::size`] bytes, which follow in the archive one behind the other.
    pub extents: Vec<(u64, u64)>,
}

/// One entry, with everything its headers say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as written: bytes without NUL, perhaps absolute, perhaps with `..`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Where a symbolic link points, or which entry a hard link names; else empty.
    pub link: Vec<u8>,
    /// Permission bits with set-id and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Time of the last modification.
    pub mtime: Time,
    /// Bytes of data that follow in the archive; of a file with holes, those between the holes.
    pub size: u64,
    /// Where in the file the data goes, if it has holes; `None` where the data is the file.
    pub sparse: Option<Sparse>,
    /// Extended attributes under their names on Linux, POSIX ACLs (`system.posix_acl_access`) and the SELinux label
    /// (`security.selinux`) among them, whichever way the archive says them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The owner's name, empty where there is none. Says nothing about who the owner will be: `uid` does.
    pub uname: Vec<u8>,
    /// The group's name, likewise.
    pub gname: Vec<u8>,
    /// What its headers say that cannot be carried over, in words for people (`ACL entry user:joe:rw-: no numeric id`).
    pub left_out: Vec<String>,
}

/// Longest GNU name and longest PAX header that is read into memory. (A path of Linux has at most 4096 bytes, an xattr 64 KiB.)
const LONG_NAME_LIMIT: u64 = 1 << 16;
const PAX_LIMIT: u64 = 4 << 20;

/// Entries of a tar, one after the other.
#[derive(Debug)]
pub struct Archive<R> {
    reader: R,
    skip: fn(&mut R, u64) -> io::Result<u64>,
    /// Bytes of the tar read (or skipped) so far.
    position: u64,
    /// Data of the current entry not yet read, and the zeros behind it.
    data_left: u64,
    padding: u64,
    global: Pax,
    ended: bool,
}

impl<R: BufRead> Archive<R> {
    /// The entries of what `reader` gives. Data that nobody asks for is read and dropped.
    pub fn new(reader: R) -> Self {
        Self::with(reader, skip_by_reading)
    }

    fn with(reader: R, skip: fn(&mut R, u64) -> io::Result<u64>) -> Self {
        Self { reader, skip, position: 0, data_left: 0, padding: 0, global: Pax::default(), ended: false }
    }

    /// Where in the tar the data of the current entry starts, if none of it has been read yet.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry, after dropping what is left of the one before; `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let mut long_name: Option<Vec<u8>> = None;
        let mut long_link: Option<Vec<u8>> = None;
        let mut pax = Pax::default();
        loop {
            if self.ended {
                return Ok(None);
            }
            self.drop_data()?;
            let between = long_name.is_some() || long_link.is_some() || !pax.is_empty();
            let Some(block) = self.block()? else {
                self.ended = true;
                if between {
                    return Err(truncated("ends behind an extended header"));
                }
                return Ok(None);
            };
            if block.iter().all(|&b| b == 0) {
                self.ended = true;
                return Ok(None);
            }
            let header = Header::new(&block);
            if !header.checksum_holds() {
                return Err(corrupt(format_args!("bad tar header at byte {}", self.position - BLOCK_BYTES as u64)));
            }
            let size = header.size().map_err(|e| bad_field(&header, e))?;
            match header.kind() {
                b'L' => long_name = Some(self.long(&header, size)?),
                b'K' => long_link = Some(self.long(&header, size)?),
                b'x' => pax.read(&self.extended(&header, size)?).map_err(|e| bad_field(&header, e))?,
                b'g' => {
                    let bytes = self.extended(&header, size)?;
                    self.global.read(&bytes).map_err(|e| bad_field(&header, e))?;
                    if self.global.names_one_entry() {
                        return Err(corrupt("a global PAX header that names one entry"));
                    }
                }
                b'V' => self.set_data(size),
                kind => {
                    let mut all = self.global.clone();
                    all.merge(pax);
                    let entry = compose(&header, kind, size, long_name, long_link, all)?;
                    self.set_data(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// What comes next of the current entry's data: at least one byte, or none when all has been read. Tell with
    /// [`consume`](Self::consume) how many were used.
    pub(crate) fn data(&mut self) -> Result<&[u8], Fault> {
        if self.data_left == 0 {
            return Ok(&[]);
        }
        let bytes = self.reader.fill_buf().map_err(read_fault)?;
        if bytes.is_empty() {
            return Err(truncated("ends in the middle of a file"));
        }
        let most = usize::try_from(self.data_left).unwrap_or(usize::MAX);
        Ok(&bytes[..bytes.len().min(most)])
    }

    /// Marks `count` bytes of [`data`](Self::data) as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.reader.consume(count);
        self.position += count as u64;
        self.data_left -= count as u64;
    }

    /// All the data of the current entry, at most `limit` bytes of it.
    pub(crate) fn data_to_vec(&mut self, limit: u64) -> Result<Vec<u8>, Fault> {
        if self.data_left > limit {
            return Err(corrupt(format_args!("{} bytes where at most {limit} are read", self.data_left)));
        }
        let mut all = Vec::with_capacity(self.data_left as usize);
        loop {
            let bytes = self.data()?;
            if bytes.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(bytes);
            let count = bytes.len();
            self.consume(count);
        }
    }

    fn set_data(&mut self, size: u64) {
        self.data_left = size;
        self.padding = size.wrapping_neg() % BLOCK_BYTES as u64;
    }

    fn drop_data(&mut self) -> Result<(), Fault> {
        let count = self.data_left.saturating_add(self.padding);
        if count > 0 {
            let skipped = (self.skip)(&mut self.reader, count).map_err(read_fault)?;
            self.position += skipped;
            // Some writers leave the last padding out.
            if skipped < self.data_left {
                return Err(truncated("ends in the middle of a file"));
            }
        }
        (self.data_left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next 512 bytes; `None` where the stream ends before them.
    fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, Fault> {
        let mut block = [0; BLOCK_BYTES];
        let mut have = 0;
        while have < BLOCK_BYTES {
            let bytes = self.reader.fill_buf().map_err(read_fault)?;
            if bytes.is_empty() {
                return if have == 0 { Ok(None) } else { Err(truncated("ends in the middle of a header")) };
            }
            let count = bytes.len().min(BLOCK_BYTES - have);
            block[have..have + count].copy_from_slice(&bytes[..count]);
            self.reader.consume(count);
            have += count;
        }
        self.position += BLOCK_BYTES as u64;
        Ok(Some(block))
    }

    fn long(&mut self, header: &Header<'_>, size: u64) -> Result<Vec<u8>, Fault> {
        if size > LONG_NAME_LIMIT {
            return Err(bad_field(header, format!("a name of {size} bytes")));
        }
        self.set_data(size);
        let mut name = self.data_to_vec(LONG_NAME_LIMIT)?;
        if let Some(end) = name.iter().position(|&b| b == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    fn extended(&mut self, header: &Header<'_>, size: u64) -> Result<Vec<u8>, Fault> {
        if size > PAX_LIMIT {
            return Err(bad_field(header, format!("a PAX header of {size} bytes")));
        }
        self.set_data(size);
        self.data_to_vec(PAX_LIMIT)
    }
}

impl<R: BufRead + Seek> Archive<R> {
    /// The entries of what can be sought in: data that nobody asks for is not even read. The caller checks that the data of
    /// the last entry lies within the file.
    pub fn seekable(reader: R) -> Self {
        Self::with(reader, |reader, count| {
            let whole = i64::try_from(count).map_err(|_| io::ErrorKind::InvalidData)?;
            reader.seek_relative(whole)?;
            Ok(count)
        })
    }
}

fn skip_by_reading<R: BufRead>(reader: &mut R, count: u64) -> io::Result<u64> {
    let mut left = count;
    while left > 0 {
        let have = reader.fill_buf()?.len();
        if have == 0 {
            break;
        }
        let step = have.min(usize::try_from(left).unwrap_or(usize::MAX));
        reader.consume(step);
        left -= step as u64;
    }
    Ok(count - left)
}

fn compose(
    header: &Header<'_>,
    kind: u8,
    size: u64,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Pax,
) -> Result<Entry, Fault> {
    let path = pax.path.or(long_name).unwrap_or_else(|| header.path());
    let link = pax.link.or(long_link).unwrap_or_else(|| header.link());
    let field = |e: String| Fault::entry(Kind::Corrupt, &path, e);
    if pax.sparse || kind == b'S' {
        return Err(Fault::entry(Kind::Unsupported, &path, "sparse files are not read yet")
            .hint("pack the layer again without sparse files (tar without --sparse)"));
    }
    if path.is_empty() || path.contains(&0) {
        return Err(field("an entry without a proper name".into()));
    }
    let device = || header.device().map_err(field);
    let kind = match kind {
        0 | b'0' | b'7' if path.ends_with(b"/") => EntryKind::Directory,
        0 | b'0' | b'7' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => device().map(|(major, minor)| EntryKind::CharDevice(major, minor))?,
        b'4' => device().map(|(major, minor)| EntryKind::BlockDevice(major, minor))?,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => {
            return Err(Fault::entry(
                Kind::Unsupported,
                &path,
                format_args!("entries of type '{}' are not read", shown(&[other])),
            ));
        }
    };
    if matches!(kind, EntryKind::HardLink | EntryKind::Symlink) && (link.is_empty() || link.contains(&0)) {
        return Err(field("a link to nothing".into()));
    }
    let link = if matches!(kind, EntryKind::HardLink | EntryKind::Symlink) { link } else { Vec::new() };
    let mtime = match pax.mtime {
        Some(mtime) => mtime,
        None => Time { seconds: header.mtime().map_err(field)?, nanoseconds: 0 },
    };
    Ok(Entry {
        kind,
        link,
        mode: header.mode().map_err(field)?,
        uid: match pax.uid {
            Some(uid) => uid,
            None => header.uid().map_err(field)?,
        },
        gid: match pax.gid {
            Some(gid) => gid,
            None => header.gid().map_err(field)?,
        },
        mtime,
        size: if kind == EntryKind::File { pax.size.unwrap_or(size) } else { 0 },
        sparse: None,
        xattrs: pax.xattrs,
        uname: header.uname(),
        gname: header.gname(),
        left_out: Vec::new(),
        path,
    })
}

fn bad_field(header: &Header<'_>, why: String) -> Fault {
    Fault::entry(Kind::Corrupt, &header.path(), why)
}

fn corrupt(why: impl std::fmt::Display) -> Fault {
    Fault::layer(Kind::Corrupt, why)
}

fn truncated(why: &str) -> Fault {
    Fault::layer(Kind::Truncated, format_args!("is cut short: {why}")).hint("fetch or save it again")
}

/// An error of the reader below: the stream's own words.
fn read_fault(error: io::Error) -> Fault {
    Fault::layer(Kind::Corrupt, error)
}

#[cfg(test)]
mod tests;
