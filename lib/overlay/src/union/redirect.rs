//! Renamed objects whose other half stays below: `overlay.redirect`.
//!
//! A directory that lower layers have a part in is renamed by moving its upper part and writing on it where the layers
//! below have it (fs/overlayfs/dir.c, `ovl_set_redirect`): the old name alone while it stays in one directory, else the path
//! from the root, as the topmost lower layer would have it. A file whose content lies below (`overlay.metacopy`) is told
//! apart the same way. A longer path than the kernel writes is EXDEV, and callers copy.
//!
//! In memory each lower part of a moved directory remembers its path in its own layer ([`Branch::at`]), and all that is
//! known below it goes on by that. [`Stack::moving`] keeps such paths still while they are read: it is taken for writing
//! by a rename of such a directory alone.

use super::Stack;
use super::lock::{held, read};
use super::node::{Node, UPPER};
use crate::layer::{Answer, Errno};
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Most bytes of a redirect (`ovl_redirect_max`).
const LONGEST: usize = 256;

impl Stack {
    /// The path of the directory `node` from the root of `layer`, in which it has a part. Empty for the root.
    pub(crate) fn path_in(&self, node: &Arc<Node>, layer: usize) -> Answer<PathBuf> {
        let mut names = Vec::new();
        let mut node = node.clone();
        let base = loop {
            if let Some(at) = node.branch(layer).ok_or(Errno::STALE)?.at.clone() {
                break at.to_path_buf();
            }
            if node.id() == super::ROOT {
                break PathBuf::new();
            }
            let place = node.place().ok_or(Errno::STALE)?;
            names.push(place.name);
            node = place.parent;
        };
        Ok(names.iter().rev().fold(base, |path, name| path.join(&**name)))
    }

    /// Writes on `object`, which is `name` in `parent` and about to go elsewhere, where the layers below have it.
    /// `same_folder`: it stays in `parent`. [`Stack::moving`] is held.
    pub(crate) fn set_redirect(
        &self,
        object: BorrowedFd<'_>,
        parent: &Arc<Node>,
        name: &OsStr,
        same_folder: bool,
    ) -> Answer<()> {
        let written = self.redirect_of(object)?;
        if written.as_ref().is_some_and(|value| same_folder || value.first() == Some(&b'/')) {
            return Ok(());
        }
        let own = written.unwrap_or_else(|| name.as_bytes().to_vec());
        let value = if same_folder { own } else { self.path_from_root(parent, own)? };
        if value.len() > LONGEST {
            return Err(Errno::XDEV);
        }
        match self.set_stored(object, self.xattrs.redirect(), &value) {
            Err(Errno::NOTSUP | Errno::PERM | Errno::NOSPC | Errno::RANGE | Errno::TOOBIG) => Err(Errno::XDEV),
            other => other,
        }
    }

    /// `name` in `parent` as a path from the root, as the topmost lower layer has it.
    fn path_from_root(&self, parent: &Arc<Node>, name: Vec<u8>) -> Answer<Vec<u8>> {
        let mut names = vec![name];
        let mut node = parent.clone();
        while node.id() != super::ROOT {
            let place = node.place().ok_or(Errno::STALE)?;
            let redirect = match node.branch(UPPER) {
                Some(_) => self.redirect_of(self.folder(&node, UPPER)?.descriptor().ok_or(Errno::IO)?)?,
                None => None,
            };
            let value = redirect.unwrap_or_else(|| place.name.as_bytes().to_vec());
            let ends = value.first() == Some(&b'/');
            names.push(value);
            if ends {
                break;
            }
            node = place.parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            if name.first() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        Ok(path)
    }

    pub(crate) fn redirect_of(&self, object: BorrowedFd<'_>) -> Answer<Option<Vec<u8>>> {
        match self.get_stored(object, self.xattrs.redirect()) {
            Ok(value) if value.is_empty() => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes the lower parts of `node` independent of its name. [`Stack::moving`] is held.
    pub(crate) fn pin(&self, node: &Arc<Node>) -> Answer<()> {
        let mut pinned = Vec::new();
        for branch in node.branches().iter() {
            let at = match &branch.at {
                _ if branch.layer == UPPER => None,
                Some(_) => None,
                None => Some(self.path_in(node, branch.layer)?),
            };
            pinned.push(match at {
                Some(path) => Arc::new(branch.with_path(&path)),
                None => branch.clone(),
            });
        }
        node.set_branches(pinned);
        for branch in node.branches().iter().filter(|b| b.layer != UPPER) {
            if held(&branch.folder).as_ref().is_some_and(|f| f.descriptor().is_some()) {
                self.folders.keep(branch);
            }
        }
        Ok(())
    }

    /// The path of the file `name` in `parent`, which lies in `layer`, from that layer's root.
    pub(crate) fn file_path_in(&self, parent: &Arc<Node>, name: &OsStr, layer: usize) -> Answer<PathBuf> {
        let _still = read(&self.moving);
        Ok(self.path_in(parent, layer)?.join(name))
    }
}
