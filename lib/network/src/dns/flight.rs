//! Questions that others are asked.
//!
//! Each question has sockets of its own, connected to the server it went to: so the kernel chooses a random port and drops
//! what comes from elsewhere, and with the random id and the question repeated in the answer a forger has 32 bits to guess.
//! No thread waits for it: the event loop is told.
//!
//! A question goes to one server after the other, and round again until its time is over; answers to earlier sendings count
//! as long as it lasts. A server that did not answer is asked last for a while. SERVFAIL, NOTIMP and REFUSED move on to the
//! next server at once, and are passed on when nobody knows better. What came by TCP is asked by TCP first: usually it is
//! what was too long for UDP.

use crate::dns::token::{Places, Table, Token, Waits};
use crate::dns::wire::{self, Query};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, connect, recv, socket_with};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a server has before the next one is asked too.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a question lasts: a little less than resolvers wait (5 s in glibc and musl).
const LIFE: Duration = Duration::from_millis(4500);
/// How long a server that did not answer is asked last.
const SICK: Duration = Duration::from_secs(10);
/// The most questions in the air, and of one client.
const MOST: usize = 512;
const MOST_OF_ONE: usize = 128;
/// How often each server is asked.
const ROUNDS: usize = 3;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// By UDP: the socket it came in by, and from where.
    Datagram { listener: usize, address: SocketAddr },
    /// By TCP: the connection, and from where.
    Stream { connection: Token, address: SocketAddr },
}

impl Client {
    /// Where it asked from.
    pub(crate) fn address(self) -> SocketAddr {
        match self {
            Self::Datagram { address, .. } | Self::Stream { address, .. } => address,
        }
    }
}

/// An answer that came back.
#[derive(Debug)]
pub(crate) struct Landing {
    /// Who asked.
    pub(crate) client: Client,
    /// The whole answer, fit for the client.
    pub(crate) message: Vec<u8>,
}

/// One sending of a question.
#[derive(Debug)]
enum Leg {
    Datagram { socket: UdpSocket, server: SocketAddr, id: u16 },
    Stream { socket: TcpStream, server: SocketAddr, id: u16, unsent: Vec<u8>, got: Vec<u8> },
}

impl Leg {
    fn server(&self) -> SocketAddr {
        match self {
            Self::Datagram { server, .. } | Self::Stream { server, .. } => *server,
        }
    }
}

#[derive(Debug)]
struct Flight {
    client: Client,
    query: Query,
    message: Vec<u8>,
    bytes: usize,
    /// Whom to ask, and whether by TCP; those before `next` were asked.
    steps: Vec<(SocketAddr, bool)>,
    next: usize,
    legs: Vec<Leg>,
    due: Instant,
    end: Instant,
    /// An answer that helps nobody, to be passed on if no better one comes.
    fallback: Option<Vec<u8>>,
}

/// All questions in the air.
#[derive(Debug)]
pub(crate) struct Flights {
    places: Places<Flight>,
    sick: HashMap<SocketAddr, Instant>,
    random: Random,
    most: usize,
}

impl Flights {
    /// None yet. Each may have `ROUNDS` descriptors of the `descriptors` there are.
    pub(crate) fn new(descriptors: usize) -> Self {
        let most = MOST.min(descriptors / (ROUNDS + 1));
        Self { places: Places::new(Table::Flights), sick: HashMap::new(), random: Random::default(), most }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.places.iter().map(|(_, flight)| flight.due).min()
    }

    /// Sends a question off to `servers`. What comes back at once is the answer (there is no server, or too much is in the
    /// air already); a question that is in the air already is not sent again.
    pub(crate) fn launch(
        &mut self,
        waits: &Waits,
        client: Client,
        (query, message, bytes): (Query, Vec<u8>, usize),
        servers: &[SocketAddr],
        now: Instant,
    ) -> Option<Landing> {
        let mut of_same = 0;
        for (_, flight) in self.places.iter() {
            if flight.client == client && flight.query == query {
                return None;
            }
            of_same += usize::from(flight.client.address().ip() == client.address().ip());
        }
        self.sick.retain(|_, until| *until > now);
        let mut servers: Vec<SocketAddr> = servers.to_vec();
        servers.sort_by_key(|server| self.sick.contains_key(server));
        let by = |tcp: bool| servers.iter().map(move |server| (*server, tcp));
        let steps: Vec<_> = match client {
            Client::Datagram { .. } => (0..ROUNDS).flat_map(|_| by(false)).collect(),
            Client::Stream { .. } => by(true).chain(by(false)).collect(),
        };
        let end = now + LIFE;
        let flight =
            Flight { client, query, message, bytes, steps, next: 0, legs: Vec::new(), due: end, end, fallback: None };
        if self.places.len() >= self.most || of_same >= MOST_OF_ONE {
            return Some(flight.land(None));
        }
        let token = self.places.put(flight);
        self.step(waits, token, now)
    }

    /// Asks the next server of a question, or gives it up.
    fn step(&mut self, waits: &Waits, token: Token, now: Instant) -> Option<Landing> {
        let id = self.random.id();
        let flight = self.places.get_mut(token)?;
        while let Some((server, tcp)) = flight.steps.get(flight.next).copied() {
            flight.next += 1;
            if flight.send(waits, token, server, tcp, id).is_ok() {
                flight.due = (now + PATIENCE).min(flight.end);
                return None;
            }
        }
        if !flight.legs.is_empty() {
            // All were asked; who was asked may still answer.
            flight.due = flight.end;
            return None;
        }
        self.places.take(token).map(|mut flight| {
            let message = flight.fallback.take();
            flight.land(message)
        })
    }

    /// What has come for the question at `token`.
    pub(crate) fn ready(&mut self, waits: &Waits, token: Token, now: Instant) -> Option<Landing> {
        let flight = self.places.get_mut(token)?;
        let (mut answer, mut failed) = (None, false);
        let mut at = 0;
        while let Some(leg) = flight.legs.get_mut(at) {
            let server = leg.server();
            match leg.receive(&flight.query) {
                Ok(None) => at += 1,
                Ok(Some(message)) if wire::is_of_no_use(&message) => {
                    flight.fallback = Some(message);
                    flight.legs.remove(at);
                    failed = true;
                }
                Ok(Some(message)) => {
                    self.sick.remove(&server);
                    answer = Some(message);
                    break;
                }
                Err(_) => {
                    flight.legs.remove(at);
                    self.sick.insert(server, now + SICK);
                    failed = true;
                }
            }
        }
        if answer.is_some() {
            return self.places.take(token).map(|flight| flight.land(answer));
        }
        if failed { self.step(waits, token, now) } else { None }
    }

    /// Moves on what has waited long enough.
    pub(crate) fn tick(&mut self, waits: &Waits, now: Instant) -> Vec<Landing> {
        let due: Vec<Token> = self.places.iter().filter(|(_, f)| f.due <= now).map(|(token, _)| token).collect();
        let mut landings = Vec::new();
        for token in due {
            let Some(flight) = self.places.get_mut(token) else { continue };
            self.sick.extend(flight.legs.last().map(|leg| (leg.server(), now + SICK)));
            if flight.end <= now {
                landings.extend(self.places.take(token).map(|mut flight| {
                    let message = flight.fallback.take();
                    flight.land(message)
                }));
            } else {
                landings.extend(self.step(waits, token, now));
            }
        }
        landings
    }
}

impl Flight {
    /// The answer for the client: `message`, or that there is none.
    fn land(self, message: Option<Vec<u8>>) -> Landing {
        let message = match message {
            Some(message) => self.query.pass_on(message, self.bytes),
            None => self.query.answer(wire::Rcode::ServFail, &[], self.bytes),
        };
        Landing { client: self.client, message }
    }

    fn send(&mut self, waits: &Waits, token: Token, server: SocketAddr, tcp: bool, id: u16) -> io::Result<()> {
        if !tcp {
            // Asked before: the same socket, so that an answer to either sending is one.
            for leg in &self.legs {
                if let Leg::Datagram { socket, server: asked, .. } = leg
                    && *asked == server
                {
                    return socket.send(&self.datagram(leg)).map(drop);
                }
            }
        }
        let socket = open(server, if tcp { SocketType::STREAM } else { SocketType::DGRAM })?;
        if tcp {
            waits.changes(&socket, token)?;
            let mut unsent = (self.message.len() as u16).to_be_bytes().to_vec();
            unsent.extend_from_slice(&self.message);
            wire::set_id(&mut unsent[2..], id);
            self.legs.push(Leg::Stream { socket: socket.into(), server, id, unsent, got: Vec::new() });
            return Ok(());
        }
        waits.readable(&socket, token)?;
        let leg = Leg::Datagram { socket: socket.into(), server, id };
        if let Leg::Datagram { socket, .. } = &leg {
            socket.send(&self.datagram(&leg))?;
        }
        self.legs.push(leg);
        Ok(())
    }

    fn datagram(&self, leg: &Leg) -> Vec<u8> {
        let mut message = self.message.clone();
        if let Leg::Datagram { id, .. } = leg {
            wire::set_id(&mut message, *id);
        }
        message
    }
}

impl Leg {
    /// The answer, if it is there. What is no answer to the question is passed over.
    fn receive(&mut self, query: &Query) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Datagram { socket, id, .. } => loop {
                let mut message = Vec::with_capacity(wire::STREAM_BYTES);
                match recv(&*socket, spare_capacity(&mut message), RecvFlags::empty()) {
                    Ok(_) => message.shrink_to_fit(),
                    Err(Errno::WOULDBLOCK) => return Ok(None),
                    Err(Errno::INTR) => continue,
                    Err(errno) => return Err(errno.into()),
                }
                if query.is_answered_by(&message, *id) {
                    return Ok(Some(message));
                }
            },
            Self::Stream { socket, id, unsent, got, .. } => {
                while !unsent.is_empty() {
                    match socket.write(unsent) {
                        Ok(written) => drop(unsent.drain(..written)),
                        // ENOTCONN: still connecting.
                        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                            return Ok(None);
                        }
                        Err(e) => return Err(e),
                    }
                }
                let mut buffer = [0; 4096];
                loop {
                    if let Some((length, rest)) = got.split_first_chunk::<2>()
                        && let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length)))
                    {
                        // The one answer to the one question, or nonsense.
                        let answers = query.is_answered_by(message, *id);
                        return if answers {
                            Ok(Some(message.to_vec()))
                        } else {
                            Err(io::ErrorKind::InvalidData.into())
                        };
                    }
                    match socket.read(&mut buffer) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(length) => got.extend_from_slice(&buffer[..length]),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                }
            }
        }
    }
}

/// A socket connected to `server`, or about to be.
fn open(server: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// Random ids, taken from the kernel in handfuls.
#[derive(Debug, Default)]
struct Random {
    left: Vec<u8>,
}

impl Random {
    fn id(&mut self) -> u16 {
        if self.left.len() < 2 {
            let mut bytes = [0; 256];
            let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
            self.left = bytes.to_vec();
        }
        u16::from_be_bytes([self.left.pop().unwrap_or(0), self.left.pop().unwrap_or(0)])
    }
}

/// Those of `servers` that can be asked: not ourselves, not who asks, and no other server of ours, or questions would go
/// round in circles.
pub(crate) fn askable(servers: &[SocketAddr], client: IpAddr, ours: impl Fn(IpAddr) -> bool) -> Vec<SocketAddr> {
    servers.iter().filter(|server| server.ip() != client && !ours(server.ip())).copied().collect()
}
