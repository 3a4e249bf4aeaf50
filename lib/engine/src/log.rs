//! A container's log: what it wrote, kept by one of docker's log drivers ([`crate::request::logging`]).
//!
//! ```text
//! containers/<id>/<id>-json.log          json-file: {"log":"text\n","stream":"stdout","time":"RFC 3339"[,"attrs":{…}]} a line
//! containers/<id>/<id>-json.log.1 …      what was put aside, the newest first; .gz where it is compressed
//! containers/<id>/local-logs/container.log …   local: docker's binary records
//! ```
//!
//! - [`Writer`] cuts what comes into entries and hands them to the driver; [`files`] keeps and rotates them
//! - [`Source`] reads entries back, over all files and as they come
//! - [`json`], [`local`], [`journal`]: what an entry looks like; [`tag`], [`attributes`]: what is told besides
//!
//! Lines longer than 16 KiB are cut into several entries, of which only the last ends in a newline. Two invariants:
//! an entry is in one file whole, or in none, also when its writer is killed; and at every moment of a rotation each entry is in
//! exactly one file that a reader looks at.

use crate::Result;
use crate::life::Asked;
use crate::request::logging::Driver;
use crate::stream::Channel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use store::{Record, Root};

pub mod attributes;
pub mod files;
pub mod journal;
mod json;
mod local;
mod source;
pub mod tag;

pub use source::Source;

/// Longest text of one entry, in bytes.
const LINE_BYTES: usize = 16 << 10;

/// One entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was written; with its newline if the line is whole.
    pub log: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// When, RFC 3339 with nanoseconds.
    pub time: String,
    /// What `--log-opt` `tag`, `labels` and `env` had told besides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
}

/// The file that the driver of `asked` writes to; none where it keeps no file. docker: `inspect` tells it for `json-file` alone.
pub fn path(root: &Root, record: &Record, asked: &Asked) -> Option<PathBuf> {
    let folder = root.container_folder(&record.id);
    match asked.request.logging.driver {
        Driver::JsonFile => Some(folder.join(format!("{}-json.log", record.id))),
        Driver::Local => Some(folder.join("local-logs/container.log")),
        Driver::None | Driver::Journald => None,
    }
}

/// Where entries go.
#[derive(Debug)]
enum Sink {
    Json { files: files::Files, attributes: BTreeMap<String, String> },
    Local(files::Files),
    Journal(journal::Sender),
    None,
}

/// Writes a log: keeps what is not yet a line of each stream.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    partial: [Vec<u8>; 2],
}

impl Writer {
    /// The log of `record`, to be continued.
    pub fn open(root: &Root, record: &Record, asked: &Asked) -> Result<Self> {
        let logging = &asked.request.logging;
        let files = |end: fn(&File) -> io::Result<u64>| match path(root, record, asked) {
            Some(path) => files::Files::open(root, &record.id, path, logging.rotation()?, end).map(Some),
            None => Ok(None),
        };
        let sink = match logging.driver {
            Driver::JsonFile => files(json::end)?
                .map_or(Sink::None, |files| Sink::Json { files, attributes: attributes::of(record, asked, "") }),
            Driver::Local => files(local::end)?.map_or(Sink::None, Sink::Local),
            Driver::Journald => Sink::Journal(journal::Sender::open(record, asked)?),
            Driver::None => Sink::None,
        };
        Ok(Self { sink, partial: [Vec::new(), Vec::new()] })
    }

    /// Takes what a stream gave. Entries are written as their lines are whole, those of one call together.
    pub fn push(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        let index = usize::from(channel == Channel::Stderr);
        let mut pending = std::mem::take(&mut self.partial[index]);
        pending.extend_from_slice(bytes);
        let mut batch = Vec::new();
        let mut rest = pending.as_slice();
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(LINE_BYTES)];
            let end = match window.iter().position(|b| *b == b'\n') {
                Some(newline) => newline + 1,
                None if rest.len() >= LINE_BYTES => LINE_BYTES,
                None => break,
            };
            batch.push((index, &rest[..end]));
            rest = &rest[end..];
        }
        let done = self.sink.write(&batch);
        self.partial[index] = rest.to_vec();
        done
    }

    /// Writes what was no whole line yet.
    pub fn finish(&mut self) -> io::Result<()> {
        let partial = std::mem::take(&mut self.partial);
        let left = partial.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty());
        self.sink.write(&left.map(|(index, bytes)| (index, bytes.as_slice())).collect::<Vec<_>>())
    }

    /// The log's own path, once after a file of it was put aside that is to be compressed.
    pub fn take_aside(&mut self) -> Option<PathBuf> {
        match &mut self.sink {
            Sink::Json { files, .. } | Sink::Local(files) => files.take_aside(),
            Sink::Journal(_) | Sink::None => None,
        }
    }
}

impl Sink {
    fn write(&mut self, batch: &[(usize, &[u8])]) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let now = jiff::Timestamp::now();
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(batch.len());
        let files = match self {
            Self::None => return Ok(()),
            Self::Journal(sender) => return batch.iter().try_for_each(|(index, line)| sender.send(*index, line)),
            Self::Json { files, attributes } => {
                for (index, line) in batch {
                    json::write(&mut bytes, stream(*index), line, now, attributes)?;
                    ends.push(bytes.len());
                }
                files
            }
            Self::Local(files) => {
                for (index, line) in batch {
                    local::write(&mut bytes, stream(*index), line, now);
                    ends.push(bytes.len());
                }
                files
            }
        };
        files.append(&bytes, &ends)
    }
}

fn stream(index: usize) -> &'static str {
    if index == 0 { "stdout" } else { "stderr" }
}
