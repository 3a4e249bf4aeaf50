//! A connection to the kernel: its descriptors, one message a system call, and what is sent without being asked for.
//!
//! A worker has two descriptors of its own (`FUSE_DEV_IOC_CLONE`): reading from one waits, from the other it does not. What was
//! read from a descriptor is answered on it (fs/fuse/dev.c: each has its own list of requests under way). Where the device
//! cannot be opened again (fusermount3 opened it for a user who may not), all workers share the one there is.

use crate::abi::{OUT_HEADER, notice};
use crate::statistics::Statistics;
use crate::wire::Writer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What one worker reads from and answers on.
#[derive(Debug)]
pub(crate) struct Channel {
    waiting: Arc<OwnedFd>,
    polling: Option<OwnedFd>,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// After waiting for it.
    Awaited,
    /// It was there.
    Polled,
}

impl Channel {
    /// The connection's first descriptor, for INIT.
    pub(crate) fn first(device: Arc<OwnedFd>) -> Self {
        Self { waiting: device, polling: None }
    }

    /// A worker's own. `proc` is /proc/self/fd.
    pub(crate) fn further(device: &Arc<OwnedFd>, proc: Option<BorrowedFd<'_>>) -> Self {
        let fresh = |flags| {
            let name = device.as_raw_fd().to_string();
            let fresh = rustix::fs::openat(proc?, name, OFlags::RDWR | OFlags::CLOEXEC | flags, Mode::empty()).ok()?;
            sys::fuse_device::join(fresh.as_fd(), device.as_fd()).ok()?;
            Some(fresh)
        };
        match fresh(OFlags::empty()) {
            Some(waiting) => Self { waiting: Arc::new(waiting), polling: fresh(OFlags::NONBLOCK) },
            None => Self::first(device.clone()),
        }
    }

    /// Waits for a request; gives its length in `buffer`.
    pub(crate) fn wait(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::io::read(&*self.waiting, buffer)
    }

    /// A request, if there is one; else EAGAIN.
    pub(crate) fn poll(&self, buffer: &mut [u8]) -> rustix::io::Result<(usize, Came)> {
        if let Some(fd) = &self.polling {
            return rustix::io::read(fd, buffer).map(|length| (length, Came::Polled));
        }
        let mut asked = [PollFd::new(&*self.waiting, PollFlags::IN)];
        match poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
            0 => Err(Errno::AGAIN),
            // Another worker may take it first: then this waits, which is what it would do next anyway.
            _ => self.wait(buffer).map(|length| (length, Came::Awaited)),
        }
    }

    /// Sends an answer whose head is in `message` already.
    pub(crate) fn send(&self, came: Came, message: &[u8]) -> rustix::io::Result<()> {
        match (&self.polling, came) {
            (Some(fd), Came::Polled) => rustix::io::write(fd, message),
            _ => rustix::io::write(&*self.waiting, message),
        }
        .map(drop)
    }
}

/// The connection itself, for what a file system says by itself. Clones are the same connection.
#[derive(Debug, Clone)]
pub struct Connection {
    device: Arc<OwnedFd>,
    statistics: Arc<Statistics>,
}

impl Connection {
    pub(crate) fn new(device: Arc<OwnedFd>, statistics: Arc<Statistics>) -> Self {
        Self { device, statistics }
    }

    /// Registers `file` for the kernel to read and write itself; the number is for [`crate::Opened::backing`].
    ///
    /// One inode has one backing at a time: while any file is open by it, an open by another number, and a plain one, fail with
    /// EIO in the kernel (fs/fuse/iomode.c).
    pub fn open_backing(&self, file: BorrowedFd<'_>) -> io::Result<u32> {
        let id = sys::fuse_device::open_backing(self.device.as_fd(), file)?;
        self.statistics.backings.fetch_add(1, Relaxed);
        Ok(id)
    }

    /// Takes a registration back; files open by it go on.
    pub fn close_backing(&self, id: u32) {
        if let Err(e) = sys::fuse_device::close_backing(self.device.as_fd(), id) {
            log::debug!("close backing file {id}: {e}");
        }
    }

    /// What the kernel keeps of `node` is dropped: its attributes, and data from `offset` on, so many bytes (0: all that
    /// follow; a negative offset: no data).
    pub fn forget_inode(&self, node: u64, offset: i64, length: i64) -> io::Result<()> {
        self.notify(notice::INVAL_INODE, |out| {
            out.u64(node);
            out.i64(offset);
            out.i64(length);
        })
    }

    /// The name stands for nothing any more; the kernel asks again. Must not be called while a request on `parent` is
    /// being answered by the same thread: the kernel holds that directory's lock.
    pub fn forget_name(&self, parent: u64, name: &OsStr) -> io::Result<()> {
        self.notify(notice::INVAL_ENTRY, |out| {
            out.u64(parent);
            out.u32(u32::try_from(name.len()).unwrap_or(u32::MAX));
            out.u32(0);
            out.bytes(name.as_bytes());
            out.zeros(1);
        })
    }

    /// The name is gone, if it still is `child`'s: who watches it is told.
    pub fn name_is_gone(&self, parent: u64, child: u64, name: &OsStr) -> io::Result<()> {
        self.notify(notice::DELETE, |out| {
            out.u64(parent);
            out.u64(child);
            out.u32(u32::try_from(name.len()).unwrap_or(u32::MAX));
            out.u32(0);
            out.bytes(name.as_bytes());
            out.zeros(1);
        })
    }

    /// Asks the kernel to forget nodes that nobody uses (Linux 6.18); at most 400 at a time.
    pub fn prune(&self, nodes: &[u64]) -> io::Result<()> {
        self.notify(notice::PRUNE, |out| {
            out.u32(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
            out.u32(0);
            out.u64(0);
            for node in nodes {
                out.u64(*node);
            }
        })
    }

    /// Puts file data into the kernel's page cache, as if it had been read. Must not be called while the same data could
    /// be written there, nor in the answer to a READ.
    pub fn store(&self, node: u64, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut head = [0_u8; OUT_HEADER + 24];
        let (first, second) = head.split_at_mut(OUT_HEADER);
        put_head(first, OUT_HEADER + 24 + data.len(), notice::STORE, 0);
        let mut out = Writer::new(second);
        out.u64(node);
        out.u64(offset);
        out.u32(u32::try_from(data.len()).map_err(|_| Errno::INVAL)?);
        out.u32(0);
        rustix::io::writev(&*self.device, &[IoSlice::new(&head), IoSlice::new(data)])?;
        self.statistics.bytes_stored.fetch_add(data.len() as u64, Relaxed);
        Ok(())
    }

    fn notify(&self, code: i32, body: impl FnOnce(&mut Writer<'_>)) -> io::Result<()> {
        let mut message = [0_u8; 4096];
        let (head, room) = message.split_at_mut(OUT_HEADER);
        let mut out = Writer::new(room);
        body(&mut out);
        let length = OUT_HEADER + out.finish().ok_or(Errno::NAMETOOLONG)?;
        put_head(head, length, code, 0);
        rustix::io::write(&*self.device, message.get(..length).unwrap_or_default())?;
        Ok(())
    }
}

/// Writes `struct fuse_out_header`. `code`: a notice's number, or an error number made negative.
pub(crate) fn put_head(head: &mut [u8], length: usize, code: i32, unique: u64) {
    let mut out = Writer::new(head);
    out.u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.u32(code as u32);
    out.u64(unique);
}
