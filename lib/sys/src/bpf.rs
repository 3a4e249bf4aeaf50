//! `bpf(2)`, as far as a cgroup's device list needs it: load a program of type CGROUP_DEVICE and attach it to a group.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// One instruction of an extended BPF program: `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Class, operation and source: `BPF_*` of `<linux/bpf.h>`.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high four.
    pub registers: u8,
    /// Offset of a jump or of a memory access.
    pub offset: i16,
    /// The constant.
    pub immediate: i32,
}

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Programs of the groups above are asked too, and all must agree.
const ALLOW_MULTI: u32 = 2;

/// Loads a program that decides on the use of devices. Needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN (else EPERM); on a
/// kernel without it EINVAL or ENOSYS.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
    }
    let license = c"Apache-2.0";
    let attributes = Load {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        prog_name: *b"veneer_devices\0\0",
        ..Load::default()
    };
    // SAFETY: the kernel reads size_of::<Load>() bytes from `attributes`, whose pointers name `insn_cnt` instructions in
    // the layout of struct bpf_insn and a NUL-terminated string; all outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<Load>()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a result that is not an error is a new descriptor (close-on-exec) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(done as i32) })
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

fn attach(command: libc::c_long, group: BorrowedFd<'_>, program: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    let attributes = Attach {
        target_fd: group.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: flags,
        replace_bpf_fd: 0,
    };
    // SAFETY: the kernel reads size_of::<Attach>() bytes from `attributes`, which outlives the call; both descriptors are
    // borrowed and so open.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<Attach>()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Attaches a device program to a cgroup v2 folder, beside those already there; it lives as long as the group.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    attach(PROG_ATTACH, group, program, ALLOW_MULTI)
}

/// Takes a device program off a group again.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    attach(PROG_DETACH, group, program, 0)
}
