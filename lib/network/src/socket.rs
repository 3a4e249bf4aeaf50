//! A netlink socket used synchronously: requests go out together in one datagram, answers come back in order.
//!
//! The kernel works off a datagram within `sendmsg` (netlink_rcv_skb in net/netlink/af_netlink.c): message after message,
//! also behind one that failed, each acknowledged by an `NLMSG_ERROR` whose code is 0 for success. So several requests
//! cost one round trip, and when `sendmsg` returns, every answer lies in the queue. With extended acknowledgements
//! (`NETLINK_EXT_ACK`) the kernel's own sentence comes with a refusal, and is shown.
//!
//! A socket belongs to the network namespace of the thread that opened it, for good: see [`crate::namespace`].

use crate::attribute;
use crate::error::{Result, failed};
use netlink_packet_core::Emitable;
use netlink_sys::SocketAddr;
use rustix::net::sockopt;
use std::fmt;
use std::io;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;
/// The request itself is not sent back with its refusal.
const F_CAPPED: u16 = 0x100;
/// Attributes follow the refusal.
const F_ACK_TLVS: u16 = 0x200;
/// The text among them.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// What changed under a dump makes it incomplete.
const F_DUMP_INTR: u16 = 0x10;
/// The largest answer the kernel composes for a dump is 32 KiB.
const RECEIVE_BYTES: usize = 64 << 10;
/// What any socket can send in one datagram (`net.core.wmem_default` is 208 KiB).
const ORDINARY_BYTES: usize = 128 << 10;

/// One request: what goes behind the header.
#[derive(Debug, Clone)]
pub struct Request {
    /// The message's type (`RTM_NEWLINK`, …).
    pub kind: u16,
    /// `NLM_F_*` beside REQUEST and ACK.
    pub flags: u16,
    /// The family's header and attributes.
    pub payload: Vec<u8>,
}

impl Request {
    /// A request that carries `message`.
    pub fn of(kind: u16, flags: u16, message: &impl Emitable) -> Self {
        let mut payload = vec![0; message.buffer_len()];
        message.emit(&mut payload);
        Self { kind, flags, payload }
    }
}

/// One message of an answer.
#[derive(Debug, Clone)]
pub struct Message {
    /// The message's type.
    pub kind: u16,
    /// The family's header and attributes.
    pub payload: Vec<u8>,
}

/// The kernel's no to one request.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The error number, positive.
    pub errno: i32,
    /// The kernel's own words, where it has some.
    pub text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = io::Error::from_raw_os_error(self.errno).to_string();
        let plain = plain.split(" (os error").next().unwrap_or_default();
        match &self.text {
            Some(text) => write!(f, "{plain}: {}", text.trim_end_matches('.')),
            None => f.write_str(plain),
        }
    }
}

impl std::error::Error for Refusal {}

/// What became of one request: its messages (none for a change), or a refusal.
pub type Answer = std::result::Result<Vec<Message>, Refusal>;

/// A netlink socket of one protocol, in one network namespace.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket for links, addresses and routes, in the calling thread's network namespace.
    pub fn open_route() -> Result<Self> {
        Self::open(netlink_sys::protocols::NETLINK_ROUTE)
    }

    /// A socket for nf_tables, in the calling thread's network namespace.
    pub fn open_netfilter() -> Result<Self> {
        Self::open(netlink_sys::protocols::NETLINK_NETFILTER)
    }

    fn open(protocol: isize) -> Result<Self> {
        let open = || {
            let inner = netlink_sys::Socket::new(protocol)?;
            inner.set_ext_ack(true)?;
            inner.set_cap_ack(true)?;
            Ok::<_, io::Error>(inner)
        };
        let inner = open().map_err(|e| failed("open a netlink socket", "", e))?;
        Ok(Self { inner, sequence: 0, buffer: Vec::with_capacity(RECEIVE_BYTES) })
    }

    /// Sends all of `requests` in one datagram and gives their answers in the same order. A refusal does not keep the
    /// kernel from working off the requests behind it.
    pub fn transact(&mut self, requests: &[Request]) -> Result<Vec<Answer>> {
        // An empty datagram is refused (ENODATA).
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.sequence + 1;
        let ack = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        self.send(requests, ack)?;
        let mut answers: Vec<Option<Answer>> = vec![None; requests.len()];
        let mut messages: Vec<Vec<Message>> = vec![Vec::new(); requests.len()];
        while answers.iter().any(Option::is_none) {
            for received in self.receive(0)? {
                let Some(at) = received.sequence.checked_sub(first).map(|n| n as usize) else { continue };
                let (Some(answer), Some(list)) = (answers.get_mut(at), messages.get_mut(at)) else { continue };
                match received.verdict() {
                    Some(Ok(())) => *answer = Some(Ok(std::mem::take(list))),
                    Some(Err(refusal)) => *answer = Some(Err(refusal)),
                    None => list.push(received.message),
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Sends one request and gives its answer.
    pub fn ask(&mut self, request: Request) -> Result<Answer> {
        Ok(self.transact(&[request])?.pop().unwrap_or(Ok(Vec::new())))
    }

    /// Everything of a kind. A dump that changes interrupted is taken again, a few times.
    pub fn dump(&mut self, request: &Request) -> Result<Answer> {
        let mut last = Vec::new();
        for _ in 0..8 {
            match self.dump_once(request)? {
                (Ok(messages), false) => return Ok(Ok(messages)),
                (Ok(messages), true) => last = messages,
                (Err(refusal), _) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(last))
    }

    fn dump_once(&mut self, request: &Request) -> Result<(Answer, bool)> {
        self.send(std::slice::from_ref(request), (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16)?;
        let (mut messages, mut interrupted) = (Vec::new(), false);
        loop {
            for received in self.receive(0)? {
                if received.sequence != self.sequence {
                    continue;
                }
                interrupted |= received.flags & F_DUMP_INTR != 0;
                match received.verdict() {
                    Some(Err(refusal)) => return Ok((Err(refusal), interrupted)),
                    Some(Ok(())) => return Ok((Ok(messages), interrupted)),
                    None => messages.push(received.message),
                }
            }
        }
    }

    /// Makes sure that a datagram of `bytes` can be sent. The kernel takes none larger than the send buffer; beyond the
    /// machine's limit only the first user namespace's root can have one.
    pub(crate) fn make_room(&self, bytes: usize) -> Result<()> {
        if bytes < ORDINARY_BYTES {
            return Ok(());
        }
        let forced = sockopt::set_socket_send_buffer_size_force(&self.inner, bytes);
        forced
            .or_else(|_| sockopt::set_socket_send_buffer_size(&self.inner, bytes))
            .map_err(|e| failed("make room in a netlink socket", "", e))
    }

    /// Sends `requests` in one datagram with `flags` of the batch's own and gives the refusals that came back. For
    /// protocols that answer only what fails (nfnetlink's batches): the answers lie in the queue when the call returns.
    pub(crate) fn send_batch(&mut self, requests: &[Request]) -> Result<Vec<(usize, Refusal)>> {
        let first = self.sequence + 1;
        self.send(requests, libc::NLM_F_REQUEST as u16)?;
        let mut refusals = Vec::new();
        loop {
            let batch = self.receive(libc::MSG_DONTWAIT)?;
            if batch.is_empty() {
                return Ok(refusals);
            }
            for received in batch {
                if let (Some(Err(refusal)), Some(at)) = (received.verdict(), received.sequence.checked_sub(first)) {
                    refusals.push((at as usize, refusal));
                }
            }
        }
    }

    fn send(&mut self, requests: &[Request], flags: u16) -> Result<()> {
        let mut datagram = Vec::with_capacity(requests.iter().map(|r| HEADER + r.payload.len() + 4).sum());
        for request in requests {
            self.sequence += 1;
            let length = (HEADER + request.payload.len()) as u32;
            datagram.extend_from_slice(&length.to_ne_bytes());
            datagram.extend_from_slice(&request.kind.to_ne_bytes());
            datagram.extend_from_slice(&(request.flags | flags).to_ne_bytes());
            datagram.extend_from_slice(&self.sequence.to_ne_bytes());
            datagram.extend_from_slice(&0_u32.to_ne_bytes());
            datagram.extend_from_slice(&request.payload);
            datagram.resize(datagram.len().next_multiple_of(4), 0);
        }
        let kernel = SocketAddr::new(0, 0);
        loop {
            match self.inner.send_to(&datagram, &kernel, 0) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed("send to the kernel by netlink", "", e)),
            }
        }
    }

    /// The messages of one datagram; none when `flags` says not to wait and nothing is there.
    fn receive(&mut self, flags: libc::c_int) -> Result<Vec<Received>> {
        loop {
            self.buffer.clear();
            match self.inner.recv(&mut self.buffer, flags) {
                Ok(_) => return Ok(split(&self.buffer)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Vec::new()),
                Err(e) => return Err(failed("receive from the kernel by netlink", "", e)),
            }
        }
    }
}

struct Received {
    sequence: u32,
    flags: u16,
    message: Message,
}

impl Received {
    /// What an acknowledgement or the end of a dump says; `None` for any other message.
    fn verdict(&self) -> Option<std::result::Result<(), Refusal>> {
        if self.message.kind != ERROR && self.message.kind != DONE {
            return None;
        }
        let payload = &self.message.payload;
        let code = payload.get(..4).and_then(attribute::number).unwrap_or(0).cast_signed();
        if code == 0 || (self.message.kind == DONE && code > 0) {
            return Some(Ok(()));
        }
        let attributes = if self.message.kind == DONE {
            4
        } else if self.flags & F_CAPPED != 0 {
            4 + HEADER
        } else {
            let request = payload.get(4..).and_then(attribute::number).unwrap_or(0) as usize;
            4 + request.next_multiple_of(4)
        };
        let text = (self.flags & F_ACK_TLVS != 0)
            .then(|| payload.get(attributes..).and_then(|rest| attribute::find(rest, NLMSGERR_ATTR_MSG)))
            .flatten();
        Some(Err(Refusal { errno: -code, text: text.map(attribute::text) }))
    }
}

fn split(datagram: &[u8]) -> Vec<Received> {
    let mut rest = datagram;
    let mut all = Vec::new();
    while let Some(header) = rest.get(..HEADER) {
        let word = |at: usize| attribute::number(&header[at..]).unwrap_or(0);
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let length = word(0) as usize;
        let Some(payload) = rest.get(HEADER..length) else { break };
        let message = Message { kind: half(4), payload: payload.to_vec() };
        all.push(Received { sequence: word(8), flags: half(6), message });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{ERROR, F_ACK_TLVS, F_CAPPED, Refusal, split};
    use crate::attribute::Attributes;

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let mut payload = (-17_i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; 16]);
        payload.extend_from_slice(&Attributes::new().text(1, "File exists already.").into_bytes());
        let mut datagram = ((16 + payload.len()) as u32).to_ne_bytes().to_vec();
        datagram.extend_from_slice(&ERROR.to_ne_bytes());
        datagram.extend_from_slice(&(F_CAPPED | F_ACK_TLVS).to_ne_bytes());
        datagram.extend_from_slice(&5_u32.to_ne_bytes());
        datagram.extend_from_slice(&0_u32.to_ne_bytes());
        datagram.extend_from_slice(&payload);
        let received = split(&datagram);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].sequence, 5);
        let refusal = received[0].verdict().expect("a verdict").expect_err("a refusal");
        assert_eq!((refusal.errno, refusal.to_string().as_str()), (17, "File exists: File exists already"));
    }

    #[test]
    fn a_cut_datagram_is_no_panic() {
        assert!(split(&[1, 2, 3]).is_empty());
        assert!(split(&[0xff; 40]).is_empty());
        assert_eq!(Refusal { errno: 1, text: None }.to_string(), "Operation not permitted");
    }
}
