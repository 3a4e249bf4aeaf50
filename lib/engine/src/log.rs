//! docker's json-file log: one JSON object a line, `{"log":"text\n","stream":"stdout","time":"RFC 3339"}`.
//!
//! Lines longer than 16 KiB are cut into several entries, of which only the last ends in a newline.

use crate::stream::Channel;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, Write};

/// Longest text of one entry, in bytes.
const LINE_BYTES: usize = 16 << 10;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was written; with its newline if the line is whole.
    pub log: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// When, RFC 3339 with nanoseconds.
    pub time: String,
}

/// Writes a log: keeps what is not yet a line of each stream.
#[derive(Debug)]
pub struct Writer {
    file: File,
    partial: [Vec<u8>; 2],
}

impl Writer {
    /// Writes to the end of `file`.
    pub fn new(file: File) -> Self {
        Self { file, partial: [Vec::new(), Vec::new()] }
    }

    /// Takes what a stream gave. Entries are written as their lines are whole, all of one call with one write.
    pub fn push(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        let index = usize::from(channel == Channel::Stderr);
        let mut pending = std::mem::take(&mut self.partial[index]);
        pending.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut rest = pending.as_slice();
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(LINE_BYTES)];
            let end = match window.iter().position(|b| *b == b'\n') {
                Some(newline) => newline + 1,
                None if rest.len() >= LINE_BYTES => LINE_BYTES,
                None => break,
            };
            entry(&mut out, index, &rest[..end])?;
            rest = &rest[end..];
        }
        self.partial[index] = rest.to_vec();
        self.file.write_all(&out)
    }

    /// Writes what was no whole line yet.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        for (index, partial) in self.partial.iter_mut().enumerate() {
            if !partial.is_empty() {
                entry(&mut out, index, partial)?;
                partial.clear();
            }
        }
        self.file.write_all(&out)
    }
}

fn entry(out: &mut Vec<u8>, index: usize, line: &[u8]) -> io::Result<()> {
    let entry = Entry {
        log: String::from_utf8_lossy(line).into_owned(),
        stream: if index == 0 { "stdout" } else { "stderr" }.to_owned(),
        time: jiff::Timestamp::now().to_string(),
    };
    serde_json::to_writer(&mut *out, &entry).map_err(io::Error::other)?;
    out.push(b'\n');
    Ok(())
}

/// Reads entries; a last line that is not whole yet is left for the next call, one that does not parse is passed over.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    line: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `source`, which may grow.
    pub fn new(source: R) -> Self {
        Self { source, line: Vec::new() }
    }

    /// The next entry, or `None` where there is none yet.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if self.source.read_until(b'\n', &mut self.line)? == 0 || !self.line.ends_with(b"\n") {
                return Ok(None);
            }
            let parsed = serde_json::from_slice(&self.line);
            self.line.clear();
            if let Ok(entry) = parsed {
                return Ok(Some(entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = Writer::new(File::create(&path).unwrap());
        writer.push(Channel::Stdout, b"one\ntw").unwrap();
        writer.push(Channel::Stderr, b"err\n").unwrap();
        writer.push(Channel::Stdout, b"o\n").unwrap();
        writer.push(Channel::Stdout, &[b'x'; LINE_BYTES + 1]).unwrap();
        writer.finish().unwrap();
        let mut reader = Reader::new(std::io::BufReader::new(File::open(&path).unwrap()));
        let mut got = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            got.push((entry.stream, entry.log.len(), entry.log.ends_with('\n')));
        }
        let want = [("stdout", 4, true), ("stderr", 4, true), ("stdout", 4, true), ("stdout", LINE_BYTES, false)];
        let want = want.into_iter().chain([("stdout", 1, false)]).map(|(s, n, e)| (s.to_owned(), n, e));
        assert_eq!(got, want.collect::<Vec<_>>());
    }
}
