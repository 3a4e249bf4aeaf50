//! What is in a file: where its holes are, and its bytes into the tar, as many as were announced or an error.

use super::format;
use super::found::{Found, STILL};
use super::sink::Blocks;
use crate::error::{Fault, Kind};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// Holes are told in multiples of this, and shorter ones are data: so that it does not matter in what units a file system
/// allocates.
const HOLE_BYTES: u64 = 64 << 10;

/// Offset and length of what is between the holes; `None` where there are none worth telling.
pub(super) fn extents(fd: BorrowedFd<'_>, size: u64, disk_bytes: u64) -> Option<Vec<(u64, u64)>> {
    if disk_bytes >= size || size < HOLE_BYTES {
        return None;
    }
    let mut extents: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = rustix::fs::seek(fd, SeekFrom::Hole(start)).ok()?;
        let start = start / HOLE_BYTES * HOLE_BYTES;
        let end = end.next_multiple_of(HOLE_BYTES).min(size);
        match extents.last_mut() {
            Some((offset, length)) if *offset + *length >= start => *length = end - *offset,
            _ if start < end => extents.push((start, end - start)),
            _ => {}
        }
        at = end.max(at + 1);
    }
    let all = extents.as_slice() == [(0, size)];
    (!all).then_some(extents)
}

/// Adds the data of `found` and the zeros behind it. A `lively` file that has become shorter ends in zeros.
pub(super) fn copy(
    blocks: &mut Blocks<'_>,
    fd: BorrowedFd<'_>,
    found: &Found,
    extents: Option<&[(u64, u64)]>,
    path: &[u8],
    lively: bool,
) -> Result<(), Fault> {
    let whole = [(0, found.size)];
    let mut bytes = 0;
    for (offset, length) in extents.unwrap_or(&whole) {
        let (mut at, end) = (*offset, offset + length);
        while at < end {
            let room = blocks.room();
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(room.len());
            match rustix::io::pread(fd, &mut room[..most], at) {
                Ok(0) if lively => {
                    room[..most].fill(0);
                    blocks.filled(most)?;
                    at += most as u64;
                }
                Ok(0) => return Err(changed(path, format_args!("ends after {at} of {} bytes", found.size))),
                Ok(count) => {
                    blocks.filled(count)?;
                    at += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(Fault::system(path, "read", e)),
            }
        }
        bytes += length;
    }
    blocks.write(&format::END[..format::padding(bytes)])?;
    if lively {
        return Ok(());
    }
    let now = rustix::fs::fstat(fd).map_err(|e| Fault::system(path, "stat", e))?;
    if now.st_size.cast_unsigned() != found.size {
        return Err(changed(path, format_args!("had {} bytes, now {}", found.size, now.st_size)));
    }
    if (now.st_mtime, now.st_mtime_nsec) != (found.mtime.seconds, u64::from(found.mtime.nanoseconds)) {
        return Err(changed(path, "was written to"));
    }
    Ok(())
}

fn changed(path: &[u8], how: impl std::fmt::Display) -> Fault {
    Fault::entry(Kind::System, path, format_args!("changed while it was read: {how}")).hint(STILL)
}

/// Whether two files of the same size hold the same bytes.
pub(super) fn same(a: BorrowedFd<'_>, b: BorrowedFd<'_>, path: &[u8]) -> Result<bool, Fault> {
    let mut buffers = (vec![0; 128 << 10], vec![0; 128 << 10]);
    let mut at = 0;
    loop {
        let counts = (full(a, &mut buffers.0, at, path)?, full(b, &mut buffers.1, at, path)?);
        if buffers.0[..counts.0] != buffers.1[..counts.1] {
            return Ok(false);
        }
        if counts.0 < buffers.0.len() {
            return Ok(true);
        }
        at += counts.0 as u64;
    }
}

/// Reads until `buffer` is full or the file ends.
pub(crate) fn full(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64, path: &[u8]) -> Result<usize, Fault> {
    let mut have = 0;
    while have < buffer.len() {
        match rustix::io::pread(fd, &mut buffer[have..], offset + have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(Errno::INTR) => {}
            Err(e) => return Err(Fault::system(path, "read", e)),
        }
    }
    Ok(have)
}
