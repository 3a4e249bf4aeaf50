//! A PID 1 of ours in front of a program: it reaps what is orphaned, passes signals on, and ends with the program's code.
//!
//! Invariants: it never panics (an end of PID 1 ends the container), holds nothing open but stdio, and waits in one system call
//! for the next signal.

use crate::error::{Result, failed};
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use sys::spawn::Fork;

/// Forks: the parent stays in front for good, and the child, which becomes the program, goes on. The parent is seen as `nsrun-init -- words`:
/// its own arguments and environment are the machine's.
pub(crate) fn stand_in_front<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<()> {
    // Before there is a child that could look; the child's own name and arguments come with its exec.
    let _ = rustix::thread::set_name(c"nsrun-init");
    sys::title::show([&b"nsrun-init"[..], b"--"].into_iter().chain(words));
    match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
        Fork::Child => {
            step_aside();
            Ok(())
        }
        Fork::Parent(pid, _) => main(pid),
    }
}

/// In the child, before its exec: a process group of its own, in the foreground where there is a terminal.
fn step_aside() {
    let us = nix::unistd::getpid();
    let _ = nix::unistd::setpgid(us, us);
    // tcsetpgrp(3) from a background group stops the caller with SIGTTOU unless that is ignored.
    sys::spawn::ignore_signal(libc::SIGTTOU);
    if let (Some(group), Ok(true)) =
        (rustix::process::Pid::from_raw(us.as_raw()), nix::unistd::isatty(std::io::stdin()))
    {
        let _ = rustix::termios::tcsetpgrp(std::io::stdin(), group);
    }
    sys::spawn::default_signals();
}

/// In the parent: serves until the child of this pid has ended, then ends with its code.
fn main(child: i32) -> ! {
    // The channel to whoever started us, above all: it tells by its end that the exec went well.
    let _ = sys::spawn::close_from(3);
    let child = Pid::from_raw(child);
    let _ = SigSet::all().thread_block();
    loop {
        if let Some(code) = reap(child) {
            sys::spawn::exit_now(code);
        }
        match sys::spawn::wait_for_signal() {
            Ok(libc::SIGCHLD) | Err(_) => {}
            // From the terminal these reach the child's group by themselves.
            Ok(number) => {
                let _ = sys::spawn::kill_child(child.as_raw(), number);
            }
        }
    }
}

/// Reaps all that has ended; the code of `child` once it has.
fn reap(child: Pid) -> Option<u8> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return Some(code as u8),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return Some(128 + signal as u8),
            Ok(WaitStatus::StillAlive) => return None,
            Err(Errno::ECHILD) => return Some(0),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}
