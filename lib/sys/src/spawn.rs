//! Making processes and leaving them: `clone3(2)`, `fork(2)`, `_exit(2)`, `execveat(2)`, `close_range(2)`, session keyrings.
//!
//! A forked copy of a process with several threads may run almost nothing safely, since locks held by the other threads
//! stay held for ever. [`clone3`] and [`fork`] therefore refuse to run in such a process: that makes them safe to offer.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which side of a fork the caller is on.
#[derive(Debug)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one: the child's process id in our pid namespace, and a pidfd where one was asked for.
    Parent(i32, Option<OwnedFd>),
}

/// What [`clone3`] makes besides a copy of the process.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clone3<'a> {
    /// `CLONE_NEW*` and `CLONE_PARENT`; memory, files and threads are never shared.
    pub flags: u64,
    /// The cgroup v2 folder the child starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Fails unless this process has one thread (`/proc/self/task` has a link for each, and two of its own). Without a /proc
/// there is no telling: the tools that get here are single-threaded by the house's rules.
fn single_threaded() -> io::Result<()> {
    match rustix::fs::stat("/proc/self/task") {
        Ok(stat) if stat.st_nlink > 3 => Err(io::Error::other("the process has several threads")),
        _ => Ok(()),
    }
}

/// Forks into new namespaces. The child's exit signal is SIGCHLD (none of its own with `CLONE_PARENT`, where it is the
/// parent's).
pub fn clone3(what: &Clone3<'_>) -> io::Result<Fork> {
    const SHARING: i32 = libc::CLONE_VM
        | libc::CLONE_THREAD
        | libc::CLONE_SIGHAND
        | libc::CLONE_FILES
        | libc::CLONE_FS
        | libc::CLONE_SETTLS;
    if what.flags & SHARING as u64 != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    single_threaded()?;
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is a struct of integers for which zero means "not asked for".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = what.flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = if what.flags & libc::CLONE_PARENT as u64 != 0 { 0 } else { libc::SIGCHLD as u64 };
    if let Some(cgroup) = what.cgroup {
        // libc has CLONE_INTO_CGROUP as an i32, which it does not fit.
        args.flags |= 0x2_0000_0000;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: no memory is shared (checked above), so the child is a plain copy as fork(2) makes it, on a copy of this
    // stack; one thread (checked) holds no lock of another. `args` and `pidfd` outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        // SAFETY: the kernel put a new descriptor there, which nobody else knows of.
        pid => Ok(Fork::Parent(pid as i32, (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) }))),
    }
}

/// Forks.
pub fn fork() -> io::Result<Fork> {
    single_threaded()?;
    // SAFETY: the process has one thread, so no lock can be held by a thread the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid, None)),
    }
}

/// Ends this process at once, running nothing of the parent's that the copy inherited (buffers, guards).
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Marks every descriptor from `first` up close-on-exec.
pub fn cloexec_from(first: u32) -> io::Result<()> {
    // SAFETY: only flags of descriptors change; nothing is closed under its owner.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor from `first` up, in a process that will not use any of them again.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the caller is a forked helper that goes on with plain system calls on stdio alone and never returns to code
    // that owns a descriptor.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Clears close-on-exec on the descriptor with this number, which someone else owns.
pub fn keep_over_exec(number: i32) -> io::Result<()> {
    // SAFETY: F_SETFD changes a flag only; a wrong number gives EBADF.
    let done = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a descriptor that whoever started this program left open for it.
///
/// Fails where the number is not an open descriptor.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: a duplicate made by the kernel is ours alone, whoever owns the original.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Replaces the program; returns only an error. With an empty `path` the file `dir` itself is executed.
pub fn execveat(dir: BorrowedFd<'_>, path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| {
        list.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect::<Vec<*const libc::c_char>>()
    };
    let (args, env) = (pointers(args), pointers(env));
    let flags = if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: both arrays end in a null pointer and point to strings that outlive the call.
    unsafe { libc::syscall(libc::SYS_execveat, dir.as_raw_fd(), path.as_ptr(), args.as_ptr(), env.as_ptr(), flags) };
    io::Error::last_os_error()
}

/// Gives this process a new, empty session keyring, so that it shares no keys with its parent.
pub fn join_session_keyring(name: Option<&CStr>) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let name = name.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: a null name means anonymous; else it is a string that outlives the call.
    let id = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0) };
    if id < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives every signal its default action and unblocks all: what a program expects to start with.
pub fn default_signals() {
    for number in 1..=64 {
        reset_signal(number);
    }
    // SAFETY: sigset_t is plain memory that sigemptyset initialises; the old set is not asked for.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Gives one signal its default action; numbers that cannot be changed are left alone.
pub fn reset_signal(number: i32) {
    // SAFETY: SIG_DFL installs no handler of ours; the C library refuses its own two real-time signals.
    unsafe { libc::signal(number, libc::SIG_DFL) };
}

/// Ignores one signal.
pub fn ignore_signal(number: i32) {
    // SAFETY: SIG_IGN installs no handler of ours.
    unsafe { libc::signal(number, libc::SIG_IGN) };
}

/// Sends any signal, also a real-time one, to the process behind a pidfd.
pub fn send_signal(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: the siginfo pointer is null, which asks for the kernel's own.
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends any signal, also a real-time one, to the process of this pid (a child of ours, so that the number is still its own).
pub fn kill_child(pid: i32, number: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::kill(pid, number) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits for any signal that is blocked, also a real-time one: its number (sigwaitinfo(2)).
pub fn wait_for_signal() -> io::Result<i32> {
    // SAFETY: sigset_t is plain memory that sigfillset initialises; nobody asks for the siginfo.
    let number = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigwaitinfo(&raw const all, std::ptr::null_mut())
    };
    if number < 0 { Err(io::Error::last_os_error()) } else { Ok(number) }
}

/// Sets close-on-exec on the descriptor with this number, which someone else owns.
pub fn close_on_exec(number: i32) -> io::Result<()> {
    // SAFETY: F_SETFD changes a flag only; a wrong number gives EBADF.
    let done = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
