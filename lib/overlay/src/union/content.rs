//! The content of a copy: all at once when a file is copied up, or later, when one was copied without it.
//!
//! A file without its content (`overlay.metacopy`) has the right size and is one hole. When it is first to be written,
//! the content is filled in below the mark, brought to the disk, and then the mark goes: a crash before leaves the lower
//! content showing, a crash after it the copy (fs/overlayfs/copy_up.c, `ovl_copy_up_meta_inode_data`).

use super::Stack;
use super::attributes::times_of;
use super::copy_up::Content;
use super::node::{Node, Seat};
use super::reach::Spot;
use crate::layer::{Answer, Errno, Stat, stat_of};
use rustix::fs::{FileType, OFlags, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Most bytes copied by one call.
const PIECE_BYTES: u64 = 64 << 20;

impl Stack {
    /// What a copy of the file is read from, and how many bytes of it `content` asks for; `None` for none at all.
    pub(crate) fn content_of(
        &self,
        seat: &Seat,
        spot: &Spot,
        stat: &Stat,
        content: Content,
    ) -> Answer<Option<(OwnedFd, u64)>> {
        let bytes = match content {
            Content::First(bytes) => bytes.min(stat.size_bytes),
            Content::Whole | Content::Attributes => stat.size_bytes,
        };
        if bytes == 0 || stat.kind() != FileType::RegularFile {
            return Ok(None);
        }
        let file = match &seat.data {
            Some(data) => {
                let file = self.layer_root(data.layer)?.open(data.path.as_os_str())?;
                if stat_of(file.as_fd())?.identity() != data.identity {
                    return Err(Errno::STALE);
                }
                file
            }
            None => {
                let file = self.reopen_quietly(spot.fd()?)?;
                self.refuse_metacopy(&file, stat)?;
                file
            }
        };
        Ok(Some((file, bytes)))
    }

    /// Opens for reading without leaving a trace in the access time, where that is allowed.
    fn reopen_quietly(&self, fd: BorrowedFd<'_>) -> Answer<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        match self.reopen(fd, flags | OFlags::NOATIME) {
            Err(Errno::PERM) => self.reopen(fd, flags),
            other => other,
        }
    }

    /// Gives the upper file its content, which lies below. The node's turn is held.
    pub(crate) fn complete(&self, node: &Arc<Node>, content: Content) -> Answer<()> {
        let seat = node.seat().ok_or(Errno::STALE)?;
        if seat.data.is_none() {
            return Ok(());
        }
        let spot = self.spot(node)?;
        let target = self.reopen(spot.fd()?, OFlags::RDWR | OFlags::NONBLOCK)?;
        let stat = stat_of(target.as_fd())?;
        // What is going to be cut off is copied too: cut off while the mark is there, the kernel's overlay would show the lower
        // content at that size, and after the mark is gone zeros would show until it is.
        let content = if content == Content::First(0) { content } else { Content::Whole };
        let filled = self.content_of(&seat, &spot, &stat, content)?;
        match &filled {
            Some((source, bytes)) => {
                // A write takes capabilities and set-id bits; what must not show is put back.
                let capability = self.get_stored(target.as_fd(), CAPABILITY).ok();
                copy_content(source.as_fd(), target.as_fd(), *bytes)?;
                if let Some(capability) = capability {
                    self.set_stored(target.as_fd(), CAPABILITY, &capability)?;
                }
                if stat_of(target.as_fd())?.mode != stat.mode {
                    self.set_mode(target.as_fd(), stat.mode)?;
                }
            }
            None => rustix::fs::ftruncate(&target, 0)?,
        }
        self.set_times(target.as_fd(), &times_of(&stat))?;
        // Of nothing there is nothing to be brought to the disk, and the mark goes without delay.
        if filled.is_some() && !self.volatile {
            rustix::fs::fsync(&target)?;
        }
        match rustix::fs::fremovexattr(&target, self.xattrs.metacopy()) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(e) => return Err(e),
        }
        node.take_seat(Seat { data: None, ..seat });
        Ok(())
    }
}

const CAPABILITY: &std::ffi::CStr = c"security.capability";

/// Copies the first `size` bytes, data and holes: by sharing blocks where the file systems can, else in the kernel, else
/// through memory. The target is empty or one hole.
pub(crate) fn copy_content(source: BorrowedFd<'_>, target: BorrowedFd<'_>, size: u64) -> Answer<()> {
    // Sharing is of whole files: what is too much is cut off.
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return rustix::fs::ftruncate(target, size);
    }
    rustix::fs::ftruncate(target, size)?;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data after `at`: the rest is a hole.
            Err(Errno::NXIO) => break,
            // A file system without holes.
            Err(_) => at,
        };
        let end = match rustix::fs::seek(source, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(_) => size,
        };
        at = copy_piece(source, target, start, end.max(start + 1))?;
        if at < end {
            break;
        }
    }
    Ok(())
}

/// Copies the bytes from `start` to `end`; gives where it stopped, short of `end` only at the end of the source.
fn copy_piece(source: BorrowedFd<'_>, target: BorrowedFd<'_>, start: u64, end: u64) -> Answer<u64> {
    let mut at = start;
    while at < end {
        let (mut from, mut to) = (at, at);
        let length = usize::try_from((end - at).min(PIECE_BYTES)).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => return copy_through(source, target, at, end),
            Ok(done) => at += done as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::IO) => {
                return copy_through(source, target, at, end);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(at)
}

fn copy_through(source: BorrowedFd<'_>, target: BorrowedFd<'_>, start: u64, end: u64) -> Answer<u64> {
    let mut buffer = vec![0_u8; 128 << 10];
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let got = match rustix::io::pread(source, buffer.get_mut(..length).unwrap_or_default(), at) {
            Ok(0) => break,
            Ok(got) => got,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e),
        };
        let mut put = 0;
        while let Some(rest) = buffer.get(put..got).filter(|r| !r.is_empty()) {
            put += rustix::io::pwrite(target, rest, at + put as u64)?;
        }
        at += got as u64;
    }
    Ok(at)
}
