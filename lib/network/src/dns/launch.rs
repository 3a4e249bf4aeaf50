//! One server a network and network namespace: found, started, replaced, stopped.
//!
//! ```text
//! LEASES/NAME.INODE.dns     the record of the server for network NAME in the network namespace INODE; locked while it lives
//! ```
//!
//! Who starts a server opens that file, locks it (`flock`), binds the sockets, and hands all of them to the process it
//! starts. A lock belongs to the open file, so it is the server's from then on and is let go by the kernel when the last who
//! has it dies, however. So there is no moment in which two could start one, and no process id can be mistaken: whether a
//! server lives is asked of the lock, and the record only says where.
//!
//! Sockets are bound before the server runs: a question that comes right after an attach waits in the queue until the
//! server has read its book. Nobody else waits for anything.
//!
//! A server of another build is replaced by the next attach: its sockets and the lock are taken over as they are
//! (`pidfd_getfd`), questions in their queues with them; then it is told to end what it has begun. Where that is not
//! permitted it stays.

use crate::definition::Definition;
use crate::dns::listen::Door;
use crate::dns::source;
use crate::error::{Error, Kind, Result, failed};
use crate::lease::Process;
use crate::namespace::Namespace;
use crate::state::State;
use rustix::fs::FlockOperation;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const START: &str = "start the name server of network";
const STOP: &str = "stop the name server of network";
/// This program, also where its file was replaced since.
const SELF: &str = "/proc/self/exe";
/// The name it is called by, whatever its file is called.
const PROGRAM: &str = "netwire";
/// How often others are given the time to finish what they do with the lock, and how long each time.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(5);
/// How long a server may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is written of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its process.
    #[serde(flatten)]
    pub process: Process,
    /// Where it listens.
    pub addresses: Vec<IpAddr>,
    /// The build it is of.
    program: String,
    /// Its descriptors of the sockets, UDP and TCP in turn, and of the lock.
    sockets: Vec<RawFd>,
    lock: RawFd,
}

/// What a server process is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inheritance {
    /// Descriptors of the sockets, UDP and TCP in turn.
    pub sockets: Vec<RawFd>,
    /// The descriptor of the locked record.
    pub lock: RawFd,
}

/// Makes sure that the network has its name server, if it is to have one, and gives the server's addresses.
pub fn ensure_running(state: &State, definition: &Definition) -> Result<Vec<IpAddr>> {
    let addresses = source::addresses(definition);
    if !source::has_names(definition) || addresses.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |e: io::Error| failed(START, &definition.name, e);
    let path = path(state, &definition.name)?;
    for _ in 0..ATTEMPTS {
        if let Some(file) = acquire(&path).map_err(wrong)? {
            let doors = open_doors(definition, &addresses)?;
            spawn(state, definition, file, doors).map_err(wrong)?;
            return Ok(addresses);
        }
        match read(&path) {
            // It is just being started, or looked at, or removed: soon it is there, or the lock is free.
            None => std::thread::sleep(PAUSE),
            Some(record) if !record.process.is_alive() => std::thread::sleep(PAUSE),
            Some(record) if record.addresses != addresses => end(&record.process, STOP, &definition.name)?,
            Some(record) => {
                if record.program != program() {
                    // That it goes on with what it is is no reason to fail.
                    let _ = replace(state, definition, &path);
                }
                return Ok(addresses);
            }
        }
    }
    Err(Error::new(Kind::InUse, START, &definition.name).because("others start and stop it all the time"))
}

/// Like [`ensure_running`], also where nobody is on the network yet; then the server ends soon. A network without names is
/// an error.
pub fn start(state: &State, definition: &Definition) -> Result<Vec<IpAddr>> {
    let addresses = ensure_running(state, definition)?;
    if addresses.is_empty() {
        return Err(Error::new(Kind::Invalid, START, &definition.name)
            .because("it was created without names, or has no address of its own")
            .hint("networks have names unless created with --disable-dns; `bridge` has none"));
    }
    Ok(addresses)
}

/// Opens the sockets for a server in front, with the lock that says that there is none other.
pub(crate) fn claim(state: &State, definition: &Definition) -> Result<(File, Vec<Door>, Record)> {
    let path = path(state, &definition.name)?;
    let Some(file) = acquire(&path).map_err(|e| failed(START, &definition.name, e))? else {
        let who = read(&path).map(|record| format!(" as process {}", record.process.id)).unwrap_or_default();
        return Err(Error::new(Kind::InUse, START, &definition.name)
            .because(format!("it runs already{who}"))
            .hint(format!("netwire dns stop --network {}", definition.name)));
    };
    let addresses = source::addresses(definition);
    if addresses.is_empty() {
        return Err(Error::new(Kind::Invalid, START, &definition.name).because("it has no address of its own here"));
    }
    let doors = open_doors(definition, &addresses)?;
    let record = record(Process::own(), &doors, &file);
    note(&file, &record).map_err(|e| failed(START, &definition.name, e))?;
    Ok((file, doors, record))
}

/// Takes over what this process was started with.
pub(crate) fn inherit(inheritance: &Inheritance) -> io::Result<(File, Vec<Door>, Record)> {
    let file = File::from(sys::spawn::inherited(inheritance.lock)?);
    let mut doors = Vec::new();
    for pair in inheritance.sockets.chunks_exact(2) {
        doors.push(Door::inherit(sys::spawn::inherited(pair[0])?, sys::spawn::inherited(pair[1])?)?);
    }
    let addresses = doors.iter().map(|door| door.address).collect();
    let Inheritance { sockets, lock } = inheritance.clone();
    // Who started us writes the same, unless it was killed.
    let record = Record { process: Process::own(), addresses, program: program(), sockets, lock };
    note(&file, &record)?;
    Ok((file, doors, record))
}

/// Ends the network's server. That there is none is fine.
pub fn stop(state: &State, network: &str) -> Result<()> {
    let path = path(state, network)?;
    let wrong = |e: io::Error| failed(STOP, network, e);
    for _ in 0..8 {
        if !path.exists() {
            return Ok(());
        }
        if acquire(&path).map_err(wrong)?.is_some() {
            // The lock is held while its file goes, so that nobody starts one with a file that is gone.
            return crate::state::remove(&path);
        }
        match read(&path) {
            Some(record) => end(&record.process, STOP, network)?,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Err(Error::new(Kind::InUse, STOP, network).because("it is started again and again"))
}

/// The network's server, if it runs.
pub fn status(state: &State, network: &str) -> Result<Option<Record>> {
    let path = path(state, network)?;
    let Ok(file) = File::open(&path) else { return Ok(None) };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(read(&path)),
        _ => Ok(None),
    }
}

fn path(state: &State, network: &str) -> Result<PathBuf> {
    Ok(state.server_path(network, Namespace::own()?.identity().inode))
}

/// The record's file with its lock; `None` while a server has that.
fn acquire(path: &Path) -> io::Result<Option<File>> {
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o644).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        // It may have been removed while we opened it.
        let (mine, there) = (file.metadata()?, std::fs::metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino())) {
            return Ok(Some(file));
        }
    }
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn note(file: &File, record: &Record) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(record)?;
    bytes.push(b'\n');
    // Readers see the old one, the new one, or what is neither and means "just now".
    file.set_len(bytes.len() as u64)?;
    file.write_all_at(&bytes, 0)
}

fn record(process: Process, doors: &[Door], lock: &File) -> Record {
    Record {
        process,
        addresses: doors.iter().map(|door| door.address).collect(),
        program: program(),
        sockets: doors.iter().flat_map(|d| [d.datagrams.as_raw_fd(), d.connections.as_raw_fd()]).collect(),
        lock: lock.as_raw_fd(),
    }
}

/// What tells this build from others: the file it runs from.
fn program() -> String {
    let of = |m: std::fs::Metadata| format!("{}:{}:{}.{}", m.dev(), m.ino(), m.mtime(), m.mtime_nsec());
    std::fs::metadata(SELF).map(of).unwrap_or_default()
}

fn open_doors(definition: &Definition, addresses: &[IpAddr]) -> Result<Vec<Door>> {
    let open = |address: &IpAddr| {
        Door::open(*address).map_err(|e| {
            let taken = e.kind() == io::ErrorKind::AddrInUse;
            let error = failed(START, &definition.name, e);
            match taken {
                true => Error::new(Kind::InUse, START, &definition.name)
                    .because(format!("port 53 of {address} is taken"))
                    .hint("another name server listens on every address; let it listen on those it needs"),
                false => error,
            }
        })
    };
    addresses.iter().map(open).collect()
}

/// Starts the server with these sockets and this lock.
fn spawn(state: &State, definition: &Definition, lock: File, doors: Vec<Door>) -> io::Result<()> {
    let numbers = record(Process::own(), &doors, &lock);
    let handed: Vec<RawFd> = numbers.sockets.iter().copied().chain([numbers.lock]).collect();
    let sockets: Vec<String> = numbers.sockets.iter().map(ToString::to_string).collect();
    let mut command = Command::new(SELF);
    command.arg0(PROGRAM).args(state.absolute()?.options()).args([
        "dns",
        "serve",
        "--network",
        &definition.name,
        "--foreground",
    ]);
    command.args(["--sockets", &sockets.join(","), "--lock", &numbers.lock.to_string()]);
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What somebody left open for us is not the server's: a pipe of theirs would never end.
    sys::spawn::cloexec_from(3)?;
    for number in &handed {
        sys::spawn::keep_over_exec(*number)?;
    }
    let started = command.spawn();
    for number in &handed {
        sys::spawn::close_on_exec(*number)?;
    }
    let child = started?;
    if let Some(process) = Process::of(child.id()) {
        note(&lock, &Record { process, ..numbers })?;
    }
    Ok(())
}

/// Puts a server of this build in the place of another's.
fn replace(state: &State, definition: &Definition, path: &Path) -> io::Result<()> {
    let refused = |e: Error| io::Error::other(e.to_string());
    let _lock = state.lock_network(&definition.name).map_err(refused)?;
    let Some(old) = read(path).filter(|old| old.program != program()) else { return Ok(()) };
    let process = open_process(&old.process)?.ok_or(io::ErrorKind::NotFound)?;
    let take =
        |number: RawFd| -> io::Result<OwnedFd> { Ok(pidfd_getfd(process.as_fd(), number, PidfdGetfdFlags::empty())?) };
    let lock = File::from(take(old.lock)?);
    let (mine, there) = (lock.metadata()?, std::fs::metadata(path)?);
    if (mine.dev(), mine.ino()) != (there.dev(), there.ino()) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut doors = Vec::new();
    for pair in old.sockets.chunks_exact(2) {
        doors.push(Door::inherit(take(pair[0])?, take(pair[1])?)?);
    }
    spawn(state, definition, lock, doors)?;
    pidfd_send_signal(process, rustix::process::Signal::TERM)?;
    Ok(())
}

/// A handle of the process, if it is still the one that is meant.
fn open_process(process: &Process) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(process.id).ok().and_then(rustix::process::Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        // Looked at after it was opened: what lives now is what the handle is of.
        Ok(handle) => Ok(process.is_alive().then_some(handle)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Ends a server and waits for its end.
fn end(process: &Process, op: &'static str, network: &str) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let wrong = |e: io::Error| failed(op, network, e);
    let Some(handle) = open_process(process).map_err(wrong)? else { return Ok(()) };
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(wrong(errno.into())),
        }
        let timeout = rustix::time::Timespec::try_from(PATIENCE).ok();
        let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], timeout.as_ref());
        if ended.is_ok_and(|n| n > 0) {
            return Ok(());
        }
    }
    Err(Error::new(Kind::System, op, network).because(format!("process {} does not end", process.id)))
}
