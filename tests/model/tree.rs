//! The model: a tree of files in memory as an overlay must show it, pure. An operation changes it and has an answer
//! ([`Model::apply`]); whoever looks at a real tree compares ([`super::check`]).
//!
//! It is a POSIX tree as root sees it on Linux, errors in the order in which the kernel finds them (fs/namei.c), and these
//! are all the places where an overlay is otherwise:
//!
//! - a directory that lower layers have a part in cannot be renamed where nothing can be written of where it came from
//!   (`redirects`): EXDEV (fs/overlayfs/dir.c, ovl_can_move);
//! - names of one lower file are one file only with an index; without, each is a file of its own that shows the link
//!   count of its layer until it is copied up, then 1, and another st_ino (ovl_hash_bylower, ovl_getattr);
//! - with an index a file's link count is that of its layer, names hidden by layers above counted, plus what was
//!   linked and minus what was removed (ovl_nlink_start);
//! - a device 0:0 cannot be made: EPERM (ovl_mknod); RENAME_WHITEOUT is not served: EINVAL (ovl_rename);
//! - the kernel sets a file's time when its content follows attributes that were copied up before
//!   (ovl_copy_up_meta_inode_data), so `kernel_serves` is told to the model;
//! - the kernel does not mark a directory as one with numbers to be looked up when link(2) brings a file there that was copied up
//!   (ovl_link sets no `overlay.impure`, as ovl_rename does), and lists that name with the number of the copy;
//! - in a user namespace the kernel cannot note what a copy is of, so numbers change by copy-up (ovl_can_decode_fh needs
//!   CAP_DAC_READ_SEARCH of the machine);
//! - without passthrough FUSE gathers writes in the page cache, and the kernel does not send on a time that it need not change (a
//!   file written in the clock tick in which it was made): after a remount such a time may be that of the flush;
//! - where a file is open and its data goes past the FUSE server, the kernel leaves set-id bits that were set since when one writes
//!   who may not keep them (fs/fuse/passthrough.c); and a server is not told the caller's groups, so that set-group-id without
//!   execution by the group stays. Such writes are not tried with FUSE;
//! - not said by this model, because drivers differ for good reasons: link counts, sizes and blocks of directories, blocks of
//!   files, access times but where they are set, and attributes of a removed lower file (nothing of it is copied up).

use super::acl;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) type Id = u64;
pub(crate) const ROOT: Id = 1;
/// Symbolic links that one look-up follows (MAXSYMLINKS).
const MOST_LINKS: u32 = 40;

/// A point in time: seconds and nanoseconds.
pub(crate) type Moment = (i64, i64);

/// Before everything.
pub(crate) const EVER: Moment = (i64::MIN, 0);

/// What is known of a time that a tree shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Time {
    /// It was set, or seen: it must not change any more.
    Exactly(Moment),
    /// It became the clock's some time after this. The next look makes it exact.
    Since(Moment),
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    File(Vec<u8>),
    Folder { entries: BTreeMap<String, Id>, parent: Id },
    Link(String),
    Fifo,
    Socket,
    Char(u64),
    Block(u64),
}

/// A file, directory or anything else with an inode.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) body: Body,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// The status changed no earlier than this.
    pub(crate) changed: Moment,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    pub(crate) links: u32,
    /// Of a file: it was not copied up. Of a directory: lower layers have a part in it.
    pub(crate) lower: bool,
    /// Only its attributes were copied up.
    pub(crate) metacopy: bool,
    /// The link count of a lower file whose link copy-up breaks.
    pub(crate) fragile: Option<u32>,
    /// Whether it was copied up depends on how far a failing operation came.
    pub(crate) unsure: bool,
    /// It comes from a lower file of several names.
    pub(crate) was_linked: bool,
    /// Its time is that of a write.
    pub(crate) written: bool,
    /// link(2) gave it a name.
    pub(crate) relinked: bool,
    /// Its st_ino, once seen.
    pub(crate) inode: Option<u64>,
}

impl Object {
    pub(crate) fn new(body: Body, mode: u32) -> Self {
        let (mtime, xattrs) = (Time::Since(EVER), BTreeMap::new());
        let (lower, metacopy, fragile, unsure, was_linked) = (false, false, None, false, false);
        Self {
            body,
            mode,
            uid: 0,
            gid: 0,
            mtime,
            changed: (0, 0),
            xattrs,
            links: 1,
            lower,
            metacopy,
            fragile,
            unsure,
            was_linked,
            relinked: false,
            written: false,
            inode: None,
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.body, Body::Folder { .. })
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self.body, Body::File(_))
    }

    pub(crate) fn is_link(&self) -> bool {
        matches!(self.body, Body::Link(_))
    }

    /// `st_mode >> 12`
    pub(crate) fn kind(&self) -> u32 {
        match self.body {
            Body::Fifo => 1,
            Body::Char(_) => 2,
            Body::Folder { .. } => 4,
            Body::Block(_) => 6,
            Body::File(_) => 8,
            Body::Link(_) => 10,
            Body::Socket => 12,
        }
    }
}

/// In what a model's overlay differs from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Directories with lower parts can be renamed.
    pub(crate) redirects: bool,
    /// Hard links survive copy-up.
    pub(crate) index: bool,
    /// The user is root of the machine: devices, `trusted.*`, set-id bits that a write keeps.
    pub(crate) root: bool,
}

/// A descriptor of a file.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) id: Id,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
}

/// A directory that is being listed.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) folder: Id,
    /// There since it was opened: will be listed once.
    pub(crate) must: BTreeSet<String>,
    /// There at some time since it was opened.
    pub(crate) may: BTreeSet<String>,
    pub(crate) seen: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) rules: Rules,
    /// What is not looked at, by name.
    pub(crate) unchecked: &'static [&'static str],
    pub(crate) objects: HashMap<Id, Object>,
    pub(crate) open: BTreeMap<u8, Open>,
    pub(crate) streams: BTreeMap<u8, Stream>,
    /// Whether the driver of the moment is the kernel's.
    pub(crate) kernel_serves: bool,
    /// Files without a name that may get one.
    pub(crate) linkable: BTreeSet<Id>,
    pub(crate) umask: u32,
    /// When the operation under way began.
    pub(crate) now: Moment,
    pub(crate) next: Id,
}

/// Where a path leads: the directory and name of its last component (none for the root or `.`), and what is there.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) parent: Id,
    pub(crate) name: String,
    pub(crate) object: Option<Id>,
}

pub(crate) type Result<T> = std::result::Result<T, Errno>;

// --- looking up -------------------------------------------------------------------------------------------------------
impl Model {
    pub(crate) fn at(&self, id: Id) -> &Object {
        &self.objects[&id]
    }

    pub(crate) fn get(&mut self, id: Id) -> &mut Object {
        self.objects.get_mut(&id).expect("an object")
    }

    /// Whether an object keeps its st_ino.
    pub(crate) fn numbers_stay(&self) -> bool {
        self.rules.root || !self.kernel_serves
    }

    pub(crate) fn entries(&self, id: Id) -> Option<&BTreeMap<String, Id>> {
        match &self.at(id).body {
            Body::Folder { entries, .. } => Some(entries),
            _ => None,
        }
    }

    /// fs/namei.c, path_lookupat: every link in the middle is followed, the last one where `follow` says so.
    pub(crate) fn find(&self, path: &str, follow: bool) -> Result<Found> {
        self.find_from(ROOT, path, follow, &mut 0)
    }

    fn find_from(&self, start: Id, path: &str, follow: bool, links: &mut u32) -> Result<Found> {
        let mut here = Found { parent: start, name: String::new(), object: Some(start) };
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            let folder = here.object.ok_or(Errno::NOENT)?;
            let entries = self.entries(folder).ok_or(Errno::NOTDIR)?;
            let object = entries.get(*part).copied();
            here = Found { parent: folder, name: (*part).to_owned(), object };
            if let Some(id) = object
                && let Body::Link(target) = &self.at(id).body
                && (!last || follow)
            {
                *links += 1;
                if *links > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                here = self.find_from(folder, target, follow || !last, links)?;
            }
        }
        Ok(here)
    }

    /// The object at `path`.
    pub(crate) fn look(&self, path: &str, follow: bool) -> Result<Id> {
        self.find(path, follow)?.object.ok_or(Errno::NOENT)
    }

    /// A name that is free, and its directory (filename_create).
    pub(crate) fn free(&self, path: &str) -> Result<Found> {
        let found = self.find(path, false)?;
        if found.object.is_some() { Err(Errno::EXIST) } else { Ok(found) }
    }

    pub(crate) fn is_below(&self, inner: Id, outer: Id) -> bool {
        let mut at = inner;
        while at != ROOT {
            if at == outer {
                return true;
            }
            at = match self.at(at).body {
                Body::Folder { parent, .. } => parent,
                _ => return false,
            };
        }
        outer == ROOT
    }
}

// --- changing names ---------------------------------------------------------------------------------------------------
impl Model {
    pub(crate) fn put(&mut self, folder: Id, name: &str, id: Id) {
        let now = self.now;
        let above = self.get(folder);
        above.mtime = Time::Since(now);
        above.changed = now;
        if let Body::Folder { entries, .. } = &mut above.body {
            entries.insert(name.to_owned(), id);
        }
        if let Body::Folder { parent, .. } = &mut self.get(id).body {
            *parent = folder;
        }
        for stream in self.streams.values_mut().filter(|s| s.folder == folder) {
            stream.may.insert(name.to_owned());
            stream.must.remove(name);
            // It may well come a second time.
            stream.seen.remove(name);
        }
    }

    fn take(&mut self, folder: Id, name: &str) {
        let now = self.now;
        let above = self.get(folder);
        above.mtime = Time::Since(now);
        above.changed = now;
        if let Body::Folder { entries, .. } = &mut above.body {
            entries.remove(name);
        }
        for stream in self.streams.values_mut().filter(|s| s.folder == folder) {
            stream.must.remove(name);
        }
    }

    /// An object has lost a name.
    fn unname(&mut self, id: Id) {
        let (now, index) = (self.now, self.rules.index);
        let object = self.get(id);
        object.links = if object.is_folder() { 0 } else { object.links - 1 };
        if object.links > 0 && !index && object.fragile.is_some() {
            object.links = 0;
        }
        if object.was_linked && index {
            // Its link count is kept on its copy.
            object.metacopy |= object.lower;
            object.lower = false;
        }
        object.changed = now;
        self.forget_unused(id);
    }

    fn forget_unused(&mut self, id: Id) {
        let used = self.open.values().any(|o| o.id == id) || self.streams.values().any(|s| s.folder == id);
        let named = self.objects.get(&id).is_some_and(|o| o.links > 0);
        if !used && !named {
            self.objects.remove(&id);
        }
    }

    fn add(&mut self, object: Object) -> Id {
        self.next += 1;
        self.objects.insert(self.next, object);
        self.next
    }

    /// A new object that belongs to the caller, under the rules of its directory (inode_init_owner, posix_acl_create).
    pub(crate) fn born(&mut self, folder: Id, body: Body, mode: u32) -> Id {
        let mut object = Object::new(body, mode & 0o7777);
        object.mtime = Time::Since(self.now);
        object.changed = self.now;
        let above = self.at(folder);
        if above.mode & 0o2000 != 0 {
            object.gid = above.gid;
            if object.is_folder() {
                object.mode |= 0o2000;
            }
        }
        if object.is_link() {
            object.mode = 0o777;
        } else {
            acl::inherit(above, &mut object, self.umask);
        }
        self.add(object)
    }

    /// The object is in the upper layer from now on.
    pub(crate) fn raise(&mut self, id: Id) {
        let index = self.rules.index;
        let object = self.get(id);
        if !object.is_folder() {
            object.metacopy |= object.lower;
            object.lower = false;
            if object.fragile.take().is_some() {
                object.links = 1;
                object.unsure = false;
                object.inode = None;
                debug_assert!(!index);
            }
        }
    }

    /// The same with its content.
    pub(crate) fn raise_content(&mut self, id: Id) {
        let late = self.at(id).metacopy;
        self.raise(id);
        let sets_time = late && self.kernel_serves;
        let object = self.get(id);
        object.metacopy = false;
        if sets_time {
            object.mtime = Time::Since(EVER);
        }
    }

    pub(crate) fn make(&mut self, path: &str, body: Body, mode: u32) -> Result<Id> {
        let place = self.free(path)?;
        let id = self.born(place.parent, body, mode);
        self.put(place.parent, &place.name, id);
        Ok(id)
    }

    pub(crate) fn mkdir(&mut self, path: &str, mode: u32) -> Result<()> {
        // mkdir(2): "mode & ~umask & 0777", the sticky bit is Linux's own.
        let body = Body::Folder { entries: BTreeMap::new(), parent: ROOT };
        self.make(path, body, mode & 0o1777).map(drop)
    }

    pub(crate) fn unlink(&mut self, path: &str) -> Result<()> {
        let found = self.find(path, false)?;
        let id = found.object.ok_or(Errno::NOENT)?;
        if self.at(id).is_folder() {
            return Err(Errno::ISDIR);
        }
        self.take(found.parent, &found.name);
        self.unname(id);
        Ok(())
    }

    pub(crate) fn rmdir(&mut self, path: &str) -> Result<()> {
        let found = self.find(path, false)?;
        let id = found.object.ok_or(Errno::NOENT)?;
        let entries = self.entries(id).ok_or(Errno::NOTDIR)?;
        if !entries.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.take(found.parent, &found.name);
        self.unname(id);
        Ok(())
    }

    pub(crate) fn link(&mut self, from: &str, to: &str, follow: bool) -> Result<()> {
        let id = self.look(from, follow)?;
        self.link_object(id, to)
    }

    pub(crate) fn link_object(&mut self, id: Id, to: &str) -> Result<()> {
        let place = self.free(to)?;
        if self.at(id).is_folder() {
            return Err(Errno::PERM);
        }
        self.raise(id);
        self.linkable.remove(&id);
        let now = self.now;
        let object = self.get(id);
        object.links += 1;
        object.relinked = true;
        object.changed = now;
        self.put(place.parent, &place.name, id);
        Ok(())
    }

    /// do_renameat2, vfs_rename, ovl_rename
    pub(crate) fn rename(
        &mut self,
        from: &str,
        to: &str,
        flag: super::operation::Flag,
    ) -> Result<super::operation::Answer> {
        use super::operation::{Answer, Flag};
        let (old, new) = (self.find(from, false), self.find(to, false));
        let (old, new) = (old?, new?);
        let source = old.object.ok_or(Errno::NOENT)?;
        if flag == Flag::NoReplace && new.object.is_some() {
            return Err(Errno::EXIST);
        }
        if flag == Flag::Exchange && new.object.is_none() {
            return Err(Errno::NOENT);
        }
        if self.at(source).is_folder() && self.is_below(new.parent, source) {
            return Err(Errno::INVAL);
        }
        if let Some(target) = new.object
            && self.at(target).is_folder()
            && self.is_below(old.parent, target)
        {
            return Err(if flag == Flag::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        if new.object == Some(source) {
            // Whether two names are one file is not always known without root, and with a flag that is not served anyway.
            let sure = self.rules.root && flag != Flag::Whiteout || (old.parent, old.name) == (new.parent, new.name);
            return Ok(if sure { Answer::Done } else { Answer::Skipped });
        }
        let moves_folder = self.at(source).is_folder();
        if let Some(target) = new.object
            && flag != Flag::Exchange
        {
            match (moves_folder, self.at(target).is_folder()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                _ => {}
            }
        }
        if flag == Flag::Whiteout {
            return Err(Errno::INVAL);
        }
        let stuck = |id: Id| self.at(id).is_folder() && self.at(id).lower && !self.rules.redirects;
        if stuck(source) || flag == Flag::Exchange && new.object.is_some_and(stuck) {
            return Err(Errno::XDEV);
        }
        if let Some(target) = new.object
            && flag != Flag::Exchange
            && self.entries(target).is_some_and(|e| !e.is_empty())
        {
            return Err(Errno::NOTEMPTY);
        }
        self.raise(source);
        let now = self.now;
        self.get(source).changed = now;
        self.take(old.parent, &old.name);
        if let Some(target) = new.object {
            self.take(new.parent, &new.name);
            if flag == Flag::Exchange {
                self.raise(target);
                self.get(target).changed = now;
                self.put(old.parent, &old.name, target);
            } else {
                self.unname(target);
            }
        }
        self.put(new.parent, &new.name, source);
        Ok(Answer::Done)
    }
}

// --- changing attributes ----------------------------------------------------------------------------------------------
impl Model {
    pub(crate) fn chmod(&mut self, id: Id, mode: u32) {
        self.raise(id);
        let now = self.now;
        let object = self.get(id);
        object.mode = mode & 0o7777;
        object.changed = now;
        acl::follow_mode(object);
    }

    /// chown_common: who gives a file away gives no rights with it.
    pub(crate) fn chown(&mut self, id: Id, uid: u32, gid: u32) {
        self.raise(id);
        let now = self.now;
        let object = self.get(id);
        if !object.is_folder() {
            object.mode &= if object.mode & 0o010 != 0 { !0o6000 } else { !0o4000 };
            object.xattrs.remove("security.capability");
        }
        (object.uid, object.gid, object.changed) = (uid, gid, now);
    }

    pub(crate) fn set_time(&mut self, id: Id, time: Moment) {
        self.raise(id);
        let now = self.now;
        let object = self.get(id);
        (object.mtime, object.written, object.changed) = (Time::Exactly(time), false, now);
    }

    pub(crate) fn set_xattr(
        &mut self,
        id: Id,
        name: &str,
        value: Vec<u8>,
        flag: super::operation::XattrFlag,
    ) -> Result<()> {
        use super::operation::XattrFlag;
        self.may_have(id, name)?;
        let there = self.at(id).xattrs.contains_key(name);
        let refused = match flag {
            XattrFlag::Create if there => Some(Errno::EXIST),
            XattrFlag::Replace if !there => Some(Errno::NODATA),
            _ => None,
        };
        if refused.is_none() || self.kernel_serves {
            // ovl_xattr_set copies up before the file system below refuses.
            self.raise(id);
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let now = self.now;
        let object = self.get(id);
        object.xattrs.insert(name.to_owned(), value);
        object.changed = now;
        Ok(())
    }

    pub(crate) fn remove_xattr(&mut self, id: Id, name: &str) -> Result<()> {
        self.may_have(id, name)?;
        if !self.at(id).xattrs.contains_key(name) {
            return Err(Errno::NODATA);
        }
        self.raise(id);
        let now = self.now;
        let object = self.get(id);
        object.xattrs.remove(name);
        object.changed = now;
        Ok(())
    }

    pub(crate) fn get_xattr(&self, id: Id, name: &str) -> Result<Vec<u8>> {
        if name.starts_with("trusted.") && !self.rules.root || self.may_have(id, name).is_err() {
            return Err(Errno::NODATA);
        }
        self.at(id).xattrs.get(name).cloned().ok_or(Errno::NODATA)
    }

    /// fs/xattr.c, xattr_permission
    fn may_have(&self, id: Id, name: &str) -> Result<()> {
        let object = self.at(id);
        let plain = object.is_file() || object.is_folder();
        if name.starts_with("trusted.") && !self.rules.root || name.starts_with("user.") && !plain {
            return Err(Errno::PERM);
        }
        Ok(())
    }

    pub(crate) fn set_acl(&mut self, id: Id, default: bool, value: Option<Vec<u8>>) -> Result<()> {
        let object = self.at(id);
        if object.is_link() {
            return Err(Errno::OPNOTSUPP);
        }
        let name = if default { acl::DEFAULT } else { acl::ACCESS };
        if default && !object.is_folder() {
            // fs/posix_acl.c, set_posix_acl: refused before the overlay hears of it, and nothing is copied up.
            return if value.is_some() { Err(Errno::ACCESS) } else { Ok(()) };
        }
        self.raise(id);
        let now = self.now;
        let object = self.get(id);
        object.changed = now;
        match value {
            Some(value) => object.xattrs.insert(name.into(), value),
            None => object.xattrs.remove(name),
        };
        if !default {
            acl::was_set(object);
        }
        Ok(())
    }
}

// --- content ----------------------------------------------------------------------------------------------------------
impl Model {
    /// A file's content changed: file_modified. `lesser` is a caller without CAP_FSETID.
    pub(crate) fn touched(&mut self, id: Id, lesser: bool) {
        self.raise_content(id);
        let (now, keeps) = (self.now, self.rules.root && !lesser);
        let object = self.get(id);
        object.mtime = Time::Since(now);
        object.written = true;
        object.changed = now;
        object.xattrs.remove("security.capability");
        if !keeps {
            // setattr_should_drop_suidgid; the caller's group is 0.
            let in_group = object.gid == 0 || !lesser;
            object.mode &= if object.mode & 0o010 != 0 || !in_group { !0o6000 } else { !0o4000 };
        }
    }

    /// The same, where a file system may or may not set the time.
    pub(crate) fn perhaps_touched(&mut self, id: Id, lesser: bool) {
        let changed = self.at(id).changed;
        self.touched(id, lesser);
        let object = self.get(id);
        (object.mtime, object.changed) = (Time::Since(EVER), changed);
    }

    pub(crate) fn content(&self, id: Id) -> Option<&Vec<u8>> {
        match &self.at(id).body {
            Body::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn content_mut(&mut self, id: Id) -> &mut Vec<u8> {
        match &mut self.get(id).body {
            Body::File(bytes) => bytes,
            other => panic!("no file: {other:?}"),
        }
    }

    pub(crate) fn write(&mut self, id: Id, at: Option<u64>, bytes: &[u8], lesser: bool) {
        self.touched(id, lesser);
        let content = self.content_mut(id);
        let at = at.map_or(content.len(), |at| at as usize);
        if content.len() < at + bytes.len() {
            content.resize(at + bytes.len(), 0);
        }
        content[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn resize(&mut self, id: Id, size: u64, lesser: bool) {
        if self.content(id).is_some_and(|c| c.len() as u64 == size) {
            self.perhaps_touched(id, lesser);
        } else {
            self.touched(id, lesser);
        }
        self.content_mut(id).resize(size as usize, 0);
    }

    /// Lets go of a descriptor.
    pub(crate) fn close(&mut self, slot: u8) {
        if let Some(open) = self.open.remove(&slot) {
            self.forget_unused(open.id);
        }
    }

    pub(crate) fn close_folder(&mut self, slot: u8) {
        if let Some(stream) = self.streams.remove(&slot) {
            self.forget_unused(stream.folder);
        }
    }

    pub(crate) fn hold(&mut self, slot: u8, open: Open) {
        self.close(slot);
        self.open.insert(slot, open);
    }

    /// A file without a name (O_TMPFILE) in the directory at `path`.
    pub(crate) fn nameless(&mut self, path: &str, mode: u32, exclusive: bool) -> Result<Id> {
        let folder = self.look(path, true)?;
        if !self.at(folder).is_folder() {
            return Err(Errno::NOTDIR);
        }
        let id = self.born(folder, Body::File(Vec::new()), mode);
        self.get(id).links = 0;
        if !exclusive {
            self.linkable.insert(id);
        }
        Ok(id)
    }
}
