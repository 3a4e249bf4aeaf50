//! Copies of this process that live a life of their own (`fork(2)`, `close_range(2)`, `_exit(2)`), and commands that start with
//! a signal mask, or end when we do.
//!
//! A fork of a process with several threads has the locks of all and the thread of one: almost nothing may be called in
//! it. So [`fork_into`] refuses to fork such a process.

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, Pid, fork};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a thread that was joined may take to be gone, and the pause between looks.
const LINGERING: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_micros(50);

/// Forks; the child closes every descriptor but 0, 1, 2 and `keep`, runs `body` and ends with the code it gives.
///
/// All other descriptors are gone in the child, whatever holds them: `body` must not use what it captured of them. Nothing
/// of the parent's frames runs in the child, guards included. Fails where the process has more than one thread.
pub fn fork_into(keep: Vec<OwnedFd>, body: impl FnOnce(Vec<OwnedFd>) -> u8) -> io::Result<Pid> {
    refuse_threads()?;
    // SAFETY: refuse_threads has shown that this is the only thread, so the child may call anything.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            close_all_but(keep.iter().map(AsRawFd::as_raw_fd).collect());
            let code = body(keep);
            // SAFETY: _exit has no preconditions; handlers and guards of the parent are not run, on purpose.
            unsafe { libc::_exit(i32::from(code)) }
        }
    }
}

/// Starts `command` with `mask` as its signal mask, whatever this thread blocks.
pub fn spawn_with_mask(command: &mut Command, mask: SigSet) -> io::Result<Child> {
    // SAFETY: between fork and exec only pthread_sigmask is called, which is async-signal-safe and allocates nothing;
    // `mask` is a plain value moved into the closure.
    unsafe { command.pre_exec(move || mask.thread_set_mask().map_err(io::Error::from)) };
    command.spawn()
}

/// Has `command` killed when this thread ends, however that comes about (`PR_SET_PDEATHSIG`): what it had not done by then it does not do.
pub fn end_with_us(command: &mut Command) {
    let parent = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // We may have ended before.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from(Errno::SRCH)) }
    };
    // SAFETY: between fork and exec only prctl and getppid are called, plain system calls that allocate nothing; `parent` is a plain value.
    unsafe { command.pre_exec(tie) };
}

/// A thread that was joined is counted until the kernel has taken it out of the process (do_exit wakes who joins before
/// release_task), so whoever had one is looked at again for a while.
fn refuse_threads() -> io::Result<()> {
    let until = Instant::now() + LINGERING;
    while Instant::now() < until {
        if is_alone()? {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(io::Error::other("a process with several threads cannot be forked"))
}

/// The kernel refuses CLONE_THREAD to a process of several threads, and for one thread it means nothing. Where unshare
/// itself is filtered (EPERM) the process's threads are counted instead.
fn is_alone() -> io::Result<bool> {
    match unshare(CloneFlags::CLONE_THREAD) {
        Ok(()) => Ok(true),
        Err(nix::Error::EINVAL) => Ok(false),
        Err(_) => match nix::sys::stat::stat("/proc/self/task") {
            Ok(tasks) => Ok(tasks.st_nlink == 3),
            _ => Err(io::Error::other("cannot tell whether this process has several threads")),
        },
    }
}

fn close_all_but(mut keep: Vec<RawFd>) {
    keep.extend([0, 1, 2]);
    keep.sort_unstable();
    keep.dedup();
    let next = keep[1..].iter().map(|fd| fd - 1).chain([RawFd::MAX]);
    for (first, last) in keep.iter().map(|fd| fd + 1).zip(next) {
        if first <= last {
            close_range(first, last);
        }
    }
}

fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: descriptors have owners in frames of the parent which, as this is its forked copy, never run again.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done != 0 {
        let most = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(1024, |l| l.0);
        for fd in first..=last.min(RawFd::try_from(most).unwrap_or(65_536).min(65_536)) {
            // SAFETY: as above; a number that is not open gives EBADF, which changes nothing.
            unsafe { libc::close(fd) };
        }
    }
}
