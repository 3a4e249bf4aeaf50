//! The server: one thread, one loop over what happened.
//!
//! Questions that wait are read first, then the book is made sure of, then they are answered: so no answer is older than its
//! question. Where nothing happens nobody wakes up.
//!
//! It ends when the network has had no members for a while, and takes the network's lock for its last look: an attach
//! writes its lease under that lock and looks for the server afterwards, so either we see the lease or it sees that we are
//! gone. SIGTERM makes it leave its sockets to a successor: what it has begun it brings to an end.

use crate::definition::Definition;
use crate::dns::answer::{self, Verdict, View};
use crate::dns::books::Books;
use crate::dns::flight::{Client, Flights, Landing, askable};
use crate::dns::listen::{Bridge, Door, is_own};
use crate::dns::resolv::{MOST_SERVERS, PORT, Servers};
use crate::dns::stream::Connections;
use crate::dns::token::{Table, Token, Waits};
use crate::dns::wire::{NoQuery, Query, STREAM_BYTES, kind};
use crate::error::{Result, failed};
use crate::state::State;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a network may be without members before its server ends.
const LINGER: Duration = Duration::from_secs(5);
/// How long an interface may be still to come before it is looked for.
const BIRTH: Duration = Duration::from_secs(10);
/// How long what was begun may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How many questions are read before they are answered.
const BATCH: usize = 32;
/// The longest question we read by UDP.
const QUESTION_BYTES: usize = 4096;

/// What a server may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many descriptors the process may have.
    pub(crate) descriptors: usize,
    /// Whether it stays when the network has no members.
    pub(crate) stays: bool,
}

/// A server about to serve.
#[derive(Debug)]
pub(crate) struct Server {
    last_look: File,
    doors: Vec<Door>,
    addresses: Vec<IpAddr>,
    bridge: Bridge,
    books: Books,
    resolvers: Servers,
    own_resolvers: Vec<SocketAddr>,
    internal: bool,
    waits: Waits,
    signals: SignalFd,
    connections: Connections,
    flights: Flights,
    /// How many questions of a kind were answered; resolvers ask for A and AAAA by turns.
    turns: [usize; 2],
    stays: bool,
    /// When it ends for want of members, and when interfaces are looked for.
    lingers: Option<Instant>,
    survey: Option<Instant>,
    /// When it ends, begun or not, since SIGTERM.
    leaves: Option<Instant>,
}

impl Server {
    /// Prepares to serve `definition` at `doors`, for containers attached from the namespace `caller`, the thread's own.
    pub(crate) fn new(
        state: &State,
        definition: &Definition,
        caller: u64,
        doors: Vec<Door>,
        last_look: File,
        resolv_conf: &Path,
        limits: Limits,
    ) -> Result<Self> {
        let wrong = |e: std::io::Error| failed("serve the names of network", &definition.name, e);
        let books = Books::open(state, definition, caller)?;
        let waits = Waits::new().map_err(wrong)?;
        let mut wanted = SigSet::empty();
        wanted.add(Signal::SIGTERM);
        wanted.add(Signal::SIGINT);
        wanted.thread_block().map_err(|e| wrong(e.into()))?;
        let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        let signals = signals.map_err(|e| wrong(e.into()))?;
        let tell = || {
            waits.readable(&signals, Token::fixed(Table::Signals, 0))?;
            waits.readable(books.book_events(), Token::fixed(Table::Book, 0))?;
            waits.readable(books.link_events(), Token::fixed(Table::Links, 0))?;
            for (place, door) in doors.iter().enumerate() {
                waits.readable(&door.datagrams, Token::fixed(Table::Datagrams, place))?;
                waits.readable(&door.connections, Token::fixed(Table::Doors, place))?;
            }
            Ok(())
        };
        tell().map_err(wrong)?;
        let own_resolvers = definition.dns_servers.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
        Ok(Self {
            last_look,
            addresses: doors.iter().map(|door| door.address).collect(),
            doors,
            bridge: Bridge::new(&definition.bridge),
            books,
            resolvers: Servers::of(resolv_conf),
            own_resolvers,
            internal: definition.internal,
            waits,
            signals,
            connections: Connections::new(),
            flights: Flights::new(limits.descriptors),
            turns: [0; 2],
            stays: limits.stays,
            lingers: None,
            survey: None,
            leaves: None,
        })
    }

    /// Serves until the network has no members, or a signal says to end.
    pub(crate) fn serve(mut self) -> Result<()> {
        let wrong = |e: std::io::Error| failed("wait for questions", "", e);
        loop {
            self.count_members(Instant::now());
            let events = self.waits.wait(self.timeout()).map_err(wrong)?;
            for token in events {
                match token.table {
                    Table::Signals => {
                        if self.signalled() {
                            return Ok(());
                        }
                    }
                    Table::Book => self.books.refresh(),
                    Table::Links => self.books.links_changed(),
                    Table::Datagrams => self.datagrams(token.place as usize),
                    Table::Doors => self.admit(token.place as usize),
                    Table::Connections => self.connection(token),
                    Table::Flights => {
                        let landing = self.flights.ready(&self.waits, token, Instant::now());
                        self.land(landing);
                    }
                }
            }
            let now = Instant::now();
            let landings = self.flights.tick(&self.waits, now);
            self.land(landings);
            self.connections.tick(now);
            if self.survey.is_some_and(|at| at <= now) {
                self.survey = None;
                let _ = self.books.survey();
            }
            if self.lingers.is_some_and(|at| at <= now) && self.is_deserted() {
                return Ok(());
            }
            if let Some(at) = self.leaves
                && (at <= now || self.flights.len() + self.connections.len() == 0)
            {
                return Ok(());
            }
        }
    }

    /// How long nothing needs to be done.
    fn timeout(&self) -> Option<Duration> {
        let due = [self.flights.due(), self.connections.due(), self.lingers, self.survey, self.leaves];
        due.into_iter().flatten().min().map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn count_members(&mut self, now: Instant) {
        match (self.books.members(), self.lingers) {
            (0, None) if !self.stays => self.lingers = Some(now + LINGER),
            (0, _) => {}
            _ => self.lingers = None,
        }
        match (self.books.awaits(), self.survey) {
            (true, None) => self.survey = Some(now + BIRTH),
            (true, Some(_)) => {}
            _ => self.survey = None,
        }
    }

    /// Whether the network has no members, looked at under its lock. Where it has none the lock is kept until this process
    /// is gone.
    fn is_deserted(&mut self) -> bool {
        self.lingers = None;
        // Who holds it may be waiting for our end: so we do not wait.
        if flock(&self.last_look, FlockOperation::NonBlockingLockExclusive).is_err() {
            return false;
        }
        self.books.refresh();
        let _ = self.books.survey();
        let deserted = self.books.members() == 0 && !self.books.awaits();
        if !deserted {
            let _ = flock(&self.last_look, FlockOperation::Unlock);
        }
        deserted
    }

    /// Whether to end at once.
    fn signalled(&mut self) -> bool {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGINT as u32 {
                return true;
            }
            for door in &self.doors {
                self.waits.forget(&door.datagrams);
                self.waits.forget(&door.connections);
            }
            self.leaves = Some(Instant::now() + FAREWELL);
        }
        false
    }

    /// Reads and answers what waits at a door.
    fn datagrams(&mut self, place: usize) {
        let mut buffer = [0; QUESTION_BYTES];
        let mut batch = Vec::new();
        if let Some(door) = self.doors.get(place) {
            while batch.len() < BATCH
                && let Ok(Some((length, from, link))) = door.receive(&mut buffer)
            {
                let own = is_own(from.ip(), link, &self.addresses);
                if own || (self.bridge.is(link) && self.books.zone().covers(from.ip())) {
                    batch.push((buffer[..length].to_vec(), from));
                }
            }
        }
        self.books.refresh();
        for (message, address) in batch {
            let client = Client::Datagram { listener: place, address };
            if let Some(reply) = self.answer(message, client) {
                self.send(client, &reply);
            }
        }
    }

    fn admit(&mut self, place: usize) {
        let Some(door) = self.doors.get(place) else { return };
        while let Ok((socket, peer)) = door.connections.accept() {
            if self.addresses.contains(&peer.ip()) || self.books.zone().covers(peer.ip()) {
                self.connections.admit(&self.waits, socket, peer, Instant::now());
            }
        }
    }

    /// Answers what came in a connection, until nothing more is there.
    fn connection(&mut self, token: Token) {
        loop {
            let questions = self.connections.ready(token, Instant::now());
            if questions.is_empty() {
                return;
            }
            self.books.refresh();
            for (message, address) in questions {
                if let Some(reply) = self.answer(message, Client::Stream { connection: token, address }) {
                    self.connections.reply(token, &reply);
                }
            }
        }
    }

    /// The answer to a question, if it can be given now.
    fn answer(&mut self, message: Vec<u8>, client: Client) -> Option<Vec<u8>> {
        let query = match Query::read(&message) {
            Ok(query) => query,
            Err(NoQuery::Answer(answer)) => return Some(answer),
            Err(NoQuery::Ignore) => {
                if let Client::Stream { connection, .. } = client {
                    self.connections.close(connection);
                }
                return None;
            }
        };
        let bytes = match client {
            Client::Datagram { .. } => query.datagram_bytes(),
            Client::Stream { .. } => STREAM_BYTES,
        };
        let turn = &mut self.turns[usize::from(query.kind == kind::AAAA)];
        *turn = turn.wrapping_add(1);
        let turn = *turn;
        let from = client.address().ip();
        let (container, own_servers) = match self.books.zone().host(from) {
            Some(host) => (Some(host.container.clone()), host.servers.clone()),
            None => (None, Vec::new()),
        };
        // The machine itself is told our names and nothing else: it may be asked by its own resolver, which we would ask.
        let forward = !self.internal && !self.addresses.contains(&from);
        let others = self.books.zone().find(&query.name).is_none();
        let view = if others {
            let (own, others) = self.books.zones(container.as_deref());
            View { own, others }
        } else {
            View { own: self.books.zone(), others: Vec::new() }
        };
        match answer::answer(&query, &view, turn, bytes, forward) {
            Verdict::Reply(reply) => return Some(reply),
            Verdict::Forward => {}
        }
        let own_servers: Vec<SocketAddr> = own_servers.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect();
        let servers = match (own_servers.as_slice(), self.own_resolvers.as_slice()) {
            ([], []) => self.resolvers.now(),
            ([], network) => network,
            (container, _) => container,
        };
        let mut servers = askable(servers, from, |ip| self.addresses.contains(&ip) || self.books.is_ours(ip));
        servers.truncate(MOST_SERVERS);
        let question = (query, message, bytes);
        let landing = self.flights.launch(&self.waits, client, question, &servers, Instant::now());
        landing.map(|landing| landing.message)
    }

    /// Gives answers that came back to who asked.
    fn land(&mut self, landings: impl IntoIterator<Item = Landing>) {
        for Landing { client, message } in landings {
            self.send(client, &message);
            if let Client::Stream { connection, .. } = client {
                // There was no room for more questions perhaps; now there is.
                self.connection(connection);
            }
        }
    }

    fn send(&mut self, client: Client, message: &[u8]) {
        match client {
            Client::Datagram { listener, address } => {
                if let Some(door) = self.doors.get(listener) {
                    // What does not go out is lost, as packets are.
                    let _ = door.datagrams.send_to(message, address);
                }
            }
            Client::Stream { connection, .. } => self.connections.reply(connection, message),
        }
    }
}
