//! What is known of a container's user network, on disk.
//!
//! ```text
//! LEASES/user/KEY.json     the record; KEY is made of the container's id
//! LEASES/user/KEY.pid      written by pasta itself when it is up
//! LEASES/user/KEY.sock     slirp4netns' socket for ports
//! ```
//!
//! The record is there before any process is, with us as its keeper; so whoever is killed at any point, the next attach or
//! detach finds what was left. It means nothing in another boot.

use super::{Attachment, USER, Wish};
use crate::error::{Error, Kind, Result, failed};
use crate::lease::Process;
use crate::namespace::Identity;
use crate::state::{self, Durability, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a process that was asked to end may take, before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// A container's user network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The container's id.
    pub container: String,
    /// Its namespace.
    pub namespace: Identity,
    /// Who sees to it that the program ends; while it is being made, who makes it.
    pub keeper: Process,
    /// The program that carries the packets, once it is up.
    pub program: Option<Process>,
    /// What was asked for: the ports.
    pub asked: Vec<String>,
    /// What was printed of it.
    pub attachment: Option<Attachment>,
    boot: String,
    #[serde(skip)]
    pub(super) path: PathBuf,
}

/// What [`claim`] found.
#[derive(Debug)]
pub enum Claim {
    /// It stands already.
    Standing(Attachment),
    /// Nothing is there; the record is written and says that we make it.
    Ours(Record),
}

impl Record {
    /// Whether packets are carried.
    pub fn is_alive(&self) -> bool {
        self.boot == crate::lease::boot_id() && self.program.is_some_and(|p| p.is_alive())
    }

    /// Whether somebody looks after it, or makes it just now.
    pub fn is_kept(&self) -> bool {
        self.boot == crate::lease::boot_id() && self.keeper.is_alive()
    }

    /// Writes it down.
    pub fn store(&self) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| state::damaged(&self.path, e))?;
        state::replace(&self.path, &bytes, Durability::Run)
    }

    /// The pid file that pasta writes.
    pub fn pid_file(&self) -> PathBuf {
        self.path.with_extension("pid")
    }

    /// The socket of slirp4netns.
    pub fn socket(&self) -> PathBuf {
        self.path.with_extension("sock")
    }

    /// Removes its files.
    pub fn forget(&self) -> Result<()> {
        for path in [self.pid_file(), self.socket(), self.path.clone()] {
            state::remove(&path)?;
        }
        Ok(())
    }

    /// Ends its processes and forgets it.
    fn end(&self) -> Result<()> {
        if self.boot == crate::lease::boot_id() {
            if self.keeper != Process::own() {
                stop(self.keeper)?;
            }
            let started = self.program.or_else(|| self.unrecorded());
            started.map_or(Ok(()), stop)?;
        }
        self.forget()
    }

    /// A program that came up when nobody was left to write it down.
    fn unrecorded(&self) -> Option<Process> {
        let file = self.pid_file();
        let id: u32 = std::fs::read_to_string(&file).ok()?.trim().parse().ok()?;
        let process = Process::of(id)?;
        let words = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
        use std::os::unix::ffi::OsStrExt;
        words.split(|b| *b == 0).any(|word| word == file.as_os_str().as_bytes()).then_some(process)
    }
}

/// Makes the record of what is about to be made, or finds that it stands.
pub fn claim(state: &State, wish: &Wish, namespace: Identity) -> Result<Claim> {
    let _lock = state.lock_network(USER)?;
    let path = path_of(state, &wish.container);
    if let Some(found) = load(&path)? {
        let refuse = |why: &str| Error::new(Kind::InUse, super::ATTACH, &wish.network).because(why.to_owned());
        let standing = found.attachment.clone().filter(|_| found.is_alive() && found.is_kept());
        match standing {
            Some(attachment) if found.namespace.inode == namespace.inode && found.asked == asked(wish) => {
                return Ok(Claim::Standing(attachment));
            }
            // its program is about to notice
            Some(_) if !found.namespace.is_there() => found.end()?,
            Some(_) => {
                return Err(refuse("the container has a user network, in another namespace or with other ports")
                    .hint("detach it first"));
            }
            None if found.is_kept() && found.attachment.is_none() => {
                return Err(refuse(&format!("process {} is attaching {} just now", found.keeper.id, wish.container)));
            }
            None => found.end()?,
        }
    }
    let record = Record {
        container: wish.container.clone(),
        namespace,
        keeper: Process::own(),
        program: None,
        asked: asked(wish),
        attachment: None,
        boot: crate::lease::boot_id(),
        path,
    };
    record.store()?;
    Ok(Claim::Ours(record))
}

fn asked(wish: &Wish) -> Vec<String> {
    wish.ports.iter().map(ToString::to_string).collect()
}

/// Ends and forgets what `container` has.
pub fn end(state: &State, container: &str) -> Result<()> {
    let path = path_of(state, container);
    let Some(found) = load(&path)? else { return Ok(()) };
    // The keeper may forget it while we wait for its end: no lock is held.
    found.end()
}

/// All records.
pub fn all(state: &State) -> Result<Vec<Record>> {
    let folder = state.run_folder(USER);
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| failed("list", folder.display(), e))?,
    };
    let mut found = Vec::new();
    for entry in entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "json")) {
        found.extend(load(&entry.path())?);
    }
    found.sort_by(|a, b| a.container.cmp(&b.container));
    Ok(found)
}

fn path_of(state: &State, container: &str) -> PathBuf {
    // FNV-1a, as for the names of links: an id can hold what a file's name cannot.
    let hash =
        container.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    state.run_folder(USER).join(format!("{hash:016x}.json"))
}

fn load(path: &Path) -> Result<Option<Record>> {
    let Some(bytes) = state::load(path)? else { return Ok(None) };
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| state::damaged(path, e))?;
    Ok(Some(Record { path: path.to_owned(), ..record }))
}

/// A handle of the process, if it still is that one.
pub(super) fn handle(process: Process) -> Option<OwnedFd> {
    let id = i32::try_from(process.id).ok().and_then(Pid::from_raw)?;
    let handle = pidfd_open(id, PidfdFlags::empty()).ok()?;
    process.is_alive().then_some(handle)
}

/// Asks a process to end, and kills it where it does not.
pub(super) fn stop(process: Process) -> Result<()> {
    let Some(handle) = handle(process) else { return Ok(()) };
    for signal in [Signal::TERM, Signal::KILL] {
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(e) => return Err(failed("end process", process.id, e)),
        }
        if ended(&handle, GRACE) {
            break;
        }
    }
    Ok(())
}

/// Waits for a process's end; whether it came in time.
fn ended(process: &OwnedFd, limit: Duration) -> bool {
    let end = std::time::Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(n) if n > 0 => return true,
            Err(rustix::io::Errno::INTR) => {}
            _ if left.is_zero() => return false,
            _ => {}
        }
    }
}
