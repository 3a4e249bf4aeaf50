//! IPv4 addresses of links (net/ipv4/devinet.c).

use crate::attribute;
use crate::pool::Subnet;
use crate::socket::{Message, Request};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use std::net::{IpAddr, Ipv4Addr};

/// `struct ifaddrmsg`.
const HEADER: usize = 8;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// The subnet it is in.
    pub subnet: Subnet,
}

impl Address {
    /// Reads an `RTM_NEWADDR`.
    pub fn read(message: &Message) -> Option<Self> {
        let payload = &message.payload;
        if message.kind != libc::RTM_NEWADDR || i32::from(*payload.first()?) != libc::AF_INET {
            return None;
        }
        let link = payload.get(4..).and_then(attribute::number)?;
        let attributes = payload.get(HEADER..)?;
        // On a point-to-point link ADDRESS is the other side's and LOCAL ours; elsewhere they are the same.
        let local =
            attribute::find(attributes, libc::IFA_LOCAL).or_else(|| attribute::find(attributes, libc::IFA_ADDRESS))?;
        let octets: [u8; 4] = local.try_into().ok()?;
        let address = Ipv4Addr::from(octets);
        Some(Self { link, address, subnet: Subnet::around(address, *payload.get(1)?) })
    }
}

/// Asks for all IPv4 addresses.
pub fn dump() -> Request {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    Request::of(libc::RTM_GETADDR, 0, &message)
}

/// Gives the link with number `link` the address `address` in a subnet of `prefix` bits. Refused with EEXIST where it has it.
pub fn add(link: u32, address: Ipv4Addr, prefix: u8) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = link;
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(address)));
    if prefix < 31 {
        message.attributes.push(AddressAttribute::Broadcast(Subnet::around(address, prefix).broadcast()));
    }
    Request::of(libc::RTM_NEWADDR, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &message)
}

#[cfg(test)]
mod tests {
    use super::{Address, add};
    use crate::socket::Message;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let payload = add(7, [172, 17, 0, 2].into(), 16).payload;
        let read = Address::read(&Message { kind: libc::RTM_NEWADDR, payload }).expect("an address");
        assert_eq!((read.link, read.address.to_string().as_str()), (7, "172.17.0.2"));
        assert_eq!(read.subnet.to_string(), "172.17.0.0/16");
    }
}
