//! As much of HTTP/1.1 as etcd's gateway speaks (RFC 9112): a POST out, and an answer with a length, in chunks, or until
//! the other side closes. One connection a question; the answer of a watch is one that does not end.
//!
//! By hand because it is this little, and because a watch must be read with a time limit and without a thread of its own.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// No answer of etcd's has a head or a chunk's first line longer than this.
const LONGEST_LINE: usize = 64 << 10;
/// No answer that ends is longer than this.
const LONGEST_BODY: usize = 64 << 20;

/// Sends `body` to `path` at `authority` (`host:port`), with what stands in `authorization` if anything.
pub(super) fn post(authority: &str, path: &str, authorization: Option<&str>, body: &[u8]) -> io::Result<Reply> {
    let mut stream = connect(authority)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(CONNECT))?;
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n");
    if let Some(token) = authorization {
        head += &format!("authorization: {token}\r\n");
    }
    head += &format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request)?;
    Ok(Reply { stream, decoder: Decoder::default() })
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Reply {
    stream: TcpStream,
    decoder: Decoder,
}

impl Reply {
    /// Waits for the whole answer: its status and its body.
    pub(super) fn whole(mut self, patience: Duration) -> io::Result<(u16, Vec<u8>)> {
        let until = Instant::now() + patience;
        while !self.decoder.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read(left)? {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
            }
            if self.decoder.body.len() > LONGEST_BODY {
                return Err(malformed("an answer too long"));
            }
        }
        Ok((self.decoder.status, self.decoder.body))
    }

    /// Whole lines of the body that have come, waiting for the first no longer than `patience`. The end of the answer is
    /// an error: this is for those that do not end.
    pub(super) fn lines(&mut self, patience: Duration) -> io::Result<(u16, Vec<Vec<u8>>)> {
        if !self.decoder.body.contains(&b'\n') {
            if self.decoder.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended"));
            }
            self.read(patience)?;
        }
        let body = &mut self.decoder.body;
        let end = body.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let rest = body.split_off(end);
        let whole = std::mem::replace(body, rest);
        let lines = whole.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        Ok((self.decoder.status, lines))
    }

    /// Reads once; `false` when nothing came in time.
    fn read(&mut self, patience: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => {
                self.decoder.close()?;
                Ok(true)
            }
            Ok(n) => {
                self.decoder.feed(bytes.get(..n).unwrap_or_default())?;
                Ok(true)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(e) => Err(e),
        }
    }
}

/// What of an answer is expected next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expected {
    #[default]
    Head,
    Bytes(usize),
    ChunkSize,
    Chunk(usize),
    Trailer,
    UntilClosed,
}

/// An answer taken apart as it comes, in pieces of any size.
#[derive(Debug, Default)]
struct Decoder {
    pending: Vec<u8>,
    expected: Expected,
    status: u16,
    body: Vec<u8>,
    ended: bool,
}

impl Decoder {
    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        while !self.ended && self.step()? {}
        Ok(())
    }

    /// The other side closed.
    fn close(&mut self) -> io::Result<()> {
        if self.expected != Expected::UntilClosed && !self.ended {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
        }
        self.ended = true;
        Ok(())
    }

    /// Takes the next piece, if it is there.
    fn step(&mut self) -> io::Result<bool> {
        match self.expected {
            Expected::Head => {
                let Some(end) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") else {
                    return self.limited();
                };
                let head: Vec<u8> = self.pending.drain(..end + 4).collect();
                self.head(&String::from_utf8_lossy(&head))?;
            }
            Expected::Bytes(left) | Expected::Chunk(left) => {
                let taken = left.min(self.pending.len());
                self.body.extend(self.pending.drain(..taken));
                let chunked = matches!(self.expected, Expected::Chunk(_));
                if taken < left {
                    self.expected = if chunked { Expected::Chunk(left - taken) } else { Expected::Bytes(left - taken) };
                    return Ok(false);
                }
                if !chunked {
                    self.ended = true;
                } else if self.pending.len() >= 2 {
                    self.pending.drain(..2);
                    self.expected = Expected::ChunkSize;
                } else {
                    self.expected = Expected::Chunk(0);
                    return Ok(false);
                }
            }
            Expected::ChunkSize => {
                let Some(line) = self.line() else { return self.limited() };
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(digits, 16).map_err(|_| malformed("a chunk without a size"))?;
                self.expected = if size == 0 { Expected::Trailer } else { Expected::Chunk(size) };
            }
            Expected::Trailer => {
                let Some(line) = self.line() else { return self.limited() };
                self.ended = line.is_empty();
            }
            Expected::UntilClosed => {
                self.body.append(&mut self.pending);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn head(&mut self, head: &str) -> io::Result<()> {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
        self.status = status.ok_or_else(|| malformed("an answer that is not HTTP"))?;
        self.expected = Expected::UntilClosed;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
                self.expected = Expected::ChunkSize;
            } else if name.eq_ignore_ascii_case("content-length") && self.expected == Expected::UntilClosed {
                let length = value.parse().map_err(|_| malformed("an answer without a length"))?;
                self.expected = Expected::Bytes(length);
            }
        }
        if (100..200).contains(&self.status) {
            self.expected = Expected::Head;
        }
        Ok(())
    }

    fn line(&mut self) -> Option<String> {
        let end = self.pending.windows(2).position(|w| w == b"\r\n")?;
        let line: Vec<u8> = self.pending.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(line.get(..end)?).into_owned())
    }

    fn limited(&self) -> io::Result<bool> {
        if self.pending.len() > LONGEST_LINE { Err(malformed("a line too long")) } else { Ok(false) }
    }
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::Decoder;

    fn decoded(answer: &[u8], piece: usize) -> Decoder {
        let mut decoder = Decoder::default();
        for bytes in answer.chunks(piece) {
            decoder.feed(bytes).unwrap();
        }
        decoder
    }

    #[test]
    fn answers_in_pieces_of_any_size() {
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n, world!!!\r\n0\r\n\r\n";
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nhello, world!!!";
        for answer in [&chunked[..], &counted[..]] {
            for piece in 1..answer.len() {
                let decoder = decoded(answer, piece);
                assert!(decoder.ended && decoder.status == 200, "{piece}");
                assert_eq!(decoder.body, b"hello, world!!!", "{piece}");
            }
        }
        let mut open = decoded(b"HTTP/1.0 503 no\r\n\r\nwait", 3);
        assert!(!open.ended && open.close().is_ok());
        assert_eq!((open.status, open.body.as_slice()), (503, &b"wait"[..]));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert!(Decoder::default().feed(b"SSH-2.0\r\n\r\n").is_err());
        assert!(Decoder::default().feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").is_err());
        assert!(Decoder::default().feed(&[b'x'; 70_000]).is_err());
        assert!(decoded(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", 9).close().is_err(), "cut short");
    }
}
