//! Who has the caller's terminal, when the caller stays behind and waits.
//!
//! A shell in a new pid namespace cannot see the process group of its caller: getpgrp(2) and tcgetpgrp(3) answer 0 there, and dash
//! and busybox then fail to give the terminal back ("Cannot set tty process group"). So the program gets a process group of its
//! own, in the foreground, as a shell would give it to a job; and as a shell we take the terminal back when it ends, and stop
//! ourselves when it stops, so that `^Z` and `fg` of the caller's shell work.

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Whether a program that takes input and output from us talks to the terminal whose foreground we have. (In a pipeline the
/// other programs share our process group: the terminal stays theirs too.)
pub(crate) fn is_ours() -> bool {
    nix::unistd::isatty(std::io::stdout()) == Ok(true) && have()
}

/// Whether our process group has the terminal at stdin. (rustix's getpgrp asserts that the group is visible, which the
/// one of a process in a pid namespace of its own need not be.)
fn have() -> bool {
    let ours = nix::unistd::getpgrp();
    ours.as_raw() > 0 && nix::unistd::tcgetpgrp(std::io::stdin()) == Ok(ours)
}

/// Makes `group` the foreground of the terminal at stdin.
fn give_to(group: Pid) {
    // From a background group the kernel stops the caller unless the signal is ignored.
    sys::spawn::ignore_signal(libc::SIGTTOU);
    let _ = nix::unistd::tcsetpgrp(std::io::stdin(), group);
    sys::spawn::reset_signal(libc::SIGTTOU);
}

/// Takes it back for our own process group.
pub(crate) fn take_back() {
    give_to(nix::unistd::getpgrp());
}

/// In the program's process, before its exec: a process group of its own, in the foreground.
pub(crate) fn lead() {
    let us = nix::unistd::getpid();
    if nix::unistd::setpgid(us, us).is_ok() {
        give_to(us);
    }
}

/// In the process that waits: what to do when something happened to the leader `pid`. Where it has stopped, so do we, and both go
/// on when our caller lets us.
pub(crate) fn follow(pid: i32) {
    let leader = Pid::from_raw(pid);
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
    let Ok(WaitStatus::Stopped(_, signal)) = waitid(Id::Pid(leader), flags) else { return };
    let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
    // Brought to the foreground by the caller's shell while it ran: only the terminal is missing.
    if !(wants_terminal && have()) {
        take_back();
        let _ = kill(Pid::this(), Signal::SIGSTOP);
    }
    if have() {
        give_to(leader);
    }
    let _ = kill(Pid::from_raw(-pid), Signal::SIGCONT);
}
