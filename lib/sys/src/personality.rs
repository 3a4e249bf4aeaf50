//! The execution domain of the calling process (`personality(2)`).

use std::io;

/// `PER_LINUX`: as usual.
pub const LINUX: u32 = 0;
/// `PER_LINUX32`: uname(2) tells of a machine with 32 bits.
pub const LINUX32: u32 = 0x0008;

/// Takes this personality, without any flag.
pub fn set(domain: u32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    let before = unsafe { libc::personality(libc::c_ulong::from(domain)) };
    if before >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
