//! The VXLAN link of an overlay network: the port of its bridge behind which the containers on other hosts are
//! (RFC 7348; drivers/net/vxlan/vxlan_core.c).
//!
//! A frame for a container on another host is put into a UDP packet, with 24 bits that name the network, and sent to
//! that host's address. So the packets inside are smaller than those outside by what stands around them: IPv4 20 or IPv6
//! 40, UDP 8, VXLAN 8, and the frame's own Ethernet header 14.
//!
//! As a port of its bridge the link is told not to pass questions for addresses on whose answer is known
//! (`neigh_suppress`): the bridge answers them. Where every container's place is known neither bridge nor link
//! learn any from passing packets; else both do.

use crate::address::read_ip;
use crate::attribute;
use crate::link::Link;
use crate::socket::{Message, Request};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind,
    InfoVxlan, LinkAttribute, LinkInfo, LinkMessage,
};
use std::net::IpAddr;

/// The port of VXLAN that the Internet's registry of numbers gives.
pub const PORT: u16 = 4789;
/// The number of a network has 24 bits.
pub const LARGEST_VNI: u32 = (1 << 24) - 1;

/// `struct ifinfomsg`.
const HEADER: usize = 16;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_GROUP: u16 = 2;
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_GROUP6: u16 = 16;
const IFLA_VXLAN_LOCAL6: u16 = 17;

/// How the hosts of an overlay network reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// The network's number, the same on all hosts.
    pub vni: u32,
    /// The UDP port, the same on all hosts.
    pub port: u16,
    /// This host's address.
    pub local: IpAddr,
    /// The number of the link that packets must leave by; that of the routes where there is none.
    pub link: Option<u32>,
    /// The group that frames to everybody are sent to; they are sent to each host where there is none.
    pub group: Option<IpAddr>,
    /// Whether places of containers are learned from passing packets.
    pub learning: bool,
}

/// What stands around a packet between hosts, in bytes.
pub fn overhead(local: IpAddr) -> u32 {
    if local.is_ipv4() { 50 } else { 70 }
}

impl Tunnel {
    /// Makes the link, as a port of the bridge with number `bridge`. It is still down: see [`keep_silent`].
    pub fn create(&self, name: &str, bridge: u32, mtu: u32) -> Request {
        let mut data = vec![
            InfoVxlan::Id(self.vni),
            InfoVxlan::Port(self.port),
            InfoVxlan::Learning(self.learning),
            match self.local {
                IpAddr::V4(local) => InfoVxlan::Local(local),
                IpAddr::V6(local) => InfoVxlan::Local6(local),
            },
        ];
        data.extend(self.link.map(InfoVxlan::Link));
        data.extend(self.group.map(|group| match group {
            IpAddr::V4(group) => InfoVxlan::Group(group),
            IpAddr::V6(group) => InfoVxlan::Group6(group),
        }));
        let mut message = named(name);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        message.attributes.push(LinkAttribute::Controller(bridge));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vxlan),
            LinkInfo::Data(InfoData::Vxlan(data)),
        ]));
        Request::of(libc::RTM_NEWLINK, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &message)
    }

    /// Tells the bridge how to treat its port called `name`. A link cannot be born with this.
    pub fn set_port(&self, name: &str) -> Request {
        let options = vec![InfoBridgePort::Learning(self.learning), InfoBridgePort::NeighSupress(true)];
        let mut message = named(name);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(options)),
        ]));
        Request::of(libc::RTM_NEWLINK, 0, &message)
    }

    /// Reads an `RTM_NEWLINK` of a VXLAN link.
    pub fn read(message: &Message) -> Option<(Link, Self)> {
        let link = Link::read(message).filter(|link| link.kind == "vxlan")?;
        let info = attribute::find(message.payload.get(HEADER..)?, libc::IFLA_LINKINFO)?;
        let data = attribute::find(info, IFLA_INFO_DATA)?;
        let value = |kind| attribute::find(data, kind);
        let at = |four, six| value(four).or_else(|| value(six)).and_then(read_ip).filter(|a| !a.is_unspecified());
        let tunnel = Self {
            vni: value(IFLA_VXLAN_ID).and_then(attribute::number)?,
            port: u16::from_be_bytes(value(IFLA_VXLAN_PORT)?.try_into().ok()?),
            local: at(IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6)?,
            link: value(IFLA_VXLAN_LINK).and_then(attribute::number).filter(|link| *link != 0),
            group: at(IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6),
            learning: value(IFLA_VXLAN_LEARNING) == Some(&[1]),
        };
        Some((link, tunnel))
    }
}

/// Keeps the link called `name` from giving itself an address of IPv6, and from telling all hosts about it, once it is up. A
/// link cannot be born so. EAFNOSUPPORT where its MTU is too small for IPv6: then it has none anyway.
pub fn keep_silent(name: &str) -> Request {
    let mut message = named(name);
    let no_address = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![no_address])]));
    Request::of(libc::RTM_NEWLINK, 0, &message)
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

#[cfg(test)]
mod tests {
    use super::{PORT, Tunnel, overhead};
    use crate::socket::Message;

    #[test]
    fn a_tunnel_is_read_as_it_was_written() {
        for (local, group, headers) in
            [("192.0.2.1", None, 50), ("192.0.2.1", Some("239.1.1.1"), 50), ("2001:db8::1", Some("ff05::100"), 70)]
        {
            let group = group.map(|group: &str| group.parse().unwrap());
            let local = local.parse().unwrap();
            let tunnel =
                Tunnel { vni: 42, port: PORT, local, link: group.map(|_| 3), group, learning: group.is_some() };
            let request = tunnel.create("vx-1", 7, 1450);
            let message = Message { kind: libc::RTM_NEWLINK, payload: request.payload };
            let (link, read) = Tunnel::read(&message).expect("a vxlan link");
            assert_eq!((read, link.mtu, link.controller), (tunnel, 1450, Some(7)));
            assert_eq!(overhead(local), headers);
        }
    }
}
