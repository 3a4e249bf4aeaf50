//! The json-file driver's entries: a line of JSON each.

use super::Entry;
use std::collections::BTreeMap;
use std::io;

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

/// How much of `tail`, the end of a file, is whole entries: a writer that was killed may have left half a line.
pub(super) fn whole(tail: &[u8]) -> usize {
    tail.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)
}

/// The first entry of `bytes` and where the next begins; none while its end is not there. One that does not parse is passed
/// over.
pub(super) fn read(bytes: &[u8]) -> Option<(Option<Entry>, usize)> {
    let end = bytes.iter().position(|b| *b == b'\n')? + 1;
    Some((serde_json::from_slice(&bytes[..end]).ok(), end))
}
