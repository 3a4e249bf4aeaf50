//! Links of one lower file that stay one file when it is copied up: the index folder, as overlayfs with `index=on`.
//!
//! ```text
//! work folder given ─┬─ work/            half-done things
//!                    └─ index/00fb21…    the copy, named by the lower file's origin (union/origin.rs) in hexadecimal
//! upper ── a, b                          links of it, made when they are needed
//! ```
//!
//! The copy is put into the index first, then linked to where it was asked for. Another name of the lower file has no link
//! yet: looking it up finds the lower file, its origin, and by that the copy. So an indexed file is always reached through
//! the index. It goes from there when its last name in the union goes.
//!
//! How many names the union shows: `overlay.nlink` holds it relative to how many the copy has on disk (`U-1`), or, while a
//! link is being made, relative to the lower file (`L+0`), so that a crash leaves it right either way
//! (fs/overlayfs/util.c, `ovl_nlink_start`). Before a name that has no link goes, it gets one.

use super::Stack;
use super::copy_up::Made;
use super::lock::{read, write};
use super::node::{Node, Seat, UPPER};
use super::origin::Origin;
use crate::layer::{Answer, Directory, Errno, Folder, Identity, Stat};
use crate::xattrs::XattrNamespace;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, RwLock};

/// A file that is in the index.
#[derive(Debug)]
pub(crate) struct Linked {
    name: OsString,
    /// Names in the union less links on disk.
    surplus: AtomicI64,
}

/// The index folder.
#[derive(Debug, Default)]
pub(crate) struct Index {
    folder: RwLock<Option<Arc<Directory>>>,
    /// What is known to be in it, by its identity.
    known: RwLock<HashMap<Identity, Arc<Linked>>>,
    /// Whether anything is known.
    any: AtomicBool,
}

const NAME: &std::ffi::CStr = c"index";

fn open_folder(work: BorrowedFd<'_>) -> Answer<Directory> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Directory::new(rustix::fs::openat(work, NAME, flags, Mode::empty())?, false)
}

impl Index {
    /// The index in the user's work folder `work`, if there is one.
    pub(crate) fn open(work: BorrowedFd<'_>) -> Self {
        let folder = open_folder(work).ok().map(Arc::new);
        Self { folder: RwLock::new(folder), ..Self::default() }
    }

    /// Whether anything is in it.
    pub(crate) fn is_in_use(&self) -> bool {
        self.folder().is_some_and(|folder| !folder.is_empty())
    }

    fn folder(&self) -> Option<Arc<Directory>> {
        read(&self.folder).clone()
    }

    /// All names in it.
    pub(crate) fn names(&self) -> Answer<Vec<OsString>> {
        let mut names = Vec::new();
        if let Some(folder) = self.folder() {
            let _ = folder.list(&mut |entry| {
                names.push(entry.name.to_owned());
                std::ops::ControlFlow::Continue(())
            })?;
        }
        Ok(names)
    }

    /// The file of that name.
    pub(crate) fn point_at(&self, name: &OsStr) -> Answer<Option<OwnedFd>> {
        self.folder().map(|folder| folder.point_at(name)).transpose()
    }

    /// Takes a file out of it.
    pub(crate) fn remove(&self, name: &OsStr) -> Answer<()> {
        let Some(folder) = self.folder() else { return Ok(()) };
        rustix::fs::unlinkat(folder.descriptor().ok_or(Errno::IO)?, name, AtFlags::empty())
    }

    /// The indexed file that is this object.
    pub(crate) fn of(&self, identity: Identity) -> Option<Arc<Linked>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        read(&self.known).get(&identity).cloned()
    }

    fn learn(&self, identity: Identity, linked: Linked) -> Arc<Linked> {
        let linked = write(&self.known).entry(identity).or_insert_with(|| Arc::new(linked)).clone();
        self.any.store(true, Ordering::Release);
        linked
    }

    fn forget(&self, identity: Identity) {
        write(&self.known).remove(&identity);
    }
}

impl Stack {
    /// Under which name the file with this origin is to be indexed; `None` where it is not to be.
    pub(crate) fn index_for(&self, origin: Option<&Origin>, kind: FileType) -> Option<OsString> {
        let holds_xattrs = kind == FileType::RegularFile || self.xattrs == XattrNamespace::Trusted;
        if !self.features.index || !holds_xattrs {
            return None;
        }
        let origin = origin?;
        self.ensure_index().ok()?;
        Some(origin.index_name().into())
    }

    /// Makes the index folder where there is none, and notes on the upper's root which lower layer it is for.
    fn ensure_index(&self) -> Answer<()> {
        if self.index.folder().is_some() {
            return Ok(());
        }
        let given = self.work()?.given();
        match rustix::fs::mkdirat(given, NAME, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        let root = self.layer_root(UPPER)?;
        let root = root.descriptor().ok_or(Errno::IO)?;
        let lower = self.layer_root(UPPER + 1)?;
        let origin = self.origin_of(UPPER + 1, lower.descriptor().ok_or(Errno::IO)?).ok_or(Errno::OPNOTSUPP)?;
        match rustix::fs::fsetxattr(root, self.xattrs.origin(), origin.bytes(), XattrFlags::CREATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        let mut folder = write(&self.index.folder);
        if folder.is_none() {
            *folder = Some(Arc::new(open_folder(given)?));
        }
        Ok(())
    }

    /// Whether the index, if there is one, was made over the lower layers there are now.
    pub(crate) fn index_is_ours(&self) -> Answer<bool> {
        let root = self.layer_root(UPPER)?;
        let Some(root) = root.descriptor() else { return Ok(false) };
        let value = match self.get_stored(root, self.xattrs.origin()) {
            Ok(value) => value,
            Err(_) => return Ok(true),
        };
        let lower = self.layer_root(UPPER + 1)?;
        let Some(lower) = lower.descriptor() else { return Ok(false) };
        Ok(self.origin_of(UPPER + 1, lower).is_some_and(|origin| Some(origin) == Origin::decode(&value)))
    }

    /// The copy goes into the index. It will show `links` names.
    pub(crate) fn settle_in_index(&self, made: &Made, name: &OsStr, links: u32) -> Answer<()> {
        let folder = self.index.folder().ok_or(Errno::IO)?;
        let fd = folder.descriptor().ok_or(Errno::IO)?;
        let surplus = i64::from(links) - 1;
        self.write_surplus(made.fd.as_fd(), 'U', surplus)?;
        self.install(made, fd, name)?;
        let identity = crate::layer::stat_of(made.fd.as_fd())?.identity();
        self.index.learn(identity, Linked { name: name.to_owned(), surplus: AtomicI64::new(surplus) });
        Ok(())
    }

    fn write_surplus(&self, file: BorrowedFd<'_>, relative_to: char, surplus: i64) -> Answer<()> {
        self.set_stored(file, self.xattrs.nlink(), format!("{relative_to}{surplus:+}").as_bytes())
    }

    /// The file's place in the index, where it is there.
    pub(crate) fn index_place(&self, seat: &Seat) -> Option<(Arc<dyn Folder>, OsString)> {
        if seat.layer != UPPER {
            return None;
        }
        let linked = self.index.of(seat.identity)?;
        Some((self.index.folder()?, linked.name.clone()))
    }

    /// How many names the union shows for an upper file that is so on disk.
    pub(crate) fn union_links(&self, stat: &Stat) -> u32 {
        match self.index.of(stat.identity()) {
            Some(linked) => {
                let links = i64::from(stat.links) + linked.surplus.load(Ordering::Acquire);
                u32::try_from(links.max(0)).unwrap_or(stat.links)
            }
            None => stat.links,
        }
    }

    /// `stat` was found as `name` in `layer` under `parent`, is no directory and may have further names: the upper file
    /// that all of them stand for, if it is another one than was found.
    pub(crate) fn find_in_index(&self, parent: &Node, name: &OsStr, layer: usize, stat: &Stat) -> Answer<Option<Stat>> {
        if stat.links < 2 || !self.features.index || self.index.of(stat.identity()).is_some() {
            return Ok(None);
        }
        let Some(folder) = self.index.folder() else { return Ok(None) };
        let file = self.folder(parent, layer)?.point_at(name)?;
        let origin = if layer == UPPER {
            self.get_stored(file.as_fd(), self.xattrs.origin()).ok().and_then(|value| Origin::decode(&value))
        } else {
            self.origin_of(layer, file.as_fd())
        };
        let Some(origin) = origin else { return Ok(None) };
        let index_name = OsString::from(origin.index_name());
        let Some(entry) = folder.find(&index_name)? else { return Ok(None) };
        let fits = entry.kind() == stat.kind() && (layer != UPPER || entry.identity() == stat.identity());
        if !fits || entry.is_whiteout() {
            return Ok(None);
        }
        let copy = if layer == UPPER { file } else { folder.point_at(&index_name)? };
        let lower_links = || {
            if layer != UPPER { Some(stat.links) } else { self.links_of(&origin) }
        };
        let surplus = self.read_surplus(&copy, entry.links, lower_links);
        self.index.learn(entry.identity(), Linked { name: index_name, surplus: AtomicI64::new(surplus) });
        Ok((layer != UPPER).then_some(entry))
    }

    fn links_of(&self, origin: &Origin) -> Option<u32> {
        let layers = self.nodes.get(super::ROOT).ok()?.branches();
        layers.iter().filter(|b| b.layer != UPPER).find_map(|branch| {
            origin.is_of(self.uuids.of(branch.layer)?).then_some(())?;
            let root = self.layer_root(branch.layer).ok()?;
            let file = origin.open(root.descriptor()?).ok()?;
            Some(crate::layer::stat_of(file.as_fd()).ok()?.links)
        })
    }

    fn read_surplus(&self, copy: &OwnedFd, links: u32, lower_links: impl Fn() -> Option<u32>) -> i64 {
        // As good a guess as any: the index is one of the links, all others are names.
        let unknown = -1;
        let Ok(value) = self.get_stored(copy.as_fd(), self.xattrs.nlink()) else { return unknown };
        match parse_surplus(&value) {
            Some((b'U', surplus)) => surplus,
            Some((_, surplus)) => match lower_links() {
                Some(lower) => i64::from(lower) + surplus - i64::from(links),
                None => unknown,
            },
            None => unknown,
        }
    }

    /// Sees to it that the indexed file `node` has its name `name` in the upper part of `parent`. Others need nothing.
    pub(crate) fn link_up(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &OsStr) -> Answer<()> {
        let Some(seat) = node.seat() else { return Ok(()) };
        let Some(linked) = self.index.of(seat.identity).filter(|_| seat.layer == UPPER) else { return Ok(()) };
        let above = self.raise_folder(parent)?;
        match above.find(name)? {
            Some(stat) if stat.identity() == seat.identity => return Ok(()),
            Some(_) => return Err(Errno::STALE),
            None => {}
        }
        let folder = self.index.folder().ok_or(Errno::IO)?;
        let copy = folder.point_at(&linked.name)?;
        let links = crate::layer::stat_of(copy.as_fd())?.links;
        let surplus = linked.surplus.load(Ordering::Acquire);
        self.set_impure(parent)?;
        if let Some(found) = self.probe(parent, name, UPPER + 1)? {
            self.write_surplus(copy.as_fd(), 'L', i64::from(links) + surplus - i64::from(found.stat.links))?;
        }
        let index = folder.descriptor().ok_or(Errno::IO)?;
        self.settle(&*above, |above| rustix::fs::linkat(index, &linked.name, above, name, AtFlags::empty()))?;
        linked.surplus.fetch_sub(1, Ordering::AcqRel);
        self.write_surplus(copy.as_fd(), 'U', surplus - 1)
    }

    /// Whether the indexed file of `stat` has its content below.
    pub(crate) fn lacks_content(&self, stat: &Stat) -> Answer<bool> {
        let (Some(linked), Some(folder)) = (self.index.of(stat.identity()), self.index.folder()) else {
            return Ok(false);
        };
        if stat.kind() != FileType::RegularFile {
            return Ok(false);
        }
        Ok(self.xattr_at(&*folder, &linked.name, self.xattrs.metacopy())?.is_some())
    }

    /// Before `node` loses the name `name` in `parent`: a file whose names are kept together is copied and linked there,
    /// so that the number of its names stays right. The node's turn is held.
    pub(crate) fn before_unlink(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &OsStr) -> Answer<()> {
        if !self.features.index || node.is_folder() {
            return Ok(());
        }
        if !node.is_in_upper() {
            let Some(layer) = node.top() else { return Ok(()) };
            let stat = self.raw_stat(node)?;
            if stat.links < 2 || self.uuids.of(layer).is_none() {
                return Ok(());
            }
            self.raise_held(node, super::copy_up::Content::Attributes)?;
        }
        self.link_up(node, parent, name)
    }

    /// After an upper name of the file with this identity went: the last one takes it out of the index.
    pub(crate) fn after_unlink(&self, identity: Identity) {
        let Some(linked) = self.index.of(identity) else { return };
        let Some(folder) = self.index.folder() else { return };
        let Ok(Some(stat)) = folder.find(&linked.name) else { return };
        let surplus = linked.surplus.load(Ordering::Acquire);
        if i64::from(stat.links) + surplus > 0 {
            return;
        }
        if stat.links > 1 {
            // Someone added a lower link meanwhile: every link on disk but the index's is a name.
            linked.surplus.store(-1, Ordering::Release);
            if let Ok(copy) = folder.point_at(&linked.name) {
                let _ = self.write_surplus(copy.as_fd(), 'U', -1);
            }
            return;
        }
        if let Some(fd) = folder.descriptor()
            && rustix::fs::unlinkat(fd, &linked.name, AtFlags::empty()).is_ok()
        {
            self.index.forget(identity);
        }
    }
}

fn parse_surplus(value: &[u8]) -> Option<(u8, i64)> {
    let (&base, number) = value.split_first()?;
    let signed = matches!(number.first(), Some(b'+' | b'-'));
    if !signed || !matches!(base, b'L' | b'U') {
        return None;
    }
    Some((base, std::str::from_utf8(number).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse_surplus;

    #[test]
    fn the_number_of_names_is_relative_to_one_side() {
        assert_eq!(parse_surplus(b"U-1"), Some((b'U', -1)));
        assert_eq!(parse_surplus(b"L+0"), Some((b'L', 0)));
        for wrong in [&b""[..], b"U", b"U1", b"X+1", b"U+x"] {
            assert_eq!(parse_surplus(wrong), None);
        }
    }
}
