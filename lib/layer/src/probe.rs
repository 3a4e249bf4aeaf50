//! Whether what comes is a layer or an image, told by the names in it.
//!
//! An image's archive holds nothing but what belongs to an image: `oci-layout`, `index.json`, `manifest.json`,
//! `repositories`, `blobs/…`, and files and folders named by a digest. The first other name makes it a layer, so for a layer
//! one header is read as a rule. What was read is kept and read again by whoever comes next: in memory while it is little, in
//! a nameless file where it is more.

use crate::archive::Archive;
use crate::compression::{self, Compression, Inflate};
use crate::error::{Result, system};
use crate::source::spool::nameless_file;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// One layer.
    Layer,
    /// An archive with images.
    Image,
}

/// A stream after the first look, whole again.
pub enum Probed<R> {
    /// A layer: what was read so far, then the rest of the stream.
    Layer(Replay<R>),
    /// An image, all of it, in a nameless file.
    Image(File),
}

impl<R> std::fmt::Debug for Probed<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Layer(_)) { "Layer" } else { "Image" })
    }
}

/// How much is kept in memory.
const IN_MEMORY_BYTES: usize = 1 << 20;

/// Says what is in `file`, which can be sought in and is left at its start. What is neither is called a layer: reading it as
/// one gives the error that fits.
pub fn file(file: &File, name: &str) -> Result<What> {
    let look = || -> io::Result<What> {
        let mut file = file;
        file.rewind()?;
        let mut start = Vec::new();
        file.take(compression::LOOKAHEAD_BYTES as u64).read_to_end(&mut start)?;
        file.rewind()?;
        let what = match compression::recognise(&start) {
            Ok(Compression::None) => look_at(Archive::seekable(BufReader::new(file))),
            Ok(packed) => look_at(Archive::new(BufReader::new(Inflate::new(packed, BufReader::new(file))?))),
            Err(_) => What::Layer,
        };
        file.rewind()?;
        Ok(what)
    };
    look().map_err(|e| system("read", name, e))
}

/// Says what `reader` gives, or takes the caller's word for it, and gives it back whole. An image is read to its end, into a
/// nameless file in `spool_folder`.
pub fn stream<R: Read>(reader: R, told: Option<What>, name: &str, spool_folder: &Path) -> Result<Probed<R>> {
    let mut record =
        Record { reader, kept: Kept::Memory(Vec::new()), folder: spool_folder.to_owned(), spool_fault: None };
    let what = match told {
        Some(what) => what,
        None => {
            let mut start = Vec::new();
            let read = (&mut record).take(compression::LOOKAHEAD_BYTES as u64).read_to_end(&mut start);
            record.fault()?;
            read.map_err(|e| system("read", name, e))?;
            match compression::recognise(&start) {
                Err(_) => What::Layer,
                Ok(packed) => {
                    let raw = BufReader::new(Cursor::new(start).chain(&mut record));
                    let tar = Inflate::new(packed, raw).map_err(|e| system("read", name, e))?;
                    look_at(Archive::new(BufReader::with_capacity(64 << 10, tar)))
                }
            }
        }
    };
    record.fault()?;
    match what {
        What::Layer => Ok(Probed::Layer(record.replay(name)?)),
        What::Image => Ok(Probed::Image(record.all(name)?)),
    }
}

fn look_at<R: BufRead>(mut archive: Archive<R>) -> What {
    let mut image = false;
    loop {
        match archive.next() {
            Ok(Some(entry)) => match of_an_image(&entry.path) {
                Some(index) => image |= index,
                None => return What::Layer,
            },
            // What is broken further on is broken as what it looked like until there.
            Ok(None) | Err(_) => return if image { What::Image } else { What::Layer },
        }
    }
}

/// Whether an entry of that name belongs to an image: true for the one that makes it an image. `None` if it does not.
fn of_an_image(path: &[u8]) -> Option<bool> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let first = path.split(|&b| b == b'/').next().unwrap_or_default();
    match path {
        b"index.json" | b"manifest.json" => return Some(true),
        b"" | b"." | b"oci-layout" | b"repositories" => return Some(false),
        _ => {}
    }
    if first == b"blobs" {
        return Some(false);
    }
    let id = first.strip_prefix(b"sha256:").unwrap_or(first);
    let digits = id.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
    let behind = &id[digits..];
    (digits >= 32 && matches!(behind, b"" | b".json" | b".tar" | b".tar.gz" | b".tar.zst")).then_some(false)
}

enum Kept {
    Memory(Vec<u8>),
    Spooled(File),
}

/// Keeps all that is read through it.
struct Record<R> {
    reader: R,
    kept: Kept,
    folder: PathBuf,
    spool_fault: Option<crate::error::Error>,
}

impl<R: Read> Read for Record<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if let Err(error) = self.keep(&buffer[..count]) {
            self.spool_fault = Some(error);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(count)
    }
}

impl<R: Read> Record<R> {
    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        if let Kept::Memory(memory) = &mut self.kept {
            if memory.len() + bytes.len() <= IN_MEMORY_BYTES {
                memory.extend_from_slice(bytes);
                return Ok(());
            }
            let mut file = nameless_file(&self.folder)?;
            file.write_all(memory).map_err(|e| self.unwritable(e))?;
            self.kept = Kept::Spooled(file);
        }
        match &mut self.kept {
            Kept::Spooled(file) => {
                let written = file.write_all(bytes);
                written.map_err(|e| self.unwritable(e))
            }
            Kept::Memory(_) => Ok(()),
        }
    }

    fn unwritable(&self, error: io::Error) -> crate::error::Error {
        system("write a temporary file in", self.folder.display(), error)
    }

    fn fault(&mut self) -> Result<()> {
        self.spool_fault.take().map_or(Ok(()), Err)
    }

    fn replay(self, name: &str) -> Result<Replay<R>> {
        let kept: Box<dyn Read + Send> = match self.kept {
            Kept::Memory(memory) => Box::new(Cursor::new(memory)),
            Kept::Spooled(mut file) => {
                file.rewind().map_err(|e| system("read", name, e))?;
                Box::new(file)
            }
        };
        Ok(Replay { kept: Some(kept), reader: self.reader })
    }

    /// The rest too, and everything as a file.
    fn all(self, name: &str) -> Result<File> {
        let unwritable = |e| system("write a temporary file in", self.folder.display(), e);
        let mut file = match self.kept {
            Kept::Spooled(file) => file,
            Kept::Memory(memory) => {
                let mut file = nameless_file(&self.folder)?;
                file.write_all(&memory).map_err(unwritable)?;
                file
            }
        };
        let mut rest = BufReader::with_capacity(256 << 10, self.reader);
        loop {
            let bytes = rest.fill_buf().map_err(|e| system("read", name, e))?;
            if bytes.is_empty() {
                return Ok(file);
            }
            file.write_all(bytes).map_err(unwritable)?;
            let count = bytes.len();
            rest.consume(count);
        }
    }
}

/// What was read before, then the rest.
pub struct Replay<R> {
    kept: Option<Box<dyn Read + Send>>,
    reader: R,
}

impl<R> std::fmt::Debug for Replay<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replay")
    }
}

impl<R: Read> Read for Replay<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(kept) = &mut self.kept {
            match kept.read(buffer)? {
                0 if !buffer.is_empty() => self.kept = None,
                count => return Ok(count),
            }
        }
        self.reader.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_names_of_an_image() {
        let id = "ab".repeat(32);
        for (name, answer) in [
            ("index.json", Some(true)),
            ("./manifest.json", Some(true)),
            ("./", Some(false)),
            ("blobs/sha256/x", Some(false)),
            ("oci-layout", Some(false)),
            ("etc/", None),
            ("usr/index.json", None),
            ("abcdef", None),
            ("blobs.txt", None),
        ] {
            assert_eq!(of_an_image(name.as_bytes()), answer, "{name}");
        }
        for name in ["", "/", "/layer.tar", ".json", ".tar", ".tar.gz"] {
            assert_eq!(of_an_image(format!("{id}{name}").as_bytes()), Some(false), "{name}");
        }
        assert_eq!(of_an_image(format!("sha256:{id}").as_bytes()), Some(false));
        assert_eq!(of_an_image(format!("{id}.txt").as_bytes()), None);
    }

    fn tar(names: &[&str], size: usize) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(size as u64);
            builder.append_data(&mut header, name, &vec![1; size][..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn gives_back_every_byte_of_what_it_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for (names, size, layer) in [
            (&["etc/passwd", "manifest.json"][..], 100, true),
            (&["blobs/a", "blobs/b", "manifest.json"], 1_000_000, false),
            // Looks like an image for more than is kept in memory.
            (&["blobs/a", "blobs/b", "etc/passwd"], 1_000_000, true),
            (&["blobs/a"], 10, true),
        ] {
            let plain = tar(names, size);
            for bytes in [zstd::encode_all(&plain[..], 1).unwrap(), plain] {
                let mut back = Vec::new();
                match stream(&bytes[..], None, "-", folder.path()).unwrap() {
                    Probed::Layer(mut replay) => {
                        assert!(layer, "{names:?}");
                        replay.read_to_end(&mut back).unwrap();
                    }
                    Probed::Image(mut file) => {
                        assert!(!layer, "{names:?}");
                        file.rewind().unwrap();
                        file.read_to_end(&mut back).unwrap();
                    }
                }
                assert!(back == bytes, "{names:?}");
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
