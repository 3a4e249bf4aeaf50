//! The directory that a layer becomes, entry by entry.

use super::dirs::{Dir, Dirs};
use super::files::{self, Data, NewFile};
use super::limits::Allowance;
use super::metadata::{self, Ways};
use super::nodes::{Due, NodeId, ROOT};
use super::resolve::{Missing, changed, normalise, nul, split};
use super::undo::Journal;
use super::writers::Writers;
use super::{Devices, Owners, Whiteouts};
use crate::archive::{Archive, Entry, EntryKind};
use crate::error::{Fault, Kind, shown};
use crate::remove;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// The state of one extraction.
pub(crate) struct Tree<'a> {
    pub(super) dirs: Dirs,
    pub(super) ways: &'a Ways<'a>,
    /// The path looked up last, and the directory it is.
    pub(super) last: Option<(Vec<u8>, NodeId)>,
    /// What this layer has, as hashes of directory and name, where not all there is need be this layer's. Directories are
    /// marked in their nodes.
    pub(super) ours: Option<HashSet<u64>>,
    /// The number of the layer.
    pub(super) layer: u32,
    /// How to take all back, where something stood there before.
    pub(super) journal: Option<Journal>,
    writers: Writers,
    allowance: &'a Allowance,
    entries: u64,
    content_bytes: u64,
    /// Bytes of xattrs that wait for the end.
    late_bytes: usize,
}

/// As much of them as is kept.
const LATE_BYTES: usize = 4 << 20;

/// Where an entry goes.
pub(super) struct Place {
    pub(super) node: NodeId,
    pub(super) dir: Arc<Dir>,
    pub(super) last: CString,
}

/// What came of a layer.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) entries: u64,
    pub(super) content_bytes: u64,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(dest: BorrowedFd<'_>, ways: &'a Ways<'a>, allowance: &'a Allowance) -> Result<Self, Fault> {
        let dirs = Dirs::new(dest).map_err(|e| Fault::system(b".", "open directory", e))?;
        let fresh = remove::is_empty(dest).map_err(|e| Fault::system(b".", "read directory", e))?;
        let journal =
            if fresh { None } else { Some(Journal::new(dest).map_err(|e| Fault::system(b".", "open directory", e))?) };
        let mut tree = Self {
            dirs,
            ways,
            last: None,
            ours: if fresh { None } else { Some(HashSet::new()) },
            layer: 1,
            journal,
            writers: Writers::new(&ways.dresser),
            allowance,
            entries: 0,
            content_bytes: 0,
            late_bytes: 0,
        };
        tree.record_root()?;
        Ok(tree)
    }

    /// Recorded owners are looked for only where the root has one.
    fn record_root(&mut self) -> Result<(), Fault> {
        if matches!(self.ways.options.owners, Owners::Record) {
            let dir = self.dir(ROOT, b".")?;
            let stat = rustix::fs::fstat(&*dir).map_err(|e| Fault::system(b".", "stat", e))?;
            let due = Due { mode: (stat.st_mode & 0o7777) as u16, ..self.ways.implied() };
            self.dirs.nodes.set_due(ROOT, due);
        }
        Ok(())
    }

    /// What came of the layer so far; what comes next is of the next layer, applied to what is there.
    pub(super) fn next_layer(&mut self) -> Counts {
        self.layer += 1;
        self.ours = Some(HashSet::new());
        let counts = Counts { entries: self.entries, content_bytes: self.content_bytes };
        (self.entries, self.content_bytes) = (0, 0);
        counts
    }

    /// Makes what `entry` says, its data taken from `archive`.
    pub(super) fn add<R: BufRead>(&mut self, mut entry: Entry, archive: &mut Archive<R>) -> Result<(), Fault> {
        let options = self.ways.options;
        let path = inside(&entry.path, &entry.path)?;
        if options.select.is_some_and(|takes| !takes(&path)) {
            return Ok(());
        }
        self.entries += 1;
        self.count_entry(&entry.path)?;
        if let Some(tell) = options.on_entry {
            tell(&entry);
        }
        for what in &entry.left_out {
            self.ways.skip(&entry.path, what);
        }
        if path.is_empty() {
            if entry.kind != EntryKind::Directory {
                return Err(Fault::entry(Kind::Corrupt, &entry.path, "an entry for the root that is no directory"));
            }
            return self.due(ROOT, entry);
        }
        let (parent, last) = split(&path);
        if options.whiteouts != Whiteouts::Oci && self.whiteout(parent, last, &entry)? {
            return Ok(());
        }
        let place = self.place(parent, last, &entry.path)?;
        self.settle(place.node, last)?;
        self.touch(place.node, &entry.path)?;
        match entry.kind {
            EntryKind::File => self.file(&place, entry, archive)?,
            EntryKind::Directory => return self.directory(&place, entry),
            EntryKind::HardLink => self.hard_link(&place, &entry)?,
            EntryKind::Symlink => {
                let target = CString::new(&entry.link[..]).map_err(|_| nul(&entry.path))?;
                self.make(&place, &entry.path, "symlink", |dir, name| rustix::fs::symlinkat(&target, dir, name))?;
                self.dress_name(&place, entry, true)?;
            }
            kind if self.ways.is_recorded(kind) => {
                entry.size = 0;
                self.file(&place, entry, archive)?;
            }
            EntryKind::Fifo => self.node(&place, entry, FileType::Fifo, 0)?,
            EntryKind::CharDevice(major, minor) => {
                self.node(&place, entry, FileType::CharacterDevice, rustix::fs::makedev(major, minor))?;
            }
            EntryKind::BlockDevice(major, minor) => {
                self.node(&place, entry, FileType::BlockDevice, rustix::fs::makedev(major, minor))?;
            }
        }
        self.claim(place.node, last);
        Ok(())
    }

    /// Counts one more thing that is made.
    pub(super) fn count_entry(&self, entry: &[u8]) -> Result<(), Fault> {
        if self.dirs.nodes.full() {
            return Err(Fault::entry(Kind::Limit, entry, "more directories than can be kept in mind"));
        }
        self.allowance.entry(self.ways.options.limits, entry)
    }

    /// What a directory gets: at the end, but for most xattrs, which are set at once and need not be kept in mind. A default ACL
    /// would be handed on to what is still to be made in it.
    fn due(&mut self, node: NodeId, entry: Entry) -> Result<(), Fault> {
        let (uid, gid) = self.ways.ids(&entry.path, entry.uid, entry.gid)?;
        self.dirs.nodes.claim(node, self.layer);
        let (mode, mtime) = ((entry.mode & 0o7777) as u16, Some(entry.mtime));
        let is_acl = |(key, _): &(Vec<u8>, Vec<u8>)| key.starts_with(b"system.posix_acl_");
        let (later, now): (Vec<_>, Vec<_>) = entry.xattrs.into_iter().partition(is_acl);
        if self.dirs.nodes.wears(node) {
            // The last entry counts, not what those before it had.
            let fd = self.dirs.open_as(node, OFlags::RDONLY);
            let done = fd.and_then(|fd| metadata::undress(fd.as_fd(), &now));
            done.map_err(|e| Fault::system(&entry.path, "remove an xattr", e))?;
        }
        if !now.is_empty() {
            self.dirs.nodes.wear(node);
            let dir = self.dir(node, &entry.path)?;
            for (key, value) in now {
                self.remember_xattr(node, &key)?;
                self.ways.set_xattr_at(dir.as_fd(), c".", &entry.path, &key, &value)?;
            }
        }
        self.late_bytes += later.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if self.late_bytes > LATE_BYTES {
            return Err(Fault::entry(Kind::Limit, &entry.path, "more ACLs of directories than can be kept in mind"));
        }
        self.dirs.nodes.set_due(node, Due { mode, uid, gid, mtime, xattrs: later });
        Ok(())
    }

    fn file<R: BufRead>(&mut self, place: &Place, mut entry: Entry, archive: &mut Archive<R>) -> Result<(), Fault> {
        self.allowance.bytes(self.ways.options.limits, entry.size, &entry.path)?;
        self.content_bytes += entry.size;
        let attributes = self.ways.attributes(&mut entry)?;
        let new =
            NewFile { entry: entry.path, attributes, kind: entry.kind, plain: place.dir.plain, sparse: entry.sparse };
        if new.sparse.is_none() && self.journal.is_none() && self.writers.take(entry.size) {
            return self.hand_over(place, new, entry.size, archive);
        }
        let mode = self.ways.opening_mode(&new.attributes);
        let fd = self.make(place, &new.entry, "create", |dir, name| files::create(dir, name, mode))?;
        let data = if entry.size == 0 { Data::None } else { Data::Archive(archive, entry.size) };
        files::write(fd.as_fd(), &new, data, self.ways)
    }

    /// Gives a small file to a helper. What stands in its place goes before.
    fn hand_over<R: BufRead>(
        &mut self,
        place: &Place,
        new: NewFile,
        size: u64,
        archive: &mut Archive<R>,
    ) -> Result<(), Fault> {
        match stat(place.dir.as_fd(), &place.last) {
            Err(Errno::NOENT) => {}
            Ok(_) => self.make_way(place, &new.entry)?,
            Err(e) => return Err(Fault::system(&new.entry, "stat", e)),
        }
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let bytes = archive.data()?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len().min(left);
            self.writers.data().extend_from_slice(&bytes[..count]);
            archive.consume(count);
            left -= count;
        }
        let written = usize::try_from(size).unwrap_or(usize::MAX) - left;
        let key = self.dirs.nodes.hash(place.node, place.last.to_bytes());
        self.writers.put(key, Arc::clone(&place.dir), place.last.clone(), new, written)
    }

    fn directory(&mut self, place: &Place, entry: Entry) -> Result<(), Fault> {
        if let Some(known) = self.dirs.nodes.child(place.node, place.last.to_bytes()) {
            return self.due(known, entry);
        }
        self.check_depth(place.node, &entry.path)?;
        let node = match rustix::fs::mkdirat(&*place.dir, &place.last, Mode::RWXU) {
            Ok(()) => self.made_directory(place.node, place.last.to_bytes())?,
            Err(Errno::EXIST) => {
                let stat = stat(place.dir.as_fd(), &place.last).map_err(|e| Fault::system(&entry.path, "stat", e))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    self.dirs.nodes.add(place.node, place.last.to_bytes(), false)
                } else {
                    let hidden = self.is_whiteout(&stat);
                    self.make_way(place, &entry.path)?;
                    rustix::fs::mkdirat(&*place.dir, &place.last, Mode::RWXU)
                        .map_err(|e| Fault::system(&entry.path, "mkdir", e))?;
                    let node = self.made_directory(place.node, place.last.to_bytes())?;
                    if hidden {
                        self.make_opaque(node, &entry.path)?;
                    }
                    node
                }
            }
            Err(e) => return Err(Fault::system(&entry.path, "mkdir", e)),
        };
        self.due(node, entry)
    }

    /// Takes note of a directory that was made just now.
    pub(super) fn made_directory(&mut self, parent: NodeId, name: &[u8]) -> Result<NodeId, Fault> {
        if let Some(journal) = &mut self.journal {
            journal.made(parent, name);
        }
        let node = self.dirs.nodes.add(parent, name, true);
        self.dirs.nodes.claim(node, self.layer);
        Ok(node)
    }

    fn hard_link(&mut self, place: &Place, entry: &Entry) -> Result<(), Fault> {
        let target = inside(&entry.link, &entry.path)?;
        let (target_parent, target_last) = split(&target);
        let taken = self.ways.options.select.is_none_or(|takes| takes(&target));
        let absent = || {
            if !taken {
                let why = format!("hard link to {}, which is left out", shown(&entry.link));
                return Fault::entry(Kind::Corrupt, &entry.path, why).hint("take that too, or leave this out as well");
            }
            let why = format!("hard link to {}, which is not in the layer", shown(&entry.link));
            Fault::entry(Kind::Corrupt, &entry.path, why).hint("the layer is broken; fetch or build the image again")
        };
        let Some(from) = self.descend(target_parent, &entry.path, Missing::Tell)? else { return Err(absent()) };
        let directory = || {
            let why = format!("hard link to {}, which is a directory", shown(&entry.link));
            Fault::entry(Kind::Corrupt, &entry.path, why).hint("the layer is broken; fetch or build the image again")
        };
        if self.dirs.nodes.child(from, target_last).is_some() || target.is_empty() {
            return Err(directory());
        }
        self.settle(from, target_last)?;
        let itself = from == place.node && target_last == place.last.to_bytes();
        let from = self.dir(from, &entry.path)?;
        let target_last = CString::new(target_last).map_err(|_| nul(&entry.path))?;
        match stat(from.as_fd(), &target_last) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => return Err(directory()),
            Err(Errno::NOENT) => return Err(absent()),
            _ if itself => return Ok(()),
            _ => {}
        }
        let linked = self.make(place, &entry.path, "link", |dir, name| {
            match rustix::fs::linkat(&*from, &target_last, dir, name, AtFlags::empty()) {
                Err(Errno::NOENT) => Ok(false),
                other => other.map(|()| true),
            }
        })?;
        if linked { Ok(()) } else { Err(absent()) }
    }

    fn node(&mut self, place: &Place, entry: Entry, kind: FileType, device: u64) -> Result<(), Fault> {
        let mode = Mode::RUSR | Mode::WUSR;
        let made = self.make(place, &entry.path, "mknod", |dir, name| {
            match rustix::fs::mknodat(dir, name, kind, mode, device) {
                Err(Errno::PERM) => Ok(false),
                other => other.map(|()| true),
            }
        })?;
        if made {
            return self.dress_name(place, entry, false);
        }
        if self.ways.options.devices == Devices::Skip {
            self.ways.skip(&entry.path, "device: not permitted");
            return Ok(());
        }
        Err(Fault::system(&entry.path, "mknod", Errno::PERM)
            .hint("only root outside user namespaces makes devices; skip them with --rootless"))
    }

    fn dress_name(&mut self, place: &Place, mut entry: Entry, link: bool) -> Result<(), Fault> {
        let attributes = self.ways.attributes(&mut entry)?;
        self.ways.dress_name(place.dir.as_fd(), &place.last, &entry.path, &attributes, place.dir.plain, link)
    }

    /// Runs `make`, and once more after making way where something stands there.
    pub(super) fn make<T>(
        &mut self,
        place: &Place,
        entry: &[u8],
        what: &'static str,
        make: impl Fn(BorrowedFd<'_>, &CStr) -> rustix::io::Result<T>,
    ) -> Result<T, Fault> {
        let made = match make(place.dir.as_fd(), &place.last) {
            Err(Errno::EXIST) => {
                self.make_way(place, entry)?;
                make(place.dir.as_fd(), &place.last)
            }
            other => other,
        };
        if let (Some(journal), Ok(_)) = (&mut self.journal, &made) {
            journal.made(place.node, place.last.to_bytes());
        }
        made.map_err(|e| match e {
            Errno::EXIST => changed(entry),
            e => Fault::system(entry, what, e),
        })
    }

    /// Removes what stands at `place`, or puts it where it can be fetched from again.
    pub(super) fn make_way(&mut self, place: &Place, entry: &[u8]) -> Result<(), Fault> {
        if self.dirs.nodes.child(place.node, place.last.to_bytes()).is_some() {
            // What is still to be written below it.
            self.settle_all()?;
        }
        let trees = self.ours.is_none() || self.ways.options.whiteouts == Whiteouts::Apply;
        let removed = match (&self.journal, trees) {
            (Some(_), false) if self.is_full_directory(place) => Err(Errno::NOTEMPTY),
            (Some(_), _) => return self.put_aside(place, entry),
            (None, true) => remove::remove_tree(place.dir.as_fd(), &place.last),
            (None, false) => match rustix::fs::unlinkat(&*place.dir, &place.last, AtFlags::empty()) {
                Err(Errno::ISDIR) => rustix::fs::unlinkat(&*place.dir, &place.last, AtFlags::REMOVEDIR),
                other => other,
            },
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
        self.disown(place.node, place.last.to_bytes());
        Ok(())
    }

    fn is_full_directory(&self, place: &Place) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&*place.dir, &place.last, flags, Mode::empty()) {
            Ok(fd) => !remove::is_empty(fd.as_fd()).unwrap_or(false),
            // What cannot be read is taken for full.
            Err(e) => e == Errno::ACCESS,
        }
    }

    /// Forgets all we knew of `name` in `node`, and of what is below it.
    pub(super) fn disown(&mut self, node: NodeId, name: &[u8]) {
        self.last = None;
        if let Some(child) = self.dirs.nodes.child(node, name) {
            self.dirs.forget();
            self.dirs.nodes.kill(child);
        }
        if let Some(ours) = &mut self.ours {
            ours.remove(&self.dirs.nodes.hash(node, name));
        }
    }

    pub(super) fn claim(&mut self, node: NodeId, name: &[u8]) {
        if let Some(ours) = &mut self.ours {
            ours.insert(self.dirs.nodes.hash(node, name));
            self.dirs.nodes.claim(node, self.layer);
        }
    }

    /// Where `last` in the directory `parent` is to be made; directories on the way that are missing are made.
    pub(super) fn place(&mut self, parent: &[u8], last: &[u8], entry: &[u8]) -> Result<Place, Fault> {
        let last = CString::new(last).map_err(|_| nul(entry))?;
        let node = self.descend(parent, entry, Missing::Make)?.unwrap_or(ROOT);
        Ok(Place { node, dir: self.dir(node, entry)?, last })
    }

    /// Waits for all that is still being written.
    pub(super) fn settle_all(&mut self) -> Result<(), Fault> {
        self.writers.settle_all()
    }

    /// Waits for what is still being written under that name.
    pub(super) fn settle(&mut self, node: NodeId, name: &[u8]) -> Result<(), Fault> {
        self.writers.settle(self.dirs.nodes.hash(node, name))
    }
}

pub(super) fn stat(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<rustix::fs::Stat> {
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
