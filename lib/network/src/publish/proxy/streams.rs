//! TCP: each connection is two pipes, one a direction. What comes goes by one buffer that all share; what is not taken at once
//! is kept, and until it is, no more is read, so that the sender feels it. The end of one direction is passed on as such.

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
    /// What is on its way from one end to the other.
    scratch: Vec<u8>,
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
    /// What was read and could not be written yet; empty but for who is slow.
    unsent: Vec<u8>,
    /// How much of that is written by now.
    start: usize,
    ended: bool,
    told: bool,
}

impl Half {
    fn is_empty(&self) -> bool {
        self.start == self.unsent.len()
    }

    fn wants(&self) -> bool {
        self.is_empty() && !self.ended
    }

    /// Moves what can be moved, by way of `scratch`; an error means that the connection is broken.
    fn pump(&mut self, mut from: &TcpStream, to: &TcpStream, scratch: &mut [u8]) -> io::Result<()> {
        for _ in 0..TURNS {
            if !self.is_empty() {
                self.start += write(to, &self.unsent[self.start..])?;
                if !self.is_empty() {
                    return Ok(());
                }
                // Who is not slow keeps no room.
                (self.unsent, self.start) = (Vec::new(), 0);
            }
            if !self.ended {
                match from.read(scratch) {
                    Ok(0) => self.ended = true,
                    Ok(read) => {
                        let written = write(to, &scratch[..read])?;
                        self.unsent.extend_from_slice(&scratch[written..read]);
                    }
                    Err(e) if waits(&e) => return Ok(()),
                    Err(e) => return Err(e),
                }
            }
            if self.ended {
                if !self.told {
                    self.told = true;
                    // Who is gone needs not be told.
                    let _ = to.shutdown(Shutdown::Write);
                }
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Writes as much of `bytes` as is taken without waiting, and says how much that was.
fn write(mut to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(n) => written += n,
            Err(e) if waits(&e) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(written)
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
    fn serve(&mut self, scratch: &mut [u8]) -> bool {
        if self.is_connecting {
            match sockopt::socket_error(&self.server) {
                Ok(Ok(())) if self.server.peer_addr().is_ok() => self.is_connecting = false,
                Ok(Ok(())) => return true,
                _ => return self.reset(),
            }
        }
        let up = self.up.pump(&self.client, &self.server, scratch);
        let done = up.and_then(|()| self.down.pump(&self.server, &self.client, scratch));
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
        self.scratch.resize(BUFFER_BYTES, 0);
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
            Some(_) => connection.serve(&mut self.scratch),
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

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES, Half};
    use rustix::net::sockopt;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// Both ends of a connection; the first does not wait.
    fn pair() -> (TcpStream, TcpStream) {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(door.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, door.accept().unwrap().0)
    }

    #[test]
    fn what_is_not_taken_is_kept_and_no_more_is_read() {
        let ((from, mut sender), (to, mut receiver)) = (pair(), pair());
        sockopt::set_socket_send_buffer_size(&to, BUFFER_BYTES).unwrap();
        sockopt::set_socket_recv_buffer_size(&receiver, BUFFER_BYTES).unwrap();
        let numbers: Vec<u8> = (0..1 << 16).flat_map(u32::to_be_bytes).collect();
        let text = numbers.repeat(64);
        let (told, mut half, mut scratch) = (text.clone(), Half::default(), vec![0; BUFFER_BYTES]);
        let sending = std::thread::spawn(move || sender.write_all(&told).unwrap());
        while half.is_empty() {
            half.pump(&from, &to, &mut scratch).unwrap();
        }
        assert!(!half.wants());
        let receiving = std::thread::spawn(move || {
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).unwrap();
            all
        });
        while !half.told {
            half.pump(&from, &to, &mut scratch).unwrap();
            assert!(half.unsent.len() <= BUFFER_BYTES, "nothing comes behind what is kept");
        }
        sending.join().unwrap();
        assert!(receiving.join().unwrap() == text, "all of it, in order");
        assert_eq!(half.unsent.capacity(), 0, "who is not slow keeps no room");
    }

    #[test]
    fn what_is_taken_at_once_is_kept_nowhere() {
        let ((from, mut sender), (to, mut receiver)) = (pair(), pair());
        let (mut half, mut scratch) = (Half::default(), vec![0; BUFFER_BYTES]);
        sender.write_all(b"word").unwrap();
        let mut word = [0; 4];
        while receiver.set_nonblocking(true).is_ok() && receiver.peek(&mut word).is_err() {
            half.pump(&from, &to, &mut scratch).unwrap();
            assert_eq!(half.unsent.capacity(), 0);
        }
        receiver.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"word");
    }
}
