//! UDP: whoever sends first gets a socket of its own towards the container, kept while something comes by it. Answers leave from
//! the address that was asked, which on a machine with several is not the kernel's choice.

use super::relay::{Wish, connect};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use rustix::event::PollFlags;
use rustix::net::SocketType;
use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a socket is kept that nothing comes by, as docker's proxy does.
const IDLE: Duration = Duration::from_secs(90);
/// How many are kept; the longest idle ones go first.
const MOST: usize = 4096;
/// How many datagrams are taken from one socket before the others get their turn.
const BATCH: usize = 32;
const DATAGRAM_BYTES: usize = 64 << 10;
/// Room for what the kernel says of a datagram.
const CONTROL_BYTES: usize = 128;

/// Doors, and who came by them.
#[derive(Debug)]
pub(super) struct Datagrams {
    doors: Vec<(UdpSocket, SocketAddr)>,
    flows: Vec<Flow>,
    known: HashMap<Caller, usize>,
    buffer: Vec<u8>,
}

impl Default for Datagrams {
    fn default() -> Self {
        Self { doors: Vec::new(), flows: Vec::new(), known: HashMap::new(), buffer: vec![0; DATAGRAM_BYTES] }
    }
}

/// Which door, who came, and which of our addresses was asked.
type Caller = (usize, SocketAddr, IpAddr);

#[derive(Debug)]
struct Flow {
    caller: Caller,
    socket: UdpSocket,
    used: Instant,
}

impl Datagrams {
    pub(super) fn listen(&mut self, socket: OwnedFd, to: SocketAddr) {
        self.doors.push((socket.into(), to));
    }

    /// How long until the first one has been idle for too long.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.flows.iter().map(|flow| IDLE.saturating_sub(flow.used.elapsed())).min()
    }

    pub(super) fn wishes<'a>(&'a self, wishes: &mut Vec<Wish<'a>>) {
        wishes.extend(self.doors.iter().map(|(door, _)| (door.as_fd(), PollFlags::IN)));
        wishes.extend(self.flows.iter().map(|flow| (flow.socket.as_fd(), PollFlags::IN)));
    }

    pub(super) fn serve(&mut self, ready: &[bool]) {
        let (doors, flows) = ready.split_at(self.doors.len());
        for (at, _) in flows.iter().enumerate().filter(|(_, ready)| **ready) {
            self.answer(at);
        }
        for (at, _) in doors.iter().enumerate().filter(|(_, ready)| **ready) {
            for _ in 0..BATCH {
                if self.ask(at).is_none() {
                    break;
                }
            }
        }
        if self.flows.iter().any(|flow| flow.used.elapsed() >= IDLE) || self.flows.len() > MOST {
            self.tidy();
        }
    }

    /// Takes one datagram from a door to the container; `None` when there is none.
    fn ask(&mut self, at: usize) -> Option<()> {
        let (door, to) = self.doors.get(at)?;
        let mut pieces = [IoSliceMut::new(&mut self.buffer)];
        let mut control = vec![0; CONTROL_BYTES];
        let flags = MsgFlags::MSG_DONTWAIT;
        let got = recvmsg::<SockaddrStorage>(door.as_raw_fd(), &mut pieces, Some(&mut control), flags).ok()?;
        let from = got.address.as_ref().and_then(address)?;
        let asked = got.cmsgs().ok()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        });
        let bytes = got.bytes;
        let caller = (at, from, asked?);
        let flow = match self.known.get(&caller) {
            Some(flow) => *flow,
            None => {
                let socket = UdpSocket::from(connect(*to, SocketType::DGRAM).ok()?);
                self.flows.push(Flow { caller, socket, used: Instant::now() });
                self.known.insert(caller, self.flows.len() - 1);
                self.flows.len() - 1
            }
        };
        let flow = self.flows.get_mut(flow)?;
        flow.used = Instant::now();
        // As on any way: what cannot be taken is lost.
        let _ = flow.socket.send(&self.buffer[..bytes]);
        Some(())
    }

    /// Takes what a container answers to who asked.
    fn answer(&mut self, at: usize) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        let Some((door, _)) = self.doors.get(flow.caller.0) else { return };
        for _ in 0..BATCH {
            // Nobody listens there (ECONNREFUSED): the next datagram may find somebody.
            let Ok(bytes) = flow.socket.recv(&mut self.buffer) else { return };
            flow.used = Instant::now();
            let to = SockaddrStorage::from(flow.caller.1);
            let pieces = [IoSlice::new(&self.buffer[..bytes])];
            let _ = match flow.caller.2 {
                IpAddr::V4(from) => {
                    let spec_dst = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                    let info = libc::in_pktinfo {
                        ipi_ifindex: 0,
                        ipi_spec_dst: spec_dst,
                        ipi_addr: libc::in_addr { s_addr: 0 },
                    };
                    let control = [ControlMessage::Ipv4PacketInfo(&info)];
                    sendmsg(door.as_raw_fd(), &pieces, &control, MsgFlags::MSG_DONTWAIT, Some(&to))
                }
                IpAddr::V6(from) => {
                    let from = libc::in6_addr { s6_addr: from.octets() };
                    let info = libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 };
                    let control = [ControlMessage::Ipv6PacketInfo(&info)];
                    sendmsg(door.as_raw_fd(), &pieces, &control, MsgFlags::MSG_DONTWAIT, Some(&to))
                }
            };
        }
    }

    /// Lets go of what was idle for too long, or for longest.
    fn tidy(&mut self) {
        self.flows.retain(|flow| flow.used.elapsed() < IDLE);
        self.flows.sort_by_key(|flow| std::cmp::Reverse(flow.used));
        self.flows.truncate(MOST / 2);
        self.known = self.flows.iter().enumerate().map(|(at, flow)| (flow.caller, at)).collect();
    }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|a| SocketAddr::new(a.ip().into(), a.port()));
    v4.or_else(|| from.as_sockaddr_in6().map(|a| std::net::SocketAddrV6::new(a.ip(), a.port(), 0, a.scope_id()).into()))
}
