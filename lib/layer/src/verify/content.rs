//! The bytes of a file against those that come by in the layer, without a copy of either.

use crate::archive::Archive;
use crate::error::Fault;
use crate::pack::full;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::io::BufRead;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Whether the file `fd` of `size` bytes holds what comes from `archive` in `extents` and zeros between them.
pub(super) fn same<R: BufRead>(
    fd: BorrowedFd<'_>,
    size: u64,
    extents: &[(u64, u64)],
    archive: &mut Archive<R>,
    buffer: &mut [u8],
    path: &[u8],
) -> Result<bool, Fault> {
    let mut at = 0;
    for (offset, length) in extents.iter().copied().chain([(size, 0)]) {
        if !zeros(fd, at..offset, buffer, path)? {
            return Ok(false);
        }
        at = offset;
        let end = offset + length;
        while at < end {
            let theirs = archive.data()?;
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len()).min(theirs.len());
            let have = full(fd, &mut buffer[..most], at, path)?;
            let same = most > 0 && buffer[..have] == theirs[..most];
            archive.consume(most);
            at += most as u64;
            if !same {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether the file has zeros there; holes are not read.
fn zeros(fd: BorrowedFd<'_>, range: Range<u64>, buffer: &mut [u8], path: &[u8]) -> Result<bool, Fault> {
    let mut at = range.start;
    while at < range.end {
        at = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(true),
            Err(_) => at,
        };
        if at >= range.end {
            break;
        }
        let most = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
        let have = full(fd, &mut buffer[..most], at, path)?;
        if have == 0 {
            break;
        }
        if buffer[..have].iter().any(|&b| b != 0) {
            return Ok(false);
        }
        at += have as u64;
    }
    Ok(true)
}
