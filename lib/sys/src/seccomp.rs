//! `seccomp(2)`: hand a filter to the kernel.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// One instruction of a classic BPF program: `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Class, size, mode, operation: `BPF_*` of `<linux/bpf_common.h>`.
    pub code: u16,
    /// How many instructions to skip when a condition holds.
    pub jump_true: u8,
    /// How many to skip when it does not.
    pub jump_false: u8,
    /// The constant, offset or return value.
    pub k: u32,
}

/// The most instructions the kernel takes: `BPF_MAXINSNS`.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Filters every later system call of the calling thread, and of what it starts, by `program`.
///
/// `flags` are `SECCOMP_FILTER_FLAG_*`; with `SECCOMP_FILTER_FLAG_NEW_LISTENER` among them the listener comes back,
/// close-on-exec. The kernel wants CAP_SYS_ADMIN in the user namespace or no_new_privs (else EACCES), and a program it can
/// verify (else EINVAL).
pub fn set_filter(program: &[Instruction], flags: libc::c_ulong) -> io::Result<Option<OwnedFd>> {
    #[repr(C)]
    struct Program {
        len: libc::c_ushort,
        instructions: *const Instruction,
    }
    if program.is_empty() || program.len() > MAX_INSTRUCTIONS {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let raw = Program { len: program.len() as libc::c_ushort, instructions: program.as_ptr() };
    // SAFETY: the kernel reads `raw`, and `raw.len` instructions from `raw.instructions`: both live until the call
    // returns, and Instruction has the layout of struct sock_filter.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const raw) };
    match done {
        -1 => Err(io::Error::last_os_error()),
        fd if flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 => {
            // SAFETY: with this flag a result that is not an error is a new descriptor that nobody else owns.
            // (A positive result without it, the thread that could not be synchronised, is handled below.)
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
        }
        0 => Ok(None),
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Whether the kernel knows an action of filters, a `SECCOMP_RET_*` value.
pub fn action_available(action: u32) -> bool {
    // SAFETY: the kernel reads four bytes from `action`, which lives until the call returns.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    done == 0
}
