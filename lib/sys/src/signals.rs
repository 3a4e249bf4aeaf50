//! Which signals a process that stands in front of another passes on to it (signal(7)).

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

#[cfg(test)]
mod tests {
    use super::{Signal, passed_on};

    #[test]
    fn what_means_the_other_is_passed_on() {
        let set = passed_on();
        assert!([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCONT, Signal::SIGWINCH].iter().all(|s| set.contains(*s)));
        assert!([Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGTSTP].iter().all(|s| !set.contains(*s)));
    }
}
