//! What a session counts: relaxed atomics, read at any time and by anybody who has the [`Statistics`].

use crate::abi::{self, OPERATIONS};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A session's counters, live.
#[derive(Debug)]
pub struct Statistics {
    pub(crate) requests: [AtomicU64; OPERATIONS],
    pub(crate) errors: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) bytes_stored: AtomicU64,
    pub(crate) threads: AtomicU64,
    pub(crate) most_threads: AtomicU64,
    pub(crate) poll_hits: AtomicU64,
    pub(crate) poll_misses: AtomicU64,
    pub(crate) sleeps: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) backings: AtomicU64,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            requests: [const { AtomicU64::new(0) }; OPERATIONS],
            errors: AtomicU64::default(),
            faults: AtomicU64::default(),
            bytes_read: AtomicU64::default(),
            bytes_written: AtomicU64::default(),
            bytes_stored: AtomicU64::default(),
            threads: AtomicU64::default(),
            most_threads: AtomicU64::default(),
            poll_hits: AtomicU64::default(),
            poll_misses: AtomicU64::default(),
            sleeps: AtomicU64::default(),
            stalls: AtomicU64::default(),
            backings: AtomicU64::default(),
        }
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests, by the operation's number.
    pub requests: [u64; OPERATIONS],
    /// Answers that were an error number (a name that is not there is none).
    pub errors: u64,
    /// Handlers that panicked.
    pub faults: u64,
    /// Bytes given to READ.
    pub bytes_read: u64,
    /// Bytes taken from WRITE.
    pub bytes_written: u64,
    /// Bytes put into the kernel's page cache before it asked.
    pub bytes_stored: u64,
    /// Threads there are.
    pub threads: u64,
    /// Most there were at once.
    pub most_threads: u64,
    /// Requests that a polling thread met, so that none had to be woken.
    pub poll_hits: u64,
    /// Times nothing came while a thread polled.
    pub poll_misses: u64,
    /// Times a thread went to sleep in read(2).
    pub sleeps: u64,
    /// Times every thread was held up in a handler and another was sent for.
    pub stalls: u64,
    /// Files that were opened for the kernel to read and write itself.
    pub backings: u64,
}

impl Statistics {
    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let mut requests = [0; OPERATIONS];
        for (count, live) in requests.iter_mut().zip(&self.requests) {
            *count = live.load(Relaxed);
        }
        Snapshot {
            requests,
            errors: self.errors.load(Relaxed),
            faults: self.faults.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            bytes_stored: self.bytes_stored.load(Relaxed),
            threads: self.threads.load(Relaxed),
            most_threads: self.most_threads.load(Relaxed),
            poll_hits: self.poll_hits.load(Relaxed),
            poll_misses: self.poll_misses.load(Relaxed),
            sleeps: self.sleeps.load(Relaxed),
            stalls: self.stalls.load(Relaxed),
            backings: self.backings.load(Relaxed),
        }
    }

    pub(crate) fn count(&self, opcode: u32) {
        if let Some(live) = self.requests.get(opcode as usize) {
            live.fetch_add(1, Relaxed);
        }
    }
}

impl Snapshot {
    /// Operations that were asked for, by name, with their counts.
    pub fn operations(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let all = self.requests.iter().zip(0_u32..);
        all.filter(|(count, _)| **count > 0).map(|(count, opcode)| (abi::operation(opcode), *count))
    }

    /// All other counters, by name.
    pub fn totals(&self) -> [(&'static str, u64); 12] {
        [
            ("errors", self.errors),
            ("faults", self.faults),
            ("bytes_read", self.bytes_read),
            ("bytes_written", self.bytes_written),
            ("bytes_stored", self.bytes_stored),
            ("threads", self.threads),
            ("most_threads", self.most_threads),
            ("poll_hits", self.poll_hits),
            ("poll_misses", self.poll_misses),
            ("sleeps", self.sleeps),
            ("stalls", self.stalls),
            ("backings", self.backings),
        ]
    }
}

/// A line a counter: name, blank, number.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.operations().chain(self.totals()) {
            writeln!(f, "{name} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_prints_what_was_asked_for() {
        let live = Statistics::default();
        live.count(abi::LOOKUP);
        live.count(abi::LOOKUP);
        live.count(4_000);
        let shown = live.snapshot().to_string();
        assert!(shown.starts_with("lookup 2\nerrors 0\n"), "{shown}");
    }
}
