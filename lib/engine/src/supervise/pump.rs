//! Moves bytes between a container, its log and whoever is attached, until the container's process has ended.
//!
//! One thread, one `poll(2)`. Nobody is waited for: what a client has not taken yet stays in its outbox, and while one
//! holds more than [`OUTBOX_BYTES`] the container is not read, so that it feels the slow reader as it would a full pipe.

use super::container::Container;
use crate::log::Writer;
use crate::stream::{Channel, Event, Inbox, Order, frame, message};
use crate::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitIdOptions, waitid};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// How much may wait for a client before the container is no longer read.
const OUTBOX_BYTES: usize = 256 << 10;
/// How much input may wait for the container before clients are no longer read.
const INPUT_BYTES: usize = 64 << 10;
/// How long output is waited for after the process has ended: something else may hold the other end of the pipe.
const DRAIN: Duration = Duration::from_secs(1);
/// How long a client gets to take the last bytes.
const FLUSH: Duration = Duration::from_secs(10);

/// Whoever is attached.
#[derive(Debug, Default)]
pub(super) struct Clients {
    all: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    socket: UnixStream,
    inbox: Inbox,
    outbox: Vec<u8>,
    gone: bool,
}

impl Clients {
    /// The one who started us, if he wants to hear.
    pub(super) fn new(first: Option<UnixStream>) -> Self {
        let mut clients = Self::default();
        clients.all.extend(first.and_then(Client::new));
        clients
    }

    /// Forgets who has left. Only between rounds: while one is served, the others keep their places.
    fn forget_gone(&mut self) {
        self.all.retain(|c| !c.gone);
    }

    /// Tells everybody.
    pub(super) fn tell(&mut self, event: &Event) {
        self.send(&message(Channel::Event, event));
    }

    fn send(&mut self, bytes: &[u8]) {
        for client in &mut self.all {
            client.outbox.extend_from_slice(bytes);
            client.write();
        }
    }

    fn full(&self) -> bool {
        self.all.iter().any(|c| !c.gone && c.outbox.len() > OUTBOX_BYTES)
    }

    /// Waits until everybody has taken what is theirs, or has had time enough.
    pub(super) fn flush(&mut self) {
        let end = Instant::now() + FLUSH;
        while self.all.iter().any(|c| !c.outbox.is_empty()) && Instant::now() < end {
            let mut fds: Vec<_> = self.all.iter().map(|c| PollFd::new(&c.socket, PollFlags::OUT)).collect();
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }));
            self.all.iter_mut().for_each(Client::write);
            self.forget_gone();
        }
    }
}

impl Client {
    fn new(socket: UnixStream) -> Option<Self> {
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, inbox: Inbox::default(), outbox: Vec::new(), gone: false })
    }

    fn write(&mut self) {
        if self.gone {
            self.outbox.clear();
        }
        while !self.outbox.is_empty() {
            match self.socket.write(&self.outbox) {
                Ok(n) => drop(self.outbox.drain(..n)),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return self.leave(),
            }
        }
    }

    fn read(&mut self) {
        let mut bytes = [0; 16 << 10];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.leave(),
            Ok(n) => self.inbox.push(&bytes[..n]),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
            Err(_) => self.leave(),
        }
    }

    fn leave(&mut self) {
        self.gone = true;
        self.outbox.clear();
    }
}

/// What waits to be written to the container.
#[derive(Debug, Default)]
struct Input {
    to: Option<OwnedFd>,
    waiting: Vec<u8>,
    closing: bool,
}

impl Input {
    fn write(&mut self) {
        if let Some(to) = &self.to {
            match rustix::io::write(to, &self.waiting) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.to = None,
            }
        }
        if self.to.is_none() {
            self.waiting.clear();
        }
        if self.closing && self.waiting.is_empty() {
            self.to = None;
        }
    }
}

/// What one round of polling found.
#[derive(Debug, Default)]
struct Ready {
    ended: bool,
    connection: bool,
    input: bool,
    output: [bool; 2],
    clients: Vec<usize>,
}

/// Runs until the container's process has ended and what it wrote is read; gives its exit code.
pub(super) fn run(
    container: Container,
    mut log: Writer,
    listener: &UnixListener,
    clients: &mut Clients,
    signal: &dyn Fn(i32) -> Result<()>,
) -> Result<u8> {
    let Container { process, input, mut output, terminal, .. } = container;
    for descriptor in input.iter().chain(output.iter().flatten()) {
        rustix::io::ioctl_fionbio(descriptor, true).map_err(failed)?;
    }
    let mut input = Input { to: input, ..Input::default() };
    let mut ended: Option<(u8, Instant)> = None;
    loop {
        let silent = output.iter().all(Option::is_none);
        if let Some((code, since)) = ended
            && (silent || since.elapsed() > DRAIN)
        {
            let _ = log.finish();
            return Ok(code);
        }
        let ready = wait(&process, ended.is_some(), listener, clients, &input, &output)?;
        if ready.ended {
            ended = Some((reap(&process)?, Instant::now()));
        }
        for (index, channel) in [(0, Channel::Stdout), (1, Channel::Stderr)] {
            if ready.output[index] {
                copy(&mut output[index], channel, &mut log, clients);
            }
        }
        for index in ready.clients {
            if let Some(client) = clients.all.get_mut(index) {
                serve(client, &mut input, terminal.as_ref(), signal);
            }
        }
        if ready.input || input.closing {
            input.write();
        }
        clients.forget_gone();
        if ready.connection
            && let Ok((socket, _)) = listener.accept()
        {
            clients.all.extend(Client::new(socket));
        }
    }
}

fn wait(
    process: &OwnedFd,
    ended: bool,
    listener: &UnixListener,
    clients: &Clients,
    input: &Input,
    output: &[Option<OwnedFd>; 2],
) -> Result<Ready> {
    let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
    // Once it has ended it would be ready for ever.
    fds.push(PollFd::from_borrowed_fd(process.as_fd(), if ended { PollFlags::empty() } else { PollFlags::IN }));
    let want_output = if clients.full() { PollFlags::empty() } else { PollFlags::IN };
    let open: Vec<usize> = (0..2).filter(|i| output[*i].is_some() && !want_output.is_empty()).collect();
    fds.extend(open.iter().filter_map(|i| output[*i].as_ref()).map(|fd| PollFd::new(fd, want_output)));
    let writing = input.to.as_ref().filter(|_| !input.waiting.is_empty());
    fds.extend(writing.map(|fd| PollFd::new(fd, PollFlags::OUT)));
    let first_client = fds.len();
    for client in &clients.all {
        let mut want = PollFlags::empty();
        if input.waiting.len() < INPUT_BYTES {
            want |= PollFlags::IN;
        }
        if !client.outbox.is_empty() {
            want |= PollFlags::OUT;
        }
        fds.push(PollFd::new(&client.socket, want));
    }
    let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    match poll(&mut fds, ended.then_some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(failed(e)),
    }
    let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
    let mut ready = Ready { connection: is_ready(0), ended: !ended && is_ready(1), ..Ready::default() };
    for (nth, index) in open.iter().enumerate() {
        ready.output[*index] = is_ready(2 + nth);
    }
    ready.input = writing.is_some() && is_ready(2 + open.len());
    ready.clients = (0..clients.all.len()).filter(|i| is_ready(first_client + i)).collect();
    Ok(ready)
}

/// Reads once from the container. A terminal whose last user has gone answers EIO: that is its end.
fn copy(from: &mut Option<OwnedFd>, channel: Channel, log: &mut Writer, clients: &mut Clients) {
    let Some(descriptor) = from else { return };
    let mut bytes = [0; 32 << 10];
    match rustix::io::read(&*descriptor, &mut bytes) {
        Err(Errno::AGAIN | Errno::INTR) => {}
        Ok(0) | Err(_) => *from = None,
        Ok(n) => {
            // A full disk ends the log, not the container.
            let _ = log.push(channel, &bytes[..n]);
            clients.send(&frame(channel, &bytes[..n]));
        }
    }
}

fn serve(client: &mut Client, input: &mut Input, terminal: Option<&OwnedFd>, signal: &dyn Fn(i32) -> Result<()>) {
    client.write();
    client.read();
    loop {
        match client.inbox.next_frame() {
            Ok(Some((Channel::Stdin, bytes))) => {
                if input.to.is_some() && !input.closing {
                    input.waiting.extend_from_slice(&bytes);
                    input.write();
                }
            }
            Ok(Some((Channel::Order, bytes))) => match serde_json::from_slice(&bytes) {
                Ok(Order::Resize { rows, columns }) => {
                    if let Some(terminal) = terminal {
                        let size =
                            rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                        let _ = rustix::termios::tcsetwinsize(terminal, size);
                    }
                }
                Ok(Order::CloseStdin) => input.closing = terminal.is_none(),
                // The process may have ended meanwhile.
                Ok(Order::Signal(number)) => drop(signal(number)),
                Err(_) => {}
            },
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => return client.leave(),
        }
    }
}

/// Takes the ended process's exit code.
fn reap(process: &OwnedFd) -> Result<u8> {
    let status = waitid(rustix::process::WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED).map_err(failed)?;
    Ok(match status {
        Some(status) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code as u8,
            (None, Some(signal)) => 128_u8.wrapping_add(signal as u8),
            (None, None) => 255,
        },
        None => 255,
    })
}

fn failed(e: Errno) -> Error {
    crate::error::system("supervise", "", e)
}
