//! Neighbours of a link: which hardware address an address has (net/core/neighbour.c).
//!
//! Those of an overlay network's bridge are what the bridge answers from in place of containers on other hosts
//! (`br_do_proxy_suppress_arp`, `br_do_suppress_nd` in net/bridge/br_arp_nd_proxy.c), so that the question "who has
//! 10.9.0.7" crosses no wire. They are NOARP: valid for good and never asked for.

pub(crate) mod told;

use crate::address::family;
use crate::mac::Mac;
use crate::socket::{Message, Request};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::RouteType;
use std::net::IpAddr;
use told::Told;

const NOARP: u16 = 0x40;

/// A neighbour that was written, not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neighbor {
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: Mac,
}

impl Neighbor {
    /// Reads an `RTM_NEWNEIGH` about the link with number `link`. The kernel's own entries for groups are none.
    pub fn read(message: &Message, link: u32) -> Option<Self> {
        let told = Told::read(message).filter(|told| told.link == link && told.state == NOARP)?;
        if ![libc::AF_INET, libc::AF_INET6].contains(&told.family) || told.kind != libc::RTN_UNICAST {
            return None;
        }
        let Told { address, mac, .. } = told;
        let group = address.is_multicast() || mac.0[0] & 1 != 0;
        (!group).then_some(Self { address, mac })
    }
}

/// Asks for the neighbours of the link with number `link`, of all families.
pub fn dump(link: u32) -> Request {
    // The link is told by NDA_IFINDEX: a header with more than the family in it is refused (neigh_valid_dump_req).
    let mut message = NeighbourMessage::default();
    message.attributes.push(NeighbourAttribute::IfIndex(link));
    Request::of(libc::RTM_GETNEIGH, 0, &message)
}

/// Writes `neighbor` for the link with number `link`, in place of what is known of the address.
pub fn set(link: u32, neighbor: &Neighbor) -> Request {
    let mut message = about(link, neighbor.address);
    message.header.state = NeighbourState::Noarp;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(neighbor.mac.0.to_vec()));
    Request::of(libc::RTM_NEWNEIGH, (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16, &message)
}

/// Forgets what is known of `address` on the link with number `link`; ENOENT where nothing is.
pub fn delete(link: u32, address: IpAddr) -> Request {
    Request::of(libc::RTM_DELNEIGH, 0, &about(link, address))
}

fn about(link: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = link;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::from(address)));
    message
}

#[cfg(test)]
mod tests {
    use super::{Neighbor, set};
    use crate::mac::Mac;
    use crate::socket::Message;

    #[test]
    fn a_neighbour_is_read_as_it_was_written() {
        for address in ["10.9.0.7", "fd00:9::7"] {
            let neighbor = Neighbor { address: address.parse().unwrap(), mac: Mac([2, 0x42, 10, 9, 0, 7]) };
            let message = Message { kind: libc::RTM_NEWNEIGH, payload: set(4, &neighbor).payload };
            assert_eq!(Neighbor::read(&message, 4), Some(neighbor));
            assert_eq!(Neighbor::read(&message, 5), None);
        }
    }
}
