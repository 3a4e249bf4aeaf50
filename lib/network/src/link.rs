//! Links: made, found, set up, tuned and deleted (net/core/rtnetlink.c).
//!
//! Functions here compose requests and read answers; sending them, several at once, is up to the caller. Bridges and veth
//! pairs are in this file, links that stand on another one (a [`Child`] of its parent) in [`macvlan`], [`ipvlan`] and
//! [`vlan`], the others by their kind.

pub mod ifb;
pub mod ipvlan;
pub mod macvlan;
pub mod setting;
pub mod vlan;
pub mod vlan_filter;

use crate::attribute;
use crate::mac::Mac;
use crate::socket::{Message, Request};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The longest name a link can have (`IFNAMSIZ` less the NUL).
pub const NAME_BYTES: usize = 15;
/// `struct ifinfomsg`.
const HEADER: usize = 16;
/// `IF_OPER_UP`
const OPERATIONAL: u8 = 6;
const IFLA_INFO_KIND: u16 = 1;

/// A link as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is set up (administratively).
    pub up: bool,
    /// Whether packets go through it now: it is set up and has a carrier, and the kernel has taken note of that.
    pub running: bool,
    /// Whether there is somebody at the other end, noted or not.
    pub carrier: bool,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// Its hardware address, if it has one of six bytes.
    pub mac: Option<Mac>,
    /// What somebody wrote on it; empty if nobody did.
    pub alias: String,
    /// `bridge`, `veth`, …; empty for hardware.
    pub kind: String,
    /// The number of the bridge it is a port of.
    pub controller: Option<u32>,
    /// The number of the link it stands on, or of a veth pair's other end; in that one's namespace, which may be another.
    pub below: Option<u32>,
}

impl Link {
    /// Reads an `RTM_NEWLINK`.
    pub fn read(message: &Message) -> Option<Self> {
        if message.kind != libc::RTM_NEWLINK {
            return None;
        }
        let payload = &message.payload;
        let number_at = |at: usize| payload.get(at..).and_then(attribute::number);
        let mut link = Self {
            index: number_at(4)?,
            name: String::new(),
            running: false,
            carrier: false,
            up: number_at(8)? & libc::IFF_UP as u32 != 0,
            mtu: 0,
            mac: None,
            alias: String::new(),
            kind: String::new(),
            controller: None,
            below: None,
        };
        for (kind, value) in attribute::read(payload.get(HEADER..)?) {
            match kind {
                libc::IFLA_IFNAME => link.name = attribute::text(value),
                libc::IFLA_OPERSTATE => link.running = value == [OPERATIONAL],
                libc::IFLA_CARRIER => link.carrier = value == [1],
                libc::IFLA_MTU => link.mtu = attribute::number(value).unwrap_or(0),
                libc::IFLA_IFALIAS => link.alias = attribute::text(value),
                libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
                libc::IFLA_LINK => link.below = attribute::number(value),
                libc::IFLA_MASTER => link.controller = attribute::number(value),
                libc::IFLA_LINKINFO => {
                    link.kind = attribute::find(value, IFLA_INFO_KIND).map(attribute::text).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(link)
    }
}

/// Why `name` cannot be a link's name (dev_valid_name in net/core/dev.c), if it cannot.
pub fn check_name(name: &str) -> Result<(), String> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
        return Err(format!("`{name}` cannot be the name of an interface"));
    }
    if name.len() > NAME_BYTES {
        return Err(format!("interface name `{name}` is longer than {NAME_BYTES} bytes"));
    }
    Ok(())
}

/// Asks for the link called `name`.
pub fn get(name: &str) -> Request {
    Request::of(libc::RTM_GETLINK, 0, &named(name))
}

/// Asks for all links.
pub fn dump() -> Request {
    Request::of(libc::RTM_GETLINK, 0, &LinkMessage::default())
}

/// Makes a bridge and sets it up. It gets `mac` for good: else it would take the lowest of its ports' and change with them.
pub fn create_bridge(name: &str, mac: Mac, mtu: Option<u32>) -> Request {
    let mut message = up(named(name));
    message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
    Request::of(libc::RTM_NEWLINK, CREATE, &message)
}

/// A veth pair to be made.
#[derive(Debug)]
pub struct Veth<'a> {
    /// The end that stays here.
    pub outer: &'a str,
    /// The bridge here that it becomes a port of, by number; 0 for none.
    pub bridge: u32,
    /// The end inside.
    pub inner: &'a str,
    /// The namespace the inner end is born in.
    pub namespace: BorrowedFd<'a>,
    /// The inner end's hardware address.
    pub mac: Mac,
    /// The largest packet in bytes, for both.
    pub mtu: u32,
}

/// Makes a veth pair: the outer end up and in its bridge, the inner in its namespace from birth, so that nothing is to be
/// moved. The inner end cannot be born up: the kernel answers ENOTCONN while it has no other end yet (veth_open).
///
/// One queue each way. Without a number the kernel makes one a processor, with all that belongs to each in sysfs, and uses
/// one (veth_init_queues in drivers/net/veth.c); that is half of the time it takes to make a pair.
pub fn create_veth(veth: &Veth<'_>) -> Request {
    let queues = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];
    let mut peer = named(veth.inner);
    peer.attributes.extend(queues.clone());
    peer.attributes.push(LinkAttribute::Address(veth.mac.0.to_vec()));
    peer.attributes.push(LinkAttribute::Mtu(veth.mtu));
    peer.attributes.push(LinkAttribute::NetNsFd(veth.namespace.as_raw_fd()));
    let mut message = up(named(veth.outer));
    message.attributes.extend(queues);
    message.attributes.push(LinkAttribute::Mtu(veth.mtu));
    if veth.bridge != 0 {
        message.attributes.push(LinkAttribute::Controller(veth.bridge));
    }
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    Request::of(libc::RTM_NEWLINK, CREATE, &message)
}

/// A link to be made on another one, which stays in the caller's namespace.
#[derive(Debug, Clone, Copy)]
pub struct Child<'a> {
    /// Its name.
    pub name: &'a str,
    /// The link it stands on, by number; in the caller's namespace.
    pub parent: u32,
    /// The namespace it is born in, so that nothing is to be moved; without one the caller's.
    pub namespace: Option<BorrowedFd<'a>>,
    /// Its hardware address, or one that the kernel chooses.
    pub mac: Option<Mac>,
    /// The largest packet in bytes, or as many as the parent takes.
    pub mtu: Option<u32>,
}

impl Child<'_> {
    fn create(&self, kind: InfoKind, data: InfoData) -> Request {
        let mut message = named(self.name);
        message.attributes.push(LinkAttribute::Link(self.parent));
        message.attributes.extend(self.namespace.map(|fd| LinkAttribute::NetNsFd(fd.as_raw_fd())));
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        message.attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        Request::of(libc::RTM_NEWLINK, CREATE, &message)
    }
}

/// Sets the link called `name` up.
pub fn set_up(name: &str) -> Request {
    Request::of(libc::RTM_NEWLINK, 0, &up(named(name)))
}

/// Writes `alias` on the link called `name`. A link cannot be born with one.
pub fn set_alias(name: &str, alias: &str) -> Request {
    let mut message = named(name);
    message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
    Request::of(libc::RTM_NEWLINK, 0, &message)
}

/// Makes the link called `name` a port of the bridge with number `bridge`, and sets it up.
pub fn set_port(name: &str, bridge: u32) -> Request {
    let mut message = up(named(name));
    message.attributes.push(LinkAttribute::Controller(bridge));
    Request::of(libc::RTM_NEWLINK, 0, &message)
}

/// Deletes the link called `name`, and with it the other end of a veth pair.
pub fn delete(name: &str) -> Request {
    Request::of(libc::RTM_DELLINK, 0, &named(name))
}

const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn up(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

#[cfg(test)]
mod tests {
    use super::{Link, check_name, create_bridge};
    use crate::mac::Mac;
    use crate::socket::Message;

    #[test]
    fn names_as_the_kernel_takes_them() {
        for good in ["eth0", "veneer0", "exactly15bytes_"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "sixteen_bytes___", "a\0b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_is_read_as_it_was_written() {
        let request = create_bridge("veneer0", Mac([2, 0, 0, 0, 0, 1]), Some(1400));
        let link = Link::read(&Message { kind: libc::RTM_NEWLINK, payload: request.payload }).expect("a link");
        assert_eq!((link.name.as_str(), link.kind.as_str(), link.mtu, link.up), ("veneer0", "bridge", 1400, true));
        assert_eq!(Link::read(&Message { kind: libc::RTM_NEWLINK, payload: vec![0; 3] }), None);
    }
}
