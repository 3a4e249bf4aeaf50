//! Whoever is attached: what waits for them, and what they ask.
//!
//! Nobody loses a byte while he reads, however slowly: the container feels the slowest reader as it would a full pipe. Who takes
//! nothing at all for [`PATIENCE`] while others wait for him is let go, so that one terminal that was stopped does not stop the
//! container for everybody.

use crate::stream::{Channel, Event, Inbox, Order, WINDOW_BYTES, frame, message, receive};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How much may wait for a client before the container is no longer read.
const OUTBOX_BYTES: usize = 256 << 10;
/// How long a client that takes nothing keeps others waiting.
pub(in crate::supervise) const PATIENCE: Duration = Duration::from_secs(10);

/// Whoever is attached.
#[derive(Debug, Default)]
pub(in crate::supervise) struct Clients {
    pub(super) all: Vec<Client>,
    next: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Client {
    /// Which one; never given out again.
    pub(super) number: u64,
    pub(super) socket: UnixStream,
    inbox: Inbox,
    /// What it handed us for the process it asks for.
    pub(super) given: Vec<OwnedFd>,
    outbox: Vec<u8>,
    /// Has input for the container.
    pub(super) stdin: bool,
    /// Is here for another process in the container, and sees only that.
    pub(super) visitor: bool,
    /// Gets what waits for him and nothing more.
    leaving: bool,
    pub(super) gone: bool,
    /// Since when it has taken nothing though much waits.
    stuck: Option<Instant>,
}

/// What a client sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// Input.
    Input(Vec<u8>),
    /// An order.
    Order(Order),
}

impl Clients {
    /// The one who started us, if he wants to hear.
    pub(in crate::supervise) fn new(first: Option<UnixStream>) -> Self {
        let mut clients = Self::default();
        if let Some(first) = first {
            clients.join(first);
        }
        clients
    }

    pub(super) fn join(&mut self, socket: UnixStream) {
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        self.next += 1;
        self.all.push(Client {
            number: self.next,
            socket,
            inbox: Inbox::default(),
            given: Vec::new(),
            outbox: Vec::new(),
            stdin: false,
            leaving: false,
            gone: false,
            stuck: None,
            visitor: false,
        });
    }

    /// Forgets who has left. Only between rounds: while one is served, the others keep their places.
    pub(super) fn forget_gone(&mut self) {
        self.all.retain(|c| !c.gone);
    }

    /// Tells everybody who is attached to the container itself.
    pub(in crate::supervise) fn tell(&mut self, event: &Event) {
        self.send(&message(Channel::Event, event));
    }

    /// What a process that a client asked for wrote, to that client.
    pub(super) fn show_one(&mut self, number: u64, bytes: &[u8]) {
        if let Some(client) = self.all.iter_mut().find(|c| c.number == number && !c.leaving) {
            client.post(&frame(Channel::Stdout, bytes));
        }
    }

    /// Tells the client with this number, and lets it go.
    pub(super) fn dismiss(&mut self, number: u64, event: &Event) {
        if let Some(client) = self.all.iter_mut().find(|c| c.number == number && !c.leaving) {
            client.leaving = true;
            client.post(&message(Channel::Event, event));
        }
    }

    /// Whether so much waits for the client with this number that what is for it is not to be read; not for one that has gone.
    pub(super) fn is_full(&self, number: u64) -> bool {
        self.all.iter().any(|c| c.number == number && c.holds_up())
    }

    /// What the container wrote, to everybody.
    pub(super) fn show(&mut self, channel: Channel, bytes: &[u8]) {
        self.send(&frame(channel, bytes));
    }

    fn send(&mut self, bytes: &[u8]) {
        for client in self.all.iter_mut().filter(|c| !c.leaving && !c.visitor) {
            client.post(bytes);
        }
    }

    /// Tells the client with this number.
    pub(super) fn tell_one(&mut self, number: u64, event: &Event) {
        if let Some(client) = self.all.iter_mut().find(|c| c.number == number && !c.leaving) {
            client.post(&message(Channel::Event, event));
        }
    }

    /// Whether somebody has so much waiting that the container is not to be read.
    pub(super) fn full(&self) -> bool {
        self.all.iter().any(|c| !c.visitor && c.holds_up())
    }

    /// How long until somebody who takes nothing is let go; none where nobody is, or where he keeps nobody waiting.
    pub(super) fn patience(&self) -> Option<Duration> {
        let others = self.all.iter().filter(|c| !c.gone && !c.leaving && !c.visitor).count() > 1;
        let first = self.all.iter().filter(|c| !c.visitor && c.holds_up()).filter_map(|c| c.stuck).min();
        first.filter(|_| others).map(|since| PATIENCE.saturating_sub(since.elapsed()))
    }

    /// Lets go who has kept the others waiting for too long.
    pub(super) fn let_go_stuck(&mut self) {
        if self.patience().is_none_or(|left| !left.is_zero()) {
            return;
        }
        let why = "it took nothing of the container's output for too long, and others are attached".to_owned();
        let word = message(Channel::Event, &Event::Dropped { why });
        for client in self.all.iter_mut().filter(|c| c.is_stuck(PATIENCE)) {
            client.post(&word);
            client.leaving = true;
        }
    }

    /// Whether somebody who holds up the container has taken nothing for `patience`.
    pub(super) fn are_stuck(&self, patience: Duration) -> bool {
        self.all.iter().any(|c| c.is_stuck(patience))
    }

    /// Drops those, with what waits for them.
    pub(super) fn give_up_stuck(&mut self, patience: Duration) {
        self.all.iter_mut().filter(|c| c.is_stuck(patience)).for_each(Client::leave);
    }

    /// Waits until everybody has taken what is theirs, or has gone; with `patience` no longer than nobody takes anything for that.
    pub(in crate::supervise) fn flush(&mut self, patience: Option<Duration>) {
        self.forget_gone();
        let mut last = (usize::MAX, Instant::now());
        loop {
            let left = self.all.iter().map(|c| c.outbox.len()).sum();
            if left < last.0 {
                last = (left, Instant::now());
            }
            if left == 0 || patience.is_some_and(|patience| last.1.elapsed() >= patience) {
                return;
            }
            let waiting = self.all.iter().filter(|c| !c.outbox.is_empty());
            let mut fds: Vec<_> = waiting.map(|c| PollFd::new(&c.socket, PollFlags::OUT)).collect();
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
            self.all.iter_mut().for_each(Client::write);
            self.forget_gone();
        }
    }
}

impl Client {
    fn post(&mut self, bytes: &[u8]) {
        if self.gone {
            return;
        }
        self.outbox.extend_from_slice(bytes);
        self.write();
    }

    pub(super) fn has_mail(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn holds_up(&self) -> bool {
        !self.gone && !self.leaving && self.outbox.len() > OUTBOX_BYTES
    }

    fn is_stuck(&self, patience: Duration) -> bool {
        !self.visitor && self.holds_up() && self.stuck.is_some_and(|since| since.elapsed() >= patience)
    }

    pub(super) fn write(&mut self) {
        let mut sent = 0;
        while let Some(rest) = self.outbox.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.leave(),
            }
        }
        if sent == self.outbox.len() {
            // Kept no longer than it is needed: an idle supervisor is small.
            self.outbox = Vec::new();
            if self.leaving {
                self.leave();
            }
        } else {
            self.outbox.drain(..sent);
        }
        self.stuck = match self.outbox.len() > OUTBOX_BYTES {
            true if sent == 0 => self.stuck.or_else(|| Some(Instant::now())),
            true => Some(Instant::now()),
            false => None,
        };
    }

    /// Reads once.
    pub(super) fn read(&mut self) {
        let mut bytes = [0; 16 << 10];
        match receive(&self.socket, &mut bytes, &mut self.given) {
            Ok(0) => self.leave(),
            Ok(n) => self.inbox.push(&bytes[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.leave(),
        }
    }

    /// What it sent, piece by piece. What is none of our protocol ends the stay.
    pub(super) fn sent(&mut self) -> Option<Sent> {
        loop {
            match self.inbox.next_frame() {
                Ok(Some((Channel::Stdin, bytes))) if bytes.len() <= WINDOW_BYTES => return Some(Sent::Input(bytes)),
                Ok(Some((Channel::Stdin, _))) | Err(_) => {
                    self.leave();
                    return None;
                }
                Ok(Some((Channel::Order, bytes))) => {
                    // one that we do not know is skipped
                    if let Ok(order) = serde_json::from_slice(&bytes) {
                        return Some(Sent::Order(order));
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
            }
        }
    }

    pub(super) fn leave(&mut self) {
        self.gone = true;
        self.outbox = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn pair(clients: &mut Clients) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        clients.join(ours);
        theirs
    }

    #[test]
    fn one_who_takes_nothing_holds_up_the_container_and_is_let_go_only_for_others() {
        let mut clients = Clients::default();
        let mut slow = pair(&mut clients);
        let piece = [b'x'; 32 << 10];
        while !clients.full() {
            clients.show(Channel::Stdout, &piece);
        }
        assert!(clients.patience().is_none(), "alone it may take its time");
        let _other = pair(&mut clients);
        assert!(clients.patience().is_some_and(|left| left <= PATIENCE && !left.is_zero()));
        clients.let_go_stuck();
        assert!(clients.full(), "not before its time");
        clients.all[0].stuck = Instant::now().checked_sub(PATIENCE);
        clients.let_go_stuck();
        assert!(!clients.full(), "the others go on");
        // what waited for it, it still gets, and then why
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            slow.read_to_end(&mut all).unwrap();
            all
        });
        while clients.all.iter().any(|c| c.number == 1) {
            clients.all.iter_mut().for_each(Client::write);
            clients.forget_gone();
        }
        let mut inbox = Inbox::default();
        inbox.push(&reader.join().unwrap());
        let (mut bytes, mut last) = (0, None);
        while let Some((channel, payload)) = inbox.next_frame().unwrap() {
            bytes += if channel == Channel::Stdout { payload.len() } else { 0 };
            last = Some((channel, payload));
        }
        assert!(bytes > OUTBOX_BYTES && bytes % piece.len() == 0, "{bytes}");
        let (channel, payload) = last.unwrap();
        assert_eq!(channel, Channel::Event);
        assert!(matches!(serde_json::from_slice(&payload).unwrap(), Event::Dropped { .. }));
    }
}
