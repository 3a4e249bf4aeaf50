//! Equal files of an image's layers share their blocks.
//!
//! A pass of its own over the folders when all layers are in them, before they get their names; so nothing is kept between
//! runs, and layers that were there already take part. Files are candidates of each other by size, and for hard links by
//! owner, mode and time too; only candidates are read, and only the new ones change.
//!
//! - [`Dedup::Hardlink`]: one file with a name in each layer. They must be equal in everything that an inode holds. A file that
//!   a layer itself gives several names is left alone, or its names and another layer's would become one group. Whoever writes
//!   to one through an overlay writes to a copy; whoever writes into a layer's folder directly writes to all.
//! - [`Dedup::Reflink`]: blocks in common, files of their own (FIDEDUPERANGE: the kernel compares them once more).
//!
//! Files below [`SMALL_BYTES`] are not worth it.

use crate::beneath::{STRAIGHT, retry};
use crate::error::{Error, Kind, Result, system};
use crate::extract::{Dedup, Options};
use crate::{times, xattrs};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

const SMALL_BYTES: u64 = 4096;
/// What is read at a time.
const READ_BYTES: usize = 256 << 10;

/// A layer's folder.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) fd: OwnedFd,
    /// Unpacked by this run, so its files may change.
    pub(crate) is_new: bool,
}

/// Fails where the file system of `dir` cannot do what is asked.
pub(crate) fn check(dir: BorrowedFd<'_>, how: Dedup) -> Result<()> {
    if how != Dedup::Reflink {
        return Ok(());
    }
    let file = || {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, c".", flags, Mode::RUSR | Mode::WUSR)?;
        rustix::io::write(&fd, &[0x55; SMALL_BYTES as usize])?;
        Ok::<_, Errno>(fd)
    };
    let able = file().map_err(io::Error::from).and_then(|source| {
        let dest = file()?;
        sys::dedupe::share(source.as_fd(), dest.as_fd(), SMALL_BYTES)
    });
    match able {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) => {
            Err(system("write", "a file to try reflinks with", error))
        }
        Err(_) => Err(Error::new(Kind::Unsupported, "", "--dedup reflink")
            .because("this file system cannot share blocks between files")
            .hint("XFS and btrfs can; elsewhere use --dedup hardlink")),
    }
}

/// A file that may equal another.
struct Candidate {
    layer: usize,
    /// Its directory, in [`Walk::directories`].
    directory: usize,
    name: CString,
    key: u64,
    size: u64,
    inode: u64,
}

/// Shares what is equal; gives for each layer how many bytes of it lie elsewhere now.
pub(crate) fn share(layers: &[Layer], options: &Options<'_>) -> Result<Vec<u64>> {
    let mut walk = Walk { layers, options, hasher: RandomState::new(), directories: Vec::new() };
    // Once to see which keys are in more than one layer, so that only those files are kept in mind.
    let mut keys: HashMap<u64, Seen> = HashMap::new();
    for at in 0..layers.len() {
        walk.files(at, |file| {
            keys.entry(file.key)
                .and_modify(|seen| seen.twice |= seen.layer != at)
                .or_insert(Seen { layer: at, twice: false });
        })?;
    }
    keys.retain(|_, seen| seen.twice);
    walk.directories.clear();
    let mut groups: HashMap<u64, Vec<Candidate>> = HashMap::new();
    // What was there comes first: it stays as it is.
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|at| layers[*at].is_new);
    for at in order {
        walk.files(at, |file| {
            if keys.contains_key(&file.key) {
                groups.entry(file.key).or_default().push(file);
            }
        })?;
    }
    let mut shared = vec![0; layers.len()];
    for group in groups.into_values() {
        walk.share_group(group, &mut shared)?;
    }
    Ok(shared)
}

struct Seen {
    layer: usize,
    twice: bool,
}

struct Walk<'a> {
    layers: &'a [Layer],
    options: &'a Options<'a>,
    hasher: RandomState,
    /// Layer and path.
    directories: Vec<(usize, Vec<u8>)>,
}

impl Walk<'_> {
    fn stopped(&self) -> Result<()> {
        match self.options.cancel {
            Some(cancel) if cancel.load(Ordering::Relaxed) => {
                Err(Error::new(Kind::Cancelled, "", "").because("interrupted"))
            }
            _ => Ok(()),
        }
    }

    /// Every file of a layer that is large enough, and for hard links has no second name in it.
    fn files(&mut self, layer: usize, mut found: impl FnMut(Candidate)) -> Result<()> {
        // Files of several names, until it is known whether the others are in this layer.
        let mut linked: HashMap<u64, (Candidate, bool)> = HashMap::new();
        let mut to_do = vec![Vec::new()];
        while let Some(path) = to_do.pop() {
            self.stopped()?;
            // What cannot be opened (by an ordinary user, or too deep for one path) is left as it is.
            let Ok(fd) = self.open_directory(layer, &path) else { continue };
            let directory = self.directories.len();
            let mut has_files = false;
            let Ok(entries) = Dir::read_from(&fd) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if name == c"." || name == c".." || matches!(entry.file_type(), FileType::Symlink) {
                    continue;
                }
                let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => {
                        let mut below = path.clone();
                        if !below.is_empty() {
                            below.push(b'/');
                        }
                        below.extend_from_slice(name.to_bytes());
                        to_do.push(below);
                    }
                    FileType::RegularFile if stat.st_size.cast_unsigned() >= SMALL_BYTES => {
                        has_files = true;
                        let file = self.candidate(layer, directory, name, &stat);
                        if stat.st_nlink == 1 {
                            found(file);
                        } else if let Some((_, alone)) = linked.get_mut(&stat.st_ino) {
                            *alone = false;
                        } else {
                            linked.insert(stat.st_ino, (file, true));
                        }
                    }
                    _ => {}
                }
            }
            if has_files {
                self.directories.push((layer, path));
            }
        }
        for (file, alone) in linked.into_values() {
            if alone || self.options.dedup == Dedup::Reflink {
                found(file);
            }
        }
        Ok(())
    }

    fn candidate(&self, layer: usize, directory: usize, name: &CStr, stat: &Stat) -> Candidate {
        let key = match self.options.dedup {
            Dedup::Hardlink => {
                let ids = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
                self.hasher.hash_one((stat.st_size, ids))
            }
            Dedup::Off | Dedup::Reflink => self.hasher.hash_one(stat.st_size),
        };
        let size = stat.st_size.cast_unsigned();
        Candidate { layer, directory, name: name.to_owned(), key, size, inode: stat.st_ino }
    }

    fn open_directory(&self, layer: usize, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if path.is_empty() { b"." } else { path };
        retry(|| rustix::fs::openat2(&self.layers[layer].fd, path, flags, Mode::empty(), STRAIGHT))
    }

    /// The directory of a candidate and the file in it, if it is still the one that was seen.
    fn open(&self, file: &Candidate) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
        let (layer, path) = self.directories.get(file.directory).ok_or(Errno::NOENT)?;
        let directory = self.open_directory(*layer, path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&directory, &file.name, flags, Mode::empty())?;
        if rustix::fs::fstat(&fd)?.st_ino != file.inode {
            return Err(Errno::STALE);
        }
        Ok((directory, fd))
    }

    fn share_group(&self, group: Vec<Candidate>, shared: &mut [u64]) -> Result<()> {
        if group.iter().all(|file| file.layer == group[0].layer) {
            return Ok(());
        }
        // The first of each content, and the layers that have it: none gets the same file under two names.
        let mut first: HashMap<[u8; 32], (Candidate, Vec<usize>)> = HashMap::new();
        for file in group {
            self.stopped()?;
            // Whoever cannot read a file cannot share it either.
            let Ok(digest) = self.digest(&file) else { continue };
            let layer = file.layer;
            let Some((source, layers)) = first.get_mut(&digest) else {
                first.insert(digest, (file, vec![layer]));
                continue;
            };
            let free = self.options.dedup == Dedup::Reflink || !layers.contains(&layer);
            if free && self.layers[layer].is_new && self.share_one(source, &file)? {
                layers.push(layer);
                shared[layer] += file.size;
            }
        }
        Ok(())
    }

    /// Of the content, and for hard links of the xattrs too.
    fn digest(&self, file: &Candidate) -> rustix::io::Result<[u8; 32]> {
        let (_, fd) = self.open(file)?;
        let mut hash = Sha256::new();
        if self.options.dedup == Dedup::Hardlink {
            let xattrs = xattrs::Of::Fd(fd.as_fd());
            let names = xattrs.names()?;
            let mut names: Vec<&[u8]> = names.split(|&b| b == 0).filter(|name| !name.is_empty()).collect();
            names.sort_unstable();
            for name in names {
                let value = xattrs.value(name)?;
                for part in [name, &value[..]] {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
            }
            hash.update([0; 8]);
        }
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match rustix::io::read(&fd, &mut buffer[..]) {
                Ok(0) => return Ok(hash.finalize().into()),
                Ok(count) => hash.update(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Lets `file` share with `source`; false where that was not to be had, and nothing has changed.
    fn share_one(&self, source: &Candidate, file: &Candidate) -> Result<bool> {
        let (Ok((from, source_fd)), Ok((to, file_fd))) = (self.open(source), self.open(file)) else { return Ok(false) };
        if self.options.dedup == Dedup::Reflink {
            return Ok(sys::dedupe::share(source_fd.as_fd(), file_fd.as_fd(), file.size).is_ok_and(|n| n == file.size));
        }
        drop((source_fd, file_fd));
        let fail = |op, e| system(op, file.name.to_string_lossy(), e);
        let before = rustix::fs::fstat(&to).map_err(|e| fail("stat", e))?;
        let name = CString::new(crate::stage::temporary_name()).unwrap_or_default();
        match rustix::fs::linkat(&from, &source.name, &to, &name, AtFlags::empty()) {
            Ok(()) => {}
            Err(e @ (Errno::NOSPC | Errno::DQUOT)) => return Err(fail("link", e)),
            // Too many links, another file system, a directory that may not be written to.
            Err(_) => return Ok(false),
        }
        let same = rustix::fs::statat(&to, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|s| s.st_ino == source.inode);
        let done = same && rustix::fs::renameat(&to, &name, &to, &file.name).is_ok();
        if !done {
            let _ = rustix::fs::unlinkat(&to, &name, AtFlags::empty());
        }
        rustix::fs::futimens(&to, &times::of(&before)).map_err(|e| fail("utimens", e))?;
        Ok(done)
    }
}
