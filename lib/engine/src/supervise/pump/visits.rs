//! Other processes in the container that clients asked the supervisor for (`exec` with a terminal, or in the background): it is their
//! reaper, and keeps their terminals, so that they go on when whoever asked has left.

use super::Programs;
use super::clients::Clients;
use super::input::Input;
use crate::exec::Begun;
use crate::stream::Event;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Visits {
    all: Vec<Visit>,
}

#[derive(Debug)]
struct Visit {
    id: String,
    /// Who asked for it.
    client: u64,
    pid: i32,
    process: OwnedFd,
    /// Its terminal's master.
    terminal: Option<OwnedFd>,
    input: Input,
    /// Its exit code; what it wrote before may still come.
    code: Option<u8>,
}

/// Where one's descriptors are among those that are polled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    ended: Option<usize>,
    output: Option<usize>,
    input: Option<usize>,
}

/// What polling found of one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ready {
    ended: bool,
    output: bool,
    input: bool,
}

impl Watched {
    pub(super) fn ready(self, is_ready: impl Fn(usize) -> bool) -> Ready {
        let of = |at: Option<usize>| at.is_some_and(&is_ready);
        Ready { ended: of(self.ended), output: of(self.output), input: of(self.input) }
    }
}

impl Visits {
    /// Starts one for client `number`, who hears how that went; `given` are its descriptors 3, 4 and so on.
    pub(super) fn begin(
        &mut self,
        id: &str,
        given: &[OwnedFd],
        number: u64,
        clients: &mut Clients,
        programs: &dyn Programs,
    ) {
        let begun = programs.begin(id, given).and_then(|Begun { pid, process, terminal }| {
            let fail = |e: std::io::Error| crate::error::system("serve", "the terminal", e);
            let copy = terminal.as_ref().map(OwnedFd::try_clone).transpose().map_err(fail)?;
            if let Some(terminal) = &terminal {
                rustix::io::ioctl_fionbio(terminal, true).map_err(|e| fail(e.into()))?;
            }
            let input = Input::new(copy, false);
            Ok(Visit { id: id.to_owned(), client: number, pid, process, terminal, input, code: None })
        });
        match begun {
            Ok(visit) => {
                self.all.push(visit);
                clients.tell_one(number, &Event::Started);
            }
            Err(error) => {
                let code = crate::exec::exit_code(error.kind);
                programs.ended(id, code);
                let event = Event::Failed { message: error.to_string(), hint: error.hint.clone(), code };
                clients.dismiss(number, &event);
            }
        }
    }

    /// The pids of those that have not been waited for yet.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.all.iter().filter(|visit| visit.code.is_none()).map(|visit| visit.pid).collect()
    }

    /// The input that client `number` writes to, if it is one's.
    pub(super) fn input(&mut self, number: u64) -> Option<&mut Input> {
        self.all.iter_mut().find(|v| v.client == number).map(|v| &mut v.input)
    }

    /// The terminal whose size client `number` says: its own process's, else the container's.
    pub(super) fn terminal<'a>(&'a self, number: u64, containers: Option<&'a OwnedFd>) -> Option<&'a OwnedFd> {
        match self.all.iter().find(|v| v.client == number) {
            Some(visit) => visit.terminal.as_ref(),
            None => containers,
        }
    }

    /// Adds what is waited for to `fds`, and says where. What nothing is waited of is left out: a descriptor that was hung up polls
    /// ready whatever it is asked.
    pub(super) fn watch<'a>(&'a self, fds: &mut Vec<PollFd<'a>>, clients: &Clients) -> Vec<Watched> {
        let mut add = |fd: BorrowedFd<'a>, flags| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            fds.len() - 1
        };
        let watched = self.all.iter().map(|visit| {
            let ended = visit.code.is_none().then(|| add(visit.process.as_fd(), PollFlags::IN));
            let readable = visit.terminal.as_ref().filter(|_| !clients.is_full(visit.client));
            let output = readable.map(|fd| add(fd.as_fd(), PollFlags::IN));
            let writable = visit.terminal.as_ref().filter(|_| visit.input.is_waiting());
            let input = writable.map(|fd| add(fd.as_fd(), PollFlags::OUT));
            Watched { ended, output, input }
        });
        watched.collect()
    }

    /// Moves their bytes, and tells of those that have ended.
    pub(super) fn serve(&mut self, ready: &[Ready], clients: &mut Clients, programs: &dyn Programs) {
        for (visit, ready) in self.all.iter_mut().zip(ready) {
            if ready.ended && visit.code.is_none() {
                visit.code = reap(&visit.process);
            }
            if ready.output || visit.code.is_some() {
                visit.read(clients);
            }
            if ready.input {
                visit.input.write(clients);
            }
        }
        self.all.retain(|visit| {
            let Some(code) = visit.code.filter(|_| visit.terminal.is_none()) else { return true };
            programs.ended(&visit.id, code);
            clients.dismiss(visit.client, &Event::Exited { code });
            false
        });
    }

    /// The container has ended, and with it all that was in its pid namespace.
    pub(super) fn end(&mut self, clients: &mut Clients, programs: &dyn Programs) {
        for mut visit in self.all.drain(..) {
            let code = visit.code.or_else(|| reap(&visit.process)).unwrap_or(137);
            visit.read(clients);
            programs.ended(&visit.id, code);
            clients.dismiss(visit.client, &Event::Exited { code });
        }
    }
}

impl Visit {
    /// Reads its terminal: once while it lives, empty when it has ended, also where another process of it holds on to that.
    fn read(&mut self, clients: &mut Clients) {
        let mut bytes = [0; 16 << 10];
        while let Some(terminal) = &self.terminal {
            if clients.is_full(self.client) {
                return;
            }
            match rustix::io::read(terminal, &mut bytes) {
                Ok(n) if n > 0 => clients.show_one(self.client, &bytes[..n]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.code.is_none() => return,
                Ok(_) | Err(_) => self.terminal = None,
            }
            if self.code.is_none() {
                return;
            }
        }
    }
}

/// The exit code of one that has ended; `None` of one that has not.
fn reap(process: &OwnedFd) -> Option<u8> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match waitid(WaitId::PidFd(process.as_fd()), options) {
        Ok(Some(status)) => Some(super::code(&status)),
        Ok(None) => None,
        // Somebody else's child after all: it has ended, and how nobody knows.
        Err(_) => Some(255),
    }
}
