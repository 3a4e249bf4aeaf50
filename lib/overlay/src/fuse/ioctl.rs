//! The few ioctls an overlay answers: file flags (`chattr`, `lsattr`). All others are ENOTTY, as they go by descriptors that
//! are not ours.

use crate::layer::{Answer, Errno};
use fusewire::Controlled;
use std::os::fd::BorrowedFd;

/// `FS_IOC_GETFLAGS` (uapi/linux/fs.h).
const GET_FLAGS: u32 = 0x8008_6601;

/// Answers `command` from the file below; flags are shown, not changed.
pub(super) fn answer(fd: BorrowedFd<'_>, command: u32, _argument: &[u8], into: &mut [u8]) -> Answer<Controlled> {
    if command != GET_FLAGS {
        return Err(Errno::NOTTY);
    }
    let flags = rustix::fs::ioctl_getflags(fd)?.bits().to_ne_bytes();
    for (room, byte) in into.iter_mut().zip(flags) {
        *room = byte;
    }
    Ok(Controlled { result: 0, length: into.len() })
}
