//! Files with holes: four ways to say where the data goes (GNU tar's manual, "Storing Sparse Files").
//!
//! - old GNU: entries of type `S`, four extents in the header and 21 in each block behind it; `size` is that of the data
//! - PAX 0.0: records `GNU.sparse.offset` and `GNU.sparse.numbytes` in turn, `GNU.sparse.size` the file's size
//! - PAX 0.1: the same as one record `GNU.sparse.map=0,512,4096,512`, and the name in `GNU.sparse.name`
//! - PAX 1.0: the map stands as decimal lines before the data, padded to whole blocks; `size` counts it
//!
//! All readers but Python's take a file for sparse only if the records are complete, each with other rules for what that
//! means; so what is not one whole map is refused. Extents must be sorted and lie in the file, and be as long together as
//! the data. Extents of length 0 say where the file ends and are dropped.
//!
//! star's own sparse files (type `S` too, told by `SCHILY.realsize`) are refused by name: Go does not read them either.

use super::entry::Sparse;
use super::header::{BLOCK_BYTES, Block, exact_size};
use super::pax::decimal;
use super::refusal::Refusal;
use crate::error::shown;

/// How many extents one file may have: 4 MiB of memory. Go stops at a map of 1 MiB, some 50 000.
const EXTENTS_LIMIT: usize = 1 << 18;
/// Digits of the longest number in a map.
const DIGITS: usize = 20;

/// `GNU.sparse.*` of one PAX header.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    /// The name, which stands in for the header's.
    pub(super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    blocks: Option<u64>,
    map: Option<Map>,
    /// Of the pair whose length has not come yet.
    offset: Option<u64>,
}

/// Where the map of a file is.
#[derive(Debug)]
pub(super) enum Form {
    /// In the header and the blocks behind it.
    Old,
    /// In the PAX header.
    Listed(Map),
    /// Before the data.
    InData,
}

impl Records {
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let bad = || Refusal::corrupt(format_args!("bad GNU.sparse.{} in its PAX header", shown(key)));
        let number = || decimal(value).filter(|_| !value.is_empty()).ok_or_else(bad);
        let slot = match key {
            b"name" => {
                if value.is_empty() || value.contains(&0) || self.name.as_ref().is_some_and(|old| old != value) {
                    return Err(bad());
                }
                self.name = Some(value.to_vec());
                return Ok(());
            }
            b"offset" => {
                let offset = number()?;
                return if self.offset.replace(offset).is_none() { Ok(()) } else { Err(bad()) };
            }
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(bad)?;
                return self.map.get_or_insert_default().add(offset, number()?);
            }
            b"map" => {
                if self.map.is_some() {
                    return Err(bad());
                }
                let mut map = Map::default();
                let mut numbers = value.split(|&b| b == b',').map(|text| decimal(text).filter(|_| !text.is_empty()));
                while let Some(offset) = numbers.next() {
                    let length = numbers.next().ok_or_else(bad)?;
                    map.add(offset.ok_or_else(bad)?, length.ok_or_else(bad)?)?;
                }
                self.map = Some(map);
                return Ok(());
            }
            b"major" => &mut self.major,
            b"minor" => &mut self.minor,
            b"size" | b"realsize" => &mut self.size,
            b"numblocks" => &mut self.blocks,
            // Nothing else is known to be written; Go and GNU tar pass it over.
            _ => return Ok(()),
        };
        let value = number()?;
        if slot.is_some_and(|old| old != value) {
            return Err(bad());
        }
        *slot = Some(value);
        Ok(())
    }

    /// Refuses what is not one whole map of a version that all know.
    pub(super) fn whole(&self) -> Result<(), Refusal> {
        let listed = |map: &Map| self.offset.is_none() && self.blocks == Some(map.seen as u64);
        let whole = match (self.major, self.minor, &self.map) {
            (None, None, Some(map)) | (Some(0), Some(0 | 1), Some(map)) => listed(map),
            (Some(1), Some(0), None) => self.offset.is_none() && self.blocks.is_none(),
            _ => false,
        };
        if whole && self.size.is_some() {
            return Ok(());
        }
        Err(Refusal::disputed(
            "GNU.sparse records that are not one map of a known version",
            "GNU tar reads a file with holes",
            "Go one without",
        ))
    }

    /// The size of the file, and where its map is.
    pub(super) fn form(self) -> (u64, Form) {
        (self.size.unwrap_or(0), self.map.map_or(Form::InData, Form::Listed))
    }
}

/// A map as it grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Map {
    extents: Vec<(u64, u64)>,
    /// Extents that came, the empty ones too.
    seen: usize,
    /// Where the last one ends.
    end: u64,
    /// All lengths together.
    data: u64,
}

impl Map {
    pub(super) fn add(&mut self, offset: u64, length: u64) -> Result<(), Refusal> {
        self.seen += 1;
        if self.seen > EXTENTS_LIMIT {
            return Err(Refusal::corrupt(format_args!("more than {EXTENTS_LIMIT} pieces between its holes")));
        }
        let end = offset.checked_add(length).filter(|&end| i64::try_from(end).is_ok());
        let Some(end) = end.filter(|_| offset >= self.end) else {
            return Err(Refusal::disputed(
                "a map of holes that is not in order",
                "GNU tar writes over what it wrote",
                "Go reads none",
            ));
        };
        self.end = end;
        // Does not overflow: the extents do not overlap.
        self.data += length;
        if length > 0 {
            self.extents.push((offset, length));
        }
        Ok(())
    }

    /// Adds what one block of old GNU form says; `field` is as many pairs of 12 bytes. Says whether it was full.
    pub(super) fn add_old(&mut self, field: &[u8]) -> Result<bool, Refusal> {
        for pair in field.chunks_exact(24) {
            let (offset, length) = pair.split_at(12);
            match (offset[0], length[0]) {
                (0, 0) => return Ok(false),
                (0, _) | (_, 0) => {
                    return Err(Refusal::disputed(
                        "half a piece in a map of holes",
                        "Go looks at the offset for the end of the map",
                        "GNU tar at the length",
                    ));
                }
                _ => self.add(exact_size(offset)?, exact_size(length)?)?,
            }
        }
        Ok(true)
    }

    /// The map of a file of `real_size` bytes, `data` of them in the archive.
    pub(super) fn finish(self, real_size: u64, data: u64) -> Result<Sparse, Refusal> {
        if self.end > real_size {
            return Err(Refusal::corrupt(format_args!(
                "a map of holes up to byte {} of a file of {real_size} bytes",
                self.end
            )));
        }
        if self.data != data {
            return Err(Refusal::disputed(
                "a map of holes that does not add up",
                format_args!("the map says {} bytes", self.data),
                format_args!("the header {data}"),
            ));
        }
        Ok(Sparse { real_size, extents: self.extents })
    }
}

/// Reads the map before the data of a PAX 1.0 file, block by block: the number of extents, then for each offset and length,
/// each decimal and ended by a newline.
#[derive(Debug, Default)]
pub(super) struct Lines {
    map: Map,
    /// The number being read, and how many digits it has.
    number: u64,
    digits: usize,
    /// How many extents there are, once known.
    count: Option<u64>,
    offset: Option<u64>,
}

impl Lines {
    /// Takes one block; gives the map when it ends in it.
    pub(super) fn add(&mut self, block: &Block) -> Result<Option<Map>, Refusal> {
        let bad = || Refusal::corrupt("a map of holes that does not add up");
        for &byte in block {
            match byte {
                b'0'..=b'9' if self.digits < DIGITS => {
                    let digit = u64::from(byte - b'0');
                    self.number =
                        self.number.checked_mul(10).and_then(|number| number.checked_add(digit)).ok_or_else(bad)?;
                    self.digits += 1;
                }
                b'\n' if self.digits > 0 => {
                    if self.line()? {
                        return Ok(Some(std::mem::take(&mut self.map)));
                    }
                }
                _ => return Err(bad()),
            }
        }
        Ok(None)
    }

    /// Takes the number that has ended; true if it was the last.
    fn line(&mut self) -> Result<bool, Refusal> {
        let number = std::mem::take(&mut self.number);
        self.digits = 0;
        match (self.count, self.offset.take()) {
            (None, _) => self.count = Some(number),
            (Some(_), None) => self.offset = Some(number),
            (Some(_), Some(offset)) => self.map.add(offset, number)?,
        }
        Ok(self.offset.is_none() && self.count == Some(self.map.seen as u64))
    }
}

/// The bytes of a block behind an old GNU header that hold extents, and whether another follows.
pub(super) fn extension(block: &Block) -> (&[u8], bool) {
    (&block[..BLOCK_BYTES / 24 * 24], block[504] != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &[u8]) -> Block {
        let mut block = [0; BLOCK_BYTES];
        block[..text.len()].copy_from_slice(text);
        block
    }

    #[test]
    fn lines_may_break_at_any_byte_of_a_block() {
        let text: String =
            std::iter::once(100).chain((0..100).flat_map(|i| [i * 1000, 7])).map(|n| format!("{n}\n")).collect();
        let mut lines = Lines::default();
        let mut done = None;
        for chunk in text.as_bytes().chunks(BLOCK_BYTES) {
            assert!(done.is_none());
            done = lines.add(&block(chunk)).unwrap();
        }
        let sparse = done.unwrap().finish(1 << 20, 700).unwrap();
        assert_eq!((sparse.extents.len(), sparse.extents[99]), (100, (99_000, 7)));
    }

    #[test]
    fn lines_that_are_no_map() {
        for bad in [
            &b"+1\n0\n3\n"[..],
            b"\n",
            b"1\n0 \n",
            b"#c\n1\n0\n1\n",
            b"1\n5\n18446744073709551615\n",
            b"",
            b"2\n5\n1\n4\n1\n",
        ] {
            assert!(Lines::default().add(&block(bad)).is_err(), "{}", shown(bad));
        }
        assert!(Lines::default().add(&block(b"0\n")).unwrap().is_some());
    }

    #[test]
    fn empty_pieces_count_but_are_not_kept() {
        let mut map = Map::default();
        for (offset, length) in [(0, 3), (3, 0), (100, 0)] {
            map.add(offset, length).unwrap();
        }
        assert_eq!(map.clone().finish(100, 3).unwrap(), Sparse { real_size: 100, extents: vec![(0, 3)] });
        assert!(map.clone().finish(99, 3).is_err());
        assert!(map.finish(100, 4).is_err());
    }

    #[test]
    fn a_map_without_end_is_stopped() {
        let mut map = Map::default();
        let last = (0..).find(|&i| map.add(i, 0).is_err()).unwrap();
        assert_eq!(last, EXTENTS_LIMIT as u64);
    }
}
