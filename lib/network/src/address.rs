//! Addresses of links, of both families (net/ipv4/devinet.c, net/ipv6/addrconf.c).

use crate::attribute;
use crate::pool::Subnet;
use crate::socket::{Message, Request};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `struct ifaddrmsg`.
const HEADER: usize = 8;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// The subnet it is in.
    pub subnet: Subnet,
}

impl Address {
    /// Reads an `RTM_NEWADDR`.
    pub fn read(message: &Message) -> Option<Self> {
        let payload = &message.payload;
        let family = i32::from(*payload.first()?);
        if message.kind != libc::RTM_NEWADDR || (family != libc::AF_INET && family != libc::AF_INET6) {
            return None;
        }
        let link = payload.get(4..).and_then(attribute::number)?;
        let attributes = payload.get(HEADER..)?;
        // On a point-to-point link ADDRESS is the other side's and LOCAL ours; elsewhere they are the same, and LOCAL may lack.
        let local =
            attribute::find(attributes, libc::IFA_LOCAL).or_else(|| attribute::find(attributes, libc::IFA_ADDRESS))?;
        let address = read_ip(local)?;
        Some(Self { link, address, subnet: Subnet::around(address, *payload.get(1)?) })
    }

    /// Whether it is one that each link of IPv6 gives itself.
    pub fn is_link_local(&self) -> bool {
        matches!(self.address, IpAddr::V6(six) if six.is_unicast_link_local())
    }
}

/// An address from its four or sixteen bytes.
pub(crate) fn read_ip(value: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(value).map(|octets| Ipv4Addr::from(octets).into());
    four.or_else(|_| <[u8; 16]>::try_from(value).map(|octets| Ipv6Addr::from(octets).into())).ok()
}

/// The kernel's family of `address`.
pub(crate) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Asks for all addresses of both families.
pub fn dump() -> Request {
    Request::of(libc::RTM_GETADDR, 0, &AddressMessage::default())
}

/// Gives the link with number `link` the address `address` in a subnet of `prefix` bits. Refused with EEXIST where it has it.
/// One of IPv6 works at once: nobody is asked whether it is taken (`IFA_F_NODAD`), since the book of leases knows.
pub fn add(link: u32, address: impl Into<IpAddr>, prefix: u8) -> Request {
    let message = compose(link, address.into(), prefix);
    Request::of(libc::RTM_NEWADDR, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &message)
}

/// Takes `address` away from the link with number `link`. Refused with EADDRNOTAVAIL where it does not have it.
pub fn delete(link: u32, address: impl Into<IpAddr>, prefix: u8) -> Request {
    Request::of(libc::RTM_DELADDR, 0, &compose(link, address.into(), prefix))
}

fn compose(link: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = prefix;
    message.header.index = link;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    message.attributes.extend(Subnet::around(address, prefix).broadcast().map(AddressAttribute::Broadcast));
    if address.is_ipv6() {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{Address, add};
    use crate::socket::Message;
    use std::net::IpAddr;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        for (address, prefix, subnet) in [("172.17.0.2", 16, "172.17.0.0/16"), ("fd00::2", 64, "fd00::/64")] {
            let payload = add(7, address.parse::<IpAddr>().unwrap(), prefix).payload;
            let read = Address::read(&Message { kind: libc::RTM_NEWADDR, payload }).expect("an address");
            assert_eq!((read.link, read.address.to_string().as_str()), (7, address));
            assert_eq!(read.subnet.to_string(), subnet);
            assert!(!read.is_link_local());
        }
    }
}
