//! The process that keeps this host a member in etcd and the kernel's tables what the members say: one a network and host.
//!
//! It holds a lock for as long as it lives, so there is one at a time; `join`, `restore` and each attach start it where
//! there is none. It ends by itself when membership or network are gone.
//!
//! Whatever goes wrong with etcd is tried again each second, for good, and meanwhile nothing is taken out of the kernel's
//! tables. What it does besides, now and then: gives back addresses whose containers died without a word, takes those that
//! were given before this host joined, and makes link and tables anew where somebody damaged them.

use crate::definition::Definition;
use crate::error::{Error, Kind, Result, failed};
use crate::etcd::Watch;
use crate::lease::{Book, Lease, Process};
use crate::namespace::Namespace;
use crate::overlay::directory::{Claim, Directory, Member};
use crate::overlay::membership::{Membership, Source};
use crate::overlay::view::{Taken, View};
use crate::overlay::{build, forwarding, underlay};
use crate::socket::Socket;
use crate::state::State;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// How often it looks up from its watch, and the pause before etcd is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How long a server may take to have read etcd, or to have found that it does not answer.
const READY: Duration = Duration::from_secs(15);
/// How long a server may take to end.
const END: Duration = Duration::from_secs(3);
/// How often the kernel's tables are compared although nothing happened.
const COMPARE: Duration = Duration::from_secs(30);
/// How long at least what is missing after etcd was away is kept.
const LEAST_GRACE: Duration = Duration::from_secs(10);
/// How often the server's lock is tried, and the pause between.
const PROBES: usize = 10;
const PROBE: Duration = Duration::from_millis(10);
const OP: &str = "serve overlay network";

/// Whether a server runs.
pub fn is_running(state: &State, network: &str) -> bool {
    let Ok(file) = File::open(state.server_lock_path(network)) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, nix::Error::EWOULDBLOCK)))
}

/// Starts a server in the background where none runs, and waits until it has read etcd or found that it does not answer.
pub fn ensure_running(state: &State, network: &str) -> Result<()> {
    let Some(hear) = start(state, network)? else { return Ok(()) };
    let wait = Timespec { tv_sec: READY.as_secs().cast_signed(), tv_nsec: 0 };
    let mut said = String::new();
    if poll(&mut [PollFd::new(&hear, PollFlags::IN)], Some(&wait)).is_ok_and(|ready| ready > 0) {
        let _ = File::from(hear).read_to_string(&mut said);
    }
    match said.as_str() {
        "ready" => Ok(()),
        why => Err(Error::new(Kind::System, OP, network)
            .because(if why.is_empty() { "it did not begin in time".to_owned() } else { why.to_owned() })
            .hint(format!("see why: netwire overlay serve {network}"))),
    }
}

/// Starts a server in the background where none runs; gives the pipe on which it says that it is ready, or why it cannot be.
pub(crate) fn start(state: &State, network: &str) -> Result<Option<OwnedFd>> {
    if is_running(state, network) {
        return Ok(None);
    }
    let (hear, speak) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(OP, network, e))?;
    let (state, name) = (state.absolute().map_err(|e| failed(OP, network, e))?, network.to_owned());
    sys::daemon::fork_into(vec![speak], move |kept| live(&state, &name, kept)).map_err(|e| failed(OP, network, e))?;
    Ok(Some(hear))
}

/// Ends the server, if one runs.
pub fn stop(state: &State, network: &str) -> Result<()> {
    let until = Instant::now() + END;
    while is_running(state, network) {
        let server = View::load(state, network).server.filter(Process::is_alive);
        if let Some(id) = server.and_then(|server| i32::try_from(server.id).ok()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if Instant::now() > until {
            return Err(Error::new(Kind::System, "end the server of network", network).because("it does not end"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What is wrong with what is known of the hosts.
pub fn trouble(state: &State, network: &str, view: &View) -> Option<String> {
    if !is_running(state, network) {
        return Some(format!("nobody follows the members of {network}: netwire overlay serve {network}"));
    }
    view.trouble.clone().or_else(|| (!view.connected).then(|| "etcd has not answered yet".to_owned()))
}

/// The server's life in the background; gives its exit code.
fn live(state: &State, network: &str, kept: Vec<OwnedFd>) -> u8 {
    let Ok([pipe]) = <[OwnedFd; 1]>::try_from(kept) else { return 1 };
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    let mut pipe = Some(pipe);
    let served = run(state, network, &mut || {
        if let Some(pipe) = pipe.take() {
            let _ = rustix::io::write(&pipe, b"ready");
        }
    });
    match (served, pipe) {
        (Ok(()), _) => 0,
        (Err(error), pipe) => {
            if let Some(pipe) = pipe {
                let _ = rustix::io::write(&pipe, error.to_string().as_bytes());
            }
            1
        }
    }
}

/// Serves in front until membership or network are gone; `ready` is called when etcd was read or found not to answer.
pub fn run(state: &State, network: &str, ready: &mut dyn FnMut()) -> Result<()> {
    let mut held = hold(state, network)?;
    for _ in 0..PROBES {
        if held.is_some() {
            break;
        }
        // Perhaps somebody only looks whether a server runs.
        std::thread::sleep(PROBE);
        held = hold(state, network)?;
    }
    let lock = held.ok_or_else(|| {
        let server = View::load(state, network).server;
        let who = server.map_or_else(|| "another process".to_owned(), |server| format!("process {}", server.id));
        Error::new(Kind::InUse, OP, network).because(format!("{who} does that"))
    })?;
    let mut keeper = Keeper::new(state, network)?;
    keeper.save();
    while !keeper.is_over() {
        match keeper.session(ready) {
            Ok(()) => break,
            Err(e) => {
                keeper.view.trouble = Some(e.to_string());
                keeper.view.connected = false;
                keeper.save();
            }
        }
        keeper.upkeep(false);
        ready();
        std::thread::sleep(TICK);
    }
    drop(lock);
    Ok(())
}

/// The server's lock; `None` where another holds it.
fn hold(state: &State, network: &str) -> Result<Option<Flock<File>>> {
    let path = state.server_lock_path(network);
    let wrong = |e: io::Error| failed("lock", path.display(), e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(wrong)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Some(held)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(wrong(errno.into())),
    }
}

/// One network's server.
struct Keeper<'a> {
    state: &'a State,
    definition: Definition,
    membership: Membership,
    local: IpAddr,
    ttl: Duration,
    view: View,
    /// What was written of the view last.
    saved: String,
    socket: Socket,
    /// The numbers of VXLAN link and bridge that the tables were written for.
    links: Option<(u32, u32)>,
    lease: Option<i64>,
    alive_at: Instant,
    settled_at: Option<Instant>,
    compared_at: Instant,
}

impl<'a> Keeper<'a> {
    fn new(state: &'a State, network: &str) -> Result<Self> {
        let missing = |why: &str| Error::new(Kind::NotFound, OP, network).because(why.to_owned());
        let definition = Definition::load(state, network)?.ok_or_else(|| missing("no such network"))?;
        let membership = Membership::load(state, network)?.ok_or_else(|| missing("this host has not joined it"))?;
        let Source::Etcd(cluster) = &membership.source else {
            return Err(missing("its hosts are not known by etcd: there is nobody to follow"));
        };
        let ttl = Duration::from_secs(cluster.ttl_s);
        let mut socket = Socket::open_route()?;
        let local = underlay::find(&mut socket, &definition, Some(&membership))?.tunnel.local;
        let mut view = View::load(state, network);
        // What an earlier server knew stays until etcd has had time to say otherwise.
        view.merge(Vec::new(), Instant::now());
        let lease = view.lease;
        view.server = Some(Process::own());
        view.local = Some(local);
        view.connected = false;
        let now = Instant::now();
        Ok(Self {
            state,
            definition,
            membership,
            local,
            ttl,
            view,
            saved: String::new(),
            socket,
            links: None,
            lease,
            alive_at: now,
            settled_at: None,
            compared_at: now,
        })
    }

    /// Whether there is nothing to serve any more, or another membership.
    fn is_over(&self) -> bool {
        let name = &self.definition.name;
        let same = Membership::load(self.state, name).is_ok_and(|m| m.as_ref() == Some(&self.membership));
        !same || !Definition::load(self.state, name).is_ok_and(|d| d.is_some_and(|d| d.id == self.definition.id))
    }

    /// One connection's time: reads everything, then follows what changes. Ends well when there is nothing to serve.
    fn session(&mut self, ready: &mut dyn FnMut()) -> Result<()> {
        let Source::Etcd(cluster) = &self.membership.source else { return Ok(()) };
        let mut directory = Directory::open(cluster, &self.definition.name)?;
        self.enlist(&mut directory)?;
        let (revision, records) = directory.read()?;
        let mut watch = directory.watch(revision)?;
        self.view.merge(records, Instant::now());
        self.view.connected = true;
        self.view.trouble = None;
        self.settle(&mut directory)?;
        self.upkeep(true);
        self.save();
        ready();
        while !self.is_over() {
            self.follow(&mut directory, &mut watch)?;
        }
        Ok(())
    }

    fn follow(&mut self, directory: &mut Directory, watch: &mut Watch) -> Result<()> {
        let mut changed = false;
        for event in watch.poll(TICK)? {
            if let Some(change) = directory.change(&event) {
                changed |= self.view.change(change);
            }
        }
        if !self.view.hosts.contains_key(&self.local) || self.alive_at.elapsed() >= self.ttl / 3 {
            self.enlist(directory)?;
        }
        if self.settled_at.is_none_or(|at| at.elapsed() >= self.ttl) {
            self.settle(directory)?;
        }
        changed |= self.view.expire(Instant::now(), self.ttl.max(LEAST_GRACE));
        self.upkeep(changed);
        self.save();
        Ok(())
    }

    /// Makes sure that this host is a member, under a lease that lives.
    fn enlist(&mut self, directory: &mut Directory) -> Result<()> {
        let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let member = Member { id: self.membership.id.clone(), name };
        let lives = match self.lease {
            Some(lease) => directory.client().keep_alive(lease)?,
            None => false,
        };
        if !lives || !self.view.hosts.contains_key(&self.local) {
            let lease = match self.lease.filter(|_| lives) {
                Some(lease) => lease,
                None => directory.client().grant(self.ttl.as_secs())?,
            };
            self.lease = Some(lease);
            self.view.lease = Some(lease);
            self.save();
            directory.register(self.local, &member, lease)?;
            self.view.hosts.insert(self.local, member);
        }
        self.alive_at = Instant::now();
        Ok(())
    }

    /// Makes what etcd has of this host's addresses agree with its leases.
    fn settle(&mut self, directory: &mut Directory) -> Result<()> {
        // Who was attaching before the leases are read has written its lease by then, if it is dead now.
        let ours = self.view.addresses.iter().filter(|(_, taken)| taken.claim.host == self.local);
        let mut idle: Vec<(IpAddr, Taken)> = ours.map(|(address, taken)| (*address, taken.clone())).collect();
        idle.retain(|(_, taken)| !taken.claim.attacher.is_alive());
        let mut book = Book::load(self.state, &self.definition.name)?;
        book.collect(Namespace::own()?.identity().inode, &mut self.socket)?;
        let leases: Vec<Lease> = book.leases().cloned().collect();
        let is_leased = |address: &IpAddr, claim: &Claim| {
            leases.iter().any(|lease| {
                lease.addresses.contains(address)
                    && (&lease.container, &lease.interface) == (&claim.container, &claim.interface)
            })
        };
        for (address, taken) in &idle {
            if !is_leased(address, &taken.claim) {
                directory.give_back(*address, taken.record.as_bytes())?;
            }
        }
        let mut trouble = None;
        for lease in &leases {
            let known = |address: &&IpAddr| {
                self.view.addresses.get(address).is_some_and(|taken| {
                    taken.claim.host == self.local && taken.claim.mac == lease.mac && is_leased(address, &taken.claim)
                })
            };
            let unknown: Vec<IpAddr> = lease.addresses.iter().filter(|address| !known(address)).copied().collect();
            let renamed = |taken: &Taken| taken.claim.names != lease.names();
            if unknown.is_empty() && lease.addresses.iter().any(|a| self.view.addresses.get(a).is_some_and(renamed)) {
                directory.rename(self.local, lease)?;
            }
            // Who is attaching just now sees to it itself.
            if unknown.is_empty() || lease.attacher.is_alive() {
                continue;
            }
            let claim = Claim::of(lease, self.local);
            for (address, theirs) in directory.claim(&unknown, &claim)?.err().unwrap_or_default() {
                let (ours, there, host) = (&lease.container, &theirs.container, theirs.host);
                trouble = Some(format!("{address} is twice: {ours} has it here, {there} on host {host}"));
            }
        }
        self.view.trouble = trouble;
        self.settled_at = Some(Instant::now());
        Ok(())
    }

    /// Looks whether the links still are what the tables were written for, makes them anew where not, and writes the tables
    /// where something `changed`, or now and then.
    fn upkeep(&mut self, changed: bool) {
        let due = self.compared_at.elapsed() >= COMPARE;
        let done = self.standing().and_then(|links| {
            if changed || due || self.links != Some(links) {
                forwarding::apply(&mut self.socket, links.0, links.1, &self.view.forwarding(self.local))?;
                self.links = Some(links);
                self.compared_at = Instant::now();
            }
            Ok(())
        });
        if let Err(e) = done {
            self.view.trouble = Some(e.to_string());
            self.links = None;
        }
    }

    fn standing(&mut self) -> Result<(u32, u32)> {
        for _ in 0..2 {
            if let Some((link, tunnel)) = underlay::present(&mut self.socket, &self.definition)?
                && let Some(bridge) = link.controller
                && link.up
                && tunnel.local == self.local
            {
                return Ok((link.index, bridge));
            }
            let _lock = self.state.lock_network(&self.definition.name)?;
            build(self.state, &mut self.socket, &self.definition)?;
        }
        Err(Error::new(Kind::NotFound, OP, &self.definition.name).because("its link vanishes"))
    }

    /// Writes the view where it changed. That this fails hurts only those who want to look.
    fn save(&mut self) {
        let text = serde_json::to_string(&self.view).unwrap_or_default();
        if text != self.saved && self.view.store(self.state, &self.definition.name).is_ok() {
            self.saved = text;
        }
    }
}
