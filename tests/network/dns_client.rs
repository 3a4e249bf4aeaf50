//! Asking name servers in tests, and one of the test's own that plays the servers outside.

use crate::lab::Lab;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
/// How long an answer may take before it counts as lost; on a busy machine much.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the test's own server is.
pub(crate) const UPSTREAM: &str = "198.51.100.2";

/// A question as it goes over the wire.
pub(crate) fn question(id: u16, name: &str, kind: u16, takes: Option<u16>) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(takes.is_some())]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    if let Some(takes) = takes {
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&takes.to_be_bytes());
        message.extend_from_slice(&[0; 6]);
    }
    message
}

/// An answer in words: `NOERROR 10.9.0.2 10.9.0.3`, with ` TC` where it was cut.
pub(crate) fn words(message: &[u8]) -> String {
    const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    let mut text = RCODES[usize::from(message[3] & 15)].to_owned();
    let half = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let mut at = 12;
    for _ in 0..half(4) {
        at = name(message, at).1 + 4;
    }
    for _ in 0..half(6) {
        at = name(message, at).1;
        let (kind, length) = (half(at), usize::from(half(at + 8)));
        let data = &message[at + 10..at + 10 + length];
        match kind {
            A => write!(text, " {}", Ipv4Addr::from(<[u8; 4]>::try_from(data).expect("4 bytes"))),
            AAAA => write!(text, " {}", Ipv6Addr::from(<[u8; 16]>::try_from(data).expect("16 bytes"))),
            PTR => write!(text, " {}", name(message, at + 10).0),
            other => write!(text, " TYPE{other}"),
        }
        .expect("text");
        at += 10 + length;
    }
    if message[2] & 2 != 0 {
        text += " TC";
    }
    text
}

/// The name at `at`, and where it ends.
fn name(message: &[u8], mut at: usize) -> (String, usize) {
    let (mut text, mut end) = (String::new(), None);
    loop {
        let length = usize::from(message[at]);
        if length >= 192 {
            end = end.or(Some(at + 2));
            at = (length & 63) << 8 | usize::from(message[at + 1]);
            continue;
        }
        at += 1;
        if length == 0 {
            return (text, end.unwrap_or(at));
        }
        text += &String::from_utf8_lossy(&message[at..at + length]);
        text.push('.');
        at += length;
    }
}

/// A client with a socket of its own, in the calling thread's namespace.
pub(crate) struct Client {
    socket: UdpSocket,
    id: u16,
}

impl Client {
    pub(crate) fn of(server: IpAddr) -> Self {
        let any: SocketAddr = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("an address");
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.connect((server, 53)).expect("a way to the server");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket, id: 0 }
    }

    /// The answer, or why there was none.
    pub(crate) fn ask(&mut self, name: &str, kind: u16, takes: Option<u16>) -> std::io::Result<String> {
        self.id = self.id.wrapping_add(1);
        self.socket.send(&question(self.id, name, kind, takes))?;
        let mut answer = [0; 65535];
        loop {
            let length = self.socket.recv(&mut answer)?;
            if answer[..2] == self.id.to_be_bytes() {
                return Ok(words(&answer[..length]));
            }
        }
    }

    /// Asks and does not wait; [`Self::finish`] does.
    pub(crate) fn start(&mut self, name: &str) {
        self.socket.send(&question(0, name, A, None)).expect("sent");
    }

    pub(crate) fn finish(&mut self) -> std::io::Result<String> {
        let mut answer = [0; 4096];
        self.socket.set_read_timeout(Some(PATIENCE))?;
        let length = self.socket.recv(&mut answer)?;
        Ok(words(&answer[..length]))
    }

    /// Whether an answer has come.
    pub(crate) fn is_answered(&self) -> bool {
        self.socket.set_nonblocking(true).expect("no waiting");
        let answered = self.socket.peek(&mut [0]).is_ok();
        self.socket.set_nonblocking(false).expect("waiting");
        answered
    }

    /// Sends any bytes and gives what comes back, if something does soon.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.socket.send(bytes).expect("sent");
        self.socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let mut answer = vec![0; 65535];
        let length = self.socket.recv(&mut answer).ok()?;
        answer.truncate(length);
        Some(answer)
    }
}

/// One question by TCP.
pub(crate) fn ask_by_tcp(server: IpAddr, name: &str, kind: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&(server, 53).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let message = question(7, name, kind, None);
    stream.write_all(&(message.len() as u16).to_be_bytes())?;
    stream.write_all(&message)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer[..2], [0, 7]);
    Ok(words(&answer))
}

impl Lab {
    /// One question from the container `from`, by UDP without EDNS.
    #[track_caller]
    pub(crate) fn asks(&self, from: &str, server: &str, name: &str, kind: u16) -> String {
        let server = server.parse().expect("an address");
        self.within(from, || Client::of(server).ask(name, kind, None)).expect("an answer")
    }

    /// A `/etc` of the test's own, with `resolv_conf` in it.
    pub(crate) fn own_etc(&self, resolv_conf: &str) {
        self.sh("mkdir -p /run/etc/netns; cd /etc
                 for f in nsswitch.conf passwd group hosts host.conf gai.conf protocols services ld.so.cache ld.so.conf; do
                     [ ! -e $f ] || cp -L $f /run/etc/; done
                 mount --bind /run/etc /etc");
        std::fs::write("/etc/resolv.conf", resolv_conf).expect("resolv.conf");
    }
}

/// What the server outside was asked.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) datagrams: AtomicUsize,
    pub(crate) streams: AtomicUsize,
    /// The names that came by UDP.
    pub(crate) names: Mutex<BTreeSet<String>>,
    over: AtomicBool,
}

/// Runs `body` while a name server answers at `address` in the namespace `outside`, by what a name begins with: `plain`,
/// `big` (100 addresses, cut by UDP), `late` (only the second time), `forged` (first with a wrong id, a wrong question and
/// from another port), `never`, `refused`; all else does not exist.
pub(crate) fn with_upstream<T>(lab: &Lab, address: &str, body: impl FnOnce(&Seen) -> T) -> T {
    let at: SocketAddr = (address.parse::<IpAddr>().expect("an address"), 53).into();
    let open = || (UdpSocket::bind(at).expect("a socket"), TcpListener::bind(at).expect("a listener"));
    let (udp, tcp) = lab.within("outside", open);
    let stranger = lab.within("outside", || UdpSocket::bind((at.ip(), 0)).expect("a socket"));
    udp.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    tcp.set_nonblocking(true).expect("no waiting");
    let seen = Seen::default();
    std::thread::scope(|scope| {
        scope.spawn(|| by_udp(&udp, &stranger, &seen));
        scope.spawn(|| by_tcp(&tcp, &seen));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&seen)));
        seen.over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn by_udp(udp: &UdpSocket, stranger: &UdpSocket, seen: &Seen) {
    let (mut buffer, mut lates) = ([0; 4096], 0);
    while !seen.over.load(Ordering::Relaxed) {
        let Ok((length, from)) = udp.recv_from(&mut buffer) else { continue };
        seen.datagrams.fetch_add(1, Ordering::Relaxed);
        let asked = &buffer[..length];
        let answer = reply(asked, true);
        let asked_for = name(asked, 12).0;
        seen.names.lock().expect("the names").insert(asked_for.clone());
        match asked_for.split('.').next().unwrap_or_default() {
            "never" => continue,
            "late" => {
                lates += 1;
                if lates % 2 == 1 {
                    continue;
                }
            }
            "forged" => {
                let mut forged = answer.clone();
                let at = forged.len() - 1;
                forged[at] = 66;
                stranger.send_to(&forged, from).expect("sent");
                forged[1] ^= 1;
                udp.send_to(&forged, from).expect("sent");
                forged[1] ^= 1;
                forged[13] = b'F' + 1;
                udp.send_to(&forged, from).expect("sent");
            }
            _ => {}
        }
        udp.send_to(&answer, from).expect("sent");
    }
}

fn by_tcp(tcp: &TcpListener, seen: &Seen) {
    while !seen.over.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = tcp.accept() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        seen.streams.fetch_add(1, Ordering::Relaxed);
        stream.set_nonblocking(false).expect("waiting");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("a length");
        let mut asked = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut asked).expect("a question");
        let answer = reply(&asked, false);
        // In two parts, as a network may.
        let whole = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
        stream.write_all(&whole[..5]).expect("sent");
        std::thread::sleep(Duration::from_millis(10));
        stream.write_all(&whole[5..]).expect("sent");
    }
}

fn reply(asked: &[u8], datagram: bool) -> Vec<u8> {
    let (text, end) = name(asked, 12);
    let mut message = asked[..end + 4].to_vec();
    let (rcode, count) = match text.to_lowercase().split('.').next().unwrap_or_default() {
        "plain" | "late" | "forged" => (0, 1),
        "big" => (0, 100_u8),
        "refused" => (5, 0),
        _ => (3, 0),
    };
    let cut = datagram && count > 1;
    message[2] = 0x81 | if cut { 2 } else { 0 };
    message[3] = 0x80 | rcode;
    let count = if cut { 0 } else { count };
    message[6..12].copy_from_slice(&[0, count, 0, 0, 0, 0]);
    for n in 0..count {
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, n + 1]);
    }
    message
}
