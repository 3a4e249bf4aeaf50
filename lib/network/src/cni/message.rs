//! The requests about links, addresses and routes that the keys of plugins need, attribute by attribute
//! (include/uapi/linux/if_link.h, if_addr.h, rtnetlink.h, if_bridge.h).

use crate::attribute::Attributes;
use crate::socket::Request;
use spec::cni::{Cidr, Route};
use std::net::IpAddr;

/// Attributes of links.
pub mod link {
    #![allow(missing_docs)]
    pub const ADDRESS: u16 = 1;
    pub const NAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const LINK: u16 = 5;
    pub const MASTER: u16 = 10;
    pub const PROTOCOL_INFO: u16 = 12;
    pub const QUEUE_LENGTH: u16 = 13;
    pub const OPERATIONAL_STATE: u16 = 16;
    pub const INFO: u16 = 18;
    pub const INFO_KIND: u16 = 1;
    pub const INFO_DATA: u16 = 2;
    pub const ALIAS: u16 = 20;
    pub const AF_SPEC: u16 = 26;
    pub const NAMESPACE_FD: u16 = 28;
    pub const EXTENSION_MASK: u16 = 29;
    pub const PROMISCUITY: u16 = 30;
    pub const VETH_PEER: u16 = 1;
    pub const BRIDGE_VLAN_FILTERING: u16 = 7;
    pub const PORT_HAIRPIN: u16 = 4;
    pub const PORT_ISOLATED: u16 = 33;
    pub const BRIDGE_FLAGS: u16 = 0;
    pub const BRIDGE_VLAN: u16 = 2;
}

/// `struct ifinfomsg`
const LINK_HEADER: usize = 16;
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// What a link is asked to be or to become.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Its number; 0 where the name is in the attributes.
    pub index: u32,
    /// The flags it shall have, of those in `mask`.
    pub flags: u32,
    /// Which flags are meant.
    pub mask: u32,
    /// The rest.
    pub attributes: Attributes,
}

impl Link {
    /// The one called `name`.
    pub fn named(name: &str) -> Self {
        Self { attributes: Attributes::new().text(link::NAME, name), ..Self::default() }
    }

    /// The one with this number.
    pub fn numbered(index: u32) -> Self {
        Self { index, ..Self::default() }
    }

    /// With these flags on or off.
    #[must_use]
    pub fn flag(mut self, flag: i32, on: bool) -> Self {
        let flag = flag.cast_unsigned();
        self.mask |= flag;
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// Set up.
    #[must_use]
    pub fn up(self) -> Self {
        self.flag(libc::IFF_UP, true)
    }

    /// With this number as an attribute.
    #[must_use]
    pub fn number(mut self, kind: u16, value: u32) -> Self {
        self.attributes = self.attributes.bytes(kind, &value.to_ne_bytes());
        self
    }

    /// With these bytes as an attribute.
    #[must_use]
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.attributes = self.attributes.bytes(kind, value);
        self
    }

    /// With this list as an attribute.
    #[must_use]
    pub fn nest(mut self, kind: u16, inner: Attributes) -> Self {
        self.attributes = self.attributes.nest(kind, inner);
        self
    }

    /// With this mtu, if there is one.
    #[must_use]
    pub fn mtu(self, mtu: Option<u32>) -> Self {
        mtu.into_iter().fold(self, |link, mtu| link.number(link::MTU, mtu))
    }

    /// With this hardware address, if there is one.
    #[must_use]
    pub fn mac(self, mac: Option<&[u8]>) -> Self {
        mac.into_iter().fold(self, |link, mac| link.bytes(link::ADDRESS, mac))
    }

    /// Of this kind, with what belongs to the kind.
    #[must_use]
    pub fn kind(self, kind: &str, data: Attributes) -> Self {
        self.nest(link::INFO, Attributes::new().text(link::INFO_KIND, kind).nest(link::INFO_DATA, data))
    }

    /// Made new; one of this name is EEXIST.
    pub fn create(self) -> Request {
        Request { kind: libc::RTM_NEWLINK, flags: CREATE, payload: self.payload(libc::AF_UNSPEC) }
    }

    /// Changed.
    pub fn change(self) -> Request {
        Request { kind: libc::RTM_NEWLINK, flags: 0, payload: self.payload(libc::AF_UNSPEC) }
    }

    /// Deleted.
    pub fn delete(self) -> Request {
        Request { kind: libc::RTM_DELLINK, flags: 0, payload: self.payload(libc::AF_UNSPEC) }
    }

    /// Asked for.
    pub fn get(self) -> Request {
        Request { kind: libc::RTM_GETLINK, flags: 0, payload: self.payload(libc::AF_UNSPEC) }
    }

    /// The bytes of the link as the other end of a pair.
    pub fn peer(self) -> Vec<u8> {
        self.payload(libc::AF_UNSPEC)
    }

    /// Settings of a bridge's port; `set` or taken back.
    pub fn port(self, set: bool) -> Request {
        let kind = if set { libc::RTM_SETLINK } else { libc::RTM_DELLINK };
        Request { kind, flags: 0, payload: self.payload(libc::AF_BRIDGE) }
    }

    fn payload(self, family: i32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LINK_HEADER + 64);
        bytes.extend_from_slice(&[family as u8, 0, 0, 0]);
        bytes.extend_from_slice(&self.index.to_ne_bytes());
        bytes.extend_from_slice(&self.flags.to_ne_bytes());
        bytes.extend_from_slice(&self.mask.to_ne_bytes());
        bytes.extend_from_slice(&self.attributes.into_bytes());
        bytes
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// Gives the link with number `link` an address. Refused with EEXIST where it has it.
pub fn add_address(link: u32, address: Cidr) -> Request {
    Request { kind: libc::RTM_NEWADDR, flags: CREATE, payload: address_payload(link, address) }
}

/// Takes an address away.
pub fn delete_address(link: u32, address: Cidr) -> Request {
    Request { kind: libc::RTM_DELADDR, flags: 0, payload: address_payload(link, address) }
}

fn address_payload(link: u32, cidr: Cidr) -> Vec<u8> {
    let mut bytes = vec![family(cidr.address), cidr.prefix, 0, 0];
    bytes.extend_from_slice(&link.to_ne_bytes());
    let value = octets(cidr.address);
    let mut attributes = Attributes::new().bytes(libc::IFA_LOCAL, &value).bytes(libc::IFA_ADDRESS, &value);
    if let IpAddr::V4(address) = cidr.address
        && cidr.prefix < 31
    {
        let broadcast = address.to_bits() | u32::MAX.checked_shr(cidr.prefix.into()).unwrap_or(0);
        attributes = attributes.bytes(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    bytes.extend_from_slice(&attributes.into_bytes());
    bytes
}

/// How far the destination of a route is, unless it says it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Anywhere.
    Universe = 0,
    /// On the link.
    Link = 253,
    /// This host's own.
    Host = 254,
    /// Whatever is there: for deletion.
    Nowhere = 255,
}

/// A route by the link with number `link`, from `source` if that is said.
pub fn add_route(link: u32, route: &Route, scope: Scope, source: Option<IpAddr>) -> Request {
    Request { kind: libc::RTM_NEWROUTE, flags: CREATE, payload: route_payload(link, route, scope, source) }
}

/// Takes a route away.
pub fn delete_route(link: u32, route: &Route) -> Request {
    let mut payload = route_payload(link, route, Scope::Nowhere, None);
    // Whoever made it, also the kernel itself.
    payload[PROTOCOL_AT] = libc::RTPROT_UNSPEC;
    Request { kind: libc::RTM_DELROUTE, flags: 0, payload }
}

/// Where `struct rtmsg` says who made the route.
const PROTOCOL_AT: usize = 5;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
const METRIC_MTU: u16 = 2;
const METRIC_ADVMSS: u16 = 8;

fn route_payload(link: u32, route: &Route, scope: Scope, source: Option<IpAddr>) -> Vec<u8> {
    let table = route.table.unwrap_or(libc::RT_TABLE_MAIN.into());
    let mut bytes = vec![
        family(route.dst.address),
        route.dst.prefix,
        0,
        0,
        u8::try_from(table).unwrap_or(libc::RT_TABLE_UNSPEC),
        libc::RTPROT_BOOT,
        route.scope.unwrap_or(scope as u8),
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let mut attributes = Attributes::new().bytes(libc::RTA_OIF, &link.to_ne_bytes());
    attributes = attributes.bytes(RTA_TABLE, &table.to_ne_bytes());
    if route.dst.prefix > 0 {
        attributes = attributes.bytes(libc::RTA_DST, &octets(route.dst.network().address));
    }
    if let Some(gateway) = route.gw {
        attributes = attributes.bytes(libc::RTA_GATEWAY, &octets(gateway));
    }
    if let Some(source) = source {
        attributes = attributes.bytes(libc::RTA_PREFSRC, &octets(source));
    }
    if route.priority > 0 {
        attributes = attributes.bytes(libc::RTA_PRIORITY, &route.priority.to_ne_bytes());
    }
    let mut metrics = Attributes::new();
    for (kind, value) in [(METRIC_MTU, route.mtu), (METRIC_ADVMSS, route.advmss)] {
        if value > 0 {
            metrics = metrics.bytes(kind, &value.to_ne_bytes());
        }
    }
    if route.mtu > 0 || route.advmss > 0 {
        attributes = attributes.nest(RTA_METRICS, metrics);
    }
    bytes.extend_from_slice(&attributes.into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Link, Scope, add_address, add_route};
    use crate::address::Address;
    use crate::link;
    use crate::route;
    use crate::socket::Message;
    use spec::cni::Route;

    #[test]
    fn the_rooms_readers_read_them() {
        let payload = Link::numbered(7).up().mtu(Some(1400)).kind("veth", Default::default()).change().payload;
        let read = link::Link::read(&Message { kind: libc::RTM_NEWLINK, payload }).unwrap();
        assert_eq!((read.index, read.up, read.mtu, read.kind.as_str()), (7, true, 1400, "veth"));
        let payload = add_address(3, "10.1.2.3/16".parse().unwrap()).payload;
        let read = Address::read(&Message { kind: libc::RTM_NEWADDR, payload }).unwrap();
        assert_eq!((read.link, read.subnet.to_string().as_str()), (3, "10.1.0.0/16"));
        let dst = "10.9.0.0/16".parse().unwrap();
        let gw = Some([10, 1, 0, 1].into());
        let wanted = Route { dst, gw, mtu: 1300, advmss: 0, priority: 5, table: Some(1000), scope: None };
        let payload = add_route(3, &wanted, Scope::Universe, None).payload;
        let read = route::Route::read(&Message { kind: libc::RTM_NEWROUTE, payload }).unwrap();
        assert_eq!((read.destination.to_string().as_str(), read.gateway, read.link), ("10.9.0.0/16", gw, Some(3)));
    }
}
