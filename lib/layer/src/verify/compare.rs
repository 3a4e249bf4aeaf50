//! One entry of the layer and what is at its name.

use super::paths::{Findings, Paths, join};
use super::place::Place;
use super::{Change, Difference, Options, Owners, content};
use crate::archive::{Archive, Entry, EntryKind, Time};
use crate::error::{Fault, Kind, shown};
use crate::extract::resolve::{normalise, split};
use crate::owners::{Run, mapped};
use crate::pack::found::{Found, Look, Thing};
use rustix::fs::FileType;
use spec::whiteout::{self, Name};
use std::collections::HashMap;
use std::ffi::CString;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

/// How much of a file is read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// The state of one comparison.
pub(super) struct Comparison<'a> {
    pub(super) dir: BorrowedFd<'a>,
    pub(super) look: Look,
    pub(super) options: &'a Options<'a>,
    pub(super) findings: Findings,
    /// What the layer has.
    pub(super) seen: Paths,
    /// Directories above what the layer has.
    pub(super) implied: Paths,
    /// What it hides: paths, and directories all of which it hides.
    pub(super) hidden: Vec<Vec<u8>>,
    pub(super) opaque: Vec<Vec<u8>>,
    pub(super) entries: u64,
    /// The first name of each file with several.
    first_names: HashMap<(u64, u64), Vec<u8>>,
    /// The directory opened last, and by which path.
    pub(super) last_place: Option<(Vec<u8>, Rc<Place>)>,
    buffer: Vec<u8>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(dir: BorrowedFd<'a>, look: Look, options: &'a Options<'a>) -> Self {
        Self {
            dir,
            look,
            options,
            findings: Findings::default(),
            seen: Paths::default(),
            implied: Paths::default(),
            hidden: Vec::new(),
            opaque: Vec::new(),
            entries: 0,
            first_names: HashMap::new(),
            last_place: None,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Compares `entry`, its data taken from `archive`.
    pub(super) fn entry<R: BufRead>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), Fault> {
        self.entries += 1;
        let path = normalise(&entry.path).ok_or_else(|| {
            Fault::entry(Kind::Escape, &entry.path, "climbs out of the layer by ..")
                .hint("the layer is hostile or broken; do not use this image")
        })?;
        if self.options.select.is_some_and(|select| !select.takes(&path)) {
            return Ok(());
        }
        if path.is_empty() {
            self.findings.forget(b"", false);
            self.seen.insert(b"");
            let root = self.look.root(self.dir)?;
            self.attributes(b"", entry, &root);
            return Ok(());
        }
        let (parent, last) = split(&path);
        let place = self.open(parent, &entry.path)?;
        let path = place.as_ref().map_or_else(|| path.clone(), |place| join(&place.path, last));
        let mark = match whiteout::parse_name(last) {
            Name::Plain(_) => None,
            Name::Reserved => return Ok(()),
            mark => Some(mark),
        };
        self.imply(split(&path).0);
        if let Some(mark) = mark {
            let dir = split(&path).0;
            match mark {
                _ if self.options.applied => {}
                _ if place.is_none() => self.findings.add(&path, Difference::Missing),
                Name::Whiteout(hidden) => self.hidden.push(join(dir, hidden)),
                _ => self.opaque.push(dir.to_vec()),
            }
            return Ok(());
        }
        if !self.seen.insert(&path) {
            self.findings.forget(&path, entry.kind != EntryKind::Directory);
        }
        let name =
            CString::new(last).map_err(|_| Fault::entry(Kind::Corrupt, &entry.path, "a name with a NUL in it"))?;
        let found = match &place {
            Some(place) => self.look.at(place.fd.as_fd(), &name, told(entry.kind), &path)?,
            None => None,
        };
        match found {
            None => self.findings.add(&path, Difference::Missing),
            Some(found) if entry.kind == EntryKind::HardLink => self.hard_link(&path, entry, &found)?,
            Some(found) if self.is_of_its_kind(&path, entry, &found) => {
                self.names_of_one_file(&path, &found);
                self.attributes(&path, entry, &found);
                if entry.kind == EntryKind::File {
                    self.content(&path, entry, &found, archive)?;
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn imply(&mut self, mut dir: &[u8]) {
        while self.implied.insert(dir) && !dir.is_empty() {
            dir = split(dir).0;
        }
    }

    fn hard_link(&mut self, path: &[u8], entry: &Entry, found: &Found) -> Result<(), Fault> {
        let same = match normalise(&entry.link) {
            Some(target) => self.at(&target)?.is_some_and(|other| other.id == found.id),
            None => false,
        };
        if !same {
            let layer = format!("to {}", shown(&entry.link));
            self.findings.change(path, "hard link", "a file of its own", &layer);
        }
        Ok(())
    }

    /// Whether it is of the entry's type; says so where it is not.
    fn is_of_its_kind(&mut self, path: &[u8], entry: &Entry, found: &Found) -> bool {
        let (here, layer) = (name_of(found.thing), name_of_kind(entry.kind));
        if here != layer {
            self.findings.change(path, "type", here, layer);
            return false;
        }
        let numbers = match (found.thing, entry.kind) {
            (Thing::Char(a, b), EntryKind::CharDevice(c, d)) | (Thing::Block(a, b), EntryKind::BlockDevice(c, d)) => {
                ((a, b), (c, d))
            }
            _ => return true,
        };
        if numbers.0 != numbers.1 {
            let show = |(major, minor): (u32, u32)| format!("{major}:{minor}");
            self.findings.change(path, "device", &show(numbers.0), &show(numbers.1));
        }
        true
    }

    /// What the layer has as a file of its own may not be another's name.
    fn names_of_one_file(&mut self, path: &[u8], found: &Found) {
        if found.names < 2 || found.thing == Thing::Directory {
            return;
        }
        let first = self.first_names.entry(found.id).or_insert_with(|| path.to_vec());
        if first != path {
            let here = format!("to {}", shown(first));
            self.findings.change(path, "hard link", &here, "a file of its own");
        }
    }

    fn attributes(&mut self, path: &[u8], entry: &Entry, found: &Found) {
        let mut changes = Vec::new();
        let mut compare = |what: &str, here: String, layer: String| {
            if here != layer {
                changes.push(Change { what: what.to_owned(), here, layer });
            }
        };
        if entry.kind != EntryKind::Symlink {
            compare("mode", format!("{:04o}", found.mode), format!("{:04o}", entry.mode));
        }
        let as_named: &[Run] = &[];
        let maps = match self.options.owners {
            Owners::Any => None,
            Owners::Named => Some((as_named, as_named)),
            Owners::Map(maps) => Some((&maps.uids[..], &maps.gids[..])),
        };
        if let Some((uids, gids)) = maps {
            let show = |id: Option<u64>| id.map_or_else(|| "in no range of the map".to_owned(), |id| id.to_string());
            compare("owner", found.uid.to_string(), show(mapped(uids, entry.uid)));
            compare("group", found.gid.to_string(), show(mapped(gids, entry.gid)));
        }
        if entry.kind == EntryKind::Symlink {
            compare("target", shown(&found.link), shown(&entry.link));
        }
        if self.options.times {
            compare("mtime", decimal(found.mtime), decimal(entry.mtime));
        }
        if self.options.xattrs {
            for (key, value) in &entry.xattrs {
                let overlays_own = key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.");
                let here = found.xattrs.iter().find(|(name, _)| name == key).map(|(_, value)| value);
                if !overlays_own && here != Some(value) {
                    let here = here.map_or_else(|| "none".to_owned(), |value| value_shown(value));
                    changes.push(Change { what: format!("xattr {}", shown(key)), here, layer: value_shown(value) });
                }
            }
            for (key, value) in &found.xattrs {
                // A machine's own labels are on everything.
                let label = key == b"security.selinux";
                if !label && !entry.xattrs.iter().any(|(name, _)| name == key) {
                    let what = format!("xattr {}", shown(key));
                    changes.push(Change { what, here: value_shown(value), layer: "none".to_owned() });
                }
            }
        }
        if !changes.is_empty() {
            self.findings.add(path, Difference::Changed(changes));
        }
    }

    fn content<R: BufRead>(
        &mut self,
        path: &[u8],
        entry: &Entry,
        found: &Found,
        archive: &mut Archive<R>,
    ) -> Result<(), Fault> {
        let size = entry.sparse.as_ref().map_or(entry.size, |sparse| sparse.real_size);
        if found.size != size {
            self.findings.change(path, "size", &found.size.to_string(), &size.to_string());
            return Ok(());
        }
        let Some(fd) = &found.fd else { return Ok(()) };
        let whole = [(0, size)];
        let extents = entry.sparse.as_ref().map_or(&whole[..], |sparse| &sparse.extents[..]);
        if !content::same(fd.as_fd(), size, extents, archive, &mut self.buffer, path)? {
            self.findings.change(path, "content", "", "");
        }
        Ok(())
    }
}

fn told(kind: EntryKind) -> FileType {
    match kind {
        EntryKind::File | EntryKind::HardLink => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        _ => FileType::Unknown,
    }
}

fn name_of(thing: Thing) -> &'static str {
    match thing {
        Thing::File => "file",
        Thing::Directory => "directory",
        Thing::Symlink => "symbolic link",
        Thing::Char(..) => "character device",
        Thing::Block(..) => "block device",
        Thing::Fifo => "fifo",
        Thing::Socket => "socket",
    }
}

fn name_of_kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symbolic link",
        EntryKind::HardLink => "hard link",
        EntryKind::CharDevice(..) => "character device",
        EntryKind::BlockDevice(..) => "block device",
        EntryKind::Fifo => "fifo",
    }
}

/// Seconds since 1970 and nine digits behind them.
fn decimal(time: Time) -> String {
    format!("{}.{:09}", time.seconds, time.nanoseconds)
}

/// Short values as text, long ones as how long they are.
fn value_shown(value: &[u8]) -> String {
    let text = shown(value);
    if text.len() <= 40 && !text.is_empty() { text } else { format!("{} bytes", value.len()) }
}
