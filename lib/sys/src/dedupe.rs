//! `FIDEDUPERANGE` (ioctl_fideduperange(2)): two files of equal content share their blocks. The kernel compares them under lock,
//! so neither can change meanwhile, and neither's times or mode do.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// As much as XFS and btrfs take at once.
const MOST_BYTES: u64 = 16 << 20;

/// `struct file_dedupe_range` with one `file_dedupe_range_info` behind it.
#[repr(C)]
struct Range {
    src_offset: u64,
    src_length: u64,
    dest_count: u16,
    reserved1: u16,
    reserved2: u32,
    dest_fd: i64,
    dest_offset: u64,
    bytes_deduped: u64,
    status: i32,
    reserved: u32,
}

/// `_IOWR(0x94, 54, struct file_dedupe_range)`, whose size is that without the information behind it.
const FIDEDUPERANGE: u32 = 3 << 30 | 24 << 16 | 0x94 << 8 | 54;

/// Lets the first `length` bytes of `dest` lie where those of `source` lie. Gives how many do: fewer where the content
/// differs. EOPNOTSUPP, EINVAL or ENOTTY where the file system cannot, EXDEV between two of them.
pub fn share(source: BorrowedFd<'_>, dest: BorrowedFd<'_>, length: u64) -> io::Result<u64> {
    let mut done = 0;
    while done < length {
        let mut range = Range {
            src_offset: done,
            src_length: (length - done).min(MOST_BYTES),
            dest_count: 1,
            reserved1: 0,
            reserved2: 0,
            dest_fd: i64::from(dest.as_raw_fd()),
            dest_offset: done,
            bytes_deduped: 0,
            status: 0,
            reserved: 0,
        };
        // SAFETY: the kernel reads the head of `range` and `dest_count` = 1 information behind it, and writes the latter; `range`
        // has room for exactly that and is borrowed for the call, as both descriptors are.
        let result = unsafe { libc::ioctl(source.as_raw_fd(), libc::Ioctl::from(FIDEDUPERANGE), &raw mut range) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        match range.status {
            0 if range.bytes_deduped > 0 => done += range.bytes_deduped,
            status if status < 0 => return Err(io::Error::from_raw_os_error(-status)),
            // FILE_DEDUPE_RANGE_DIFFERS
            _ => return Ok(done),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_kernel_knows_the_call() {
        assert_eq!(size_of::<Range>(), 24 + 32);
        let memory = std::fs::File::open("/proc/self/status").expect("a file");
        let error = share(memory.as_fd(), memory.as_fd(), 1).expect_err("no file system for that");
        assert!(error.raw_os_error() != Some(libc::EFAULT), "{error}");
    }
}
