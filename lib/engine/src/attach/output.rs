//! What is to be written to our standard output and error. Never more at once than a pipe that polls writable takes without waiting:
//! also behind a reader that sleeps we hear of signals, and of the keys that detach.

use crate::stream::Channel;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::AsFd;

/// What a pipe takes whole, once it takes anything (PIPE_BUF).
const PIECE_BYTES: usize = 4096;
/// How much is taken in before the supervisor is no longer read.
const FULL_BYTES: usize = 256 << 10;

/// Output on its way.
#[derive(Debug, Default)]
pub(super) struct Output {
    waiting: VecDeque<(Channel, Vec<u8>)>,
    /// How much of the first is written.
    written: usize,
    bytes: usize,
}

/// Nobody reads our output any more.
#[derive(Debug)]
pub(super) struct Unread;

impl Output {
    pub(super) fn push(&mut self, channel: Channel, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.waiting.push_back((channel, bytes));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes > FULL_BYTES
    }

    /// Writes as much as is taken without waiting.
    pub(super) fn write(&mut self) -> Result<(), Unread> {
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        while let Some((channel, bytes)) = self.waiting.front() {
            let to = if *channel == Channel::Stderr { stderr.as_fd() } else { stdout.as_fd() };
            let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
            match rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
            let rest = &bytes[self.written..];
            match rustix::io::write(to, &rest[..rest.len().min(PIECE_BYTES)]) {
                Ok(n) => {
                    self.written += n;
                    self.bytes -= n;
                    if self.written == bytes.len() {
                        self.waiting.pop_front();
                        self.written = 0;
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                Err(_) => return Err(Unread),
            }
        }
        Ok(())
    }

    /// The stream that the next bytes go to.
    pub(super) fn next(&self) -> Option<Channel> {
        self.waiting.front().map(|(channel, _)| *channel)
    }
}
