//! What a layer hides of those below it (image-spec, layer.md, "Whiteouts").
//!
//! A whiteout speaks of the layers below only, whichever order the entries come in. So where this layer has the same name
//! itself, nothing is removed: a directory becomes opaque, since what the layers below have in it is gone, and anything
//! else hides what is below by being there.

use super::Whiteouts;
use super::metadata::times;
use super::resolve::{Blocked, split};
use super::tree::{Place, Tree, stat};
use crate::archive::{Entry, Time};
use crate::error::{Fault, Kind, shown};
use crate::remove;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;
use spec::whiteout::{self, Name};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

impl Tree<'_> {
    /// Deals with the entry named `last` in `parent` if it is a whiteout; false if it is none.
    pub(super) fn whiteout(&mut self, parent: &[u8], last: &[u8], whiteout: &Entry) -> Result<bool, Fault> {
        let entry = &whiteout.path[..];
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
            Name::Opaque if self.options.whiteouts == Whiteouts::Apply => self.remove_others(parent, entry)?,
            Name::Opaque => {
                if !parent.is_empty() {
                    // Makes it where it is missing.
                    self.place(&[parent, b"/x"].concat(), entry)?;
                }
                self.make_opaque(parent, entry)?;
            }
            Name::Whiteout(name) => {
                let path = if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() };
                if self.options.whiteouts == Whiteouts::Apply {
                    self.carry_out(&path, entry)?;
                } else {
                    self.mark(&path, entry, whiteout.mtime)?;
                }
            }
        }
        Ok(true)
    }

    /// Whether that is a whiteout in overlay form, and we write that form.
    pub(super) fn is_whiteout(&self, stat: &Stat) -> bool {
        matches!(self.options.whiteouts, Whiteouts::Overlay | Whiteouts::UserXattr)
            && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == 0
    }

    /// Makes the directory `path`, which is there, opaque.
    pub(super) fn make_opaque(&self, path: &[u8], entry: &[u8]) -> Result<(), Fault> {
        let key: &CStr = match self.options.whiteouts {
            Whiteouts::Overlay => c"trusted.overlay.opaque",
            Whiteouts::UserXattr => c"user.overlay.opaque",
            Whiteouts::Oci | Whiteouts::Apply => return Ok(()),
        };
        let fd = self.open_directory(path, entry)?;
        rustix::fs::fsetxattr(&fd, key, b"y", XattrFlags::empty()).map_err(|e| {
            let fault = Fault::system(entry, format_args!("setxattr {}", key.to_string_lossy()), e);
            match (e, self.options.whiteouts) {
                (Errno::PERM, Whiteouts::Overlay) => {
                    fault.hint("only root outside user namespaces sets trusted xattrs; use --whiteouts userxattr")
                }
                (Errno::NOTSUP, _) => fault.hint("unpack onto a file system that has extended attributes"),
                _ => fault,
            }
        })
    }

    /// A whiteout in overlay form at `path`.
    fn mark(&mut self, path: &[u8], entry: &[u8], mtime: Time) -> Result<(), Fault> {
        let place = self.place(path, entry)?;
        let make = |place: &Place| {
            rustix::fs::mknodat(&place.parent, &place.last, FileType::CharacterDevice, Mode::empty(), 0)?;
            // Nobody sees it through the overlay; but the same layer shall give the same tree.
            rustix::fs::utimensat(&place.parent, &place.last, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
        };
        let made = match make(&place) {
            Err(Errno::EXIST) => {
                let there = stat(place.parent.as_fd(), &place.last).map_err(|e| Fault::system(entry, "stat", e))?;
                if self.is_whiteout(&there) {
                    return Ok(());
                }
                if self.is_ours(path) {
                    let directory = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
                    return if directory { self.make_opaque(path, entry) } else { Ok(()) };
                }
                self.make_way(&place, path, entry)?;
                make(&place)
            }
            other => other,
        };
        made.map_err(|e| Fault::system(entry, "mknod of a whiteout", e))
    }

    /// Whether `path`, which is there, or something below it came from this layer.
    fn is_ours(&self, path: &[u8]) -> bool {
        let Some(ours) = &self.ours else { return true };
        ours.contains(path) || {
            let below = [path, b"/"].concat();
            ours.range(below.clone()..).next().is_some_and(|p| p.starts_with(&below))
        }
    }

    /// Removes from the directory what a whiteout of `path` hides.
    fn carry_out(&mut self, path: &[u8], entry: &[u8]) -> Result<(), Fault> {
        let (parent, last) = split(path);
        let dir = match self.root.directory(parent, entry) {
            Ok(dir) => dir,
            Err(Blocked::Fault(fault)) => return Err(fault),
            Err(Blocked::Missing | Blocked::NotDirectory) => return Ok(()),
        };
        if self.ours.is_none() {
            return Ok(());
        }
        if self.is_ours(path) {
            return self.remove_others(path, entry);
        }
        let last = CString::new(last).map_err(|_| Fault::entry(Kind::Corrupt, entry, "a name with a NUL in it"))?;
        remove::remove_tree(dir.as_fd(), &last).map_err(|e| Fault::system(entry, "remove", e))?;
        self.disown(path);
        Ok(())
    }

    /// Removes all in the directory `path` that is not of this layer; that it is no directory or not there is no error.
    fn remove_others(&mut self, path: &[u8], entry: &[u8]) -> Result<(), Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        let dir = match self.root.open(path, flags, entry) {
            Ok(dir) => dir,
            Err(Blocked::Fault(fault)) => return Err(fault),
            Err(Blocked::Missing | Blocked::NotDirectory) => return Ok(()),
        };
        if self.ours.is_none() {
            return Ok(());
        }
        for (name, directory) in children(dir.as_fd()).map_err(|e| Fault::system(entry, "read directory", e))? {
            let child = if path.is_empty() { name.as_bytes().to_vec() } else { [path, b"/", name.as_bytes()].concat() };
            if !self.is_ours(&child) {
                remove::remove_tree(dir.as_fd(), &name).map_err(|e| Fault::system(entry, "remove", e))?;
                self.disown(&child);
            } else if directory {
                self.remove_others(&child, entry)?;
            }
        }
        Ok(())
    }
}

fn children(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, bool)>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let directory = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                }
                kind => kind == FileType::Directory,
            };
            all.push((name.to_owned(), directory));
        }
    }
    Ok(all)
}
