//! Whiteouts where no device 0:0 can be made: an upper that is on an overlay itself, whose kernel keeps such devices for its own
//! whiteouts (`ovl_mknod`), or a file system or a user that may make no devices. There a file `.wh.NAME` hides what the
//! layers below have as NAME, as fuse-overlayfs writes it.
//!
//! It stays when NAME is made again, since it hides nothing of its own layer; only a directory that has parts below takes
//! it away, or they would be hidden with it.

use super::Stack;
use super::contents::{Contents, Known};
use super::lock::held;
use super::node::{Node, UPPER};
use super::search::whiteout_of;
use crate::layer::{Answer, Errno};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Stack {
    /// Hides what layers below have under a name that the upper directory `above` of `parent` does not have.
    pub(crate) fn hide(&self, parent: &Arc<Node>, above: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
        if self.hide_by_name(parent, above, name)? { Ok(()) } else { self.work()?.place_whiteout(above, name) }
    }

    /// The same by a file `.wh.NAME`, whatever the upper has as NAME, where that is how it is done; else `false`.
    pub(crate) fn hide_by_name(&self, parent: &Arc<Node>, above: BorrowedFd<'_>, name: &OsStr) -> Answer<bool> {
        if self.work()?.makes_devices() {
            return Ok(false);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(above, whiteout_of(name), flags, Mode::from_raw_mode(0o600))?;
        self.layers.upper_is_ours.store(false, Ordering::Relaxed);
        self.note_hidden(parent, |contents| contents.with_hidden(name));
        Ok(true)
    }

    /// Takes such a file away: what stands under the name now has parts below.
    pub(crate) fn unhide(&self, parent: &Arc<Node>, above: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
        if self.work()?.makes_devices() {
            return Ok(());
        }
        match rustix::fs::unlinkat(above, whiteout_of(name), AtFlags::empty()) {
            Ok(()) => self.note_hidden(parent, |_| None),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// What is known of the upper part's names changes; where it is not known yet it is looked up when it is needed.
    fn note_hidden(&self, parent: &Arc<Node>, change: impl Fn(&Contents) -> Option<Contents>) {
        if let Some(part) = parent.branches().iter().find(|part| part.layer == UPPER) {
            let mut known = held(&part.contents);
            let changed = match &*known {
                Known::All(contents) => change(contents),
                Known::Nothing | Known::Never => None,
            };
            *known = match changed {
                Some(contents) => Known::All(Arc::new(contents)),
                None if matches!(*known, Known::Never) => Known::Never,
                None => Known::Nothing,
            };
        }
    }
}
