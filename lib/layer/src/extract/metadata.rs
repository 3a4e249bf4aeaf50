//! Owner, mode, xattrs and times of what has been made, in the order the kernel wants: `chown` clears set-id bits and
//! capabilities, so it comes first; times last.

use super::tree::Tree;
use super::{Owners, Whiteouts};
use crate::archive::{Entry, Time};
use crate::error::{Fault, Kind, shown};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What a directory gets at the end.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: Time,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs: entry.xattrs.clone() }
    }
}

pub(super) fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) },
    }
}

/// Owner and group as the kernel takes them.
fn ids(entry: &[u8], uid: u64, gid: u64) -> Result<(Uid, Gid), Fault> {
    let narrow = |id: u64, what: &str| match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Fault::entry(Kind::Unsupported, entry, format_args!("{what} {id} is no id that Linux knows"))),
    };
    Ok((Uid::from_raw(narrow(uid, "owner")?), Gid::from_raw(narrow(gid, "group")?)))
}

fn owner_fault(entry: &[u8], uid: u64, gid: u64, error: Errno) -> Fault {
    let fault = Fault::system(entry, format_args!("chown {uid}:{gid}"), error);
    match error {
        Errno::INVAL => fault
            .hint("this user namespace has no such id; map a range of ids (nsrun --map-auto), or use --no-same-owner"),
        Errno::PERM => fault.hint("only root gives files away; use --no-same-owner"),
        _ => fault,
    }
}

impl Tree<'_> {
    /// Everything for a regular file or a directory, through its descriptor.
    pub(super) fn set_by_fd(&mut self, fd: BorrowedFd<'_>, name: &[u8], a: &Attributes) -> Result<(), Fault> {
        if matches!(self.options.owners, Owners::Keep) {
            let (uid, gid) = ids(name, a.uid, a.gid)?;
            rustix::fs::fchown(fd, Some(uid), Some(gid)).map_err(|e| owner_fault(name, a.uid, a.gid, e))?;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(a.mode)).map_err(|e| Fault::system(name, "chmod", e))?;
        for (key, value) in &a.xattrs {
            self.set_xattr(name, key, |key| rustix::fs::fsetxattr(fd, key, value, XattrFlags::empty()))?;
        }
        rustix::fs::futimens(fd, &times(a.mtime)).map_err(|e| Fault::system(name, "utimens", e))
    }

    /// Everything for what is not opened (links, devices, pipes), by its name in `dir`.
    pub(super) fn set_by_name(
        &mut self,
        dir: BorrowedFd<'_>,
        last: &CString,
        name: &[u8],
        a: &Attributes,
        link: bool,
    ) -> Result<(), Fault> {
        if matches!(self.options.owners, Owners::Keep) {
            let (uid, gid) = ids(name, a.uid, a.gid)?;
            rustix::fs::chownat(dir, last, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| owner_fault(name, a.uid, a.gid, e))?;
        }
        if !link {
            // It was made a moment ago and is no link, so following links does not matter.
            rustix::fs::chmodat(dir, last, Mode::from_raw_mode(a.mode), AtFlags::empty())
                .map_err(|e| Fault::system(name, "chmod", e))?;
        }
        if !a.xattrs.is_empty() {
            // There is no setxattrat(2) before Linux 6.13, and an O_PATH descriptor has no xattrs.
            let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
            path.extend_from_slice(last.as_bytes());
            for (key, value) in &a.xattrs {
                self.set_xattr(name, key, |key| rustix::fs::lsetxattr(&path[..], key, value, XattrFlags::empty()))?;
            }
        }
        rustix::fs::utimensat(dir, last, &times(a.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Fault::system(name, "utimens", e))
    }

    fn set_xattr(
        &mut self,
        name: &[u8],
        key: &[u8],
        set: impl FnOnce(&[u8]) -> rustix::io::Result<()>,
    ) -> Result<(), Fault> {
        let overlays_own = key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.");
        if overlays_own && self.options.whiteouts != Whiteouts::Oci {
            // An overlay would take it for its own word on what this directory hides or stands for.
            self.skip(name, format_args!("xattr {} belongs to overlay file systems", shown(key)));
            return Ok(());
        }
        match set(key) {
            Ok(()) => Ok(()),
            Err(Errno::NOTSUP) => {
                self.skip(name, format_args!("xattr {}: not supported by this file system", shown(key)));
                Ok(())
            }
            Err(Errno::PERM) if self.options.skip_privileged => {
                self.skip(name, format_args!("xattr {}: not permitted", shown(key)));
                Ok(())
            }
            Err(e) => {
                let fault = Fault::system(name, format_args!("setxattr {}", shown(key)), e);
                Err(if e == Errno::PERM { fault.hint("skip what needs privileges with --rootless") } else { fault })
            }
        }
    }

    /// Gives all directories of the layer what their entries said, the deepest first.
    pub(super) fn finish_directories(&mut self) -> Result<(), Fault> {
        let directories = std::mem::take(&mut self.directories);
        self.root.forget();
        for (path, attributes) in directories.iter().rev() {
            let fd = self.open_directory(path, path)?;
            self.set_by_fd(fd.as_fd(), path, attributes)?;
        }
        Ok(())
    }
}
