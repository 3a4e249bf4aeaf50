//! Connections that the kernel remembers: those that a change of published ports makes wrong are forgotten.
//!
//! Address translation is decided once, by the first packet; afterwards the connection tracking's entry decides. For UDP,
//! where anybody may go on sending for ever, an entry from before a port was published would keep it from being reached,
//! and one from before it was unpublished would keep it reachable. Deleting the entry makes the next packet a first one.
//! Kernel: net/netfilter/nf_conntrack_netlink.c (ctnetlink_get_conntrack, ctnetlink_del_conntrack).

use crate::attribute::{self, Attributes};
use crate::error::{Result, refused};
use crate::nft::expression::Family;
use crate::nft::ports::Entry;
use crate::socket::{Message, Request, Socket};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// `struct nfgenmsg`.
const HEADER: usize = 4;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE: u16 = 2;
const PROTOCOL_DESTINATION: u16 = 3;
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
const BY_SOURCE: u32 = 1;
const BY_PROTOCOL: u32 = 1 << 3;
const UDP: u8 = 17;
/// Deletions in one datagram.
const AT_ONCE: usize = 64;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuple {
    source: SocketAddr,
    destination: SocketAddr,
    protocol: u8,
}

/// Forgets what was remembered of UDP ports before `entries` were published: answered by the machine itself, by nobody, or
/// by a container that had them before.
pub fn forget_before(entries: &[Entry]) -> Result<()> {
    let udp: Vec<&Entry> = entries.iter().filter(|e| e.protocol == UDP).collect();
    for family in [Family::V4, Family::V6] {
        let of_it: Vec<&&Entry> = udp.iter().filter(|e| e.family() == family).collect();
        if of_it.is_empty() {
            continue;
        }
        let proto = Attributes::new().bytes(PROTOCOL_NUMBER, &[UDP]);
        let filter = Attributes::new()
            .nest(TUPLE_ORIGINAL, Attributes::new().nest(TUPLE_PROTOCOL, proto))
            .nest(FILTER, Attributes::new().bytes(FILTER_ORIGINAL, &BY_PROTOCOL.to_ne_bytes()));
        forget(family, filter, |original, reply| {
            // What leaves under another address is not meant for this machine.
            let stays = reply.destination == original.source;
            let rewritten = reply.source != original.destination;
            of_it.iter().any(|e| {
                e.port == original.destination.port()
                    && e.host.is_none_or(|host| host == original.destination.ip())
                    && e.to != reply.source
                    && (stays || rewritten)
            })
        })?;
    }
    Ok(())
}

/// Ends the connections that came in by `entries`.
pub fn forget_after(entries: &[Entry]) -> Result<()> {
    let addresses: HashSet<IpAddr> = entries.iter().map(|e| e.to.ip()).collect();
    let gone: HashSet<(u8, u16, SocketAddr)> = entries.iter().map(|e| (e.protocol, e.port, e.to)).collect();
    for address in addresses {
        let source = match address {
            IpAddr::V4(address) => Attributes::new().bytes(1, &address.octets()),
            IpAddr::V6(address) => Attributes::new().bytes(3, &address.octets()),
        };
        let filter = Attributes::new()
            .nest(TUPLE_REPLY, Attributes::new().nest(TUPLE_IP, source))
            .nest(FILTER, Attributes::new().bytes(FILTER_REPLY, &BY_SOURCE.to_ne_bytes()));
        forget(Family::of(address), filter, |original, reply| {
            let came_by = (original.protocol, original.destination.port(), reply.source);
            original.destination != reply.source && gone.contains(&came_by)
        })?;
    }
    Ok(())
}

/// Deletes what `filter` lets the kernel show and `wrong` says to.
fn forget(family: Family, filter: Attributes, wrong: impl Fn(&Tuple, &Tuple) -> bool) -> Result<()> {
    const OP: &str = "forget connections of published ports";
    let mut socket = Socket::open_netfilter()?;
    let header = [family.number(), 0, 0, 0];
    let get = |more: &[u8]| Request { kind: GET, flags: 0, payload: [&header[..], more].concat() };
    // Before Linux 5.8 there is no filter (and its attributes mean nothing); what is not asked for is passed over here.
    let shown = match socket.dump(&get(&filter.into_bytes()))? {
        Err(_) => socket.dump(&get(&[]))?,
        shown => shown,
    };
    let Ok(shown) = shown else {
        // A kernel without the listing, or without connection tracking, remembers nothing we could change.
        return Ok(());
    };
    let delete: Vec<Request> = shown.iter().filter_map(|message| deletion(message, &wrong)).collect();
    for some in delete.chunks(AT_ONCE) {
        for answer in socket.transact(some)? {
            match answer {
                Err(refusal) if refusal.errno != libc::ENOENT => return Err(refused(OP, "", refusal)),
                _ => {}
            }
        }
    }
    Ok(())
}

fn deletion(message: &Message, wrong: impl Fn(&Tuple, &Tuple) -> bool) -> Option<Request> {
    let (header, attributes) = message.payload.split_at_checked(HEADER)?;
    let original = attribute::find(attributes, TUPLE_ORIGINAL)?;
    let reply = attribute::find(attributes, TUPLE_REPLY)?;
    if !wrong(&tuple(original)?, &tuple(reply)?) {
        return None;
    }
    let mut which = Attributes::new().bytes(TUPLE_ORIGINAL | 1 << 15, original);
    for kind in [ID, ZONE] {
        if let Some(value) = attribute::find(attributes, kind) {
            which = which.bytes(kind, value);
        }
    }
    Some(Request { kind: DELETE, flags: 0, payload: [&[header[0], 0, 0, 0][..], &which.into_bytes()].concat() })
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, protocol) = (attribute::find(bytes, TUPLE_IP)?, attribute::find(bytes, TUPLE_PROTOCOL)?);
    let address = |v4: u16, v6: u16| -> Option<IpAddr> {
        let four = |b: &[u8]| Some(<[u8; 4]>::try_from(b).ok()?.into());
        let six = |b: &[u8]| Some(<[u8; 16]>::try_from(b).ok()?.into());
        attribute::find(ip, v4).and_then(four).or_else(|| attribute::find(ip, v6).and_then(six))
    };
    let port = |kind| Some(u16::from_be_bytes(attribute::find(protocol, kind)?.try_into().ok()?));
    Some(Tuple {
        source: SocketAddr::new(address(1, 3)?, port(PROTOCOL_SOURCE)?),
        destination: SocketAddr::new(address(2, 4)?, port(PROTOCOL_DESTINATION)?),
        protocol: *attribute::find(protocol, PROTOCOL_NUMBER)?.first()?,
    })
}
