//! What must hold whatever the bytes are; built for the fuzz targets only (`fuzz/`, feature `fuzzing`).

use super::entry::{Entry, EntryKind};
use super::pax::Pax;
use super::{Archive, Fault};
use crate::extract::resolve::normalise;
use std::io::{BufRead, BufReader, Cursor};

/// The parser: it ends, stays within the bytes, keeps no more than they hold, and reads the same whatever the pieces are.
pub fn archive(bytes: &[u8]) {
    let whole = all(Archive::new(bytes), bytes.len());
    for capacity in [1, 511, 513] {
        let pieces = all(Archive::new(BufReader::with_capacity(capacity, bytes)), bytes.len());
        assert_eq!(whole, pieces, "in pieces of {capacity}");
    }
    // Sought in, it does not see that the last data is cut short.
    let mut sought = Archive::seekable(Cursor::new(bytes));
    let mut known = whole.0.iter();
    while let Ok(Some(entry)) = sought.next() {
        match known.next() {
            Some((first, _)) => assert_eq!(first, &entry),
            None => break,
        }
    }
}

/// All entries with their data, and whether it ended well.
fn all<R: BufRead>(mut archive: Archive<R>, length: usize) -> (Vec<(Entry, Vec<u8>)>, bool) {
    let mut all = Vec::new();
    let mut position = 0;
    loop {
        let entry = match archive.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => return (all, true),
            Err(_) => return (all, false),
        };
        check(&entry, length);
        assert!(archive.position() > position && archive.position() <= length as u64);
        position = archive.position();
        let mut data = Vec::new();
        let ended = loop {
            match archive.data() {
                Ok([]) => break true,
                Ok(bytes) => {
                    data.extend_from_slice(bytes);
                    let count = bytes.len();
                    archive.consume(count);
                }
                Err(_) => break false,
            }
        };
        assert_eq!(archive.position(), position + data.len() as u64);
        if !ended {
            return (all, false);
        }
        assert_eq!(data.len() as u64, entry.size);
        all.push((entry, data));
    }
}

fn check(entry: &Entry, length: usize) {
    assert!(!entry.path.is_empty() && !entry.path.contains(&0) && !entry.link.contains(&0));
    let linked = matches!(entry.kind, EntryKind::HardLink | EntryKind::Symlink);
    assert_eq!(linked, !entry.link.is_empty());
    assert!(entry.mode <= 0o7777 && entry.mtime.nanoseconds < 1_000_000_000);
    let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    // ACLs take a little more room as bytes than as text: `u::` is 8 of them.
    assert!(entry.path.len() + entry.link.len() + xattrs <= 4 * length + 8192);
    assert!(entry.left_out.len() <= super::pax::LEFT_OUT_LINES);
    let Some(sparse) = &entry.sparse else { return };
    assert_eq!(entry.kind, EntryKind::File);
    let mut end = 0;
    for &(offset, length) in &sparse.extents {
        assert!(offset >= end && length > 0);
        end = offset + length;
    }
    assert!(end <= sparse.real_size);
    assert_eq!(sparse.extents.iter().map(|extent| extent.1).sum::<u64>(), entry.size);
    assert!(sparse.extents.len() <= length);
}

/// The records of one PAX header.
pub fn records(bytes: &[u8]) {
    let mut pax = Pax::default();
    let read = pax.read(bytes).is_ok() && pax.settle_acls(bytes.len().is_multiple_of(2)).is_ok();
    let mut global = Pax::default();
    if global.read_global(bytes).is_ok() {
        assert!(global.path.is_none() && global.size.is_none());
    }
    if read {
        for (at, (name, _)) in pax.xattrs.iter().enumerate() {
            assert!(!name.is_empty() && !name.contains(&0));
            assert!(pax.xattrs[..at].iter().all(|(other, _)| other != name));
        }
    }
}

/// Path and size of an entry.
pub type Named = (Vec<u8>, u64);

/// Names and sizes of an archive that holds nothing but files, directories and symbolic links; `None` for any other, and for
/// what is refused.
pub fn plain_entries(bytes: &[u8]) -> Option<Vec<Named>> {
    let read = || -> Result<Option<Vec<Named>>, Fault> {
        let mut all = Vec::new();
        let mut archive = Archive::new(bytes);
        while let Some(entry) = archive.next()? {
            let plain = matches!(entry.kind, EntryKind::File | EntryKind::Directory | EntryKind::Symlink);
            if !plain || entry.sparse.is_some() {
                return Ok(None);
            }
            all.push((entry.path, entry.size));
        }
        Ok(Some(all))
    };
    read().ok().flatten()
}

/// A name on its way into a directory: what comes out climbs nowhere, and stays what it is.
pub fn path(bytes: &[u8]) {
    let Some(path) = normalise(bytes) else { return };
    assert!(path.len() <= bytes.len() && !path.starts_with(b"/"));
    if !path.is_empty() {
        assert!(path.split(|&b| b == b'/').all(|part| !matches!(part, b"" | b"." | b"..")));
    }
    assert_eq!(normalise(&path).as_ref(), Some(&path));
}
