//! The directories from a tree's root down to where a walk is, each with its names in order.
//!
//! Only the names of these directories are in memory, never those of the tree. However deep it goes, at most
//! [`OPEN`] directories are open: those further up are closed, and on the way back opened again as `..` and compared with what
//! they were.

use super::found::STILL;
use crate::error::{Fault, Kind};
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many are open at a time.
const OPEN: usize = 64;

/// The names in a directory, in order, each with what the directory says it is.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// All of them, a NUL behind each.
    text: Vec<u8>,
    /// Where they start.
    at: Vec<(u32, FileType)>,
    next: usize,
}

impl Names {
    /// Reads those of `dir`, and sorts them by what `key` makes of each.
    pub(crate) fn read(dir: BorrowedFd<'_>, key: fn(&[u8]) -> (&[u8], u8)) -> rustix::io::Result<Self> {
        let mut names = Self::default();
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if matches!(name, b".\0" | b"..\0") {
                continue;
            }
            let at = u32::try_from(names.text.len()).map_err(|_| Errno::OVERFLOW)?;
            names.at.push((at, entry.file_type()));
            names.text.extend_from_slice(name);
        }
        let text = &names.text;
        names.at.sort_unstable_by(|a, b| key(name_at(text, a.0)).cmp(&key(name_at(text, b.0))));
        Ok(names)
    }

    /// The next name, which stays the next until [`step`](Self::step).
    pub(crate) fn peek(&self) -> Option<(&CStr, FileType)> {
        let (at, told) = *self.at.get(self.next)?;
        let name = CStr::from_bytes_until_nul(&self.text[at as usize..]).ok()?;
        Some((name, told))
    }

    /// The names behind the next one, at most `most` of them and none before the place `from`, each with its place.
    pub(crate) fn ahead(&self, from: usize, most: usize) -> impl Iterator<Item = (usize, &CStr, FileType)> {
        let end = (self.next + most).min(self.at.len());
        let start = from.max(self.next + 1).min(end);
        (start..end).filter_map(|place| {
            let (at, told) = self.at[place];
            Some((place, CStr::from_bytes_until_nul(&self.text[at as usize..]).ok()?, told))
        })
    }

    /// Whether `name` is among them.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.at.iter().any(|(at, _)| name_at(&self.text, *at) == name)
    }

    /// Goes on to the one behind it.
    pub(crate) fn step(&mut self) {
        self.next += 1;
    }
}

fn name_at(text: &[u8], at: u32) -> &[u8] {
    let rest = &text[at as usize..];
    &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())]
}

#[derive(Debug)]
struct Rung {
    fd: Option<OwnedFd>,
    id: (u64, u64),
    names: Names,
}

/// The way down to where a walk is.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    rungs: Vec<Rung>,
}

impl Ladder {
    /// Goes down into `fd`, a directory that was found to be `id` and whose names are these.
    pub(crate) fn push(&mut self, fd: OwnedFd, id: (u64, u64), names: Names) {
        self.rungs.push(Rung { fd: Some(fd), id, names });
        if let Some(far) = self.rungs.len().checked_sub(OPEN + 1) {
            self.rungs[far].fd = None;
        }
    }

    /// Goes back up. `path` is that of the directory we leave, for messages.
    pub(crate) fn pop(&mut self, path: &[u8]) -> Result<(), Fault> {
        let Some(left) = self.rungs.pop() else { return Ok(()) };
        let (Some(above), Some(fd)) = (self.rungs.last_mut(), left.fd) else { return Ok(()) };
        if above.fd.is_some() {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&fd, c"..", flags, Mode::empty())
            .and_then(|up| rustix::fs::fstat(&up).map(|stat| (up, (stat.st_dev, stat.st_ino))));
        match opened {
            Ok((up, id)) if id == above.id => above.fd = Some(up),
            Ok(_) => return Err(Fault::entry(Kind::System, path, "was moved while it was read").hint(STILL)),
            Err(e) => return Err(Fault::system(path, "open ..", e)),
        }
        Ok(())
    }

    /// How many directories deep we are; 0 when the walk is over.
    pub(crate) fn depth(&self) -> usize {
        self.rungs.len()
    }

    /// The directory we are in, and its names.
    pub(crate) fn here(&mut self) -> Option<(BorrowedFd<'_>, &mut Names)> {
        let rung = self.rungs.last_mut()?;
        Some((rung.fd.as_ref()?.as_fd(), &mut rung.names))
    }
}

/// Names as they are.
pub(crate) fn plain(name: &[u8]) -> (&[u8], u8) {
    (name, 1)
}

/// `.wh.NAME` stands where NAME does, before it.
pub(crate) fn as_hidden(name: &[u8]) -> (&[u8], u8) {
    match name.strip_prefix(spec::whiteout::PREFIX) {
        Some(hidden) => (hidden, 0),
        None => (name, 1),
    }
}
