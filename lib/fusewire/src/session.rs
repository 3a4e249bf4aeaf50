//! A session: from a device whose INIT is unanswered to the unmount.

use crate::desk::Desk;
use crate::device::{Channel, Connection};
use crate::filesystem::Filesystem;
use crate::init::{self, Hello};
use crate::pool::Pool;
use crate::statistics::Statistics;
use crate::wire::Writer;
use crate::{abi, device::Came};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// How a session works; [`Settings::default`] suits this machine.
#[derive(Debug)]
pub struct Settings {
    /// Most threads there may be: so many slow operations can be under way at once.
    pub most_threads: usize,
    /// Processors: so many threads are worth calling while none is held up.
    pub processors: usize,
    /// How long a thread that answered looks for the next request before it sleeps; zero: not at all.
    pub poll: Duration,
    /// /proc/self/fd, by which the device is opened again for every thread. Without it all share one descriptor.
    pub proc: Option<OwnedFd>,
}

impl Default for Settings {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // With one processor, looking keeps the caller from asking.
        let poll = if processors > 1 { Duration::from_micros(200) } else { Duration::ZERO };
        Self { most_threads: 64, processors, poll, proc: None }
    }
}

/// A file system and the device it is to be served on.
#[derive(Debug)]
pub struct Session<F> {
    device: Arc<OwnedFd>,
    filesystem: F,
    settings: Settings,
    statistics: Arc<Statistics>,
}

impl<F: Filesystem> Session<F> {
    /// `device`: /dev/fuse, mounted already, INIT not yet answered.
    pub fn new(device: OwnedFd, filesystem: F, settings: Settings) -> Self {
        Self { device: Arc::new(device), filesystem, settings, statistics: Arc::default() }
    }

    /// Counts into `statistics`, which the caller may have shared before.
    pub fn count_into(mut self, statistics: Arc<Statistics>) -> Self {
        self.statistics = statistics;
        self
    }

    /// The session's counters.
    pub fn statistics(&self) -> Arc<Statistics> {
        self.statistics.clone()
    }

    /// Serves, with this thread and others, until it is unmounted or aborted, which is no error.
    pub fn run(self) -> io::Result<()> {
        let connection = Connection::new(self.device.clone(), self.statistics.clone());
        if !self.greet(&connection)? {
            return Ok(());
        }
        drop(connection);
        Arc::new(Pool::new(self.filesystem, self.statistics, self.device, self.settings)).run()
    }

    /// Answers INIT; `false` where the mount has gone before.
    fn greet(&self, connection: &Connection) -> io::Result<bool> {
        let channel = Channel::first(self.device.clone());
        let mut desk = Desk::new();
        loop {
            let length = match channel.wait(desk.input()) {
                Ok(length) => length,
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => continue,
                Err(Errno::NODEV | Errno::CONNABORTED) => return Ok(false),
                Err(e) => return Err(e.into()),
            };
            let Some((request, body)) = desk.request(length) else { return Err(io::Error::other("no FUSE request")) };
            let (opcode, unique) = (request.opcode, request.unique);
            if opcode != abi::INIT {
                desk.serve(&self.filesystem, &self.statistics, &channel, length, Came::Awaited);
                continue;
            }
            self.statistics.count(opcode);
            match init::parse(body) {
                None => return Err(io::Error::other("an odd FUSE INIT")),
                Some(Hello::Newer) => {
                    desk.send_init(&channel, unique, |into| {
                        let mut out = Writer::new(into);
                        init::put_ours(&mut out);
                        out.length()
                    });
                }
                Some(Hello::TooOld(major, minor)) => {
                    desk.refuse(&channel, unique, Errno::PROTO);
                    let text = format!("the kernel speaks FUSE {major}.{minor}, older than 7.{}", abi::OLDEST_MINOR);
                    return Err(io::Error::other(text));
                }
                Some(Hello::Offer(offer)) => {
                    let terms = self.filesystem.init(&offer, connection);
                    let sent = desk.send_init(&channel, unique, |into| {
                        let mut out = Writer::new(into);
                        init::put(&offer, &terms, &mut out);
                        out.length()
                    });
                    return Ok(sent);
                }
            }
        }
    }
}
