//! Whiteouts where no device 0:0 can be made: an upper that is on an overlay itself, whose kernel keeps such devices for its own
//! whiteouts (`ovl_mknod`), or a file system or a user that may make no devices. There a file `.wh.NAME` hides what the
//! layers below have as NAME, as fuse-overlayfs writes it.
//!
//! It stays when NAME is made again, since it hides nothing of its own layer; only a directory that has parts below takes
//! it away, or they would be hidden with it.

use super::Stack;
use super::search::whiteout_of;
use crate::layer::{Answer, Errno};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;

impl Stack {
    /// Hides what layers below have under a name that the upper directory `above` does not have.
    pub(crate) fn hide(&self, above: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
        if self.hide_by_name(above, name)? { Ok(()) } else { self.work()?.place_whiteout(above, name) }
    }

    /// The same by a file `.wh.NAME`, whatever the upper has as NAME, where that is how it is done; else `false`.
    pub(crate) fn hide_by_name(&self, above: BorrowedFd<'_>, name: &OsStr) -> Answer<bool> {
        if self.work()?.makes_devices() {
            return Ok(false);
        }
        self.hide_by_files();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(above, whiteout_of(name), flags, Mode::from_raw_mode(0o600))?;
        Ok(true)
    }

    /// Takes such a file away: what stands under the name now has parts below.
    pub(crate) fn unhide(&self, above: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
        if self.work()?.makes_devices() {
            return Ok(());
        }
        self.hide_by_files();
        match rustix::fs::unlinkat(above, whiteout_of(name), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }
}
