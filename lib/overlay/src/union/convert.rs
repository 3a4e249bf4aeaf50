//! Making an upper one that the kernel takes in `user.*`, and that is a layer by itself: nothing in it points below.
//!
//! The tree shows the same before, meanwhile and after, so that a crash at any instant leaves an upper that can be mounted,
//! and a second run goes on where the first ended:
//!
//! - a directory with `overlay.redirect` gets all that shows in it copied up, then becomes opaque, then loses the redirect;
//! - a file with `overlay.metacopy` gets its content, then loses mark and redirect;
//! - links that only the index keeps together are made in the upper, then the index goes;
//! - whiteouts of fuse-overlayfs' spelling (`.wh.NAME`) become the kernel's, where such devices may be made;
//! - last goes the mark on the root that says whom the upper is for ([`super::compat`]).
//!
//! The way back is that mark alone.

use super::compat::{self, Compat};
use super::copy_up::Content;
use super::node::{Node, UPPER};
use super::search::hidden_by;
use super::{ROOT, Stack, StackSpec};
use crate::error::{Error, Kind, Result};
use crate::layer::{Answer, Errno};
use crate::xattrs::XattrNamespace;
use rustix::fs::{AtFlags, Mode, OFlags, XattrFlags};
use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// What a conversion did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Converted {
    /// Renamed directories that were copied.
    pub folders: u64,
    /// Files that got their content.
    pub files: u64,
    /// Links that were made.
    pub links: u64,
    /// Whiteouts that were written anew.
    pub whiteouts: u64,
}

/// Makes the upper of `spec`, which no overlay is mounted with, one for `to`. In `trusted.*` the kernel takes any upper;
/// there [`Compat::Kernel`] makes it a layer by itself.
pub fn convert(spec: &StackSpec, to: Compat) -> Result<Converted> {
    let upper = spec.upper.as_deref().ok_or_else(|| {
        Error::new(Kind::Request, "convert", "").because("no upper layer named").hint("ovl-mount convert UPPER")
    })?;
    let failed = |errno: Errno| {
        Error::new(Kind::Failed, "convert", upper.display()).because(std::io::Error::from(errno)).hint("run it again")
    };
    if to == Compat::Fuse {
        if spec.xattrs == XattrNamespace::User {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(upper, flags, Mode::empty())
                .and_then(|root| rustix::fs::fsetxattr(root, compat::MARK, compat::FUSE, XattrFlags::empty()))
                .map_err(failed)?;
        }
        return Ok(Converted::default());
    }
    let stack = Stack::open(spec)?;
    let converted = stack.make_plain().map_err(failed)?;
    stack.sync_all().map_err(failed)?;
    Ok(converted)
}

impl Stack {
    /// Does all but opening.
    fn make_plain(&self) -> Answer<Converted> {
        let mut done = Converted::default();
        // Which names lead to an indexed file is known to the lower layers alone.
        let everywhere = self.index.is_in_use();
        self.make_folder_plain(&self.node(ROOT)?, everywhere, false, &mut done)?;
        self.drop_index()?;
        let root = self.layer_root(UPPER)?;
        let root = root.descriptor().ok_or(Errno::IO)?;
        if self.xattrs == XattrNamespace::User {
            match rustix::fs::fremovexattr(root, compat::MARK) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// `everywhere`: directories that the upper has no part in are looked through too. `whole`: all that shows below is to be in
    /// the upper.
    fn make_folder_plain(&self, node: &Arc<Node>, everywhere: bool, whole: bool, done: &mut Converted) -> Answer<()> {
        if whole {
            self.raise_folder(node)?;
        }
        let moved = node.is_in_upper() && node.has_lower() && {
            let folder = self.folder(node, UPPER)?;
            self.redirect_of(folder.descriptor().ok_or(Errno::IO)?)?.is_some()
        };
        let whole = whole || moved;
        for entry in self.list(node)?.into_iter().filter(|e| e.name != "." && e.name != "..") {
            let Some((child, _)) = self.lookup(node, &entry.name)? else { continue };
            let counted = self.count(&child);
            let made = if child.is_folder() {
                if whole || everywhere || child.is_in_upper() {
                    self.make_folder_plain(&child, everywhere, whole, done)
                } else {
                    Ok(())
                }
            } else {
                self.make_file_plain(&child, node, &entry.name, whole, done)
            };
            drop(child);
            self.forget(counted, 1);
            made?;
        }
        if !node.is_in_upper() {
            return Ok(());
        }
        let folder = self.folder(node, UPPER)?;
        let fd = folder.descriptor().ok_or(Errno::IO)?;
        if whole && node.has_lower() {
            self.set_opaque(fd)?;
            self.drop_stored(fd, self.xattrs.redirect())?;
            done.folders += u64::from(moved);
        }
        self.respell(node, whole && node.has_lower(), done)
    }

    fn make_file_plain(
        &self,
        node: &Arc<Node>,
        parent: &Arc<Node>,
        name: &OsStr,
        whole: bool,
        done: &mut Converted,
    ) -> Answer<()> {
        if !whole && !node.is_in_upper() {
            return Ok(());
        }
        let bare = node.seat().is_some_and(|seat| seat.layer == UPPER && seat.data.is_some());
        self.raise(node, Content::Whole)?;
        if bare {
            let spot = self.spot(node)?;
            self.drop_stored(spot.fd()?, self.xattrs.redirect())?;
            done.files += 1;
        }
        let before = self.upper_folder(parent)?.map(|above| above.find(name)).transpose()?.flatten();
        self.link_up(node, parent, name)?;
        done.links += u64::from(before.is_none() && !whole);
        Ok(())
    }

    /// Links are what keeps files together from now on.
    fn drop_index(&self) -> Answer<()> {
        for name in self.index.names()? {
            if let Some(copy) = self.index.point_at(&name)? {
                self.drop_stored(copy.as_fd(), self.xattrs.nlink())?;
            }
            self.index.remove(&name)?;
        }
        Ok(())
    }

    /// Whiteouts and opaque marks of fuse-overlayfs become the kernel's. `all_here`: nothing below shows, so that no whiteout is
    /// needed.
    fn respell(&self, node: &Arc<Node>, all_here: bool, done: &mut Converted) -> Answer<()> {
        let folder = self.folder(node, UPPER)?;
        let fd = folder.descriptor().ok_or(Errno::IO)?;
        let mut names: Vec<OsString> = Vec::new();
        let mut devices: Vec<OsString> = Vec::new();
        let _ = folder.list(&mut |entry| {
            if entry.name.as_bytes().starts_with(b".wh.") {
                names.push(entry.name.to_owned());
            } else if all_here && entry.kind == rustix::fs::FileType::CharacterDevice {
                devices.push(entry.name.to_owned());
            }
            ControlFlow::Continue(())
        })?;
        for name in devices {
            if folder.find(&name)?.is_some_and(|s| s.is_whiteout()) {
                rustix::fs::unlinkat(fd, &name, AtFlags::empty())?;
            }
        }
        for name in names {
            let Some(hidden) = hidden_by(&name) else { continue };
            if hidden == ".wh..opq" {
                self.set_opaque(fd)?;
            } else if !all_here && folder.find(hidden)?.is_none() {
                match self.work()?.place_whiteout(fd, hidden) {
                    Err(Errno::PERM | Errno::OPNOTSUPP) => continue,
                    other => other?,
                }
            }
            rustix::fs::unlinkat(fd, &name, AtFlags::empty())?;
            done.whiteouts += 1;
        }
        Ok(())
    }

    fn drop_stored(&self, file: BorrowedFd<'_>, xattr: &std::ffi::CStr) -> Answer<()> {
        match self.remove_stored(file, xattr) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
