//! Which signals a process that stands in front of another passes on to it, and which would end one (signal(7)).
//!
//! The first is a decision, the one there is in this crate: `runtime` and `engine` both stand in front of programs, must not differ, and share no
//! other room below them.

use nix::sys::signal::{SigSet, Signal};

/// Those that mean whoever gets them: that cannot be held back, that tell of a fault of its own, and those by which the terminal stops a
/// job, which the shell is to see stop.
const OURS: [Signal; 12] = [
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGABRT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// All others, real-time ones too.
pub fn passed_on() -> SigSet {
    let mut set = SigSet::all();
    OURS.iter().for_each(|signal| set.remove(*signal));
    set
}

/// Whether this process, which has no handlers, would end by signal `number`: whoever holds it looks before it acts for the kernel.
pub fn ends_us(number: i32) -> bool {
    let harmless = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    !harmless.contains(&number) && !stops.contains(&number) && !is_ignored(number)
}

fn is_ignored(number: i32) -> bool {
    // SAFETY: sigaction is plain memory for which zeros are a value; the new action is null, so none is set, and `now` outlives the call.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::{Signal, ends_us, passed_on};

    #[test]
    fn what_is_ignored_ends_nobody() {
        // Rust's start-up ignores SIGPIPE.
        assert!([libc::SIGTERM, libc::SIGUSR1, libc::SIGRTMIN()].iter().all(|n| ends_us(*n)));
        assert!([libc::SIGPIPE, libc::SIGCHLD, libc::SIGWINCH, libc::SIGTSTP].iter().all(|n| !ends_us(*n)));
    }

    #[test]
    fn what_means_the_other_is_passed_on() {
        let set = passed_on();
        assert!([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCONT, Signal::SIGWINCH].iter().all(|s| set.contains(*s)));
        assert!([Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGTSTP].iter().all(|s| !set.contains(*s)));
    }
}
