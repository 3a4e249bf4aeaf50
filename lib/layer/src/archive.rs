//! Tar entries out of a stream of bytes: ustar (POSIX.1-1988), PAX (POSIX.1-2001, pax(1) "pax Interchange Format"), GNU
//! (tar(5): long names, base-256 numbers, holes, incremental archives), star's, libarchive's and Solaris' additions to them,
//! and what came before them all.
//!
//! ```text
//!  block ─▶ header ──▶ L K x g: read, kept for the entry (g: for all) that follows
//!                 └──▶ anything else ─▶ compose ─▶ Entry (with a map of holes, if it has some) ─▶ its data ─▶ padding ─▶ …
//! ```
//!
//! Written by hand rather than on a library, since a layer needs what readers for general use leave out: xattrs whose
//! values hold newlines, nanoseconds, times before 1970, holes, memory bounded whatever a header claims. And it needs to be
//! read as others read it: what they would read differently is refused ([`refusal`] has the list and why).
//!
//! What an entry says is taken from PAX before GNU before the header itself. A PAX `size` belongs to the entry only, never to the
//! GNU headers between.
//!
//! Invariants: [`Archive::position`] never goes back and ends behind the last byte looked at; no header makes us keep more than
//! [`NAME_LIMIT`], [`PAX_LIMIT`] or a bounded map of holes; a path and a link have no NUL and are not empty.

mod acl;
mod compose;
mod encoded;
mod entry;
#[cfg(feature = "fuzzing")]
pub mod fuzzed;
pub(crate) mod header;
mod pax;
mod refusal;
mod sparse;

pub use entry::{Entry, EntryKind, Sparse, Time};

use crate::error::{Fault, Kind};
use compose::{Ahead, Composed};
use header::{BLOCK_BYTES, Block, Header};
use pax::Pax;
use refusal::Refusal;
use sparse::{Form, Lines, Map};
use std::io::{self, BufRead, Seek};

/// Longest GNU name and longest PAX header that is read into memory. (Linux opens no path of more than 4096 bytes at once, but
/// they can be walked; an xattr has at most 64 KiB. Go stops at 1 MiB for both.)
const NAME_LIMIT: u64 = 1 << 20;
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
    /// Whether a PAX header has been seen.
    pax_seen: bool,
    ended: bool,
}

impl<R: BufRead> Archive<R> {
    /// The entries of what `reader` gives. Data that nobody asks for is read and dropped.
    pub fn new(reader: R) -> Self {
        Self::with(reader, skip_by_reading)
    }

    fn with(reader: R, skip: fn(&mut R, u64) -> io::Result<u64>) -> Self {
        Self {
            reader,
            skip,
            position: 0,
            data_left: 0,
            padding: 0,
            global: Pax::default(),
            pax_seen: false,
            ended: false,
        }
    }

    /// Where in the tar the data of the current entry starts, if none of it has been read yet.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry, after dropping what is left of the one before; `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let mut ahead = Ahead::default();
        loop {
            if self.ended {
                return Ok(None);
            }
            self.drop_data()?;
            let Some(block) = self.block()? else {
                self.ended = true;
                return if ahead.is_empty() { Ok(None) } else { Err(truncated("ends behind an extended header")) };
            };
            let header = Header::new(&block);
            if !header.checksum_holds() {
                if header::is_zero(&block) {
                    self.ended = true;
                    self.end(&ahead)?;
                    return Ok(None);
                }
                return Err(corrupt(format_args!("bad tar header at byte {}", self.position - BLOCK_BYTES as u64)));
            }
            let refused = |refusal: Refusal| refusal.of(header.name());
            match header.kind() {
                kind @ (b'L' | b'K') => {
                    let size = header.size().map_err(refused)?;
                    ahead.check_long(size).map_err(refused)?;
                    let mut name = self.whole_data("a name", size, NAME_LIMIT, &header)?;
                    name.truncate(header::until_nul(&name).len());
                    if kind == b'L' { ahead.long_name = Some(name) } else { ahead.long_link = Some(name) }
                }
                b'x' => {
                    ahead.check_pax().map_err(refused)?;
                    let bytes = self.whole_data("a PAX header", header.size().map_err(refused)?, PAX_LIMIT, &header)?;
                    let mut pax = self.global.clone();
                    pax.read(&bytes).map_err(refused)?;
                    ahead.pax = Some(pax);
                    self.pax_seen = true;
                }
                b'g' => {
                    ahead.check_nothing("a global header").map_err(refused)?;
                    let bytes = self.whole_data("a PAX header", header.size().map_err(refused)?, PAX_LIMIT, &header)?;
                    self.global.read_global(&bytes).map_err(refused)?;
                    self.pax_seen = true;
                }
                b'V' => {
                    ahead.check_nothing("a label").map_err(refused)?;
                    if header.size().map_err(refused)? > 0 {
                        let refusal = Refusal::disputed(
                            "a label with a size",
                            "GNU tar and Go read data behind it",
                            "bsdtar none",
                        );
                        return Err(refused(refusal));
                    }
                }
                _ => {
                    let Composed { entry, form } = compose::compose(&header, ahead, &self.global, self.pax_seen)?;
                    return self.with_data(entry, form, &header).map(Some);
                }
            }
        }
    }

    /// Gets ready to read the entry's data, and reads the map of its holes where that is not in a PAX header.
    fn with_data(&mut self, mut entry: Entry, form: Option<(u64, Form)>, header: &Header<'_>) -> Result<Entry, Fault> {
        let Some((real_size, form)) = form else {
            self.set_data(entry.size);
            return Ok(entry);
        };
        let map = match form {
            Form::Listed(map) => {
                self.set_data(entry.size);
                map
            }
            Form::Old => {
                let map = self.old_map(header, &entry.path)?;
                self.set_data(entry.size);
                map
            }
            Form::InData => {
                self.set_data(entry.size);
                let map = self.map_before_data(&entry.path)?;
                entry.size = self.data_left;
                map
            }
        };
        entry.sparse = Some(map.finish(real_size, entry.size).map_err(|refusal| refusal.of(&entry.path))?);
        Ok(entry)
    }

    /// The map of an old GNU file with holes: in the header, and in the blocks behind it.
    fn old_map(&mut self, header: &Header<'_>, path: &[u8]) -> Result<Map, Fault> {
        let refused = |refusal: Refusal| refusal.of(path);
        let mut map = Map::default();
        let mut full = map.add_old(header.sparse_entries()).map_err(refused)?;
        let mut more = header.sparse_goes_on();
        while more {
            if !full {
                return Err(refused(Refusal::disputed(
                    "a map of holes that goes on behind its end",
                    "GNU tar reads no more of it",
                    "Go another block",
                )));
            }
            let block = self.block()?.ok_or_else(|| truncated("ends in a map of holes"))?;
            let (extents, goes_on) = sparse::extension(&block);
            full = map.add_old(extents).map_err(refused)?;
            more = goes_on;
        }
        Ok(map)
    }

    /// The map that a PAX 1.0 file with holes has before its data.
    fn map_before_data(&mut self, path: &[u8]) -> Result<Map, Fault> {
        let mut lines = Lines::default();
        loop {
            if self.data_left < BLOCK_BYTES as u64 {
                return Err(Refusal::corrupt("a map of holes that does not add up").of(path));
            }
            let block = self.block()?.ok_or_else(|| truncated("ends in a map of holes"))?;
            self.data_left -= BLOCK_BYTES as u64;
            if let Some(map) = lines.add(&block).map_err(|refusal| refusal.of(path))? {
                return Ok(map);
            }
        }
    }

    /// Behind the first block of zeros: another, or the end of the stream. What is behind two is nobody's.
    fn end(&mut self, ahead: &Ahead) -> Result<(), Fault> {
        if !ahead.is_empty() {
            return Err(corrupt("ends behind an extended header"));
        }
        let mut left = BLOCK_BYTES;
        while left > 0 {
            let bytes = self.reader.fill_buf().map_err(read_fault)?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len().min(left);
            if !header::is_zero(&bytes[..count]) {
                let what = format!("one block of zeros at byte {}, and more behind it", self.position - 512);
                return Err(corrupt(format_args!("{what}: GNU tar ends there, Go reads no such archive")));
            }
            self.reader.consume(count);
            self.position += count as u64;
            left -= count;
        }
        Ok(())
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
    fn block(&mut self) -> Result<Option<Block>, Fault> {
        let bytes = self.reader.fill_buf().map_err(read_fault)?;
        if let Some(block) = bytes.first_chunk() {
            let block = *block;
            self.reader.consume(BLOCK_BYTES);
            self.position += BLOCK_BYTES as u64;
            return Ok(Some(block));
        }
        self.block_in_parts()
    }

    #[cold]
    fn block_in_parts(&mut self) -> Result<Option<Block>, Fault> {
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
            self.position += count as u64;
            have += count;
        }
        Ok(Some(block))
    }

    /// The data of an extended header.
    fn whole_data(&mut self, what: &str, size: u64, limit: u64, header: &Header<'_>) -> Result<Vec<u8>, Fault> {
        if size > limit {
            return Err(Refusal::corrupt(format_args!("{what} of {size} bytes")).of(header.name()));
        }
        self.set_data(size);
        self.data_to_vec(limit)
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
