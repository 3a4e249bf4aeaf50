//! A directory of this machine as a [`Folder`], held by its descriptor.

use super::{Answer, Errno, Folder, Identity, Marks, RawEntry, Stat};
use crate::XattrNamespace;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, ResolveFlags, StatxFlags};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Resolution that cannot leave a directory, its mount, or go through a link.
const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS);

/// A directory held open. Where it may be read it is open for reading, so that its xattrs and entries are at hand;
/// where not, by O_PATH alone, which answers nothing but its attributes.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    identity: Identity,
    /// Whether other file systems may be mounted below: then every look-up asks the kernel not to enter them.
    crossing: bool,
}

impl Directory {
    /// The directory behind `fd`, which must be open for reading (or O_PATH where that is refused).
    ///
    /// `crossing`: other mounts can be met below, and are not to be entered.
    pub fn new(fd: OwnedFd, crossing: bool) -> Answer<Self> {
        let stat = stat_of(fd.as_fd())?;
        if !stat.is_folder() {
            return Err(Errno::NOTDIR);
        }
        Ok(Self { fd, identity: stat.identity(), crossing })
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
        if !self.crossing {
            return match rustix::fs::statx(&self.fd, name, flags, StatxFlags::BASIC_STATS) {
                Ok(raw) => Ok(Some(Stat::of(&raw))),
                Err(Errno::NOENT) => Ok(None),
                Err(e) => Err(e),
            };
        }
        match self.point_at_confined(name) {
            Ok(fd) => stat_of(fd.as_fd()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            // A mount point. What is mounted there may be our own file system or a dead server: only what the kernel
            // knows without asking it is wanted.
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

    fn folder(&self, name: &OsStr) -> Answer<Arc<dyn Folder>> {
        let fd = self.open_folder(name)?;
        Ok(Arc::new(Self::new(fd, self.crossing)?))
    }

    fn list(&self, each: &mut dyn FnMut(RawEntry<'_>)) -> Answer<()> {
        // A description of its own: the position of `fd` is shared by everyone.
        let own =
            rustix::fs::openat(&self.fd, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&own, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                each(RawEntry { name, kind: entry.file_type(), inode: entry.ino() });
            }
        }
        Ok(())
    }

    fn open(&self, name: &OsStr) -> Answer<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), CONFINED) {
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
        let mut names = [0_u8; 1024];
        match rustix::fs::flistxattr(&self.fd, &mut names[..]) {
            Ok(0) => return Ok(marks),
            // An O_PATH descriptor or a file system without xattrs: nothing is marked.
            Err(Errno::BADF | Errno::NOTSUP) => return Ok(marks),
            Ok(_) | Err(_) => {}
        }
        let mut value = [0_u8; 8];
        if let Ok(length) = rustix::fs::fgetxattr(&self.fd, xattrs.opaque(), &mut value) {
            match value.get(..length) {
                Some(b"y") => marks.opaque = true,
                Some(b"x") => marks.holds_xattr_whiteouts = true,
                _ => {}
            }
        }
        marks.redirected = rustix::fs::fgetxattr(&self.fd, xattrs.redirect(), &mut [0_u8; 0]).is_ok();
        Ok(marks)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

impl Directory {
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
    fn folder(&self, _: &OsStr) -> Answer<Arc<dyn Folder>> {
        Err(Errno::NOENT)
    }
    fn list(&self, _: &mut dyn FnMut(RawEntry<'_>)) -> Answer<()> {
        Ok(())
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
