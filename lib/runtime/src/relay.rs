//! Waiting for a process that is ours to wait for: signals we get are passed on to it, and where it has a terminal whose master
//! we hold, bytes go both ways between that and our stdio, with our terminal raw meanwhile and its size followed.

use crate::channel::{Channel, Message};
use crate::error::{Result, failed};
use crate::held::Held;
use crate::run::wait_for;
use crate::{file, foreground};
use nix::unistd::getsid;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::PidfdFlags;
use rustix::termios::{OptionalActions, Termios};
use std::cell::OnceCell;
use std::io::{Stdin, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `si_code` of a signal that the kernel itself sent.
const SI_KERNEL: i32 = 0x80;

/// Our terminal in raw mode; as it was again when dropped.
#[derive(Debug)]
struct Raw {
    was: Termios,
    terminal: Stdin,
}

impl Raw {
    /// Nothing where stdin is no terminal.
    fn enter() -> Option<Self> {
        let terminal = stdin();
        let was = rustix::termios::tcgetattr(&terminal).ok()?;
        let mut raw = was.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &raw).ok()?;
        Some(Self { was, terminal })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.was);
    }
}

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// After this long without an event it is a program that takes its time, and we give back what memory we can.
const SETTLED: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The master of the child's terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Master<'a> {
    /// It has none, or not one that we serve.
    None,
    /// This.
    Here(BorrowedFd<'a>),
    /// It comes from the child by this channel, unless that fails before.
    Awaited(&'a Channel),
}

/// Serves process `pid`, a child of ours, until it ends; its exit code, 128 + n for signal n. The signals stay held.
pub(crate) fn serve(held: &Held, pid: i32, master: Master<'_>) -> Result<u8> {
    attend(held, pid, master, false)
}

/// The same for a child that leads the foreground of our terminal in our place, which we take again behind it ([`crate::foreground`]).
pub(crate) fn serve_foreground(held: &Held, pid: i32) -> Result<u8> {
    let code = attend(held, pid, Master::None, true);
    foreground::take_back();
    code
}

fn attend(held: &Held, pid: i32, master: Master<'_>, leads: bool) -> Result<u8> {
    let signals = held.reader()?;
    let process = rustix::process::Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH);
    let pidfd = process
        .and_then(|p| rustix::process::pidfd_open(p, PidfdFlags::empty()))
        .map_err(|e| failed("pidfd_open", pid, e))?;
    let arrived = OnceCell::<OwnedFd>::new();
    let (mut master, mut awaited) = match master {
        Master::None => (None, None),
        Master::Here(fd) => (Some(fd), None),
        Master::Awaited(channel) => (None, Some(channel)),
    };
    let mut raw = master.and_then(begin);
    let (mut output, mut input) = (master, true);
    let (mut ended, mut settled) = (false, false);
    while !ended || output.is_some() || awaited.is_some() {
        let standard_input = stdin();
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
        if ended {
            // A zombie polls readable for ever; what is left is to empty the terminal.
            fds.truncate(1);
        }
        let first = fds.len();
        if let Some(channel) = &awaited {
            fds.push(PollFd::new(*channel, PollFlags::IN));
        }
        if let Some(master) = &output {
            fds.push(PollFd::new(master, PollFlags::IN));
            if input && !ended {
                fds.push(PollFd::new(&standard_input, PollFlags::IN));
            }
        }
        let patience = if ended { Some(&NOW) } else { (!settled).then_some(&SETTLED) };
        let happened = rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, patience));
        let count = happened.map_err(|e| failed("poll", "", e))?;
        let ready: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
        let is = |at: usize| ready.get(at).copied().unwrap_or(false);
        drop(fds);
        if count == 0 {
            if ended {
                break;
            }
            settled = true;
            sys::text::release();
            continue;
        }
        if is(0) {
            while let Ok(Some(info)) = signals.read_signal() {
                let number = info.ssi_signo as i32;
                if number == libc::SIGCHLD && leads {
                    foreground::follow(pid);
                } else if info.ssi_code != SI_KERNEL || number == libc::SIGWINCH || !shares_session(pid) {
                    pass(number, pid, master);
                }
            }
        }
        if !ended && is(1) {
            ended = true;
            continue;
        }
        if let Some(channel) = awaited.filter(|_| is(first)) {
            awaited = None;
            // Who ends without one says why by itself.
            if let Ok(Some((Message::Terminal, Some(fd)))) = channel.receive() {
                master = Some(arrived.get_or_init(|| fd).as_fd());
                output = master;
                raw = master.and_then(begin);
            }
            continue;
        }
        if let Some(master) = output {
            if is(first) && !forward(master, stdout().as_fd()) {
                output = None;
            }
            if input && !ended && is(first + 1) && !forward(standard_input.as_fd(), master) {
                // The end of our input is the terminal's end-of-file character, as when typed.
                let _ = file::write_all(master, &[4]);
                input = false;
            }
        }
    }
    drop(raw);
    wait_for(pid)
}

/// Our terminal raw, and the child's of its size.
fn begin(master: BorrowedFd<'_>) -> Option<Raw> {
    let raw = Raw::enter();
    copy_size(master);
    raw
}

/// Whether what our terminal sends to its foreground has reached the child already: not where that has a session of its own.
fn shares_session(pid: i32) -> bool {
    getsid(Some(nix::unistd::Pid::from_raw(pid))) == getsid(None)
}

fn pass(number: i32, pid: i32, master: Option<BorrowedFd<'_>>) {
    match number {
        libc::SIGCHLD | libc::SIGPIPE | libc::SIGURG => {}
        libc::SIGWINCH => {
            if let Some(master) = master {
                copy_size(master);
            }
        }
        number => {
            let _ = sys::spawn::kill_child(pid, number);
        }
    }
}

fn copy_size(master: BorrowedFd<'_>) {
    if let Ok(size) = rustix::termios::tcgetwinsize(stdin()) {
        let _ = rustix::termios::tcsetwinsize(master, size);
    }
}

/// Copies what is there now; false at the end.
fn forward(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut chunk = [0_u8; 8192];
    match rustix::io::read(from, &mut chunk[..]) {
        // EIO: the last slave of the terminal was closed.
        Ok(0) | Err(rustix::io::Errno::IO) => false,
        Ok(n) => file::write_all(to, chunk.get(..n).unwrap_or_default()).is_ok(),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
        Err(_) => false,
    }
}
