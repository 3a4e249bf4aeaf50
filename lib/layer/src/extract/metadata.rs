//! Owner, mode, xattrs and times of what has been made, by descriptor or by a name that is not followed, and no call more than
//! it takes.
//!
//! The order is the kernel's: `chown` clears set-id bits and capabilities, so it comes first; then xattrs, which an ordinary user can
//! set while the file is still writable; then the mode, and behind it the access ACL, whose mask it would overwrite; times last. What is right from the
//! start is not set again: the owner where the directory is [`plain`](super::dirs::Dir::plain) and the ids are ours, the mode
//! where it was given to open(2) under a umask of nothing.

use super::nodes::{Due, Xattrs};
use super::{Devices, Options, Owners, SKIPPED_LINES, Whiteouts};
use crate::archive::{Entry, EntryKind, Time};
use crate::error::{Fault, Kind, shown};
use crate::owners::mapped;
use crate::times::modified;
use crate::xattrs;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;
use spec::override_stat::{self, Record};
use std::ffi::CStr;
use std::fmt;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Where owners are kept that could not be given.
pub(crate) const OVERRIDE: &CStr = override_stat::CONTAINERS;

/// What an overlay reads about the directory or file itself. In a layer they would be another's word taken for its own.
const OVERLAYS_OWN: [&[u8]; 4] =
    [b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.", b"security.fuseoverlayfs."];

/// What was left out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) lines: Vec<String>,
    pub(super) count: u64,
}

/// Owner and group as they are set, or recorded.
pub(super) type Ids = (u32, u32);

/// What a file gets.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) mode: u16,
    pub(super) ids: Ids,
    pub(super) mtime: Time,
    pub(super) xattrs: Xattrs,
}

/// How attributes are set. Shared by all who write, helpers too, so it holds nothing of the caller's.
#[derive(Debug)]
pub(crate) struct Dresser {
    /// Our own ids.
    me: Ids,
    /// The mode given to open(2) is the mode: no umask, no default ACL above.
    exact: bool,
    /// Owners are set at all.
    gives: bool,
    /// Owners are recorded.
    records: bool,
    records_devices: bool,
    whiteouts: Whiteouts,
    no_xattrs: bool,
    skip_privileged: bool,
    skipped: Mutex<Skipped>,
}

/// What entries become: what the caller asks for, and how it is set.
pub(crate) struct Ways<'a> {
    pub(super) options: &'a Options<'a>,
    pub(super) dresser: Arc<Dresser>,
}

impl Deref for Ways<'_> {
    type Target = Dresser;

    fn deref(&self) -> &Dresser {
        &self.dresser
    }
}

impl fmt::Debug for Ways<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").field("dresser", &self.dresser).finish_non_exhaustive()
    }
}

fn mode_of(mode: u16) -> Mode {
    Mode::from_raw_mode(u32::from(mode))
}

/// A umask of nothing for this thread alone; false where it may not have its own (a seccomp filter).
pub(crate) fn own_umask() -> bool {
    let own = nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).is_ok();
    if own {
        rustix::process::umask(Mode::empty());
    }
    own
}

impl<'a> Ways<'a> {
    /// For what is made below `dest`; `exact`: every thread that makes it has no umask.
    pub(crate) fn new(dest: BorrowedFd<'_>, options: &'a Options<'a>, exact: bool) -> Self {
        let inherits = rustix::fs::fgetxattr(dest, c"system.posix_acl_default", &mut [0_u8; 0]).is_ok();
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let dresser = Dresser {
            me,
            exact: exact && !inherits,
            gives: matches!(options.owners, Owners::Keep | Owners::Map(_)),
            records: matches!(options.owners, Owners::Record),
            records_devices: options.devices == Devices::Record,
            whiteouts: options.whiteouts,
            no_xattrs: options.no_xattrs,
            skip_privileged: options.skip_privileged,
            skipped: Mutex::default(),
        };
        Self { options, dresser: Arc::new(dresser) }
    }

    /// Owner and group of an entry as the kernel takes them, or as they are recorded.
    pub(super) fn ids(&self, name: &[u8], uid: u64, gid: u64) -> Result<Ids, Fault> {
        let narrow = |id: u64, what: &str| match u32::try_from(id) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => Err(Fault::entry(Kind::Unsupported, name, format_args!("{what} {id} is no id that Linux knows"))),
        };
        let (uid, gid) = match self.options.owners {
            Owners::Caller => return Ok(self.me),
            Owners::Keep | Owners::Record => (uid, gid),
            Owners::Map(maps) => {
                let of = |runs, id, what: &str, option: &str| {
                    mapped(runs, id).ok_or_else(|| {
                        let why = format!("{what} {id} has no id on this machine in the map");
                        Fault::entry(Kind::Unsupported, name, why)
                            .hint(format_args!("map more ids with {option} {id}:HOST:COUNT"))
                    })
                };
                (of(&maps.uids, uid, "owner", "--uid-map")?, of(&maps.gids, gid, "group", "--gid-map")?)
            }
        };
        Ok((narrow(uid, "owner")?, narrow(gid, "group")?))
    }

    pub(super) fn attributes(&self, entry: &mut Entry) -> Result<Attributes, Fault> {
        let ids = self.ids(&entry.path, entry.uid, entry.gid)?;
        let xattrs = std::mem::take(&mut entry.xattrs);
        Ok(Attributes { mode: (entry.mode & 0o7777) as u16, ids, mtime: entry.mtime, xattrs })
    }

    /// What a directory that no entry names gets: root's, as far as roots can be given.
    pub(super) fn implied(&self) -> Due {
        let ids = self.ids(b"", 0, 0).unwrap_or(self.me);
        let ids = match self.options.owners {
            Owners::Map(_) | Owners::Record => ids,
            Owners::Keep | Owners::Caller => self.me,
        };
        Due { mode: 0o755, uid: ids.0, gid: ids.1, mtime: None, xattrs: Xattrs::new() }
    }
}

impl Dresser {
    pub(super) fn skip(&self, name: &[u8], why: impl fmt::Display) {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.count += 1;
        if skipped.lines.len() < SKIPPED_LINES {
            skipped.lines.push(format!("{}: {why}", shown(name)));
        }
    }

    pub(super) fn take_skipped(&self) -> Skipped {
        std::mem::take(&mut self.skipped.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether such a node is written as an empty file that says what it is. An ordinary user can make a pipe, but cannot
    /// record whose it is.
    pub(super) fn is_recorded(&self, kind: EntryKind) -> bool {
        match kind {
            EntryKind::CharDevice(..) | EntryKind::BlockDevice(..) => self.records_devices,
            EntryKind::Fifo => self.records,
            _ => false,
        }
    }

    fn owner_fault(&self, name: &[u8], (uid, gid): Ids, error: Errno) -> Fault {
        let fault = Fault::system(name, format_args!("chown {uid}:{gid}"), error);
        match error {
            Errno::INVAL => fault.hint(
                "this user namespace has no such id; map a range of ids (nsrun --map-auto), or use --no-same-owner",
            ),
            Errno::PERM => fault.hint("only root gives files away; use --no-same-owner"),
            _ => fault,
        }
    }

    /// The owner that has to be set; `plain`: what is made there is ours.
    fn owner_to_set(&self, ids: Ids, plain: bool) -> Option<(Option<Uid>, Option<Gid>)> {
        let keep = !self.gives || plain && ids == self.me;
        (!keep).then(|| (Some(Uid::from_raw(ids.0)), Some(Gid::from_raw(ids.1))))
    }

    /// The mode on disk: recorded ones leave the owner in.
    fn real_mode(&self, mode: u16, directory: bool) -> u16 {
        match (self.records, directory) {
            (false, _) => mode,
            (true, true) => mode & 0o777 | 0o700,
            (true, false) => mode & 0o777 | 0o600,
        }
    }

    /// The mode to open a new file with.
    pub(super) fn opening_mode(&self, a: &Attributes) -> Mode {
        if self.is_mode_final(a) { mode_of(self.real_mode(a.mode, false)) } else { Mode::RUSR | Mode::WUSR }
    }

    /// Set-id bits come after the owner; xattrs want a file that can be written, and may be an ACL.
    fn is_mode_final(&self, a: &Attributes) -> bool {
        self.exact && self.real_mode(a.mode, false) & 0o6000 == 0 && a.xattrs.is_empty()
    }

    /// Everything for a regular file that was made with [`opening_mode`](Self::opening_mode) in a directory that is `plain` or
    /// not; `kind` is what is recorded.
    pub(super) fn dress_file(
        &self,
        fd: BorrowedFd<'_>,
        name: &[u8],
        a: &Attributes,
        plain: bool,
        kind: EntryKind,
    ) -> Result<(), Fault> {
        if let Some((uid, gid)) = self.owner_to_set(a.ids, plain) {
            rustix::fs::fchown(fd, uid, gid).map_err(|e| self.owner_fault(name, a.ids, e))?;
        }
        self.record(fd, name, a.mode, a.ids, kind)?;
        self.set_xattrs(fd, name, &a.xattrs, false)?;
        if !self.is_mode_final(a) {
            let mode = mode_of(self.real_mode(a.mode, false));
            rustix::fs::fchmod(fd, mode).map_err(|e| Fault::system(name, "chmod", e))?;
        }
        self.set_xattrs(fd, name, &a.xattrs, true)?;
        rustix::fs::futimens(fd, &modified(a.mtime)).map_err(|e| Fault::system(name, "utimens", e))
    }

    /// Everything for a directory, when all is in it. `ours`: it was made by us, with mode 0700.
    pub(super) fn dress_directory(&self, fd: BorrowedFd<'_>, name: &[u8], due: &Due, plain: bool) -> Result<(), Fault> {
        let ids = (due.uid, due.gid);
        if let Some((uid, gid)) = self.owner_to_set(ids, plain) {
            rustix::fs::fchown(fd, uid, gid).map_err(|e| self.owner_fault(name, ids, e))?;
        }
        self.record(fd, name, due.mode, ids, EntryKind::Directory)?;
        self.set_xattrs(fd, name, &due.xattrs, false)?;
        let mode = mode_of(self.real_mode(due.mode, true));
        rustix::fs::fchmod(fd, mode).map_err(|e| Fault::system(name, "chmod", e))?;
        self.set_xattrs(fd, name, &due.xattrs, true)?;
        match due.mtime {
            Some(mtime) => rustix::fs::futimens(fd, &modified(mtime)).map_err(|e| Fault::system(name, "utimens", e)),
            None => Ok(()),
        }
    }

    /// Everything for what is not opened (links, devices, pipes), by its name in `dir`. No step follows a link.
    pub(super) fn dress_name(
        &self,
        dir: BorrowedFd<'_>,
        last: &CStr,
        name: &[u8],
        a: &Attributes,
        plain: bool,
        link: bool,
    ) -> Result<(), Fault> {
        if let Some((uid, gid)) = self.owner_to_set(a.ids, plain) {
            rustix::fs::chownat(dir, last, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| self.owner_fault(name, a.ids, e))?;
        }
        for (key, value) in a.xattrs.iter().filter(|(key, _)| !is_access_acl(key)) {
            self.set_xattr_at(dir, last, name, key, value)?;
        }
        if !link {
            chmod_at(dir, last, u32::from(a.mode)).map_err(|e| Fault::system(name, "chmod", e))?;
        }
        for (key, value) in a.xattrs.iter().filter(|(key, _)| is_access_acl(key)) {
            self.set_xattr_at(dir, last, name, key, value)?;
        }
        rustix::fs::utimensat(dir, last, &modified(a.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Fault::system(name, "utimens", e))
    }

    fn record(&self, fd: BorrowedFd<'_>, name: &[u8], mode: u16, ids: Ids, kind: EntryKind) -> Result<(), Fault> {
        if !self.records && !self.is_recorded(kind) {
            return Ok(());
        }
        let value = recorded(ids, mode, kind);
        rustix::fs::fsetxattr(fd, OVERRIDE, value.as_bytes(), XattrFlags::empty()).map_err(|e| {
            let fault = Fault::system(name, format_args!("setxattr {}", OVERRIDE.to_string_lossy()), e);
            match e {
                Errno::NOTSUP => fault.hint("owners can be recorded only on a file system that has user xattrs"),
                _ => fault,
            }
        })
    }

    /// One xattr of `last` in `dir`, which is not followed.
    pub(super) fn set_xattr_at(
        &self,
        dir: BorrowedFd<'_>,
        last: &CStr,
        name: &[u8],
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Fault> {
        self.set_xattr(name, key, value, xattrs::Of::Name(dir, last))
    }

    /// The ACL, or all but it. It comes after chmod, which would put the header's group bits in the place of its mask.
    fn set_xattrs(&self, fd: BorrowedFd<'_>, name: &[u8], xattrs: &Xattrs, acl: bool) -> Result<(), Fault> {
        for (key, value) in xattrs.iter().filter(|(key, _)| is_access_acl(key) == acl) {
            self.set_xattr(name, key, value, xattrs::Of::Fd(fd))?;
        }
        Ok(())
    }

    fn set_xattr(&self, name: &[u8], key: &[u8], value: &[u8], of: xattrs::Of<'_>) -> Result<(), Fault> {
        if self.no_xattrs {
            return Ok(());
        }
        let overlays_own = OVERLAYS_OWN.iter().any(|own| key.starts_with(own)) || key == OVERRIDE.to_bytes();
        if overlays_own && self.whiteouts != Whiteouts::Oci {
            // An overlay would take it for its own word on what this directory hides or whose the file is.
            self.skip(name, format_args!("xattr {} belongs to overlay file systems", shown(key)));
            return Ok(());
        }
        match of.set(key, value) {
            Ok(()) => Ok(()),
            Err(Errno::NOTSUP) => {
                self.skip(name, format_args!("xattr {}: not supported by this file system", shown(key)));
                Ok(())
            }
            Err(Errno::PERM) if self.skip_privileged => {
                self.skip(name, format_args!("xattr {}: not permitted", shown(key)));
                Ok(())
            }
            Err(e) => {
                let fault = Fault::system(name, format_args!("setxattr {}", shown(key)), e);
                Err(match e {
                    Errno::PERM => fault.hint("skip what needs privileges with --rootless"),
                    Errno::NOSPC | Errno::TOOBIG | Errno::RANGE => fault
                        .hint("the file system is full, or holds no xattrs that large: make room, or use --no-xattrs"),
                    _ => fault,
                })
            }
        }
    }
}

/// What is recorded of an entry.
pub(crate) fn recorded((uid, gid): Ids, mode: u16, kind: EntryKind) -> String {
    let kind = match kind {
        EntryKind::Directory => override_stat::Kind::Directory,
        EntryKind::Symlink => override_stat::Kind::Symlink,
        EntryKind::Fifo => override_stat::Kind::Fifo,
        EntryKind::CharDevice(major, minor) => override_stat::Kind::Char(major, minor),
        EntryKind::BlockDevice(major, minor) => override_stat::Kind::Block(major, minor),
        EntryKind::File | EntryKind::HardLink => override_stat::Kind::File,
    };
    Record { uid, gid, mode: u32::from(mode), kind: Ok(Some(kind)) }.to_string()
}

/// Removes the xattrs that entries gave to a directory, but for those that `stay`. What an overlay or the system keeps there
/// stays too.
pub(super) fn undress(fd: BorrowedFd<'_>, stay: &Xattrs) -> rustix::io::Result<()> {
    let names = xattrs::Of::Fd(fd).names()?;
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let others = OVERLAYS_OWN.iter().any(|own| name.starts_with(own))
            || name.starts_with(b"system.")
            || name == b"security.selinux"
            || stay.iter().any(|(key, _)| key == name);
        if !others {
            match rustix::fs::fremovexattr(fd, name) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

fn is_access_acl(key: &[u8]) -> bool {
    key == b"system.posix_acl_access"
}

fn chmod_at(dir: BorrowedFd<'_>, last: &CStr, mode: u32) -> rustix::io::Result<()> {
    match xattrs::errno(sys::chmodat::chmod(dir, last, mode)) {
        Err(Errno::NOSYS) => {
            // What is open cannot be swapped for a link any more; a link itself opens too, but has no mode to set.
            let fd = rustix::fs::openat(dir, last, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == rustix::fs::FileType::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            rustix::fs::chmod(&path[..], Mode::from_raw_mode(mode))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_recorded_as_containers_storage_writes_them() {
        assert_eq!(recorded((0, 5), 0o4755, EntryKind::File), "0:5:4755:file");
        assert_eq!(recorded((1, 2), 0o70, EntryKind::Directory), "1:2:0070:dir");
        assert_eq!(recorded((0, 0), 0o666, EntryKind::CharDevice(1, 3)), "0:0:0666:char-1-3");
        assert_eq!(recorded((0, 6), 0o660, EntryKind::BlockDevice(8, 16)), "0:6:0660:block-8-16");
        assert_eq!(recorded((0, 0), 0o600, EntryKind::Fifo), "0:0:0600:pipe");
    }
}
