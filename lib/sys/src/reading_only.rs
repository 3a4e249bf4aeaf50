//! A filter of system calls (`seccomp(2)`) for a server that is about to hear strangers: it may wait, read files, and talk
//! over sockets; nothing can be executed, written to disk, or done to other processes.
//!
//! What is not on the list fails with EPERM instead of killing: a C library of tomorrow may try a call that it can do without.

use crate::seccomp::{Instruction, set_filter};
use std::io;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// What every architecture has.
const CALLS: &[libc::c_long] = &[
    // Memory, time, the end.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Waiting.
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    // Descriptors and files; openat is looked at below.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_ioctl,
    // Sockets.
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
];

/// What only this one has, for the same.
#[cfg(target_arch = "x86_64")]
const OWN_CALLS: &[libc::c_long] =
    &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_stat, libc::SYS_lstat, libc::SYS_readlink, libc::SYS_time];
#[cfg(target_arch = "aarch64")]
const OWN_CALLS: &[libc::c_long] = &[];

/// Where the kernel puts what it asks about: `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// The lower half of openat's flags, its third argument.
const OPEN_FLAGS: u32 = 16 + 2 * 8;
/// Flags of openat that are more than reading.
const WRITING: i32 = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;

/// Filters every later system call of the calling thread. Needs no_new_privs.
pub fn confine() -> io::Result<()> {
    set_filter(&program(), 0).map(drop)
}

fn program() -> Vec<Instruction> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, k: u32, jump_true: usize, jump_false: usize| Instruction {
        code: code as u16,
        jump_true: jump_true as u8,
        jump_false: jump_false as u8,
        k,
    };
    let calls: Vec<u32> = CALLS.iter().chain(OWN_CALLS).map(|call| *call as u32).collect();
    // 0 architecture, 1 is it ours?, 2 number, 3 openat?, 4.. the list, then: no, flags, &, are there any?, yes, no
    let refuse = 4 + calls.len();
    let allow = refuse + 4;
    let mut program = vec![
        step(LOAD, ARCH, 0, 0),
        step(EQUAL, ARCHITECTURE, 0, refuse - 2),
        step(LOAD, NUMBER, 0, 0),
        step(EQUAL, libc::SYS_openat as u32, refuse + 1 - 4, 0),
    ];
    for (n, call) in calls.iter().enumerate() {
        program.push(step(EQUAL, *call, allow - (4 + n) - 1, 0));
    }
    let no = step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0);
    program.extend([
        no,
        step(LOAD, OPEN_FLAGS, 0, 0),
        step(AND, WRITING as u32, 0, 0),
        step(EQUAL, 0, 0, 1),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        no,
    ]);
    program
}

#[cfg(test)]
mod tests {
    #[test]
    fn reading_goes_on_and_writing_does_not() {
        let outcome = std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).expect("no_new_privs");
            super::confine().expect("the filter");
            let wrote = std::fs::write(std::env::temp_dir().join("reading-only-test"), "x").map_err(|e| e.kind());
            let ran = rustix::fs::unlink("/nonexistent/file").map_err(std::io::Error::from).map_err(|e| e.kind());
            let read = std::fs::read_to_string("/proc/self/comm").is_ok();
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").is_ok();
            (wrote, ran, read, socket)
        });
        let denied = Err(std::io::ErrorKind::PermissionDenied);
        assert_eq!(outcome.join().expect("it lives"), (denied, denied, true, true));
    }
}
