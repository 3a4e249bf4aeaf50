//! The other end of a supervisor's socket: our terminal or streams, connected to a container.

use crate::stream::{Channel, Event, Inbox, Order, frame, message};
use crate::{Error, Kind, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// What to connect.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Our standard input goes to the container.
    pub stdin: bool,
    /// The container has a terminal: ours becomes raw, its size travels.
    pub tty: bool,
    /// Signals we get are the container's.
    pub proxy_signals: bool,
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
}

/// Ctrl-P Ctrl-Q, docker's way out.
const DETACH: [u8; 2] = [0x10, 0x11];
/// Signals that are passed on.
const PROXIED: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

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
                    None => {}
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
pub fn run(mut socket: UnixStream, options: Options) -> Result<End> {
    let signals = signals(options)?;
    let raw = if options.tty && options.stdin { RawTerminal::enter() } else { None };
    if options.tty {
        send_size(&mut socket);
    }
    let stdin = std::io::stdin();
    let mut keys = Keys::default();
    let mut inbox = Inbox::default();
    let mut reading = options.stdin;
    let end = loop {
        let mut fds = vec![PollFd::new(&socket, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        if reading {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(e) => return Err(crate::error::system("poll", "", e)),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0]
            && let Some(end) = receive(&mut socket, &mut inbox)?
        {
            break end;
        }
        if ready[1] {
            pass_signals(&signals, &mut socket);
        }
        if ready.get(2) == Some(&true) {
            let mut bytes = [0; 16 << 10];
            let read = match rustix::io::read(&stdin, &mut bytes) {
                Ok(n) => n,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(_) => 0,
            };
            if read == 0 {
                reading = false;
                let _ = socket.write_all(&message(Channel::Order, &Order::CloseStdin));
                continue;
            }
            let (pass, detach) =
                if raw.is_some() { keys.filter(&bytes[..read]) } else { (bytes[..read].to_vec(), false) };
            if !pass.is_empty() {
                let _ = socket.write_all(&frame(Channel::Stdin, &pass));
            }
            if detach {
                break End::Detached;
            }
        }
    };
    drop(raw);
    Ok(end)
}

fn receive(socket: &mut UnixStream, inbox: &mut Inbox) -> Result<Option<End>> {
    let mut bytes = [0; 64 << 10];
    match socket.read(&mut bytes) {
        Ok(0) => return Err(gone()),
        Ok(n) => inbox.push(&bytes[..n]),
        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
        Err(e) => return Err(gone().because(e)),
    }
    while let Some((channel, payload)) = next(inbox)? {
        let written = match channel {
            Channel::Stdout => std::io::stdout().lock().write_all(&payload).and_then(|()| std::io::stdout().flush()),
            Channel::Stderr => std::io::stderr().lock().write_all(&payload),
            Channel::Event => match event(&payload) {
                Some(Event::Exited { code }) => return Ok(Some(End::Exited(code))),
                Some(Event::Taken) => return Ok(Some(End::Taken)),
                Some(Event::Failed { message, hint, code }) => return Ok(Some(End::Failed { message, hint, code })),
                _ => Ok(()),
            },
            Channel::Stdin | Channel::Order => Ok(()),
        };
        if written.is_err() {
            return Ok(Some(End::Unread));
        }
    }
    Ok(None)
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
    let signals = signals(Options { stdin: true, tty: false, proxy_signals: true })?;
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
        while let Ok(Some(info)) = signals.read_signal() {
            let from_keys = info.ssi_pid == 0;
            if let (false, Some(signal)) = (from_keys, rustix::process::Signal::from_named_raw(info.ssi_signo as i32)) {
                let _ = rustix::process::pidfd_send_signal(&process, signal);
            }
        }
    }
}

/// The signals we hear of by descriptor instead of dying of them.
fn signals(options: Options) -> Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGWINCH);
    if options.proxy_signals {
        PROXIED.iter().for_each(|signal| set.add(*signal));
    }
    let fail = |e: nix::errno::Errno| crate::error::system("signalfd", "", e);
    set.thread_block().map_err(fail)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(fail)
}

fn pass_signals(signals: &SignalFd, socket: &mut UnixStream) {
    while let Ok(Some(info)) = signals.read_signal() {
        if info.ssi_signo == Signal::SIGWINCH as u32 {
            send_size(socket);
        } else {
            let _ = socket.write_all(&message(Channel::Order, &Order::Signal(info.ssi_signo as i32)));
        }
    }
}

fn send_size(socket: &mut UnixStream) {
    if let Ok(size) = tcgetwinsize(std::io::stdout()).or_else(|_| tcgetwinsize(std::io::stdin())) {
        let order = Order::Resize { rows: size.ws_row, columns: size.ws_col };
        let _ = socket.write_all(&message(Channel::Order, &order));
    }
}

/// Our terminal in raw mode; as it was again when dropped.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        if !isatty(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Looks for the detach keys. A sequence that is broken off is passed on whole.
#[derive(Debug, Default)]
struct Keys {
    half: bool,
}

impl Keys {
    fn filter(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(bytes.len() + 1);
        for byte in bytes {
            match (self.half, *byte) {
                (true, second) if second == DETACH[1] => return (pass, true),
                (false, first) if first == DETACH[0] => self.half = true,
                (true, other) => {
                    pass.push(DETACH[0]);
                    self.half = other == DETACH[0];
                    if !self.half {
                        pass.push(other);
                    }
                }
                (false, other) => pass.push(other),
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn detach_keys_leave_and_a_broken_sequence_passes_whole() {
        let mut keys = Keys::default();
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"p"), (b"\x10p".to_vec(), false));
        assert_eq!(keys.filter(b"x\x10\x10\x11y"), (b"x\x10".to_vec(), true));
    }
}
