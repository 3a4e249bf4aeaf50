//! The json-file driver's entries: a line of JSON each.

use super::Entry;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much of a file's end is looked at for an entry that is not whole. Ours are far shorter.
const TAIL_BYTES: u64 = 1 << 20;
/// How much is read at once where a file is read from behind, in bytes.
const CHUNK_BYTES: u64 = 64 << 10;

/// Writes one entry. Bytes that are no UTF-8 become U+FFFD, as in docker: JSON has no others.
pub(super) fn write(
    out: &mut Vec<u8>,
    stream: &str,
    line: &[u8],
    time: jiff::Timestamp,
    attributes: &BTreeMap<String, String>,
) -> io::Result<()> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        log: &'a str,
        stream: &'a str,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        attrs: &'a BTreeMap<String, String>,
        time: String,
    }
    let text = String::from_utf8_lossy(line);
    let line = Line { log: &text, stream, attrs: attributes, time: time.to_string() };
    serde_json::to_writer(&mut *out, &line).map_err(io::Error::other)?;
    out.push(b'\n');
    Ok(())
}

/// Where the whole entries of `file` end: a writer that was killed may have left half a line.
pub(super) fn end(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    let mut tail = vec![0; (length - from) as usize];
    file.read_exact_at(&mut tail, from)?;
    Ok(from + tail.iter().rposition(|b| *b == b'\n').map_or(0, |at| at as u64 + 1))
}

/// Where the last `wanted` entries of `file` begin, and how many those are: fewer where it has no more.
pub(super) fn last(file: &File, wanted: usize) -> io::Result<(u64, usize)> {
    let mut at = file.metadata()?.len();
    let mut found = 0;
    let mut chunk = vec![0; CHUNK_BYTES as usize];
    while at > 0 {
        let from = at.saturating_sub(CHUNK_BYTES);
        let bytes = &mut chunk[..(at - from) as usize];
        file.read_exact_at(bytes, from)?;
        for (offset, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if found == wanted {
                return Ok((from + offset as u64 + 1, found));
            }
            found += 1;
        }
        at = from;
    }
    Ok((0, found))
}

/// The first entry of `bytes` and where the next begins; none while its end is not there. One that does not parse is passed
/// over.
pub(super) fn read(bytes: &[u8]) -> Option<(Option<Entry>, usize)> {
    let end = bytes.iter().position(|b| *b == b'\n')? + 1;
    Some((serde_json::from_slice(&bytes[..end]).ok(), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_file_are_found_from_behind() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(CHUNK_BYTES as usize);
        std::fs::write(&path, format!("one\n{long}\nthree\nhal")).unwrap();
        let file = File::open(&path).unwrap();
        let three = 4 + CHUNK_BYTES + 1;
        assert_eq!(last(&file, 1).unwrap(), (three, 1));
        assert_eq!(last(&file, 2).unwrap(), (4, 2));
        assert_eq!((last(&file, 3).unwrap(), last(&file, 9).unwrap()), ((0, 3), (0, 3)));
        assert_eq!((last(&file, 0).unwrap(), end(&file).unwrap()), ((three + 6, 0), three + 6));
    }
}
