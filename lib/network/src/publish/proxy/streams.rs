//! TCP: each connection is two pipes, one a direction, of one buffer each. Whoever is slow is waited for: while the buffer holds
//! something, nothing is read into it, so that the sender feels it. The end of one direction is passed on as such.

use super::relay::{Wish, connect};
use rustix::event::PollFlags;
use rustix::net::{SocketType, sockopt};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 64 << 10;
/// How often one connection is served before the others get their turn.
const TURNS: usize = 8;
/// How long nobody is let in after descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);
/// How long nothing comes by before the other end is asked whether it is there, and how often then: as docker's proxy does.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Listeners and connections.
#[derive(Debug, Default)]
pub(super) struct Streams {
    doors: Vec<(TcpListener, SocketAddr)>,
    connections: Vec<Connection>,
    full: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    is_connecting: bool,
    up: Half,
    down: Half,
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    told: bool,
}

impl Half {
    fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    fn wants(&self) -> bool {
        self.is_empty() && !self.ended
    }

    /// Moves what can be moved; an error means that the connection is broken.
    fn pump(&mut self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        for _ in 0..TURNS {
            if self.wants() {
                self.buffer.resize(BUFFER_BYTES, 0);
                let read = from.read(&mut self.buffer);
                self.start = 0;
                self.buffer.truncate(*read.as_ref().unwrap_or(&0));
                match read {
                    Ok(0) => self.ended = true,
                    Ok(_) => {}
                    Err(e) if waits(&e) => {
                        // Who is idle keeps no room.
                        self.buffer = Vec::new();
                        return Ok(());
                    }
                    Err(e) => return Err(e),
                }
            }
            while !self.is_empty() {
                match to.write(&self.buffer[self.start..]) {
                    Ok(n) => self.start += n,
                    Err(e) if waits(&e) => return Ok(()),
                    Err(e) => return Err(e),
                }
            }
            if self.ended {
                if !self.told {
                    self.told = true;
                    self.buffer = Vec::new();
                    self.start = 0;
                    // Who is gone needs not be told.
                    let _ = to.shutdown(Shutdown::Write);
                }
                return Ok(());
            }
        }
        Ok(())
    }
}

fn waits(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Connection {
    fn new(client: TcpStream, to: SocketAddr) -> io::Result<Self> {
        client.set_nonblocking(true)?;
        let server = TcpStream::from(connect(to, SocketType::STREAM)?);
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            // Who has gone without a word would be waited for for ever.
            sockopt::set_socket_keepalive(stream, true)?;
            sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
            sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?;
        }
        Ok(Self { client, server, is_connecting: true, up: Half::default(), down: Half::default() })
    }

    fn wishes(&self) -> [PollFlags; 2] {
        if self.is_connecting {
            return [PollFlags::empty(), PollFlags::OUT];
        }
        let flags = |reads: &Half, writes: &Half| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, reads.wants());
            flags.set(PollFlags::OUT, !writes.is_empty());
            flags
        };
        [flags(&self.up, &self.down), flags(&self.down, &self.up)]
    }

    /// Whether it goes on.
    fn serve(&mut self) -> bool {
        if self.is_connecting {
            match sockopt::socket_error(&self.server) {
                Ok(Ok(())) if self.server.peer_addr().is_ok() => self.is_connecting = false,
                Ok(Ok(())) => return true,
                _ => return self.reset(),
            }
        }
        let done = self.up.pump(&self.client, &self.server).and_then(|()| self.down.pump(&self.server, &self.client));
        match done {
            Ok(()) => !(self.up.told && self.down.told),
            Err(_) => self.reset(),
        }
    }

    /// A broken connection is broken for both.
    fn reset(&mut self) -> bool {
        for stream in [&self.client, &self.server] {
            let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
        false
    }
}

impl Streams {
    pub(super) fn listen(&mut self, socket: OwnedFd, to: SocketAddr) {
        self.doors.push((socket.into(), to));
    }

    /// How long nothing new is to be waited for at most.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.full.map(|until| until.saturating_duration_since(Instant::now()))
    }

    pub(super) fn wishes<'a>(&'a self, wishes: &mut Vec<Wish<'a>>) {
        let open = if self.full.is_some() { PollFlags::empty() } else { PollFlags::IN };
        wishes.extend(self.doors.iter().map(|(door, _)| (door.as_fd(), open)));
        for connection in &self.connections {
            let [client, server] = connection.wishes();
            wishes.push((connection.client.as_fd(), client));
            wishes.push((connection.server.as_fd(), server));
        }
    }

    pub(super) fn serve(&mut self, ready: &[bool]) {
        let (doors, connections) = ready.split_at(self.doors.len());
        let mut pairs = connections.chunks_exact(2);
        self.connections.retain_mut(|connection| match pairs.next() {
            Some([false, false]) | None => true,
            Some(_) => connection.serve(),
        });
        self.full = self.full.filter(|until| *until > Instant::now());
        for ((door, to), _) in self.doors.iter().zip(doors).filter(|(_, ready)| **ready) {
            match door.accept() {
                // One that cannot be led on is closed, and its client hears of it.
                Ok((client, _)) => self.connections.extend(Connection::new(client, *to)),
                Err(e)
                    if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)) =>
                {
                    self.full = Some(Instant::now() + PAUSE);
                }
                Err(_) => {}
            }
        }
    }
}
