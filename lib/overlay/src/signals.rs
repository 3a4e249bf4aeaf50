//! Signals as a queue, for a process that waits for a child or for an unmount and must undo something at the end.

use crate::error::{Error, Kind, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What a terminal, a user or a supervisor sends to end a program.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// What is only handed on.
const TELLING: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];

/// The signals that end a program, those that tell it something, and SIGCHLD, blocked and queued; unblocked when dropped.
#[derive(Debug)]
pub struct Signals {
    queue: SignalFd,
    /// The signal mask before: what a command is to start with.
    pub before: SigSet,
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// A child may have ended.
    Child,
    /// Someone wants the program to end.
    End {
        /// What was sent.
        signal: Signal,
        /// By the terminal's keys, and so to every process of the foreground group.
        by_terminal: bool,
    },
    /// Something for whoever we wait for: a server prints statistics at SIGUSR1.
    Tell(Signal),
}

impl Signals {
    /// From now on signals wait in the queue.
    pub fn block() -> Result<Self> {
        let failed = |e: nix::Error| Error::new(Kind::Failed, "block signals", "").because(io::Error::from(e));
        let mut set = SigSet::from_iter(ENDING);
        set.add(Signal::SIGCHLD);
        set.extend(TELLING);
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
        let queue = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Self { queue, before })
    }

    /// Waits for the next one.
    pub fn next(&self) -> Came {
        loop {
            let Ok(Some(info)) = self.queue.read_signal() else { continue };
            return match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) | Err(_) => Came::Child,
                Ok(signal) if TELLING.contains(&signal) => Came::Tell(signal),
                Ok(signal) => Came::End { signal, by_terminal: info.ssi_code == libc::SI_KERNEL },
            };
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}
