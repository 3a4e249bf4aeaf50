//! Forwarding entries of a VXLAN link that is a port of a bridge: which hardware address is behind which host.
//!
//! There are two tables. The bridge's says by which port a hardware address is reached (net/bridge/br_fdb.c); the VXLAN
//! link's says to which host's address the frame is sent inside UDP (drivers/net/vxlan/vxlan_core.c, `vxlan_fdb_add`). One
//! `RTM_NEWNEIGH` of family AF_BRIDGE with NTF_MASTER and NTF_SELF writes both (`rtnl_fdb_add`). Frames to everybody, and to
//! whom nobody knows, go by the entries under the address 00:00:00:00:00:00, of which there may be many: the kernel
//! sends such a frame once to each.
//!
//! Entries are REACHABLE and NOARP: the VXLAN link wants the first, and to both tables the second means that it never ages.
//! PERMANENT would mean to the bridge that the address is its own.

use crate::mac::Mac;
use crate::neighbor::told::Told;
use crate::socket::{Message, Request};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use std::net::IpAddr;

/// The hardware address under which the hosts stand that get frames to everybody.
pub const EVERYBODY: Mac = Mac([0; 6]);

/// `NUD_REACHABLE | NUD_NOARP`
const KEPT: u16 = 0x02 | 0x40;
const NOARP: u16 = 0x40;
const PERMANENT: u16 = 0x80;
/// `NTF_SELF`
const SELF: u8 = 0x02;

/// An entry of the VXLAN link's own table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The hardware address, or [`EVERYBODY`].
    pub mac: Mac,
    /// The host's address.
    pub host: IpAddr,
}

impl Entry {
    /// Reads an `RTM_NEWNEIGH` about the VXLAN link with number `link`. What the link learned by itself is none, nor is
    /// what the bridge says of it.
    pub fn read(message: &Message, link: u32) -> Option<Self> {
        let told = Told::read(message).filter(|told| told.link == link && told.family == libc::AF_BRIDGE)?;
        let kept = told.state & (NOARP | PERMANENT) != 0 && told.flags & SELF != 0;
        kept.then_some(Self { mac: told.mac, host: told.address })
    }
}

/// Asks for all entries of the link with number `link`, its bridge's among them.
pub fn dump(link: u32) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = link;
    Request::of(libc::RTM_GETNEIGH, 0, &message)
}

/// Writes `entry` for the VXLAN link with number `link`. One of the same hardware address is replaced; hosts under
/// [`EVERYBODY`] are added to those that are there, which EEXIST answers for one that is.
pub fn add(link: u32, entry: &Entry) -> Request {
    let mut message = about(link, entry);
    message.header.state = NeighbourState::Other(KEPT);
    let flags = if entry.mac == EVERYBODY {
        libc::NLM_F_CREATE | libc::NLM_F_APPEND
    } else {
        message.header.flags |= NeighbourFlags::Controller;
        libc::NLM_F_CREATE | libc::NLM_F_REPLACE
    };
    Request::of(libc::RTM_NEWNEIGH, flags as u16, &message)
}

/// Takes `entry` out of the VXLAN link's table, alone; ENOENT where there is none.
pub fn delete(link: u32, entry: &Entry) -> Request {
    Request::of(libc::RTM_DELNEIGH, 0, &about(link, entry))
}

/// Takes `mac` out of the bridge's table, if it is behind the port with number `link`; ENOENT where it is not.
pub fn delete_from_bridge(link: u32, mac: Mac) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = link;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    Request::of(libc::RTM_DELNEIGH, 0, &message)
}

fn about(link: u32, entry: &Entry) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = link;
    message.header.flags = NeighbourFlags::Own;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(entry.mac.0.to_vec()));
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::from(entry.host)));
    message
}

#[cfg(test)]
mod tests {
    use super::{EVERYBODY, Entry, add, dump};
    use crate::mac::Mac;
    use crate::socket::Message;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for host in ["192.0.2.7", "2001:db8::7"] {
            for mac in [Mac([2, 0x42, 10, 0, 0, 9]), EVERYBODY] {
                let entry = Entry { mac, host: host.parse().unwrap() };
                let message = Message { kind: libc::RTM_NEWNEIGH, payload: add(5, &entry).payload };
                assert_eq!(Entry::read(&message, 5), Some(entry));
                assert_eq!(Entry::read(&message, 6), None, "another link's");
            }
        }
        assert_eq!(Entry::read(&Message { kind: libc::RTM_NEWNEIGH, payload: dump(5).payload }, 5), None);
    }
}
