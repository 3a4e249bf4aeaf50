//! The keeper: a fork of netwire that starts the program, tells that it is up, and ends it with the container.
//!
//! What a container ends with is, in this order: the other end of standard input, where the caller said so; the process by
//! which its namespace was named; the file by which it was named, looked at once a second. The keeper also goes when the
//! program ends, and on SIGTERM, which is how `detach` ends it. It holds no file of the caller's but standard input.
//!
//! It adopts the program where that runs in the background by itself (it is a subreaper), so that no zombie is left to a
//! process that never asked for one.

use super::record::{self, Record};
use super::{
    ADDRESS, ADDRESS_6, ATTACH, Attachment, Forward, GATEWAY, GATEWAY_6, MTU, NAME_SERVER, Program, Routes, Wish,
    pasta, slirp,
};
use crate::error::{Error, Kind, Result, failed};
use crate::lease::Process;
use crate::namespace::{Identity, Namespace, Reference};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// How often the file that names a namespace is looked at, in milliseconds.
const LOOK_MS: u16 = 1000;

/// What a keeper is to start.
#[derive(Debug)]
pub struct Job<'a> {
    /// Which program.
    pub program: Program,
    /// Its executable.
    pub path: PathBuf,
    /// Families with a way out.
    pub routes: Routes,
    /// What was asked for.
    pub wish: &'a Wish,
    /// Its ports, chosen.
    pub ports: &'a [Forward],
    /// The container's namespace; no descriptor of it, since a fork has none of them.
    pub inside: &'a Identity,
}

impl Job<'_> {
    /// How the programs are told the namespace: by process where we are an ordinary user and they must enter the process's
    /// user namespace as well, else by path.
    pub(super) fn target(&self) -> Target {
        match &self.wish.namespace {
            Reference::Process(id) if !rustix::process::geteuid().is_root() => Target::Process(*id),
            _ => Target::Path(self.inside.path.clone()),
        }
    }
}

/// A namespace in the programs' grammar.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The network and user namespaces of a process.
    Process(u32),
    /// A network namespace of our own user namespace.
    Path(PathBuf),
}

/// What a keeper says on its pipe, in one line.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    Up(Attachment),
    Failed { why: String, hint: Option<String> },
}

/// A program that is up.
#[derive(Debug)]
pub(super) struct Running {
    /// It.
    pub(super) process: Process,
    /// What it ends with, held as long as it is to live.
    pub(super) _hold: Option<OwnedFd>,
}

/// Forks a keeper and waits until it says that the program is up. The record then names both.
pub fn start(job: &Job<'_>, record: &mut Record) -> Result<Attachment> {
    let wrong = |e: std::io::Error| failed(ATTACH, &job.wish.network, e);
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| wrong(e.into()))?;
    let kept = record.clone();
    sys::daemon::fork_into(vec![theirs], |mut keep| {
        let Some(report) = keep.pop() else { return 1 };
        let mut record = kept;
        match keep_running(job, &mut record, File::from(report)) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    })
    .map_err(wrong)?;
    let mut said = String::new();
    File::from(ours).read_to_string(&mut said).map_err(wrong)?;
    let refuse = |why: String, hint: Option<String>| {
        let error = Error::new(Kind::System, ATTACH, &job.wish.network);
        Err(Error { hint, ..error.because(format!("{}: {why}", job.program.name())) })
    };
    match serde_json::from_str(&said) {
        Ok(Word::Up(attachment)) => Ok(attachment),
        Ok(Word::Failed { why, hint }) => refuse(why, hint),
        Err(_) => refuse("it ended before it was up".into(), None),
    }
}

/// The keeper's life.
fn keep_running(job: &Job<'_>, record: &mut Record, mut report: File) -> std::io::Result<()> {
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    if !job.wish.alive {
        rustix::stdio::dup2_stdin(&null)?;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))?;
    let mut signals = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().for_each(|s| signals.add(s));
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;

    record.keeper = Process::own();
    let started = bring_up(job, record);
    let word = match &started {
        Ok((_, attachment)) => Word::Up(attachment.clone()),
        Err(e) => Word::Failed { why: e.to_string(), hint: e.hint.clone() },
    };
    // Who asked may be dead; what was made then is found by its record.
    let _ = serde_json::to_writer(&mut report, &word).map(|()| report.flush());
    drop(report);
    if let Ok((running, _)) = started {
        wait(job, &running, &signals);
        let _ = record::stop(running.process);
        drop(running);
        let _ = record.forget();
    }
    while rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
    Ok(())
}

fn bring_up(job: &Job<'_>, record: &mut Record) -> Result<(Running, Attachment)> {
    record.store()?;
    // The parent's descriptor is closed here.
    let inside = Namespace::open(&job.wish.namespace)?;
    if inside.identity().inode != job.inside.inode {
        return Err(Error::new(Kind::NotFound, "", "the namespace is another one by now"));
    }
    quicken(&inside, false);
    let running = match job.program {
        Program::Pasta => pasta::start(job, &inside, record),
        Program::Slirp4netns => slirp::start(job, record),
    };
    quicken(&inside, true);
    let running = running?;
    // slirp4netns has ports on IPv4 alone, with or without a way out
    let families = match job.program {
        Program::Pasta => job.routes,
        Program::Slirp4netns => Routes { four: true, six: false },
    };
    let (four, six) = (
        families.four.then(|| (format!("{ADDRESS}/24"), IpAddr::from(GATEWAY))),
        families.six.then(|| (format!("{ADDRESS_6}/64"), IpAddr::from(GATEWAY_6))),
    );
    let (addresses, gateways): (Vec<String>, Vec<IpAddr>) = four.into_iter().chain(six).unzip();
    let attachment = Attachment {
        network: job.wish.network.clone(),
        driver: job.program,
        interface: job.wish.interface.clone(),
        addresses,
        gateway: gateways.first().copied().unwrap_or(GATEWAY.into()),
        gateways,
        mtu: MTU,
        dns: vec![NAME_SERVER.into()],
        ports: job.ports.iter().flat_map(|port| port.listening(families)).collect(),
        warnings: Vec::new(),
    };
    record.program = Some(running.process);
    record.attachment = Some(attachment.clone());
    match record.store() {
        Ok(()) => Ok((running, attachment)),
        Err(e) => {
            let _ = record::stop(running.process);
            Err(e)
        }
    }
}

/// Nobody else is on the container's link, so its IPv6 address need not be tried for a second before it works. (And pasta
/// of 2023 spins when a connection comes in that second.) What cannot be set is not missed.
fn quicken(inside: &Namespace, tried: bool) {
    let value = if tried { "1" } else { "0" };
    let _ = inside.within(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", value));
}

/// Returns when the container, the program or we are to end.
fn wait(job: &Job<'_>, running: &Running, signals: &SignalFd) {
    let Some(program) = record::handle(running.process) else { return };
    let process = match &job.wish.namespace {
        Reference::Process(id) => Process::of(*id).and_then(record::handle),
        _ => None,
    };
    let input = std::io::stdin();
    let looks = !job.wish.alive && process.is_none();
    loop {
        let mut fds =
            vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(program.as_fd(), PollFlags::POLLIN)];
        if job.wish.alive {
            fds.push(PollFd::new(input.as_fd(), PollFlags::empty()));
        } else if let Some(process) = &process {
            fds.push(PollFd::new(process.as_fd(), PollFlags::POLLIN));
        }
        let timeout = if looks { PollTimeout::from(LOOK_MS) } else { PollTimeout::NONE };
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            _ => return,
        }
        if looks && !job.inside.is_there() {
            return;
        }
    }
}
