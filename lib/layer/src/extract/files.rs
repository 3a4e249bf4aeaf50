//! Regular files: made, filled, dressed.

use super::metadata::{Attributes, Dresser};
use crate::archive::{Archive, EntryKind, Sparse};
use crate::error::Fault;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io::BufRead;
use std::os::fd::{BorrowedFd, OwnedFd};

/// From this size on a file's room is asked for before it is written.
const LARGE_BYTES: u64 = 8 << 20;
/// As much of it at once: a size that lies shall not be believed beyond that.
const ROOM_BYTES: u64 = 256 << 20;

/// A regular file on its way.
#[derive(Debug)]
pub(super) struct NewFile {
    /// The entry's name, for messages.
    pub(super) entry: Vec<u8>,
    pub(super) attributes: Attributes,
    /// What is recorded where it stands for something else.
    pub(super) kind: EntryKind,
    /// See [`Dir::plain`](super::dirs::Dir::plain).
    pub(super) plain: bool,
    pub(super) sparse: Option<Sparse>,
}

/// What goes into it.
pub(super) enum Data<'d, R> {
    None,
    /// So many bytes of the archive, from where it is.
    Archive(&'d mut Archive<R>, u64),
}

/// Makes the file; nothing may be there.
pub(super) fn create(dir: BorrowedFd<'_>, name: &CStr, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, mode)
}

/// Writes the content, and then everything else about the file.
pub(super) fn write<R: BufRead>(
    fd: BorrowedFd<'_>,
    new: &NewFile,
    data: Data<'_, R>,
    dresser: &Dresser,
) -> Result<(), Fault> {
    let fault = |e| Fault::system(&new.entry, "write", e);
    if let Data::Archive(archive, size) = data {
        match &new.sparse {
            None => {
                if size >= LARGE_BYTES {
                    make_room(fd, size).map_err(fault)?;
                }
                copy(fd, None, size, archive, &new.entry)?;
            }
            Some(sparse) => {
                for (offset, length) in &sparse.extents {
                    copy(fd, Some(*offset), *length, archive, &new.entry)?;
                }
            }
        }
    }
    if let Some(sparse) = &new.sparse {
        rustix::fs::ftruncate(fd, sparse.real_size).map_err(fault)?;
    }
    dresser.dress_file(fd, &new.entry, &new.attributes, new.plain, new.kind)
}

/// The same with data that is in memory.
pub(super) fn write_small(fd: BorrowedFd<'_>, new: &NewFile, mut data: &[u8], dresser: &Dresser) -> Result<(), Fault> {
    while !data.is_empty() {
        match rustix::io::write(fd, data) {
            Ok(written) => data = data.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Fault::system(&new.entry, "write", e)),
        }
    }
    dresser.dress_file(fd, &new.entry, &new.attributes, new.plain, new.kind)
}

/// Asks for the room, so that what does not fit fails at once and what does lies in one piece. File systems that cannot tell
/// are asked nothing more.
fn make_room(fd: BorrowedFd<'_>, size: u64) -> rustix::io::Result<()> {
    match rustix::fs::fallocate(fd, FallocateFlags::KEEP_SIZE, 0, size.min(ROOM_BYTES)) {
        Err(e @ (Errno::NOSPC | Errno::DQUOT)) => Err(e),
        _ => Ok(()),
    }
}

/// Writes the next `count` bytes of the archive, at `offset` or where the file is.
fn copy<R: BufRead>(
    fd: BorrowedFd<'_>,
    offset: Option<u64>,
    count: u64,
    archive: &mut Archive<R>,
    entry: &[u8],
) -> Result<(), Fault> {
    let mut done = 0;
    while done < count {
        let bytes = archive.data()?;
        if bytes.is_empty() {
            break;
        }
        let most = usize::try_from(count - done).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(most)];
        let written = match offset {
            None => rustix::io::write(fd, bytes),
            Some(offset) => rustix::io::pwrite(fd, bytes, offset + done),
        };
        let written = match written {
            Ok(written) => written,
            Err(Errno::INTR) => 0,
            Err(e) => return Err(Fault::system(entry, "write", e)),
        };
        archive.consume(written);
        done += written as u64;
    }
    Ok(())
}
