//! Reads a log back: over all its files, the oldest first, and on with what comes.

use super::files::{self, Identity, Part};
use super::{Entry, json, local, path};
use crate::life::Asked;
use crate::request::logging::Driver;
use crate::{Error, Kind, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;
use store::{Record, Root};

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// The first entry of some bytes and where the next begins; none while its end is not there.
type Decode = fn(&[u8]) -> Option<(Option<Entry>, usize)>;

/// How a driver's entries lie in a file.
#[derive(Debug, Clone, Copy)]
struct Format {
    read: Decode,
    /// Where so many entries begin that are a file's last, and how many those are.
    last: fn(&File, usize) -> io::Result<(u64, usize)>,
}

/// A log that is read.
#[derive(Debug)]
pub struct Source {
    from: From,
}

#[derive(Debug)]
enum From {
    Files(Files),
    Journal(super::journal::Reader),
    Nothing,
}

#[derive(Debug)]
struct Files {
    path: PathBuf,
    format: Format,
    /// Files not begun yet, the oldest first.
    parts: VecDeque<Part>,
    now: Option<Part>,
    /// What was read and is not yet taken.
    bytes: Vec<u8>,
    at: usize,
}

impl Source {
    /// The log of `record` from its beginning. Refused for a driver that keeps nothing, with docker's words.
    pub fn open(root: &Root, record: &Record, asked: &Asked) -> Result<Self> {
        let format = match asked.request.logging.driver {
            Driver::JsonFile => Format { read: json::read, last: json::last },
            Driver::Local => Format { read: local::read, last: local::last },
            Driver::Journald => return Ok(Self { from: From::Journal(super::journal::Reader::new(record)) }),
            Driver::None => {
                return Err(Error::new(Kind::Request, "", "configured logging driver does not support reading")
                    .hint("it was made with --log-driver none"));
            }
        };
        let Some(path) = path(root, record, asked) else { return Ok(Self { from: From::Nothing }) };
        let fail = |e: io::Error| crate::error::system("read", path.display(), e);
        let parts = files::parts(&path).map_err(fail)?.into();
        Ok(Self { from: From::Files(Files { path, format, parts, now: None, bytes: Vec::new(), at: 0 }) })
    }

    /// The next entry, or `None` where there is none yet. An entry that does not parse is passed over.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        match &mut self.from {
            From::Files(files) => files.next_entry(),
            From::Journal(reader) => reader.next_entry(),
            From::Nothing => Ok(None),
        }
    }

    /// Passes over most of what is before the last `wanted` entries, without reading it; to be called before anything is read.
    pub fn tail(&mut self, wanted: usize) -> io::Result<()> {
        match &mut self.from {
            From::Files(files) => files.tail(wanted),
            From::Journal(reader) => {
                reader.tail(wanted);
                Ok(())
            }
            From::Nothing => Ok(()),
        }
    }

    /// Waits for what comes, at most for `limit`.
    pub fn rest(&mut self, limit: Duration) -> io::Result<()> {
        match &mut self.from {
            From::Journal(reader) => reader.rest(limit),
            From::Files(_) | From::Nothing => {
                std::thread::sleep(limit);
                Ok(())
            }
        }
    }

    /// Nothing is written any more: from here on the next entry is `None` where there will never be one.
    pub fn conclude(&mut self) {
        if let From::Journal(reader) = &mut self.from {
            reader.conclude();
        }
    }
}

impl Files {
    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            while let Some((entry, length)) = (self.format.read)(&self.bytes[self.at..]) {
                self.at += length;
                if entry.is_some() {
                    return Ok(entry);
                }
            }
            self.bytes.drain(..self.at);
            self.at = 0;
            if !self.read_on()? {
                return Ok(None);
            }
        }
    }

    fn tail(&mut self, wanted: usize) -> io::Result<()> {
        let mut left = wanted;
        let mut kept = VecDeque::new();
        while let Some(mut part) = self.parts.pop_back() {
            if !part.open(&self.path)? {
                continue;
            }
            let count = match part.plain() {
                Some(file) => {
                    let (begin, count) = (self.format.last)(file, left)?;
                    file.seek(SeekFrom::Start(begin))?;
                    count
                }
                None => {
                    let count = self.count(&mut part)?;
                    part.close();
                    count
                }
            };
            let enough = count >= left;
            if !enough && kept.len() >= files::OPEN {
                part.close();
            }
            kept.push_front(part);
            if enough {
                break;
            }
            left -= count;
        }
        self.parts = kept;
        Ok(())
    }

    /// How many entries are in a file that can only be read from its beginning.
    fn count(&self, part: &mut Part) -> io::Result<usize> {
        let (mut bytes, mut count) = (Vec::new(), 0);
        loop {
            let from = bytes.len();
            bytes.resize(from + CHUNK_BYTES, 0);
            let read = part.read(&mut bytes[from..])?;
            bytes.truncate(from + read);
            if read == 0 {
                return Ok(count);
            }
            let mut at = 0;
            while let Some((_, length)) = (self.format.read)(&bytes[at..]) {
                at += length;
                count += 1;
            }
            bytes.drain(..at);
        }
    }

    /// The next file that is still there.
    fn next_part(&mut self) -> io::Result<Option<Part>> {
        while let Some(mut part) = self.parts.pop_front() {
            if part.open(&self.path)? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Reads some more, from the next file where one has ended; whether there was some.
    fn read_on(&mut self) -> io::Result<bool> {
        loop {
            if self.now.is_none() {
                self.now = self.next_part()?;
            }
            if self.now.is_none() {
                // Nothing was there; by now something may be.
                self.parts = files::parts(&self.path)?.into();
                if self.parts.is_empty() {
                    return Ok(false);
                }
                continue;
            }
            // Looked at before the file is read to its end: nothing comes to it once it is put aside.
            let over = match self.parts.is_empty() {
                true => self.is_put_aside()?,
                false => true,
            };
            let Some(now) = self.now.as_mut() else { return Ok(false) };
            let from = self.bytes.len();
            self.bytes.resize(from + CHUNK_BYTES, 0);
            let read = now.read(&mut self.bytes[from..])?;
            self.bytes.truncate(from + read);
            if read > 0 {
                return Ok(true);
            }
            if !over {
                return Ok(false);
            }
            let identity = now.identity;
            self.now = None;
            // Half an entry at the end of a file stays half.
            self.bytes.clear();
            if self.parts.is_empty() {
                self.parts = after(files::parts(&self.path)?, identity);
            }
        }
    }

    /// Whether the file that is read is no longer the one that is written to.
    fn is_put_aside(&self) -> io::Result<bool> {
        let Some(now) = &self.now else { return Ok(false) };
        match std::fs::metadata(&self.path) {
            Ok(there) => Ok(Identity::of(&there) != now.identity),
            // Between two steps of a rotation; the next round sees it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// The files that come after the one known as `identity`; all where that is gone.
fn after(mut parts: Vec<Part>, identity: Identity) -> VecDeque<Part> {
    let known = parts.iter().position(|part| part.identity == identity);
    parts.drain(..known.map_or(0, |at| at + 1));
    parts.into()
}
