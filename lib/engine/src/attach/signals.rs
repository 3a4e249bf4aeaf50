//! The signals that reach us while we stand in front of a container.

use crate::Result;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What to do about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Our terminal has another size.
    Size,
    /// It is meant for the container.
    Pass {
        /// Its number.
        number: i32,
        /// The terminal sent it, to all in its foreground.
        typed: bool,
    },
    /// It is meant for us: we are to end.
    End(i32),
}

/// Signals by descriptor; with the mask as it was when dropped.
#[derive(Debug)]
pub(super) struct Signals {
    descriptor: SignalFd,
    before: SigSet,
    proxy: bool,
}

/// Those that answer what we did, which docker leaves out too.
const ANSWERS: [Signal; 3] = [Signal::SIGCHLD, Signal::SIGPIPE, Signal::SIGURG];

impl Signals {
    /// Hears of signals. With `proxy` all that can be passed on, else only of size and, so that the terminal is put right first,
    /// of those that end us.
    pub(super) fn hear(proxy: bool, raw: bool) -> Result<Self> {
        let mut set = if proxy { sys::signals::passed_on() } else { SigSet::empty() };
        ANSWERS.iter().for_each(|signal| set.remove(*signal));
        set.add(Signal::SIGWINCH);
        if raw {
            [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].iter().for_each(|s| set.add(*s));
        }
        let fail = |e: nix::errno::Errno| crate::error::system("signalfd", "", e);
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before)).map_err(fail)?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(fail)?;
        Ok(Self { descriptor, before, proxy })
    }

    /// The next one that came.
    pub(super) fn next(&self) -> Option<Heard> {
        let info = self.descriptor.read_signal().ok()??;
        let number = info.ssi_signo as i32;
        // the kernel's own word of a new size has no sender
        if number == Signal::SIGWINCH as i32 && (info.ssi_pid == 0 || !self.proxy) {
            return Some(Heard::Size);
        }
        Some(if self.proxy { Heard::Pass { number, typed: info.ssi_pid == 0 } } else { Heard::End(number) })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}
