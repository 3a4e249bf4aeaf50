//! Where an image's files are: a folder, or members of a tar.

use super::members::Members;
use crate::error::{Error, Kind, Result, system};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use spec::Digest;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

/// Largest document (index, manifest, configuration) that is read; registries stop at 4 MiB.
pub(super) const DOCUMENT_LIMIT: u64 = 16 << 20;

#[derive(Debug)]
pub(super) enum Storage {
    Folder(OwnedFd),
    /// What skopeo calls `dir:`: manifest.json, and beside it blobs named by the digits of their digest.
    Flat(OwnedFd),
    Archive(Members),
}

impl Storage {
    /// The same folder, with its blobs where skopeo's `dir:` has them.
    pub(super) fn flat(self) -> Self {
        match self {
            Self::Folder(dir) => Self::Flat(dir),
            other => other,
        }
    }

    /// The file at `path` and its size; `None` if there is none.
    pub(super) fn open(&self, source: &str, path: &str) -> Result<Option<(Box<dyn Read + Send>, u64)>> {
        match self {
            Self::Archive(members) => Ok(members.open(path).map(|(r, size)| (Box::new(r) as _, size))),
            Self::Folder(dir) | Self::Flat(dir) => {
                // Without NONBLOCK a named pipe in there would hang us. Links may lead out: shared blob folders are links.
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
                let fd = match rustix::fs::openat2(dir, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
                    Ok(fd) => fd,
                    Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                    Err(e) => return Err(system("open", format_args!("{source}/{path}"), e)),
                };
                let stat = rustix::fs::fstat(&fd).map_err(|e| system("stat", format_args!("{source}/{path}"), e))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(Error::new(Kind::Corrupt, "", format!("{source}/{path}")).because("not a regular file"));
                }
                Ok(Some((Box::new(File::from(fd)), stat.st_size.cast_unsigned())))
            }
        }
    }

    /// The whole of a small file.
    pub(super) fn document(&self, source: &str, path: &str) -> Result<Option<Vec<u8>>> {
        let Some((reader, size)) = self.open(source, path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        reader
            .take(DOCUMENT_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| system("read", format_args!("{source}/{path}"), e))?;
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            return Err(Error::new(Kind::Corrupt, "", format!("{source}/{path}")).because(format!("{size} bytes")));
        }
        Ok(Some(bytes))
    }

    /// A blob that is a document, checked against its digest.
    pub(super) fn blob_document(&self, source: &str, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let mut path = self.blob_path(digest);
        let mut bytes = self.document(source, &path)?;
        if bytes.is_none() && matches!(self, Self::Flat(_)) {
            path.push_str(".manifest.json");
            bytes = self.document(source, &path)?;
        }
        let Some(bytes) = bytes else { return Ok(None) };
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(Error::new(Kind::Digest, "", format!("{source}/{path}"))
                .because(format!("digest is {actual} (expected {digest})"))
                .hint("the image is damaged; fetch or save it again"));
        }
        Ok(Some(bytes))
    }

    /// Where it has the blob.
    pub(super) fn blob_path(&self, digest: &Digest) -> String {
        match self {
            Self::Folder(_) | Self::Archive(_) => format!("blobs/sha256/{}", digest.hex()),
            Self::Flat(_) => digest.hex(),
        }
    }
}
