//! The directory that a layer becomes, entry by entry.

use super::metadata::Attributes;
use super::resolve::{Blocked, Root, normalise, split};
use super::{Devices, Options, SKIPPED_LINES, Whiteouts};
use crate::archive::{Archive, Entry, EntryKind};
use crate::error::{Fault, Kind, shown};
use crate::remove;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// What was left out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) lines: Vec<String>,
    pub(super) count: u64,
}

/// The state of one extraction.
pub(super) struct Tree<'a> {
    pub(super) root: Root<'a>,
    pub(super) options: &'a Options<'a>,
    /// What each directory of the layer gets at the end, by its path.
    pub(super) directories: BTreeMap<Vec<u8>, Attributes>,
    /// Paths of this layer, where the directory was not empty and so not all in it is ours.
    pub(super) ours: Option<BTreeSet<Vec<u8>>>,
    entries: u64,
    skipped: Skipped,
}

/// Where an entry goes.
pub(super) struct Place {
    pub(super) parent: Rc<OwnedFd>,
    pub(super) last: CString,
}

impl<'a> Tree<'a> {
    pub(super) fn new(dest: BorrowedFd<'a>, options: &'a Options<'a>) -> Result<Self, Fault> {
        let fresh = remove::is_empty(dest).map_err(|e| Fault::system(b".", "read directory", e))?;
        Ok(Self {
            root: Root::new(dest),
            options,
            directories: BTreeMap::new(),
            ours: if fresh { None } else { Some(BTreeSet::new()) },
            entries: 0,
            skipped: Skipped::default(),
        })
    }

    /// Makes what `entry` says, its data taken from `archive`.
    pub(super) fn add<R: BufRead>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), Fault> {
        self.entries += 1;
        if entry.sparse.is_some() {
            return Err(Fault::entry(Kind::Unsupported, &entry.path, "sparse files are not read yet")
                .hint("pack the layer again without sparse files (tar without --sparse)"));
        }
        for what in &entry.left_out {
            self.skip(&entry.path, what);
        }
        let path = inside(&entry.path, &entry.path)?;
        if path.is_empty() {
            if entry.kind != EntryKind::Directory {
                return Err(Fault::entry(Kind::Corrupt, &entry.path, "an entry for the root that is no directory"));
            }
            self.directories.insert(path, Attributes::of(entry));
            return Ok(());
        }
        let (parent, last) = split(&path);
        if self.options.whiteouts != Whiteouts::Oci && self.whiteout(parent, last, entry)? {
            return Ok(());
        }
        let place = self.place(&path, &entry.path)?;
        match entry.kind {
            EntryKind::File => self.file(&place, &path, entry, archive)?,
            EntryKind::Directory => self.directory(&place, &path, entry)?,
            EntryKind::Symlink => {
                let target = CString::new(&entry.link[..]).map_err(|_| nul(entry))?;
                self.make(&place, &path, entry, "symlink", |dir, name| rustix::fs::symlinkat(&target, dir, name))?;
                self.set_by_name(place.parent.as_fd(), &place.last, &entry.path, &Attributes::of(entry), true)?;
            }
            EntryKind::HardLink => self.hard_link(&place, &path, entry)?,
            EntryKind::Fifo => self.node(&place, &path, entry, FileType::Fifo, 0)?,
            EntryKind::CharDevice(major, minor) => {
                self.node(&place, &path, entry, FileType::CharacterDevice, rustix::fs::makedev(major, minor))?;
            }
            EntryKind::BlockDevice(major, minor) => {
                self.node(&place, &path, entry, FileType::BlockDevice, rustix::fs::makedev(major, minor))?;
            }
        }
        self.claim(&path);
        Ok(())
    }

    /// The end: directories get what they are due. Gives the number of entries and what was left out.
    pub(super) fn finish(mut self) -> Result<(u64, Skipped), Fault> {
        self.finish_directories()?;
        Ok((self.entries, self.skipped))
    }

    pub(super) fn skip(&mut self, name: &[u8], why: impl fmt::Display) {
        self.skipped.count += 1;
        if self.skipped.lines.len() < SKIPPED_LINES {
            self.skipped.lines.push(format!("{}: {why}", shown(name)));
        }
    }

    fn file<R: BufRead>(
        &mut self,
        place: &Place,
        path: &[u8],
        entry: &Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), Fault> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.make(place, path, entry, "create", |dir, name| {
            rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        loop {
            let bytes = archive.data()?;
            if bytes.is_empty() {
                break;
            }
            let count = match rustix::io::write(&fd, bytes) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(e) => return Err(Fault::system(&entry.path, "write", e)),
            };
            archive.consume(count);
        }
        self.set_by_fd(fd.as_fd(), &entry.path, &Attributes::of(entry))
    }

    fn directory(&mut self, place: &Place, path: &[u8], entry: &Entry) -> Result<(), Fault> {
        let dir = place.parent.as_fd();
        match rustix::fs::mkdirat(dir, &place.last, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = stat(dir, &place.last).map_err(|e| Fault::system(&entry.path, "stat", e))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    let hidden = self.is_whiteout(&stat);
                    self.make_way(place, path, &entry.path)?;
                    rustix::fs::mkdirat(dir, &place.last, Mode::RWXU)
                        .map_err(|e| Fault::system(&entry.path, "mkdir", e))?;
                    if hidden {
                        self.make_opaque(path, &entry.path)?;
                    }
                }
            }
            Err(e) => return Err(Fault::system(&entry.path, "mkdir", e)),
        }
        self.directories.insert(path.to_vec(), Attributes::of(entry));
        Ok(())
    }

    fn hard_link(&mut self, place: &Place, path: &[u8], entry: &Entry) -> Result<(), Fault> {
        let target = inside(&entry.link, &entry.path)?;
        if target == path {
            return Ok(());
        }
        let (target_parent, target_last) = split(&target);
        let absent = || {
            let why = format!("hard link to {}, which is not in the layer", shown(&entry.link));
            Fault::entry(Kind::Corrupt, &entry.path, why).hint("the layer is broken; fetch or build the image again")
        };
        let from = match self.root.directory(target_parent, &entry.path) {
            Ok(from) => from,
            Err(Blocked::Fault(fault)) => return Err(fault),
            Err(Blocked::Missing | Blocked::NotDirectory) => return Err(absent()),
        };
        let target_last = CString::new(target_last).map_err(|_| nul(entry))?;
        let linked = self.make(place, path, entry, "link", |dir, name| {
            match rustix::fs::linkat(&*from, &target_last, dir, name, AtFlags::empty()) {
                Err(Errno::NOENT) => Ok(false),
                other => other.map(|()| true),
            }
        })?;
        if linked { Ok(()) } else { Err(absent()) }
    }

    fn node(&mut self, place: &Place, path: &[u8], entry: &Entry, kind: FileType, device: u64) -> Result<(), Fault> {
        let mode = Mode::RUSR | Mode::WUSR;
        let skip = self.options.devices != Devices::Fail;
        let made = self.make(place, path, entry, "mknod", |dir, name| {
            match rustix::fs::mknodat(dir, name, kind, mode, device) {
                Err(Errno::PERM) => Ok(false),
                other => other.map(|()| true),
            }
        })?;
        if made {
            return self.set_by_name(place.parent.as_fd(), &place.last, &entry.path, &Attributes::of(entry), false);
        }
        if skip {
            self.skip(&entry.path, "device: not permitted");
            return Ok(());
        }
        Err(Fault::system(&entry.path, "mknod", Errno::PERM)
            .hint("only root outside user namespaces makes devices; skip them with --rootless"))
    }

    /// Runs `make`, and once more after making way where something stands there.
    fn make<T>(
        &mut self,
        place: &Place,
        path: &[u8],
        entry: &Entry,
        what: &'static str,
        make: impl Fn(BorrowedFd<'_>, &CString) -> rustix::io::Result<T>,
    ) -> Result<T, Fault> {
        let dir = place.parent.as_fd();
        let made = match make(dir, &place.last) {
            Err(Errno::EXIST) => {
                self.make_way(place, path, &entry.path)?;
                make(dir, &place.last)
            }
            other => other,
        };
        made.map_err(|e| Fault::system(&entry.path, what, e))
    }

    /// Removes what stands at `place`.
    pub(super) fn make_way(&mut self, place: &Place, path: &[u8], entry: &[u8]) -> Result<(), Fault> {
        let dir = place.parent.as_fd();
        let trees = self.ours.is_none() || self.options.whiteouts == Whiteouts::Apply;
        let removed = if trees {
            remove::remove_tree(dir, &place.last)
        } else {
            match rustix::fs::unlinkat(dir, &place.last, AtFlags::empty()) {
                Err(Errno::ISDIR) => rustix::fs::unlinkat(dir, &place.last, AtFlags::REMOVEDIR),
                other => other,
            }
        };
        match removed {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                return Err(Fault::entry(Kind::System, entry, "a directory that is not empty is in its place").hint(
                    "unpack into an empty directory, or carry out what the layer replaces with --whiteouts apply",
                ));
            }
            Err(e) => return Err(Fault::system(entry, "remove what was there", e)),
            Ok(()) => {}
        }
        self.disown(path);
        Ok(())
    }

    /// Forgets all we knew of `path` and what is below it.
    pub(super) fn disown(&mut self, path: &[u8]) {
        self.root.forget();
        self.directories.remove(path);
        // All that starts with `path/` sorts before `path0`, the byte after the slash.
        let below = || [path, b"/"].concat()..[path, b"0"].concat();
        let gone: Vec<Vec<u8>> = self.directories.range(below()).map(|(p, _)| p.clone()).collect();
        for path in gone {
            self.directories.remove(&path);
        }
        if let Some(ours) = &mut self.ours {
            ours.remove(path);
            let gone: Vec<Vec<u8>> = ours.range(below()).cloned().collect();
            for path in gone {
                ours.remove(&path);
            }
        }
    }

    fn claim(&mut self, path: &[u8]) {
        if let Some(ours) = &mut self.ours {
            ours.insert(path.to_vec());
        }
    }

    /// Where `path` is to be made; directories on the way that are missing are made, with mode 0755.
    pub(super) fn place(&mut self, path: &[u8], entry: &[u8]) -> Result<Place, Fault> {
        let (parent, last) = split(path);
        let last = CString::new(last).map_err(|_| Fault::entry(Kind::Corrupt, entry, "a name with a NUL in it"))?;
        Ok(Place { parent: self.ensure_directory(parent, entry)?, last })
    }

    fn ensure_directory(&mut self, path: &[u8], entry: &[u8]) -> Result<Rc<OwnedFd>, Fault> {
        let blocked = match self.root.directory(path, entry) {
            Ok(fd) => return Ok(fd),
            Err(Blocked::Fault(fault)) => return Err(fault),
            Err(blocked) => blocked,
        };
        let Place { parent, last } = self.place(path, entry)?;
        let mut made = rustix::fs::mkdirat(&parent, &last, Mode::RWXU);
        if made == Err(Errno::EXIST) {
            let stat = stat(parent.as_fd(), &last).map_err(|e| Fault::system(entry, "stat", e))?;
            if self.is_whiteout(&stat) {
                let place = Place { parent: Rc::clone(&parent), last: last.clone() };
                self.make_way(&place, path, entry)?;
                made = rustix::fs::mkdirat(&parent, &last, Mode::RWXU);
                if made.is_ok() {
                    self.make_opaque(path, entry)?;
                }
            }
        }
        match made {
            Ok(()) => {
                rustix::fs::chmodat(&parent, &last, Mode::from_raw_mode(0o755), AtFlags::empty())
                    .map_err(|e| Fault::system(entry, "chmod", e))?;
                self.claim(path);
            }
            Err(Errno::EXIST) => {
                let what = if matches!(blocked, Blocked::Missing) { "a link to nothing" } else { "not a directory" };
                return Err(Fault::entry(Kind::Corrupt, entry, format_args!("{} is {what}", shown(path))));
            }
            Err(e) => return Err(Fault::system(entry, "mkdir", e)),
        }
        match self.root.directory(path, entry) {
            Ok(fd) => Ok(fd),
            Err(Blocked::Fault(fault)) => Err(fault),
            Err(_) => Err(Fault::system(entry, "open directory", Errno::NOENT)),
        }
    }

    /// The directory `path`, which is there, for its xattrs and times.
    pub(super) fn open_directory(&self, path: &[u8], entry: &[u8]) -> Result<OwnedFd, Fault> {
        match self.root.open(path, OFlags::RDONLY, entry) {
            Ok(fd) => Ok(fd),
            Err(Blocked::Fault(fault)) => Err(fault),
            Err(Blocked::Missing) => Err(Fault::system(entry, "open directory", Errno::NOENT)),
            Err(Blocked::NotDirectory) => Err(Fault::system(entry, "open directory", Errno::NOTDIR)),
        }
    }
}

pub(super) fn stat(dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<rustix::fs::Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// `name` as a path inside the layer, or the fault of `entry` that it climbs out.
fn inside(name: &[u8], entry: &[u8]) -> Result<Vec<u8>, Fault> {
    normalise(name).ok_or_else(|| {
        let why = if name == entry {
            "climbs out of the layer by ..".to_owned()
        } else {
            format!("hard link to {}, which climbs out of the layer by ..", shown(name))
        };
        Fault::entry(Kind::Escape, entry, why).hint("the layer is hostile or broken; do not use this image")
    })
}

fn nul(entry: &Entry) -> Fault {
    Fault::entry(Kind::Corrupt, &entry.path, "a name with a NUL in it")
}
