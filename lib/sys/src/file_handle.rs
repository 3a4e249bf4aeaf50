//! File handles: a name for a file that outlives renames and mounts, `name_to_handle_at(2)` and `open_by_handle_at(2)`,
//! and the identifier of the file system it is valid on (`FS_IOC_GETFSUUID`, Linux 6.9).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Most bytes a handle has (`MAX_HANDLE_SZ`).
pub const MOST_BYTES: usize = 128;

/// `_IOR(0x15, 0, struct fsuuid2)`
const FS_IOC_GETFSUUID: libc::Ioctl = 0x8011_1500_u32 as libc::Ioctl;

/// A file as its file system names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHandle {
    /// Which of the file system's kinds of handle this is.
    pub kind: i32,
    /// What only the file system understands.
    pub bytes: Vec<u8>,
}

/// `struct file_handle` with room for the longest.
#[repr(C)]
struct Raw {
    length: u32,
    kind: i32,
    bytes: [u8; MOST_BYTES],
}

/// The handle of what `fd` is (O_PATH will do). EOPNOTSUPP where the file system has none.
pub fn handle_of(fd: BorrowedFd<'_>) -> io::Result<FileHandle> {
    let mut raw = Raw { length: MOST_BYTES as u32, kind: 0, bytes: [0; MOST_BYTES] };
    let mut mount: libc::c_int = 0;
    // SAFETY: the kernel reads an empty string and writes at most `length` bytes behind the header of `raw`, which has
    // room for them, and one int; all outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            fd.as_raw_fd(),
            c"".as_ptr(),
            &raw mut raw,
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = (raw.length as usize).min(MOST_BYTES);
    Ok(FileHandle { kind: raw.kind, bytes: raw.bytes[..length].to_vec() })
}

/// Opens the file of `handle` on the file system that `mount` is on; needs CAP_DAC_READ_SEARCH. ESTALE when it is no more.
pub fn open_handle(mount: BorrowedFd<'_>, handle: &FileHandle, flags: i32) -> io::Result<OwnedFd> {
    if handle.bytes.len() > MOST_BYTES {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut raw = Raw { length: handle.bytes.len() as u32, kind: handle.kind, bytes: [0; MOST_BYTES] };
    raw.bytes[..handle.bytes.len()].copy_from_slice(&handle.bytes);
    // SAFETY: the kernel reads the header and `length` bytes of `raw`, which outlives the call.
    let fd =
        unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw mut raw, flags | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, owned by nobody else; a descriptor fits an int.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The identifier of the file system that `fd`, which is open for reading, is on. ENOTTY where it has none or the kernel
/// does not tell.
pub fn file_system_uuid(fd: BorrowedFd<'_>) -> io::Result<[u8; 16]> {
    #[repr(C)]
    struct Uuid {
        length: u8,
        bytes: [u8; 16],
    }
    let mut uuid = Uuid { length: 0, bytes: [0; 16] };
    // SAFETY: the kernel writes size_of::<Uuid>() bytes (the size is part of the request's number) into `uuid`.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_GETFSUUID, &raw mut uuid) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    if uuid.length == 16 { Ok(uuid.bytes) } else { Err(io::Error::from_raw_os_error(libc::ENOTTY)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_handle_names_the_same_file_under_every_descriptor() {
        let open = || std::fs::File::open("/tmp").expect("a folder");
        let Ok(one) = handle_of(open().as_fd()) else { return };
        assert_eq!(handle_of(open().as_fd()).expect("a handle"), one);
        assert!(!one.bytes.is_empty());
    }
}
