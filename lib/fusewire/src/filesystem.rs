//! What a file system implements: one method an operation, plain values in, plain values or an error number out.
//!
//! Answers are returned, not sent by the handler: so none can be forgotten or given twice, one that panics is EIO, and when the
//! kernel no longer wants an answer (its caller was killed) the session takes back what the answer would have counted
//! ([`Filesystem::forget`], [`Filesystem::release`]). What has no fixed size is written straight into the buffer that goes
//! to the kernel.

use crate::attributes::{Entry, Extended, Known, Timestamp, Totals};
use crate::device::Connection;
use crate::init::{Offer, Terms};
use crate::listing::{Listing, ListingPlus};
use crate::request::Request;
use rustix::io::Errno;
use std::ffi::OsStr;

/// What an operation answers.
pub type Answer<T> = Result<T, Errno>;

/// An opened file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opened {
    /// The number that later requests name.
    pub handle: u64,
    /// [`crate::abi::open`] bits; PASSTHROUGH is added where `backing` is given.
    pub flags: u32,
    /// A number [`Connection::open_backing`] gave: the kernel reads and writes that file itself.
    pub backing: Option<u32>,
}

/// What is asked for when something is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Making {
    /// Type and permission bits.
    pub mode: u32,
    /// Permission bits to leave out; where DONT_MASK was not agreed on the kernel did already.
    pub umask: u32,
    /// Major and minor number of a device node.
    pub rdev: (u32, u32),
    /// open(2) flags of a file that is made and opened.
    pub flags: u32,
    /// Whoever truncates may not keep set-id bits.
    pub kill_set_id: bool,
}

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// The moment of the call.
    Now,
    /// This one.
    At(Timestamp),
}

/// What SETATTR is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// Last access.
    pub accessed: Option<SetTime>,
    /// Last change of content.
    pub modified: Option<SetTime>,
    /// Last change of anything: a write-back cache flushes the time it kept.
    pub changed: Option<Timestamp>,
    /// The open file it is done through.
    pub handle: Option<u64>,
    /// Set-id bits (and file capabilities) go: a truncation by one who may not keep them, or a chown.
    pub kill_set_id: bool,
}

/// A span of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The open file.
    pub handle: u64,
    /// Where it starts.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// How a WRITE is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// It comes from the page cache; the handle is one of those that could have written it.
    pub cached: bool,
    /// Set-id bits go.
    pub kill_set_id: bool,
}

/// How an xattr is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XattrMode {
    /// `XATTR_CREATE`, `XATTR_REPLACE`.
    pub flags: u32,
    /// An ACL was set by one who may not keep the set-group-id bit.
    pub kill_set_group_id: bool,
}

/// An ioctl's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controlled {
    /// What ioctl(2) gives.
    pub result: i32,
    /// Bytes written for the caller.
    pub length: usize,
}

/// A file system. Everything not implemented answers ENOSYS, which for many operations tells the kernel not to ask again.
#[allow(unused_variables)]
pub trait Filesystem: Send + Sync + 'static {
    /// The kernel offers its features; what is wanted of them. `connection` sends what was not asked for.
    fn init(&self, offer: &Offer, connection: &Connection) -> Terms {
        Terms::default()
    }

    /// What is `name` in the directory of the request? The kernel counts every answer that names a node.
    fn lookup(&self, request: &Request<'_>, name: &OsStr) -> Answer<Entry> {
        Err(Errno::NOSYS)
    }

    /// The kernel forgets `lookups` answers that named `node`.
    fn forget(&self, node: u64, lookups: u64) {}

    /// A file's attributes.
    fn get_attributes(&self, request: &Request<'_>, handle: Option<u64>) -> Answer<Known> {
        Err(Errno::NOSYS)
    }

    /// The same for statx(2) with more than the basic mask.
    fn get_extended(&self, request: &Request<'_>, handle: Option<u64>, mask: u32) -> Answer<Extended> {
        Err(Errno::NOSYS)
    }

    /// Changes attributes.
    fn set_attributes(&self, request: &Request<'_>, changes: &Changes) -> Answer<Known> {
        Err(Errno::NOSYS)
    }

    /// Where a symbolic link points; gives the length.
    fn read_link(&self, request: &Request<'_>, into: &mut [u8]) -> Answer<usize> {
        Err(Errno::NOSYS)
    }

    /// Makes a symbolic link.
    fn symlink(&self, request: &Request<'_>, name: &OsStr, target: &OsStr) -> Answer<Entry> {
        Err(Errno::NOSYS)
    }

    /// Makes a file that is not opened, a device, fifo or socket.
    fn make_node(&self, request: &Request<'_>, name: &OsStr, making: &Making) -> Answer<Entry> {
        Err(Errno::NOSYS)
    }

    /// Makes a directory.
    fn make_folder(&self, request: &Request<'_>, name: &OsStr, making: &Making) -> Answer<Entry> {
        Err(Errno::NOSYS)
    }

    /// Takes a name away.
    fn unlink(&self, request: &Request<'_>, name: &OsStr) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// Takes an empty directory away.
    fn remove_folder(&self, request: &Request<'_>, name: &OsStr) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// Renames, with the flags of renameat2(2).
    fn rename(&self, request: &Request<'_>, name: &OsStr, to: u64, to_name: &OsStr, flags: u32) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// A further name, in the directory of the request, for `node`.
    fn link(&self, request: &Request<'_>, node: u64, name: &OsStr) -> Answer<Entry> {
        Err(Errno::NOSYS)
    }

    /// Opens a file. `flags` are open(2)'s; `kill_set_id`: O_TRUNC by one who may not keep set-id bits.
    fn open(&self, request: &Request<'_>, flags: u32, kill_set_id: bool) -> Answer<Opened> {
        Err(Errno::NOSYS)
    }

    /// Makes and opens a file.
    fn create(&self, request: &Request<'_>, name: &OsStr, making: &Making) -> Answer<(Entry, Opened)> {
        Err(Errno::NOSYS)
    }

    /// Makes and opens a file without a name, in the directory of the request.
    fn create_nameless(&self, request: &Request<'_>, making: &Making) -> Answer<(Entry, Opened)> {
        Err(Errno::OPNOTSUPP)
    }

    /// Reads; less than asked for only at the end of the file.
    fn read(&self, request: &Request<'_>, handle: u64, offset: u64, into: &mut [u8]) -> Answer<usize> {
        Err(Errno::NOSYS)
    }

    /// Writes; gives how many bytes.
    fn write(&self, request: &Request<'_>, handle: u64, offset: u64, data: &[u8], how: Writing) -> Answer<usize> {
        Err(Errno::NOSYS)
    }

    /// A descriptor was closed.
    fn flush(&self, request: &Request<'_>, handle: u64) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// Nobody has the open file any more.
    fn release(&self, node: u64, handle: u64) {}

    /// Brings a file to the disk.
    fn sync(&self, request: &Request<'_>, handle: u64, data_only: bool) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// Opens a directory. ENOSYS: the kernel opens all without asking, and keeps their listings.
    fn open_folder(&self, request: &Request<'_>, flags: u32) -> Answer<Opened> {
        Err(Errno::NOSYS)
    }

    /// Lists a directory from `offset` on, which is 0 or one an entry was given.
    fn list(&self, request: &Request<'_>, handle: u64, offset: u64, into: &mut Listing<'_>) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// The same with what is known of each entry; each node told of counts as looked up.
    fn list_plus(&self, request: &Request<'_>, handle: u64, offset: u64, into: &mut ListingPlus<'_>) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// Nobody has the open directory any more.
    fn release_folder(&self, node: u64, handle: u64) {}

    /// Brings a directory to the disk.
    fn sync_folder(&self, request: &Request<'_>, handle: u64, data_only: bool) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// Brings the whole file system to the disk.
    fn sync_all(&self, request: &Request<'_>) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// How full it is.
    fn totals(&self, request: &Request<'_>) -> Answer<Totals> {
        Err(Errno::NOSYS)
    }

    /// Sets an xattr.
    fn set_xattr(&self, request: &Request<'_>, name: &OsStr, value: &[u8], mode: XattrMode) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// An xattr's value, as much of it as fits; gives its full length.
    fn get_xattr(&self, request: &Request<'_>, name: &OsStr, into: &mut [u8]) -> Answer<usize> {
        Err(Errno::NOSYS)
    }

    /// The names of all xattrs, each ended by a zero byte, as much as fits; gives the full length.
    fn list_xattrs(&self, request: &Request<'_>, into: &mut [u8]) -> Answer<usize> {
        Err(Errno::NOSYS)
    }

    /// Removes an xattr.
    fn remove_xattr(&self, request: &Request<'_>, name: &OsStr) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// fallocate(2).
    fn allocate(&self, request: &Request<'_>, span: Span, mode: u32) -> Answer<()> {
        Err(Errno::NOSYS)
    }

    /// The next data or hole: lseek(2) with SEEK_DATA or SEEK_HOLE.
    fn seek(&self, request: &Request<'_>, handle: u64, offset: u64, whence: u32) -> Answer<u64> {
        Err(Errno::NOSYS)
    }

    /// Copies `from` to where `to` and `to_offset` say; gives how many bytes.
    fn copy_range(&self, request: &Request<'_>, from: Span, to: u64, to_offset: u64) -> Answer<u64> {
        Err(Errno::NOSYS)
    }

    /// An ioctl whose argument the kernel could tell the size of; what it writes goes to `into`.
    fn control(
        &self,
        request: &Request<'_>,
        handle: u64,
        command: u32,
        argument: &[u8],
        into: &mut [u8],
    ) -> Answer<Controlled> {
        Err(Errno::NOTTY)
    }

    /// The mount is gone.
    fn destroy(&self) {}
}
