//! SIGINT, SIGTERM and SIGHUP while we work: stop, take back what is half done, and die of the signal after all, so that the
//! shell above sees it.
//!
//! The signals are blocked in every thread and waited for by one, so no code runs inside a handler. Those that were ignored
//! when we were started (nohup) stay ignored.

use cli::Failure;
use nix::sys::signal::{SigSet, Signal, raise};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

/// The one of this process.
static STOP: OnceLock<Arc<Stop>> = OnceLock::new();

/// Whether somebody wants us to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Set when a signal has come.
    pub(crate) flag: AtomicBool,
    number: AtomicI32,
    /// Readable when a signal has come.
    event: OwnedFd,
}

impl Stop {
    /// Starts listening. To be called before other threads are started.
    pub(crate) fn listen() -> Result<Arc<Self>, Failure> {
        if let Some(stop) = STOP.get() {
            return Ok(Arc::clone(stop));
        }
        let fail = |e: io::Error| Failure::new(format_args!("cannot listen for signals: {e}"));
        let event = eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| fail(e.into()))?;
        let stop = Arc::new(Self { flag: AtomicBool::new(false), number: AtomicI32::new(0), event });
        let ignored = ignored_signals();
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            if ignored >> (signal as i32 - 1) & 1 == 0 {
                set.add(signal);
            }
        }
        set.thread_block().map_err(|e| fail(e.into()))?;
        let heard = Arc::clone(&stop);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                while let Ok(signal) = set.wait() {
                    heard.number.store(signal as i32, Ordering::Relaxed);
                    heard.flag.store(true, Ordering::Relaxed);
                    let _ = rustix::io::write(&heard.event, &1_u64.to_ne_bytes());
                }
            })
            .map_err(fail)?;
        Ok(Arc::clone(STOP.get_or_init(|| stop)))
    }

    /// Dies of the signal that came, if one did. Everything is taken back by now.
    pub(crate) fn obey(&self) {
        let Ok(signal) = Signal::try_from(self.number.load(Ordering::Relaxed)) else { return };
        let mut set = SigSet::empty();
        set.add(signal);
        let _ = set.thread_unblock();
        let _ = raise(signal);
    }
}

/// The signals that are ignored, a bit each from the first.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0)
}

/// A pipe or terminal that is read until its end or the signal: a read that waits does not keep us from stopping.
#[derive(Debug)]
pub(crate) struct Interruptible {
    pub(crate) file: File,
    pub(crate) stop: Arc<Stop>,
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut fds = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&self.stop.event, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[1].revents().is_empty() => return Err(io::ErrorKind::ConnectionAborted.into()),
                Ok(_) => return self.file.read(buffer),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
