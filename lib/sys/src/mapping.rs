//! A file mapped shared into memory, by `mmap(2)`: read and written by copying, so that no reference into memory that others
//! change is ever formed.
//!
//! Whoever touches a page that lies wholly behind the file's end gets SIGBUS, as always.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// The first bytes of a file, in memory until dropped.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<libc::c_void>,
    length_bytes: usize,
    writable: bool,
}

impl Mapping {
    /// Maps the first `length_bytes` of `file`, which must be open for reading, and for writing where `writable`. Fails with
    /// EINVAL for no bytes at all.
    pub fn shared(file: BorrowedFd<'_>, length_bytes: usize, writable: bool) -> io::Result<Self> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping at an address that the kernel chooses replaces no memory of anybody.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), length_bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self { address, length_bytes, writable })
    }

    /// How many bytes are mapped.
    pub fn len(&self) -> usize {
        self.length_bytes
    }

    /// Whether it has no bytes, which no mapping has.
    pub fn is_empty(&self) -> bool {
        self.length_bytes == 0
    }

    /// Whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Copies from `offset` on into `into`; false when that is not all in the mapping.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        if offset.checked_add(into.len()).is_none_or(|end| end > self.length_bytes) {
            return false;
        }
        let from = self.address.cast::<u8>().as_ptr().cast_const();
        // SAFETY: the range lies in the mapping, which lives as long as `self`, as was just checked; `into` is memory of this
        // process's own and cannot overlap with it.
        unsafe { std::ptr::copy_nonoverlapping(from.add(offset), into.as_mut_ptr(), into.len()) };
        true
    }

    /// Copies `from` to `offset` and following; false when that is not all in the mapping, or it may not be written.
    pub fn write(&self, offset: usize, from: &[u8]) -> bool {
        if !self.writable || offset.checked_add(from.len()).is_none_or(|end| end > self.length_bytes) {
            return false;
        }
        let to = self.address.cast::<u8>().as_ptr();
        // SAFETY: as in `read`; the mapping was made with PROT_WRITE, as was just checked, and nothing holds a reference
        // into it.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.add(offset), from.len()) };
        true
    }

    /// Writes what was changed through it to the file (`msync(MS_SYNC)`).
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the range is exactly this mapping.
        let done = unsafe { libc::msync(self.address.as_ptr(), self.length_bytes, libc::MS_SYNC) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly this mapping, and nothing can use it after this.
        unsafe { libc::munmap(self.address.as_ptr(), self.length_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_is_written_through_it_is_in_the_file() {
        let path = std::env::temp_dir().join(format!("veneer-mapping-{}", std::process::id()));
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let mapping = Mapping::shared(file.as_fd(), 10, true).unwrap();
        assert!(mapping.write(3, b"abc") && !mapping.write(8, b"abc"));
        mapping.sync().unwrap();
        let mut read = [0; 10];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"012abc6789");
        let mut part = [0; 4];
        assert!(mapping.read(6, &mut part) && !mapping.read(7, &mut part));
        assert_eq!(&part, b"6789");
        assert!(Mapping::shared(file.as_fd(), 0, false).is_err());
    }
}
