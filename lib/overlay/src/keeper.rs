//! The one thread of a server that serves no files: it answers on the control socket and takes the signals.
//!
//! SIGTERM, SIGINT and SIGHUP end the server and take its mount along; SIGUSR1 writes statistics into the journal (stderr in
//! the foreground, the file of `--log`, what `ovl-mount status` shows in any case). They are blocked in all threads and
//! arrive here only.

use crate::control::{self, Request};
use crate::ending::{self, Place};
use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::journal;
use crate::options::Options;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use serde_json::{Map, Value, json};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a server whose mount has been taken away waits for those who still use it.
const GRACE: Duration = Duration::from_secs(2);

/// How often, and how many times, a name is tried that a server which is just ending still has.
const AGAIN_MS: u8 = 20;
const TRIES: u32 = 500;

/// Numbers of a server, by name; asked whenever somebody wants to know.
pub(crate) type Count = Box<dyn Fn() -> Map<String, Value> + Send>;

/// Takes over what may be changed of the options while serving.
pub(crate) type Change = Box<dyn Fn(&Options) + Send>;

/// All that the thread needs; made while the server can still see paths.
pub(crate) struct Keeper {
    signals: SignalFd,
    listeners: Vec<UnixListener>,
    socket_file: SocketFile,
    place: Place,
    options: Options,
    /// What does not change of the answer to `status`.
    known: Map<String, Value>,
    started: Instant,
}

/// The control socket's file, taken away when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(Option<(OwnedFd, OsString)>);

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Takes the signals and listens, on the file `socket` too where one is named.
    pub(crate) fn new(place: Place, folders: &Folders, options: &Options, socket: Option<&Path>) -> Result<Self> {
        let failed = |op: &'static str, e: nix::Error| Error::new(Kind::Failed, op, "").because(io::Error::from(e));
        let set = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1]);
        set.thread_block().map_err(|e| failed("block signals", e))?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).map_err(|e| failed("block signals", e))?;
        let mut listeners = Vec::new();
        let mut socket_file = SocketFile(None);
        if let Some(path) = socket {
            let listener = control::listen_at(path).map_err(|e| {
                let error = Error::new(Kind::Request, "control socket", path.display());
                match e.kind() {
                    io::ErrorKind::AddrInUse => error.because("in use").hint("name one that is not there yet"),
                    _ => error.because(e),
                }
            })?;
            listeners.push(listener);
            socket_file = SocketFile(folder_of(path));
        }
        let known = description(&place, folders, options);
        Ok(Self { signals, listeners, socket_file, place, options: options.absolute(), known, started: Instant::now() })
    }

    /// Starts the thread. What is returned is to be dropped when the server ends.
    pub(crate) fn start(mut self, count: Count, change: Change) -> SocketFile {
        let file = std::mem::replace(&mut self.socket_file, SocketFile(None));
        let spawned = std::thread::Builder::new().name("keeper".into()).spawn(move || self.keep(&count, &change));
        if let Err(e) = spawned {
            log::error!("no thread for signals and status: {e}");
        }
        file
    }

    fn keep(mut self, count: &Count, change: &Change) {
        let mut tries = 0;
        loop {
            // Device numbers are used again at once: the server before may not be gone yet.
            let mut wait = PollTimeout::NONE;
            if tries < TRIES {
                match control::address(self.place.device).and_then(|name| UnixListener::bind_addr(&name)) {
                    Ok(listener) => {
                        self.listeners.push(listener);
                        tries = TRIES;
                    }
                    Err(e) if tries + 1 == TRIES => log::warn!("no control socket: {e}"),
                    Err(_) => wait = PollTimeout::from(AGAIN_MS),
                }
                tries += 1;
            }
            let mut watched = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            watched.extend(self.listeners.iter().map(|l| PollFd::new(l.as_fd(), PollFlags::POLLIN)));
            match poll(&mut watched, wait) {
                Err(nix::Error::EINTR) => continue,
                Err(e) => return log::error!("waiting for signals: {e}"),
                Ok(_) => {}
            }
            let ready: Vec<bool> = watched.iter().map(|w| w.any().unwrap_or(false)).collect();
            if ready.first() == Some(&true)
                && let Ok(Some(info)) = self.signals.read_signal()
            {
                match Signal::try_from(info.ssi_signo.cast_signed()) {
                    Ok(Signal::SIGUSR1) => journal::say(line(&count())),
                    Ok(signal) => return self.end(signal),
                    Err(_) => {}
                }
            }
            for index in (0..self.listeners.len()).filter(|index| ready.get(index + 1) == Some(&true)) {
                let Some(listener) = self.listeners.get(index).and_then(|l| l.try_clone().ok()) else { continue };
                control::serve_one(&listener, |request| self.answer(request, count, change));
            }
        }
    }

    fn answer(&mut self, request: Request, count: &Count, change: &Change) -> Value {
        match request {
            Request::Status => {
                let mut status = self.known.clone();
                status.insert("options".into(), self.options.shown().into());
                status.insert("seconds".into(), self.started.elapsed().as_secs().into());
                status.insert("statistics".into(), count().into());
                status.insert("log".into(), journal::last_lines().into());
                status.into()
            }
            Request::Remount { options } => {
                let mut now = self.options.clone();
                let taken = self.options.one_by_one(OsStr::new(&options), |name, wanted| {
                    if !self.options.may_become(&wanted) {
                        return Err(Error::new(Kind::Request, "option", name)
                            .because("cannot be changed while it is mounted")
                            .hint("unmount it and mount it anew"));
                    }
                    now.add(OsStr::new(name))
                });
                match taken {
                    Ok(()) => {
                        if now.debug {
                            log::set_max_level(log::LevelFilter::Debug);
                        }
                        change(&now);
                        self.options = now;
                        json!({ "done": true })
                    }
                    Err(error) => control::refusal(&error),
                }
            }
        }
    }

    /// Takes the mount away, and with it the server: the other threads see the end of the connection. Who still has files open
    /// gets a moment to finish.
    fn end(self, signal: Signal) {
        log::info!("ends by {signal}");
        ending::unmount_everywhere(&self.place);
        std::thread::sleep(GRACE);
        // Files are open in there still; they will answer that the server is gone.
        let _ = SigSet::from_iter([Signal::SIGTERM]).thread_unblock();
        let _ = raise(Signal::SIGTERM);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some((folder, name)) = &self.0 {
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
}

/// The folder of a socket, open, and its name in there: the server will not see paths.
fn folder_of(path: &Path) -> Option<(OwnedFd, OsString)> {
    let absolute = std::path::absolute(path).ok()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(absolute.parent()?, flags, Mode::empty()).ok()?;
    Some((folder, absolute.file_name()?.to_owned()))
}

fn description(place: &Place, folders: &Folders, options: &Options) -> Map<String, Value> {
    let shown = |path: &Path| Value::from(path.display().to_string());
    let all = |folders: &[crate::folders::Folder]| folders.iter().map(|f| shown(&f.path)).collect::<Vec<_>>();
    let mut known = Map::new();
    known.insert("mount_point".into(), shown(&place.target));
    known.insert("driver".into(), "fuse".into());
    known.insert("pid".into(), std::process::id().into());
    known.insert("source".into(), options.fsname.clone().unwrap_or_else(|| crate::device::SUBTYPE.into()).into());
    known.insert("lower".into(), all(&folders.lowers).into());
    if !folders.data_lowers.is_empty() {
        known.insert("data".into(), all(&folders.data_lowers).into());
    }
    if let Some((upper, work)) = &folders.upper {
        known.insert("upper".into(), shown(&upper.path));
        known.insert("work".into(), shown(&work.path));
    }
    known
}

/// `nodes 12, threads 4`; what is a table of its own stands in brackets.
fn line(numbers: &Map<String, Value>) -> String {
    let each = numbers.iter().map(|(name, number)| match number {
        Value::Object(inner) => format!("{name} ({})", line(inner)),
        other => format!("{name} {other}"),
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_fit_a_line() {
        let numbers = json!({ "nodes": 12, "requests": { "lookup": 3, "read": 4 } });
        assert_eq!(line(numbers.as_object().unwrap()), "nodes 12, requests (lookup 3, read 4)");
    }
}
