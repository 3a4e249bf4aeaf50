//! What waits to be written to the container, and whose it is.
//!
//! Where the container's input is its client's (docker's StdinOnce), it ends when that one has no more, or goes away; never where it is
//! a terminal. Else it stays open for whoever attaches next.

use crate::stream::Event;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use super::clients::Clients;

/// The container's standard input.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) to: Option<OwnedFd>,
    /// Ends with its client's.
    once: bool,
    waiting: VecDeque<(u64, Vec<u8>)>,
    /// How much of the first is written.
    written: usize,
    closing: bool,
}

impl Input {
    /// An input that is written to `to`; with `once` it ends with its client's.
    pub(super) fn new(to: Option<OwnedFd>, once: bool) -> Self {
        Self { to, once, ..Self::default() }
    }

    /// Takes what client `from` sent.
    pub(super) fn push(&mut self, from: u64, bytes: Vec<u8>, clients: &mut Clients) {
        self.waiting.push_back((from, bytes));
        self.write(clients);
    }

    /// A client has no more.
    pub(super) fn client_ended(&mut self, clients: &mut Clients) {
        self.closing |= self.once;
        self.write(clients);
    }

    /// Whether the container is to be asked for room.
    pub(super) fn is_waiting(&self) -> bool {
        self.to.is_some() && !self.waiting.is_empty()
    }

    /// Writes as much as there is room for, and tells whose it was.
    pub(super) fn write(&mut self, clients: &mut Clients) {
        while let Some((from, bytes)) = self.waiting.front() {
            let taken = match &self.to {
                None => bytes.len() - self.written,
                Some(to) => match rustix::io::write(to, &bytes[self.written..]) {
                    Ok(n) => n,
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => return,
                    Err(_) => {
                        self.to = None;
                        continue;
                    }
                },
            };
            clients.tell_one(*from, &Event::Room { bytes: taken });
            self.written += taken;
            if self.written == bytes.len() {
                self.waiting.pop_front();
                self.written = 0;
            }
        }
        if self.closing {
            self.to = None;
        }
    }
}
