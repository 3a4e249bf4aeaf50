//! Signals kept for a process that is waited for: from before it is there until [`crate::relay`] hears them for it, one that comes would end us,
//! and not the program.
//!
//! A mask outlives fork and exec. So whatever is started meanwhile gets the mask from before: a child by [`Held::let_go`], a hook by
//! [`Held::before`]. Who ends without letting go ends with its exit code, whatever came last.

use crate::error::{Result, failed};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that are passed on, blocked.
#[derive(Debug)]
pub(crate) struct Held {
    before: SigSet,
}

impl Held {
    /// Keeps them from now on.
    pub(crate) fn take() -> Self {
        let mut before = SigSet::empty();
        let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&sys::signals::passed_on()), Some(&mut before));
        Self { before }
    }

    /// The mask of who started us.
    pub(crate) fn before(&self) -> SigSet {
        self.before
    }

    /// Where they are heard; never waits.
    pub(crate) fn reader(&self) -> Result<SignalFd> {
        SignalFd::with_flags(&sys::signals::passed_on(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|e| failed("signalfd", "", e))
    }

    /// They mean us again, those too that have come already.
    pub(crate) fn let_go(self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }

    /// They mean us from now on: what came before was for a program that had ended.
    pub(crate) fn forget(self) {
        if let Ok(signals) = self.reader() {
            while let Ok(Some(_)) = signals.read_signal() {}
        }
        self.let_go();
    }
}
