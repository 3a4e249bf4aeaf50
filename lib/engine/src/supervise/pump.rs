//! Moves bytes between a container, its log and whoever is attached, until the container's process has ended.
//!
//! One thread, one `poll(2)`. The log gets everything first. Nobody is waited for: what a client has not taken yet stays in its outbox
//! ([`clients`]), and while one's is full the container is not read. Clients themselves are always read: their input is bounded by
//! a window ([`crate::stream::WINDOW_BYTES`]), so that signals and sizes come through beside it ([`input`]).

use super::container::Container;
use super::watch::Watch;
use crate::log::Writer;
use crate::stream::{Channel, Order};
use crate::{Error, Result};
use clients::Sent;
use input::Input;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitIdOptions, WaitIdStatus, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};
use visits::Visits;

mod clients;
mod input;
mod visits;

pub(super) use clients::{Clients, PATIENCE};

/// How long output is waited for after the process has ended: something else may hold the other end of the pipe.
const DRAIN: Duration = Duration::from_secs(1);
/// How long somebody who takes nothing is waited for after the container was stopped by hand; docker's time. The log has it all.
const LAST: Duration = Duration::from_secs(2);

/// What one round of polling found.
#[derive(Debug, Default)]
struct Ready {
    ended: bool,
    connection: bool,
    input: bool,
    output: [bool; 2],
    clients: Vec<usize>,
    visits: Vec<visits::Ready>,
    watch: Vec<bool>,
    /// Whether there was anything.
    busy: bool,
}

/// Other processes in the container, as they are started and forgotten.
pub(super) trait Programs {
    /// Starts the one with this id, with `given` as its descriptors 3, 4 and so on.
    fn begin(&self, id: &str, given: &[OwnedFd]) -> Result<crate::exec::Begun>;
    /// It has ended with this code, or could not be started.
    fn ended(&self, id: &str, code: u8);
}

/// A container whose bytes are moved.
struct Pump<'a, 'b> {
    process: OwnedFd,
    input: Input,
    output: [Option<OwnedFd>; 2],
    terminal: Option<OwnedFd>,
    /// Other processes in the container that were asked for.
    visits: Visits,
    programs: &'a dyn Programs,
    log: Writer,
    listener: &'a UnixListener,
    clients: &'a mut Clients,
    watch: &'a mut Watch<'b>,
    /// The exit code, and since when output is only waited for.
    ended: Option<(u8, Instant)>,
}

/// Runs until the container's process has ended and what it wrote is read; gives its exit code. `once`: its standard input ends with
/// that of its client.
pub(super) fn run(
    container: Container,
    once: bool,
    log: Writer,
    listener: &UnixListener,
    clients: &mut Clients,
    watch: &mut Watch<'_>,
    programs: &dyn Programs,
) -> Result<u8> {
    let Container { process, input, output, terminal, .. } = container;
    for descriptor in input.iter().chain(output.iter().flatten()) {
        rustix::io::ioctl_fionbio(descriptor, true).map_err(failed)?;
    }
    let input = Input::new(input, once && terminal.is_none());
    let visits = Visits::default();
    let mut pump =
        Pump { process, input, output, terminal, visits, programs, log, listener, clients, watch, ended: None };
    loop {
        if let Some(code) = pump.finished() {
            pump.visits.end(pump.clients, programs);
            let _ = pump.log.finish();
            return Ok(code);
        }
        pump.round()?;
    }
}

impl Pump<'_, '_> {
    fn finished(&self) -> Option<u8> {
        let silent = self.output.iter().all(Option::is_none);
        self.ended.filter(|(_, since)| silent || since.elapsed() > DRAIN).map(|(code, _)| code)
    }

    fn round(&mut self) -> Result<()> {
        let ready = self.wait()?;
        if ready.ended {
            self.ended = Some((reap(&self.process)?, Instant::now()));
            self.watch.stop();
        }
        if self.ended.is_some() && self.clients.are_stuck(LAST) && self.watch.is_unwanted() {
            self.clients.give_up_stuck(LAST);
        }
        if let Some((_, since)) = self.ended.as_mut().filter(|_| self.clients.full()) {
            // Who reads slowly is not cut off: the time runs only while there is room for more.
            *since = Instant::now();
        }
        for (index, channel) in [(0, Channel::Stdout), (1, Channel::Stderr)] {
            if ready.output[index] {
                copy(&mut self.output[index], channel, &mut self.log, self.clients);
            }
        }
        for index in ready.clients {
            self.serve(index);
        }
        if ready.input {
            self.input.write(self.clients);
        }
        self.visits.serve(&ready.visits, self.clients, self.programs);
        self.clients.let_go_stuck();
        self.clients.forget_gone();
        if ready.connection
            && let Ok((socket, _)) = self.listener.accept()
        {
            self.clients.join(socket);
        }
        if let Some(file) = self.log.take_aside() {
            self.watch.compress(&file);
        }
        self.watch.turn(&ready.watch, ready.busy, &self.visits.pids());
        Ok(())
    }

    fn wait(&self) -> Result<Ready> {
        let ended = self.ended.is_some();
        let mut fds = vec![PollFd::new(self.listener, PollFlags::IN)];
        // Once it has ended it would be ready for ever.
        fds.extend((!ended).then(|| PollFd::new(&self.process, PollFlags::IN)));
        let first_output = fds.len();
        let full = self.clients.full();
        let open: Vec<usize> = (0..2).filter(|i| self.output[*i].is_some() && !full).collect();
        fds.extend(open.iter().filter_map(|i| self.output[*i].as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)));
        let writing = self.input.to.as_ref().filter(|_| self.input.is_waiting());
        fds.extend(writing.map(|fd| PollFd::new(fd, PollFlags::OUT)));
        let visits = self.visits.watch(&mut fds, self.clients);
        let first_client = fds.len();
        for client in &self.clients.all {
            let want = if client.has_mail() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            fds.push(PollFd::new(&client.socket, want));
        }
        let first_watch = fds.len();
        let watched = self.watch.descriptors();
        fds.extend(watched.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)));
        let draining = ended.then_some(Duration::from_millis(50));
        let timeout = draining.into_iter().chain(self.clients.patience()).chain(self.watch.timeout()).min();
        // Rounded up, or the last fraction of a second would be a loop.
        let timeout = timeout.map(|t| Timespec {
            tv_sec: t.as_secs() as i64,
            tv_nsec: i64::from(t.subsec_nanos()).saturating_add(1_000_000).min(999_999_999),
        });
        let count = match poll(&mut fds, timeout.as_ref()) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(e) => return Err(failed(e)),
        };
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let mut ready = Ready { connection: is_ready(0), ended: !ended && is_ready(1), ..Ready::default() };
        for (nth, index) in open.iter().enumerate() {
            ready.output[*index] = is_ready(first_output + nth);
        }
        ready.input = writing.is_some() && is_ready(first_output + open.len());
        ready.visits = visits.iter().map(|watched| watched.ready(is_ready)).collect();
        ready.watch = (first_watch..fds.len()).map(is_ready).collect();
        ready.busy = count > 0;
        ready.clients = (0..self.clients.all.len()).filter(|i| is_ready(first_client + i)).collect();
        Ok(ready)
    }

    /// Does what one client asks.
    fn serve(&mut self, index: usize) {
        let Some(client) = self.clients.all.get_mut(index) else { return };
        client.write();
        client.read();
        let number = client.number;
        while let Some(sent) = self.clients.all.get_mut(index).and_then(clients::Client::sent) {
            match sent {
                Sent::Input(bytes) => match self.visits.input(number) {
                    Some(input) => input.push(number, bytes, self.clients),
                    None => self.input.push(number, bytes, self.clients),
                },
                Sent::Order(order) => self.obey(index, number, order),
            }
        }
        let left = self.clients.all.get_mut(index).is_some_and(|c| c.gone && std::mem::take(&mut c.stdin));
        if left {
            self.input.client_ended(self.clients);
        }
    }

    fn obey(&mut self, index: usize, number: u64, order: Order) {
        match order {
            Order::Attach { stdin } => {
                if let Some(client) = self.clients.all.get_mut(index) {
                    client.stdin = stdin;
                }
            }
            Order::CloseStdin => {
                if self.clients.all.get_mut(index).is_some_and(|c| std::mem::take(&mut c.stdin)) {
                    self.input.client_ended(self.clients);
                }
            }
            Order::Resize { rows, columns } => {
                if let Some(terminal) = self.visits.terminal(number, self.terminal.as_ref()) {
                    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    let _ = rustix::termios::tcsetwinsize(terminal, size);
                }
            }
            // The process may have ended meanwhile.
            Order::Signal(number) => drop((self.watch.kill)(number)),
            // They came with it, and wait at their client.
            Order::Given => {}
            Order::Exec { id } => {
                let mut given = Vec::new();
                if let Some(client) = self.clients.all.get_mut(index) {
                    client.visitor = true;
                    given = std::mem::take(&mut client.given);
                }
                self.visits.begin(&id, &given, number, self.clients, self.programs);
            }
        }
    }
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
            clients.show(channel, &bytes[..n]);
        }
    }
}

/// Takes the ended process's exit code.
fn reap(process: &OwnedFd) -> Result<u8> {
    let status = waitid(rustix::process::WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED).map_err(failed)?;
    Ok(status.map_or(255, |status| code(&status)))
}

/// A process's end as an exit code, as shells have it.
fn code(status: &WaitIdStatus) -> u8 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128_u8.wrapping_add(signal as u8),
        (None, None) => 255,
    }
}

fn failed(e: Errno) -> Error {
    crate::error::system("supervise", "", e)
}
