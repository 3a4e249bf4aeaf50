//! What a layer hides of those below it (image-spec, layer.md, "Whiteouts").
//!
//! A whiteout speaks of the layers below only, whichever order the entries come in. So where this layer has the same name
//! itself, nothing is removed: a directory becomes opaque, since what the layers below have in it is gone, and anything
//! else hides what is below by being there.

use super::Whiteouts;
use super::nodes::NodeId;
use super::resolve::{Missing, nul};
use super::tree::{Place, Tree, stat};
use crate::archive::{Entry, Time};
use crate::error::{Fault, Kind, shown};
use crate::remove;
use crate::times::modified;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;
use spec::whiteout::{self, Name};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

/// How the names of folders begin that aufs kept for itself, at the top of a layer.
const RESERVED: &[u8] = b".wh..wh.";

impl Tree<'_> {
    /// Deals with the entry named `last` in `parent` if it is a whiteout; false if it is none.
    pub(super) fn whiteout(&mut self, parent: &[u8], last: &[u8], whiteout: &Entry) -> Result<bool, Fault> {
        let entry = &whiteout.path[..];
        if parent.starts_with(RESERVED) {
            // What aufs kept for itself.
            return Ok(true);
        }
        match whiteout::parse_name(last) {
            Name::Plain(_) => return Ok(false),
            Name::Reserved => {
                if matches!(last, b".wh." | b".wh.." | b".wh...") {
                    let why = match &last[whiteout::PREFIX.len()..] {
                        b"" => "a whiteout of nothing".to_owned(),
                        name => format!("a whiteout of {}", shown(name)),
                    };
                    return Err(Fault::entry(Kind::Escape, entry, why)
                        .hint("the layer is hostile or broken; do not use this image"));
                }
            }
            Name::Opaque if self.ways.options.whiteouts == Whiteouts::Apply => {
                if let Some(node) = self.descend(parent, entry, Missing::Tell)? {
                    self.remove_others(node, entry)?;
                }
            }
            Name::Opaque => {
                if let Some(node) = self.descend(parent, entry, Missing::Make)? {
                    self.make_opaque(node, entry)?;
                }
            }
            Name::Whiteout(name) if self.ways.options.whiteouts == Whiteouts::Apply => {
                if let Some(node) = self.descend(parent, entry, Missing::Tell)? {
                    self.carry_out(node, name, entry)?;
                }
            }
            Name::Whiteout(name) => self.mark(parent, name, entry, whiteout.mtime)?,
        }
        Ok(true)
    }

    /// Whether that is a whiteout in overlay form, and we write that form.
    pub(super) fn is_whiteout(&self, stat: &Stat) -> bool {
        matches!(self.ways.options.whiteouts, Whiteouts::Overlay | Whiteouts::UserXattr)
            && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == 0
    }

    /// Makes a directory that is there opaque.
    pub(super) fn make_opaque(&mut self, node: NodeId, entry: &[u8]) -> Result<(), Fault> {
        let key: &CStr = match self.ways.options.whiteouts {
            Whiteouts::Overlay => c"trusted.overlay.opaque",
            Whiteouts::UserXattr => c"user.overlay.opaque",
            Whiteouts::Oci | Whiteouts::Apply => return Ok(()),
        };
        let fd = self.dirs.open_as(node, OFlags::RDONLY).map_err(|e| Fault::system(entry, "open directory", e))?;
        self.remember_xattr(node, key.to_bytes())?;
        rustix::fs::fsetxattr(&fd, key, b"y", XattrFlags::empty()).map_err(|e| {
            let fault = Fault::system(entry, format_args!("setxattr {}", key.to_string_lossy()), e);
            match (e, self.ways.options.whiteouts) {
                (Errno::PERM, Whiteouts::Overlay) => {
                    fault.hint("only root outside user namespaces sets trusted xattrs; use --whiteouts userxattr")
                }
                (Errno::NOTSUP, _) => fault.hint("unpack onto a file system that has extended attributes"),
                _ => fault,
            }
        })
    }

    /// A whiteout of `name` in overlay form.
    fn mark(&mut self, parent: &[u8], name: &[u8], entry: &[u8], mtime: Time) -> Result<(), Fault> {
        let place = self.place(parent, name, entry)?;
        self.settle(place.node, name)?;
        self.touch(place.node, entry)?;
        if let Some(directory) = self.dirs.nodes.child(place.node, name)
            && self.is_ours(place.node, name)
        {
            return self.make_opaque(directory, entry);
        }
        let make = |dir: BorrowedFd<'_>, last: &CStr| {
            rustix::fs::mknodat(dir, last, FileType::CharacterDevice, Mode::empty(), 0)
        };
        match make(place.dir.as_fd(), &place.last) {
            Ok(()) => {
                if let Some(journal) = &mut self.journal {
                    journal.made(place.node, name);
                }
            }
            Err(Errno::EXIST) => {
                let there = stat(place.dir.as_fd(), &place.last).map_err(|e| Fault::system(entry, "stat", e))?;
                if self.is_whiteout(&there) {
                    return Ok(());
                }
                if self.is_ours(place.node, name) {
                    return Ok(());
                }
                self.make(&place, entry, "mknod of a whiteout", make)?;
            }
            Err(e) => return Err(Fault::system(entry, "mknod of a whiteout", e)),
        }
        // Nobody sees it through the overlay; but the same layer shall give the same tree.
        rustix::fs::utimensat(&*place.dir, &place.last, &modified(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Fault::system(entry, "utimens", e))
    }

    /// Whether `name`, which is there, or something below it came from this layer.
    fn is_ours(&self, node: NodeId, name: &[u8]) -> bool {
        let Some(ours) = &self.ours else { return true };
        match self.dirs.nodes.child(node, name) {
            Some(child) => self.dirs.nodes.layer(child) == self.layer,
            None => ours.contains(&self.dirs.nodes.hash(node, name)),
        }
    }

    /// Removes what a whiteout of `name` hides.
    fn carry_out(&mut self, node: NodeId, name: &[u8], entry: &[u8]) -> Result<(), Fault> {
        if self.ours.is_none() {
            return Ok(());
        }
        self.settle_all()?;
        if self.is_ours(node, name) {
            return match self.dirs.nodes.child(node, name) {
                Some(child) => self.remove_others(child, entry),
                None => Ok(()),
            };
        }
        let last = CString::new(name).map_err(|_| nul(entry))?;
        self.take_away(node, last, entry)
    }

    /// Removes all in a directory that is not of this layer.
    fn remove_others(&mut self, node: NodeId, entry: &[u8]) -> Result<(), Fault> {
        if self.ours.is_none() {
            return Ok(());
        }
        self.settle_all()?;
        let mut nodes = vec![node];
        while let Some(node) = nodes.pop() {
            let fd = self.dirs.open_as(node, OFlags::RDONLY).map_err(|e| Fault::system(entry, "open directory", e))?;
            for name in children(fd.as_fd()).map_err(|e| Fault::system(entry, "read directory", e))? {
                if !self.is_ours(node, name.to_bytes()) {
                    self.take_away(node, name, entry)?;
                } else if let Some(child) = self.dirs.nodes.child(node, name.to_bytes()) {
                    nodes.push(child);
                }
            }
        }
        Ok(())
    }

    /// Removes `last` and all below it; that it is not there is no error.
    fn take_away(&mut self, node: NodeId, last: CString, entry: &[u8]) -> Result<(), Fault> {
        let place = Place { node, dir: self.dir(node, entry)?, last };
        match stat(place.dir.as_fd(), &place.last) {
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(Fault::system(entry, "stat", e)),
            // Our own stash is not of any layer.
            Ok(_) if self.is_stash(&place) => return Ok(()),
            Ok(_) => {}
        }
        self.touch(node, entry)?;
        if self.journal.is_some() {
            return self.put_aside(&place, entry);
        }
        remove::remove_tree(place.dir.as_fd(), &place.last).map_err(|e| Fault::system(entry, "remove", e))?;
        self.disown(node, place.last.to_bytes());
        Ok(())
    }
}

fn children(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            all.push(name.to_owned());
        }
    }
    Ok(all)
}
