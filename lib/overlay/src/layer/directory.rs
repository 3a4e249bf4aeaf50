//! A directory of this machine as a [`Folder`], held by its descriptor.

use super::{Answer, Errno, Folder, Identity, Marks, RawEntry, Stat};
use crate::XattrNamespace;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, ResolveFlags, StatxFlags};
use std::ffi::{CStr, OsStr, OsString};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

/// Resolution that cannot leave a directory, its mount, or go through a link.
const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS);

/// How fuse-overlayfs marks an opaque directory where it may not write `trusted.*`.
const FUSE_OVERLAYFS_OPAQUE: &CStr = c"user.fuseoverlayfs.opaque";

/// A directory held open. Where it may be read it is open for reading, so that its xattrs and entries are at hand;
/// where not, by O_PATH alone, which answers nothing but its attributes.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    identity: Identity,
    /// Where other file systems may be mounted below, which are not to be entered: the mount this directory is on.
    crossing: Option<u64>,
    /// Files below it are read without moving their access times, where that is allowed.
    traceless: bool,
}

impl Directory {
    /// The directory behind `fd`, which must be open for reading (or O_PATH where that is refused).
    ///
    /// `crossing`: other mounts can be met below, and are not to be entered.
    pub fn new(fd: OwnedFd, crossing: bool) -> Answer<Self> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let raw = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, wanted)?;
        let stat = Stat::of(&raw);
        if !stat.is_folder() {
            return Err(Errno::NOTDIR);
        }
        Ok(Self { fd, identity: stat.identity(), crossing: crossing.then_some(raw.stx_mnt_id), traceless: false })
    }

    /// The same; reading files below it leaves their access times, where that is allowed.
    pub fn traceless(self, traceless: bool) -> Self {
        Self { traceless, ..self }
    }

    fn open_folder(&self, name: &OsStr) -> Answer<OwnedFd> {
        let base = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), CONFINED);
        match open(base | OFlags::RDONLY) {
            Err(Errno::ACCESS) => open(base | OFlags::PATH),
            other => other,
        }
    }
}

/// Attributes of what `fd` is.
pub(crate) fn stat_of(fd: BorrowedFd<'_>) -> Answer<Stat> {
    let raw = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)?;
    Ok(Stat::of(&raw))
}

impl Folder for Directory {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn stat(&self) -> Answer<Stat> {
        stat_of(self.fd.as_fd())
    }

    fn find(&self, name: &OsStr) -> Answer<Option<Stat>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let Some(mount) = self.crossing else {
            return match rustix::fs::statx(&self.fd, name, flags, StatxFlags::BASIC_STATS) {
                Ok(raw) => Ok(Some(Stat::of(&raw))),
                Err(Errno::NOENT) => Ok(None),
                Err(e) => Err(e),
            };
        };
        // What is mounted there may be our own file system or a dead server: only what the kernel knows without asking it is
        // wanted. Most names are no mount points, and this is all they cost.
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        match rustix::fs::statx(&self.fd, name, flags | AtFlags::STATX_DONT_SYNC, wanted) {
            Ok(raw) if mount != 0 && raw.stx_mnt_id == mount => return Ok(Some(Stat::of(&raw))),
            Err(Errno::NOENT) => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        match self.point_at_confined(name) {
            Ok(fd) => stat_of(fd.as_fd()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            // A mount point.
            Err(Errno::XDEV) => {
                let flags = flags | AtFlags::STATX_DONT_SYNC;
                let mut stat = match rustix::fs::statx(&self.fd, name, flags, StatxFlags::BASIC_STATS) {
                    Ok(raw) => Stat::of(&raw),
                    Err(_) => Stat { mode: libc::S_IFDIR | 0o555, links: 2, ..self.stat()? },
                };
                stat.mounted = true;
                Ok(Some(stat))
            }
            Err(e) => Err(e),
        }
    }

    fn folder(&self, name: &OsStr, known: Option<Identity>) -> Answer<Arc<dyn Folder>> {
        let fd = self.open_folder(name)?;
        Ok(Arc::new(match known {
            Some(identity) => Self { fd, identity, crossing: self.crossing, traceless: self.traceless },
            None => Self { crossing: self.crossing, ..Self::new(fd, false)?.traceless(self.traceless) },
        }))
    }

    fn list(&self, each: &mut dyn FnMut(RawEntry<'_>) -> ControlFlow<()>) -> Answer<ControlFlow<()>> {
        // A description of its own: the position of `fd` is shared by everyone.
        let own =
            rustix::fs::openat(&self.fd, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&own, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                let enough = each(RawEntry { name, kind: entry.file_type(), inode: entry.ino() });
                if enough.is_break() {
                    return Ok(enough);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn open(&self, name: &OsStr) -> Answer<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), CONFINED);
        if self.traceless {
            match open(flags | OFlags::NOATIME) {
                // Another's file, and we are not privileged.
                Err(Errno::PERM) => {}
                other => return other,
            }
        }
        match open(flags) {
            // A file mounted over this name shows as itself.
            Err(Errno::XDEV) => rustix::fs::openat(&self.fd, name, flags, Mode::empty()),
            other => other,
        }
    }

    fn point_at(&self, name: &OsStr) -> Answer<OwnedFd> {
        match self.point_at_confined(name) {
            Err(Errno::XDEV) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&self.fd, name, flags, Mode::empty())
            }
            other => other,
        }
    }

    fn marks(&self, xattrs: XattrNamespace) -> Answer<Marks> {
        let mut marks = Marks::default();
        let mut short = [0_u8; 512];
        let mut long;
        let names = match rustix::fs::flistxattr(&self.fd, &mut short[..]) {
            Ok(length) => short.get(..length).unwrap_or_default(),
            Err(Errno::RANGE) => {
                long = vec![0_u8; 64 << 10];
                let length = rustix::fs::flistxattr(&self.fd, &mut long[..])?;
                long.get(..length).unwrap_or_default()
            }
            // An O_PATH descriptor or a file system without xattrs: nothing is marked.
            Err(_) => return Ok(marks),
        };
        for name in names.split(|byte| *byte == 0) {
            if name == FUSE_OVERLAYFS_OPAQUE.to_bytes() {
                marks.opaque |= self.value(FUSE_OVERLAYFS_OPAQUE) == b"y";
            }
            if name == XattrNamespace::User.opaque().to_bytes() {
                marks.opaque_by_user = self.value(XattrNamespace::User.opaque()) == b"y";
            }
            let Some(book) = name.strip_prefix(xattrs.prefix().as_bytes()) else { continue };
            match book {
                b"opaque" => match &*self.value(xattrs.opaque()) {
                    b"y" => marks.opaque = true,
                    b"x" => marks.holds_xattr_whiteouts = true,
                    _ => {}
                },
                b"impure" => marks.impure = true,
                b"redirect" => marks.redirect = Some(OsString::from_vec(self.value(xattrs.redirect()))),
                _ => {}
            }
        }
        Ok(marks)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

impl Directory {
    /// Whether it is certain that nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.list(&mut |_| ControlFlow::Break(())), Ok(ControlFlow::Continue(())))
    }

    /// The value of an xattr, empty where there is none.
    fn value(&self, xattr: &CStr) -> Vec<u8> {
        let mut value = vec![0_u8; libc::PATH_MAX as usize];
        let length = rustix::fs::fgetxattr(&self.fd, xattr, &mut value[..]).unwrap_or(0);
        value.truncate(length);
        value
    }

    fn point_at_confined(&self, name: &OsStr) -> Answer<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), CONFINED)
    }
}

/// A directory with nothing in it: stands for a mount point of a layer, which is not entered.
#[derive(Debug)]
pub struct Void(pub Stat);

impl Folder for Void {
    fn identity(&self) -> Identity {
        self.0.identity()
    }
    fn stat(&self) -> Answer<Stat> {
        Ok(self.0)
    }
    fn find(&self, _: &OsStr) -> Answer<Option<Stat>> {
        Ok(None)
    }
    fn folder(&self, _: &OsStr, _: Option<Identity>) -> Answer<Arc<dyn Folder>> {
        Err(Errno::NOENT)
    }
    fn list(&self, _: &mut dyn FnMut(RawEntry<'_>) -> ControlFlow<()>) -> Answer<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }
    fn open(&self, _: &OsStr) -> Answer<OwnedFd> {
        Err(Errno::NOENT)
    }
    fn point_at(&self, _: &OsStr) -> Answer<OwnedFd> {
        Err(Errno::NOENT)
    }
    fn marks(&self, _: XattrNamespace) -> Answer<Marks> {
        Ok(Marks::default())
    }
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
