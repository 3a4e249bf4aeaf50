//! Clients that ask by TCP: each message behind its length in two bytes (RFC 7766). Many questions may be on the way in one
//! connection, and answers come in any order. A connection in which nothing happens is closed, and nobody may have so many,
//! or leave so much unread, that others suffer.

use crate::dns::token::{Places, Table, Token, Waits};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long nothing may happen.
const IDLE: Duration = Duration::from_secs(10);
/// The most connections, and of one client.
const MOST: usize = 128;
const MOST_OF_ONE: usize = 32;
/// The most questions of one connection that are being worked on.
const MOST_OPEN: usize = 32;
/// How much may wait to be read by the client.
const MOST_UNSENT: usize = 256 << 10;

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    got: Vec<u8>,
    unsent: Vec<u8>,
    open: usize,
    over: bool,
    last: Instant,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Connections {
    places: Places<Connection>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { places: Places::new(Table::Connections) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Takes a new one in, unless there are too many.
    pub(crate) fn admit(&mut self, waits: &Waits, socket: TcpStream, peer: SocketAddr, now: Instant) {
        let of_same = self.places.iter().filter(|(_, c)| c.peer.ip() == peer.ip()).count();
        if self.places.len() >= MOST || of_same >= MOST_OF_ONE || socket.set_nonblocking(true).is_err() {
            return;
        }
        if waits.changes(&socket, self.places.next()).is_ok() {
            let (got, unsent) = (Vec::new(), Vec::new());
            self.places.put(Connection { socket, peer, got, unsent, open: 0, over: false, last: now });
        }
    }

    /// Reads and writes what can be, and gives the questions that are complete, with who asks.
    pub(crate) fn ready(&mut self, token: Token, now: Instant) -> Vec<(Vec<u8>, SocketAddr)> {
        let Some(connection) = self.places.get_mut(token) else { return Vec::new() };
        let peer = connection.peer;
        let questions = connection.pump(now);
        let done = questions.is_err() || connection.is_done();
        let questions = questions.unwrap_or_default();
        if done && questions.is_empty() {
            self.places.take(token);
        }
        questions.into_iter().map(|question| (question, peer)).collect()
    }

    /// Sends an answer to a question of the connection at `token`, if that is still there. Ask [`Self::ready`] again after.
    pub(crate) fn reply(&mut self, token: Token, message: &[u8]) {
        let Some(connection) = self.places.get_mut(token) else { return };
        connection.open = connection.open.saturating_sub(1);
        connection.unsent.extend_from_slice(&(message.len() as u16).to_be_bytes());
        connection.unsent.extend_from_slice(message);
        if connection.flush().is_err() || connection.is_done() {
            self.places.take(token);
        }
    }

    /// Closes one that sends what is no question.
    pub(crate) fn close(&mut self, token: Token) {
        self.places.take(token);
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.places.iter().map(|(_, connection)| connection.last + IDLE).min()
    }

    /// Closes those in which nothing happened.
    pub(crate) fn tick(&mut self, now: Instant) {
        let idle: Vec<Token> =
            self.places.iter().filter(|(_, c)| c.last + IDLE <= now).map(|(token, _)| token).collect();
        for token in idle {
            self.places.take(token);
        }
    }
}

impl Connection {
    fn is_done(&self) -> bool {
        self.over && self.open == 0 && self.unsent.is_empty()
    }

    fn pump(&mut self, now: Instant) -> io::Result<Vec<Vec<u8>>> {
        self.flush()?;
        let mut questions = Vec::new();
        let mut buffer = [0; 4096];
        while self.open < MOST_OPEN && self.unsent.len() < MOST_UNSENT {
            if let Some((length, rest)) = self.got.split_first_chunk::<2>()
                && let Some(question) = rest.get(..usize::from(u16::from_be_bytes(*length)))
            {
                questions.push(question.to_vec());
                self.got.drain(..2 + question.len());
                self.open += 1;
                self.last = now;
                continue;
            }
            if self.over {
                break;
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => self.over = true,
                Ok(length) => self.got.extend_from_slice(&buffer[..length]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(questions)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
