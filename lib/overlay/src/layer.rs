//! A layer as the union sees it: folders that answer look-ups.
//!
//! [`Folder`] is all the union asks of a layer below: is there this name, what is it, list yourself, give me the file's
//! data. [`Directory`] answers from a directory of this machine, [`Void`] stands for a mount point that is not to be
//! entered. The upper layer is a `Directory` too; writing to it goes through its descriptor.
//!
//! Invariant: a name is one path component, given by the kernel (FUSE refuses `/`, `.` and `..` in names) or read from a
//! listing; no folder ever follows a symbolic link or leaves its mount (openat2(2), RESOLVE_BENEATH | RESOLVE_NO_XDEV).

mod directory;

pub(crate) use directory::stat_of;
pub use directory::{Directory, Void};

use rustix::fs::{FileType, Statx};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// An error number of the operating system: what every operation of the union fails with.
pub type Errno = rustix::io::Errno;
/// What an operation of the union answers.
pub type Answer<T> = Result<T, Errno>;

/// Seconds and nanoseconds since 1970; nanoseconds count forward also before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What is known of a file: stat(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The file system's device number, as one number.
    pub device: u64,
    /// Inode number on that device.
    pub inode: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Hard links.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device node.
    pub rdev: (u32, u32),
    /// Size in bytes.
    pub size_bytes: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Preferred size of a read.
    pub block_bytes: u32,
    /// Last access.
    pub accessed: Time,
    /// Last change of content.
    pub modified: Time,
    /// Last change of anything.
    pub changed: Time,
    /// Another file system is mounted here: a directory is shown empty, a file as it is.
    pub mounted: bool,
}

impl Stat {
    /// What statx(2) said.
    pub fn of(raw: &Statx) -> Self {
        let time = |t: rustix::fs::StatxTimestamp| Time { seconds: t.tv_sec, nanoseconds: t.tv_nsec };
        Self {
            device: rustix::fs::makedev(raw.stx_dev_major, raw.stx_dev_minor),
            inode: raw.stx_ino,
            mode: u32::from(raw.stx_mode),
            links: raw.stx_nlink,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            rdev: (raw.stx_rdev_major, raw.stx_rdev_minor),
            size_bytes: raw.stx_size,
            blocks: raw.stx_blocks,
            block_bytes: raw.stx_blksize,
            accessed: time(raw.stx_atime),
            modified: time(raw.stx_mtime),
            changed: time(raw.stx_ctime),
            mounted: false,
        }
    }

    /// The type.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether this is a directory.
    pub fn is_folder(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Whether this is a whiteout: a character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind() == FileType::CharacterDevice && self.rdev == (0, 0)
    }

    /// Device and inode: which object this is.
    pub fn identity(&self) -> Identity {
        Identity { device: self.device, inode: self.inode }
    }
}

/// Which object of this machine's file systems something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The file system's device number.
    pub device: u64,
    /// Inode number on it.
    pub inode: u64,
}

/// An entry as a layer lists it.
#[derive(Debug, Clone, Copy)]
pub struct RawEntry<'a> {
    /// Its name.
    pub name: &'a OsStr,
    /// Its type; may be unknown.
    pub kind: FileType,
    /// Its inode number.
    pub inode: u64,
}

/// What an overlay's books say about a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// Nothing of the layers below shows through.
    pub opaque: bool,
    /// The same, said where an ordinary user may (`user.overlay.opaque`), whatever namespace the books are in.
    pub opaque_by_user: bool,
    /// Empty regular files in it may be whiteouts (`overlay.opaque` = `x`).
    pub holds_xattr_whiteouts: bool,
    /// Entries in it may have books of their own: an origin, content elsewhere (`overlay.impure`).
    pub impure: bool,
    /// The layers below have it under this name, or under this path from their roots (`overlay.redirect`).
    pub redirect: Option<OsString>,
}

/// A directory of a layer: a thing that answers look-ups.
pub trait Folder: Send + Sync + fmt::Debug {
    /// Which directory this is.
    fn identity(&self) -> Identity;
    /// Its own attributes.
    fn stat(&self) -> Answer<Stat>;
    /// The attributes of `name` in it, or `None`.
    fn find(&self, name: &OsStr) -> Answer<Option<Stat>>;
    /// The directory `name` in it; a path of several names too. `known`: which one it is, where nothing can have changed
    /// since it was found.
    fn folder(&self, name: &OsStr, known: Option<Identity>) -> Answer<Arc<dyn Folder>>;
    /// Its entries without `.` and `..`, until `each` has enough.
    fn list(&self, each: &mut dyn FnMut(RawEntry<'_>) -> ControlFlow<()>) -> Answer<ControlFlow<()>>;
    /// The regular file `name`, for reading; a path of several names too.
    fn open(&self, name: &OsStr) -> Answer<OwnedFd>;
    /// An O_PATH descriptor of `name`, whatever it is: for links, xattrs, attributes; a path of several names too.
    fn point_at(&self, name: &OsStr) -> Answer<OwnedFd>;
    /// What its xattrs say about it as a part of an overlay.
    fn marks(&self, xattrs: crate::XattrNamespace) -> Answer<Marks>;
    /// Its descriptor, where it is a directory of this machine.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}
