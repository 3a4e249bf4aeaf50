//! The members of a tar that can be sought in, found by name and read in place.

use crate::archive::{Archive, EntryKind};
use crate::error::{Error, Kind, Result, system};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

/// An archive's files by name. A name that comes twice means the later one, as in `tar -x`.
#[derive(Debug)]
pub(crate) struct Members {
    file: Arc<File>,
    by_name: HashMap<String, Member>,
}

#[derive(Debug, Clone)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// Docker before 25 saves a layer that two images share once, and links to it (`../<id>/layer.tar`).
    Link(String),
}

/// How many links one name may lead through.
const LINKS: usize = 16;

/// How much memory the names may take: hundreds of thousands of files, where images have hundreds.
const INDEX_BYTES: usize = 32 << 20;
/// What an entry takes beside its names.
const ENTRY_BYTES: usize = 128;

impl Members {
    /// Reads all headers of the plain tar in `file`, called `name` in messages.
    pub(crate) fn index(mut file: File, name: &str) -> Result<Self> {
        let length = file.seek(SeekFrom::End(0)).map_err(|e| system("seek", name, e))?;
        file.rewind().map_err(|e| system("seek", name, e))?;
        let mut by_name = HashMap::new();
        let mut bytes = 0;
        let mut archive = Archive::seekable(BufReader::with_capacity(16 << 10, &file));
        loop {
            let entry = archive.next().map_err(|fault| {
                let error = fault.in_layer(name);
                Error { op: "", ..error }
            })?;
            let Some(entry) = entry else { break };
            let Some(path) = normalised(&entry.path, "") else { continue };
            let offset = archive.position();
            if offset.saturating_add(entry.size) > length {
                return Err(Error::new(Kind::Truncated, "", name)
                    .because(format!("is cut short in the middle of {path}"))
                    .hint("fetch or save it again"));
            }
            let member = match entry.kind {
                EntryKind::File if entry.sparse.is_none() => Member::File { offset, size: entry.size },
                EntryKind::Symlink => {
                    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                    match normalised(&entry.link, folder) {
                        Some(target) => Member::Link(target),
                        None => continue,
                    }
                }
                EntryKind::HardLink => match normalised(&entry.link, "") {
                    Some(target) => Member::Link(target),
                    None => continue,
                },
                _ => continue,
            };
            bytes += path.len() + entry.link.len() + ENTRY_BYTES;
            if bytes > INDEX_BYTES {
                return Err(Error::new(Kind::Corrupt, "", name)
                    .because("holds more files than an image has")
                    .hint("if it is a layer, say so: --as layer"));
            }
            by_name.insert(path, member);
        }
        drop(archive);
        Ok(Self { file: Arc::new(file), by_name })
    }

    /// The data of `path`, and how much that is.
    pub(crate) fn open(&self, path: &str) -> Option<(MemberReader, u64)> {
        let mut path = normalised(path.as_bytes(), "")?;
        for _ in 0..LINKS {
            match self.by_name.get(&path)? {
                Member::File { offset, size } => {
                    return Some((MemberReader { file: Arc::clone(&self.file), at: *offset, left: *size }, *size));
                }
                Member::Link(target) => path.clone_from(target),
            }
        }
        None
    }
}

/// `name` seen from `folder`, without `.` and `..`; `None` where it is no UTF-8 or climbs out.
fn normalised(name: &[u8], folder: &str) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let mut parts: Vec<&str> = Vec::new();
    let above = if name.starts_with('/') { "" } else { folder };
    for part in above.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Reads a stretch of a file by position, so that many can read the same file at once.
#[derive(Debug)]
pub(crate) struct MemberReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for MemberReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = rustix::io::pread(&*self.file, &mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn links_are_read_from_where_they_stand() {
        assert_eq!(normalised(b"../b/layer.tar", "a").as_deref(), Some("b/layer.tar"));
        assert_eq!(normalised(b"./a/./b", "").as_deref(), Some("a/b"));
        assert_eq!(normalised(b"/a", "x").as_deref(), Some("a"));
        assert_eq!(normalised(b"../../b", "a"), None);
    }
}
