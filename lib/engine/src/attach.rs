//! The other end of a supervisor's socket: our terminal or streams, connected to a container.
//!
//! ```text
//! terminal ─ raw ─┐                                   ┌─ container
//! stdin ──────────┼─ keys ─ Stdin, at most a window ──┤   the supervisor's socket, <run>/<id>/attach
//! stdout, stderr ─┴─ output ◀─ Stdout, Stderr, Event ─┴─ others that are attached
//! ```
//!
//! Nothing here ever waits for one side alone: whoever reads our output slowly, or a container that does not read its input, keeps
//! neither signals nor the detach keys from us.

use crate::place::Place;
use crate::stream::{Channel, Event, Inbox, Order, WINDOW_BYTES, frame, message};
use crate::{Error, Kind, Result};
use output::{Output, Unread};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signals::{Heard, Signals};
use spec::ContainerId;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use terminal::Raw;

mod keys;
mod output;
mod signals;
mod terminal;

pub use keys::Keys;

/// The size of our own terminal, rows and columns; none where we have none.
pub fn window() -> Option<(u16, u16)> {
    match terminal::size(0)? {
        crate::stream::Order::Resize { rows, columns } => Some((rows, columns)),
        _ => None,
    }
}

/// What to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our standard input goes to the container.
    pub stdin: bool,
    /// What it writes to its standard output, or terminal, comes to ours.
    pub stdout: bool,
    /// The same for standard error.
    pub stderr: bool,
    /// The container has a terminal: ours becomes raw, its size travels.
    pub tty: bool,
    /// Signals we get are the container's. Never so with a terminal: there they are keys.
    pub proxy_signals: bool,
    /// What detaches.
    pub keys: Keys,
    /// The container runs already: what its terminal shows is drawn again.
    pub redraw: bool,
    /// Not the container's own process but another one in it, by its id ([`crate::exec`]).
    pub exec: Option<String>,
}

impl Options {
    /// All streams, signals passed on where there is no terminal, docker's keys.
    pub fn all(stdin: bool, tty: bool) -> Self {
        let keys = Keys::default();
        Self { stdin, stdout: true, stderr: true, tty, proxy_signals: true, keys, redraw: false, exec: None }
    }
}

/// How being attached ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The container has ended with this code.
    Exited(u8),
    /// It could not be started.
    Failed {
        /// One line.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// The exit code.
        code: u8,
    },
    /// It is being started by somebody else.
    Taken,
    /// The detach keys were typed; the container goes on.
    Detached,
    /// Nobody reads our output any more.
    Unread,
    /// We were told to end by this signal; the container goes on.
    Signalled(i32),
    /// We were told so often that it was meant for us, whatever the container makes of it; it goes on.
    Forced,
    /// The supervisor let us go, and why; the container goes on.
    Dropped(String),
}

/// How long a terminal is another size, where what it shows is to be drawn again.
const NUDGE: Duration = Duration::from_millis(50);
/// docker: as many signals to end, and the client goes though the container does not.
const ENOUGH: u32 = 3;

/// The socket of the supervisor of container `id`.
pub fn connect(place: &Place, id: &ContainerId) -> Result<UnixStream> {
    UnixStream::connect(place.of(id).join("attach")).map_err(|e| {
        Error::new(Kind::Failed, "attach to", id.short())
            .because(e)
            .hint("its supervisor is gone: ctr logs shows what it wrote, ctr stop and ctr start bring it back")
    })
}

/// Hands the supervisor what the process that it is asked for next is given as its descriptors 3, 4 and so on.
pub fn give(socket: &UnixStream, given: &[OwnedFd]) -> Result<()> {
    if given.is_empty() {
        return Ok(());
    }
    crate::stream::give(socket, given).map_err(|e| gone().because(e))
}

/// Has the supervisor start the process `exec` beside the container's own, and waits for that alone; how it failed, if it did.
pub fn begin(mut socket: UnixStream, exec: &str) -> Result<Option<End>> {
    let order = message(Channel::Order, &Order::Exec { id: exec.to_owned() });
    socket.write_all(&order).map_err(|e| gone().because(e))?;
    until_started(socket)
}

/// Reads events until the container runs (or could not be started): for `run -d`.
pub fn until_started(mut socket: UnixStream) -> Result<Option<End>> {
    let mut inbox = Inbox::default();
    loop {
        while let Some((channel, payload)) = next(&mut inbox)? {
            if channel == Channel::Event {
                match event(&payload) {
                    Some(Event::Started) => return Ok(None),
                    Some(Event::Failed { message, hint, code }) => {
                        return Ok(Some(End::Failed { message, hint, code }));
                    }
                    Some(Event::Exited { code }) => return Ok(Some(End::Exited(code))),
                    Some(Event::Taken) => return Ok(Some(End::Taken)),
                    Some(_) | None => {}
                }
            }
        }
        let mut bytes = [0; 4096];
        match socket.read(&mut bytes) {
            Ok(0) => return Err(gone()),
            Ok(n) => inbox.push(&bytes[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(gone().because(e)),
        }
    }
}

/// Connects our streams to the container behind `socket` until it ends or we leave.
pub fn run(socket: UnixStream, options: Options) -> Result<End> {
    prepare(options)?.run(socket)
}

/// Our side of a stay, before there is anybody on the other: the terminal is raw, and signals are the container's, though it is still
/// to begin. None of those that come meanwhile is lost, or ends us while the container goes on.
///
/// What is started while this is there inherits what it blocks, threads as they should, programs as they must not.
#[derive(Debug)]
pub struct Prepared {
    options: Options,
    // Put right before signals reach us as they did.
    raw: Option<Raw>,
    signals: Signals,
}

/// Gets ready for a stay.
pub fn prepare(options: Options) -> Result<Prepared> {
    let raw = if options.tty && options.stdin { Raw::enter() } else { None };
    let signals = Signals::hear(options.proxy_signals && !options.tty, raw.is_some())?;
    Ok(Prepared { options, raw, signals })
}

impl Prepared {
    /// Connects our streams to the container behind `socket` until it ends or we leave.
    pub fn run(self, socket: UnixStream) -> Result<End> {
        let Self { options, raw, signals } = self;
        let mut session = Session {
            socket,
            inbox: Inbox::default(),
            output: Output::default(),
            window: WINDOW_BYTES,
            reading: options.stdin,
            begun: options.redraw || options.exec.is_some(),
            keys: raw.is_some().then(|| options.keys.clone()),
            told_to_end: 0,
            nudged: None,
            end: None,
            options,
        };
        session.greet();
        let end = session.serve(&signals);
        drop(raw);
        end
    }
}

/// One stay at a container.
#[derive(Debug)]
struct Session {
    options: Options,
    socket: UnixStream,
    inbox: Inbox,
    output: Output,
    /// How much input may still be sent before some of it was taken.
    window: usize,
    /// Whether our standard input may have more.
    reading: bool,
    /// Whether it is the container's own supervisor that we are at: until it says so our input is not taken, as somebody else may be
    /// starting it, to whom it then goes.
    begun: bool,
    /// What detaches; none where nobody types.
    keys: Option<Keys>,
    told_to_end: u32,
    /// When the terminal gets its own size again.
    nudged: Option<Instant>,
    /// How it ended; what was written before is still to be shown.
    end: Option<Result<End>>,
}

/// What a round of polling found.
#[derive(Debug, Default)]
struct Ready {
    signals: bool,
    socket: bool,
    stdin: bool,
    output: bool,
}

impl Session {
    fn greet(&mut self) {
        let begin = match &self.options.exec {
            Some(id) => Order::Exec { id: id.clone() },
            None => Order::Attach { stdin: self.options.stdin },
        };
        self.order(&begin);
        if self.options.tty {
            // A full screen is drawn anew when its size changes: it changes for a moment, as docker does it.
            let more = u16::from(self.options.redraw);
            self.nudged = self.options.redraw.then(|| Instant::now() + NUDGE);
            self.size(more);
        }
    }

    fn serve(&mut self, signals: &Signals) -> Result<End> {
        loop {
            if self.output.is_empty()
                && let Some(end) = self.end.take()
            {
                return end;
            }
            let ready = self.wait(signals)?;
            if self.nudged.is_some_and(|at| at <= Instant::now()) {
                self.nudged = None;
                self.size(0);
            }
            if ready.socket {
                self.receive();
            }
            if (ready.output || ready.socket)
                && let Err(Unread) = self.output.write()
            {
                return Ok(End::Unread);
            }
            if ready.signals
                && let Some(end) = self.hear(signals)
            {
                return Ok(end);
            }
            if ready.stdin && self.read() {
                return Ok(End::Detached);
            }
        }
    }

    fn wait(&self, signals: &Signals) -> Result<Ready> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let going = self.end.is_none();
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        let socket = (going && !self.output.is_full()).then(|| {
            fds.push(PollFd::new(&self.socket, PollFlags::IN));
            fds.len() - 1
        });
        let input = (going && self.begun && self.reading && self.window > 0).then(|| {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
            fds.len() - 1
        });
        let output = self.output.next().map(|channel| {
            let to = if channel == Channel::Stderr { stderr.as_fd() } else { stdout.as_fd() };
            fds.push(PollFd::from_borrowed_fd(to, PollFlags::OUT));
            fds.len() - 1
        });
        let left = self.nudged.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(e) => return Err(crate::error::system("poll", "", e)),
        }
        let is_ready = |at: Option<usize>| at.and_then(|at| fds.get(at)).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready {
            signals: is_ready(Some(0)),
            socket: is_ready(socket),
            stdin: is_ready(input),
            output: is_ready(output),
        })
    }

    /// Takes what the supervisor sent.
    fn receive(&mut self) {
        let mut bytes = [0; 64 << 10];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.end = Some(Err(gone())),
            Ok(n) => self.inbox.push(&bytes[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => self.end = Some(Err(gone().because(e))),
        }
        while !matches!(self.end, Some(Ok(_))) {
            match next(&mut self.inbox) {
                Ok(Some((Channel::Stdout, bytes))) if self.options.stdout => self.output.push(Channel::Stdout, bytes),
                Ok(Some((Channel::Stderr, bytes))) if self.options.stderr => self.output.push(Channel::Stderr, bytes),
                Ok(Some((Channel::Event, bytes))) => self.end = event(&bytes).and_then(|e| self.told(e)).map(Ok),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(e) => {
                    self.end = Some(Err(e));
                    return;
                }
            }
        }
    }

    fn told(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Started => {
                self.begun = true;
                None
            }
            Event::Taken => Some(End::Taken),
            Event::Room { bytes } => {
                self.window = self.window.saturating_add(bytes);
                None
            }
            Event::Dropped { why } => Some(End::Dropped(why)),
            Event::Exited { code } => Some(End::Exited(code)),
            Event::Failed { message, hint, code } => Some(End::Failed { message, hint, code }),
        }
    }

    /// Acts on signals; how one ended us.
    fn hear(&mut self, signals: &Signals) -> Option<End> {
        while let Some(heard) = signals.next() {
            match heard {
                Heard::Size => {
                    self.nudged = None;
                    self.size(0);
                }
                Heard::End(number) => return Some(End::Signalled(number)),
                Heard::Pass { number, .. } => {
                    let ends = [nix::libc::SIGINT, nix::libc::SIGTERM].contains(&number);
                    self.told_to_end += u32::from(ends);
                    if ends && self.told_to_end >= ENOUGH {
                        return Some(End::Forced);
                    }
                    self.order(&Order::Signal(number));
                }
            }
        }
        None
    }

    /// Reads our standard input once; whether the detach keys were in it.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let room = self.window.min(bytes.len());
        let read = match rustix::io::read(std::io::stdin(), &mut bytes[..room]) {
            Ok(n) => n,
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Err(_) => 0,
        };
        if read == 0 {
            self.reading = false;
            self.order(&Order::CloseStdin);
            return false;
        }
        let typed = &bytes[..read];
        let (pass, detach) = match &mut self.keys {
            Some(keys) => keys.filter(typed),
            None => (typed.to_vec(), false),
        };
        if !pass.is_empty() {
            self.window = self.window.saturating_sub(pass.len());
            self.send(&frame(Channel::Stdin, &pass));
        }
        detach
    }

    fn size(&mut self, more: u16) {
        if let Some(order) = terminal::size(more).filter(|_| self.options.tty) {
            self.order(&order);
        }
    }

    fn order(&mut self, order: &Order) {
        self.send(&message(Channel::Order, order));
    }

    /// Of a supervisor that has gone we hear when we read.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }
}

fn next(inbox: &mut Inbox) -> Result<Option<(Channel, Vec<u8>)>> {
    inbox.next_frame().map_err(|_| gone().because("it does not speak our protocol"))
}

fn event(payload: &[u8]) -> Option<Event> {
    serde_json::from_slice(payload).ok()
}

fn gone() -> Error {
    Error::new(Kind::Failed, "the container's supervisor", "")
        .because("it went away without a word")
        .hint("ctr ps -a and ctr logs show how far the container came")
}

/// Waits for a program that has our terminal. Keys that send signals reach it without us, so those only must not end us; what
/// is sent to us alone we pass on.
pub fn wait_for(mut child: std::process::Child) -> Result<std::process::ExitStatus> {
    // after the start: the program must not inherit what we block
    let signals = Signals::hear(true, false)?;
    let fail = |e: std::io::Error| crate::error::system("wait for", "the runtime", e);
    let pid = rustix::process::Pid::from_child(&child);
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).map_err(|e| fail(e.into()))?;
    loop {
        let mut fds = [PollFd::new(&process, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(fail(e.into())),
        }
        if !fds[0].revents().is_empty() {
            return child.wait().map_err(fail);
        }
        while let Some(heard) = signals.next() {
            let Heard::Pass { number, typed: false } = heard else { continue };
            if let Some(signal) = rustix::process::Signal::from_named_raw(number) {
                let _ = rustix::process::pidfd_send_signal(&process, signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_before_there_is_a_container_is_the_containers() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let supervisor = std::thread::spawn(move || {
            let mut inbox = Inbox::default();
            let mut bytes = [0; 4096];
            loop {
                while let Some((_, payload)) = next(&mut inbox).expect("frames") {
                    if let Ok(Order::Signal(number)) = serde_json::from_slice(&payload) {
                        theirs.write_all(&message(Channel::Event, &Event::Exited { code: 7 })).expect("told");
                        return number;
                    }
                }
                let read = theirs.read(&mut bytes).expect("orders");
                assert_ne!(read, 0, "nothing was heard of a signal");
                inbox.push(&bytes[..read]);
            }
        });
        let prepared = prepare(Options::all(false, false)).expect("ready");
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).expect("sent to this thread");
        assert_eq!(prepared.run(ours).expect("a stay"), End::Exited(7));
        assert_eq!(supervisor.join().expect("it heard"), nix::libc::SIGTERM);
    }
}
