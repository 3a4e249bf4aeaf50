//! The files of a log: appended to, put aside when they are full, compressed, removed when there are too many.
//!
//! ```text
//! NAME.new ─▶ NAME  written to  ─ full ─▶ NAME.1 ─▶ NAME.2 … NAME.(max-1) ─▶ gone
//! NAME.1.gz                             compressed by a process of its own; NAME.1 goes once it is whole
//! ```
//!
//! Each step is one rename, taken under the container's lock, so a writer killed between any two leaves every entry in one file: at
//! worst a number is missing, which readers pass over. NAME.n beside NAME.n.gz is the same twice, and NAME.n counts. A compressed
//! file keeps the identity of what it was made from in its header (RFC 1952, COMMENT), by which who reads along finds what comes
//! next.

use crate::request::logging::Rotation;
use crate::{Error, Kind, Result};
use flate2::GzBuilder;
use flate2::bufread::GzDecoder;
use rustix::fs::{FlockOperation, flock};
use spec::ContainerId;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use store::Root;

/// How many files of a log are open at once, to be read: more than a log usually has, and fewer than a process may open. The oldest
/// are: a rotation takes them away first.
pub(super) const OPEN: usize = 64;

/// A log that is written to.
#[derive(Debug)]
pub struct Files {
    root: Root,
    id: ContainerId,
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size_bytes: u64,
    /// Whether a file was put aside that is to be compressed.
    aside: bool,
}

impl Files {
    /// Opens the log at `path` to go on with it. What a killed writer left half written is cut off; `end` tells where a file's whole
    /// entries end.
    pub fn open(
        root: &Root,
        id: &ContainerId,
        path: PathBuf,
        rotation: Rotation,
        end: fn(&File) -> io::Result<u64>,
    ) -> Result<Self> {
        let fail = |e: io::Error| Error::new(Kind::Failed, "open log", path.display()).because(e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        let file = append_to(&path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let size_bytes = end(&file).map_err(fail)?;
        if size_bytes < length {
            file.set_len(size_bytes).map_err(fail)?;
        }
        Ok(Self { root: root.clone(), id: id.clone(), path, rotation, file, size_bytes, aside: false })
    }

    /// Appends entries: `ends` is where each of them ends in `bytes`. None is ever split over two files.
    pub fn append(&mut self, bytes: &[u8], ends: &[usize]) -> io::Result<()> {
        let mut from = 0;
        let mut to = 0;
        for end in ends {
            let grown = self.size_bytes + (end - from) as u64;
            if grown > self.rotation.max_size_bytes && (to > from || self.size_bytes > 0) {
                self.write(&bytes[from..to])?;
                from = to;
                if self.size_bytes > 0 {
                    self.rotate()?;
                }
            }
            to = *end;
        }
        self.write(&bytes[from..to])
    }

    /// All of it or nothing: half an entry at the end of a full disk would spoil the next one.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => self.size_bytes += bytes.len() as u64,
            Err(e) => {
                let _ = self.file.set_len(self.size_bytes);
                return Err(e);
            }
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let _alone = self.root.lock_container(&self.id).map_err(io::Error::other)?;
        // First of all: where there is no room for another file, all stays as it is. Who reads along keeps the old one.
        let fresh = numbered(&self.path, "new");
        remove(&fresh)?;
        let file = append_to(&fresh)?;
        let last = self.rotation.max_files - 1;
        if last > 0 && self.path.exists() {
            self.shift(last)?;
            std::fs::rename(&self.path, aside(&self.path, 1))?;
            self.aside = self.rotation.compress;
        }
        std::fs::rename(&fresh, &self.path)?;
        self.file = file;
        self.size_bytes = 0;
        Ok(())
    }

    /// Makes room for another file that is put aside.
    fn shift(&self, last: u32) -> io::Result<()> {
        for number in (1..=last).rev() {
            let (plain, packed) = (aside(&self.path, number), compressed(&self.path, number));
            if number == last {
                remove(&plain)?;
                remove(&packed)?;
            } else if plain.exists() {
                remove(&packed)?;
                std::fs::rename(&plain, aside(&self.path, number + 1))?;
            } else if packed.exists() {
                std::fs::rename(&packed, compressed(&self.path, number + 1))?;
            }
        }
        Ok(())
    }

    /// The log, once after a file of it was put aside that is to be compressed.
    pub(super) fn take_aside(&mut self) -> Option<PathBuf> {
        std::mem::take(&mut self.aside).then(|| self.path.clone())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn numbered(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn aside(path: &Path, number: u32) -> PathBuf {
    numbered(path, &number.to_string())
}

fn compressed(path: &Path, number: u32) -> PathBuf {
    numbered(path, &format!("{number}.gz"))
}

/// What a file is, over renames and compression: its inode number, and when it was made, for numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    inode: u64,
    made_ns: u128,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let made = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self { inode: metadata.ino(), made_ns: made.map_or(0, |since| since.as_nanos()) }
    }

    fn text(self) -> String {
        format!("{}-{}", self.inode, self.made_ns)
    }

    fn parse(text: &str) -> Option<Self> {
        let (inode, made) = text.split_once('-')?;
        Some(Self { inode: inode.parse().ok()?, made_ns: made.parse().ok()? })
    }
}

/// Compresses every file that was put aside of the log at `path` of the container `id`, wherever rotation moves them meanwhile.
/// Several may do so at once: a file is compressed by whoever has its lock.
pub fn compress(root: &Root, id: &ContainerId, path: &Path) -> Result<()> {
    let fail = |e: io::Error| Error::new(Kind::Failed, "compress log", path.display()).because(e);
    loop {
        let mut some = false;
        for number in numbers(path).map_err(fail)? {
            some |= compress_one(root, id, path, &aside(path, number)).map_err(fail)?;
        }
        if !some {
            return Ok(());
        }
    }
}

/// Whether there was something to do.
fn compress_one(root: &Root, id: &ContainerId, path: &Path, file: &Path) -> io::Result<bool> {
    let mut from = match File::open(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    if flock(&from, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    let identity = Identity::of(&from.metadata()?);
    let tmp = numbered(path, &format!("{}.tmp", identity.text()));
    let out = OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(&tmp)?;
    let mut out = GzBuilder::new().comment(identity.text()).write(out, flate2::Compression::default());
    io::copy(&mut from, &mut out).and_then(|_| out.finish())?;
    let _alone = root.lock_container(id).map_err(io::Error::other)?;
    let is_it = |number: &u32| std::fs::metadata(aside(path, *number)).is_ok_and(|m| Identity::of(&m) == identity);
    match numbers(path)?.into_iter().find(is_it) {
        Some(number) => {
            std::fs::rename(&tmp, compressed(path, number))?;
            remove(&aside(path, number))?;
        }
        // There were too many, and it is gone.
        None => remove(&tmp)?,
    }
    Ok(true)
}

/// The numbers that files of the log at `path` were put aside under, compressed or not; the newest first.
fn numbers(path: &Path) -> io::Result<Vec<u32>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = match std::fs::read_dir(path.parent().unwrap_or(Path::new("."))) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry?.file_name();
        let Some(suffix) = entry.to_str().and_then(|e| e.strip_prefix(&name)?.strip_prefix('.')) else { continue };
        numbers.extend(suffix.strip_suffix(".gz").unwrap_or(suffix).parse::<u32>().ok());
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// One file of a log, to be read.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) identity: Identity,
    /// The number it had; 0 is the one that is written to.
    number: u32,
    /// None while it is not open.
    bytes: Option<Bytes>,
}

/// What is in it.
#[derive(Debug)]
enum Bytes {
    Plain(File),
    Packed(Box<GzDecoder<BufReader<File>>>),
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Some(Bytes::Plain(file)) => file.read(buffer),
            Some(Bytes::Packed(packed)) => packed.read(buffer),
            None => Ok(0),
        }
    }
}

impl Part {
    /// Opens it, if it is not, where it is by now; whether it still is anywhere. Files move upwards, and are compressed where they are.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<bool> {
        if self.bytes.is_some() {
            return Ok(true);
        }
        let last = numbers(path)?.last().copied().unwrap_or(0) + 1;
        for number in self.number..=last {
            let mut here = [open_plain(path, number)?, open_packed(path, number)?].into_iter().flatten();
            if let Some(found) = here.find(|part| part.identity == self.identity) {
                *self = found;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Closes it; it begins anew when it is opened again.
    pub(super) fn close(&mut self) {
        self.bytes = None;
    }

    /// The file itself, where it is not compressed.
    pub(super) fn plain(&mut self) -> Option<&mut File> {
        match &mut self.bytes {
            Some(Bytes::Plain(file)) => Some(file),
            _ => None,
        }
    }
}

/// Every file of the log at `path`, the oldest first, of which as many are open as may be ([`OPEN`]). Taken while a rotation is under
/// way it may name a file twice, but misses none.
pub(super) fn parts(path: &Path) -> io::Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    // One more than is seen: the last may just be moving there.
    let last = numbers(path)?.last().copied().unwrap_or(0) + 1;
    // Upwards: what moves meanwhile is met again rather than missed.
    for number in 0..=last {
        let part = match open_plain(path, number)? {
            Some(part) => Some(part),
            None => open_packed(path, number)?,
        };
        let Some(part) = part.filter(|part| !parts.iter().any(|p| p.identity == part.identity)) else { continue };
        parts.push(part);
        if let Some(newer) = parts.len().checked_sub(OPEN + 1).and_then(|at| parts.get_mut(at)) {
            newer.close();
        }
    }
    parts.reverse();
    Ok(parts)
}

fn open_plain(path: &Path, number: u32) -> io::Result<Option<Part>> {
    let path = if number == 0 { path.to_owned() } else { aside(path, number) };
    match File::open(path) {
        Ok(file) => {
            let identity = Identity::of(&file.metadata()?);
            Ok(Some(Part { identity, number, bytes: Some(Bytes::Plain(file)) }))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn open_packed(path: &Path, number: u32) -> io::Result<Option<Part>> {
    let mut file = match File::open(compressed(path, number)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut header = GzDecoder::new(BufReader::new(&file));
    // The header is read with the first byte.
    let _ = header.read(&mut [0; 1]);
    let comment = header.header().and_then(|h| Identity::parse(&String::from_utf8_lossy(h.comment()?)));
    let identity = match comment {
        Some(identity) => identity,
        None => Identity::of(&file.metadata()?),
    };
    file.seek(SeekFrom::Start(0))?;
    let bytes = Bytes::Packed(Box::new(GzDecoder::new(BufReader::new(file))));
    Ok(Some(Part { identity, number, bytes: Some(bytes) }))
}

#[cfg(test)]
mod tests;
