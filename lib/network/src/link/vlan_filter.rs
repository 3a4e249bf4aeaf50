//! A bridge that keeps VLANs apart: which tags a port (or the bridge itself) takes part in (net/bridge/br_vlan.c,
//! br_netlink.c).
//!
//! A port's *own* VLAN is where its untagged packets belong to, and what leaves it comes out untagged: the container sees
//! nothing of tags. What a port *carries* beside that goes through with its tag.

use super::named;
use crate::attribute::{self, Attributes};
use crate::socket::{Message, Request};
use netlink_packet_route::link::{InfoBridge, InfoData, InfoKind, LinkAttribute, LinkInfo};

const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
/// Asks for each tag, not for ranges.
const RTEXT_FILTER_BRVLAN: u32 = 1 << 1;
const IFLA_BRIDGE_FLAGS: u16 = 0;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
/// The bridge itself, not the port of that number.
const BRIDGE_FLAGS_SELF: u16 = 2;
/// `struct ifinfomsg`
const HEADER: usize = 16;

const PVID: u16 = 1 << 1;
const UNTAGGED: u16 = 1 << 2;
const RANGE_BEGIN: u16 = 1 << 3;
const RANGE_END: u16 = 1 << 4;

/// Whose VLANs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// The port with this number.
    Port(u32),
    /// The bridge with this number, as far as it is a machine on itself.
    Bridge(u32),
}

/// A VLAN of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vlan {
    /// The tag.
    pub tag: u16,
    /// Whether untagged packets that come in by this port belong to it.
    pub own: bool,
    /// Whether its packets leave without their tag.
    pub untagged: bool,
}

/// Makes the bridge called `name` look at tags. `first` is the VLAN that ports begin with; without it in none.
pub fn enable(name: &str, first: Option<u16>) -> Request {
    change(name, vec![InfoBridge::VlanDefaultPvid(first.unwrap_or(0)), InfoBridge::VlanFiltering(true)])
}

/// Makes the bridge called `name` look at tags, and changes nothing else.
pub fn filter(name: &str) -> Request {
    change(name, vec![InfoBridge::VlanFiltering(true)])
}

fn change(name: &str, data: Vec<InfoBridge>) -> Request {
    let mut message = named(name);
    let data = LinkInfo::Data(InfoData::Bridge(data));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), data]));
    Request::of(libc::RTM_NEWLINK, 0, &message)
}

/// Makes the member's untagged packets those of `tag`.
pub fn set_own(member: Member, tag: u16) -> Request {
    request(libc::RTM_SETLINK, member, &[(tag, PVID | UNTAGGED)])
}

/// Makes the member carry the tags from `first` to `last`.
pub fn carry(member: Member, first: u16, last: u16) -> Request {
    request(libc::RTM_SETLINK, member, &span(first, last))
}

/// Takes the member out of the VLANs from `first` to `last`.
pub fn leave(member: Member, first: u16, last: u16) -> Request {
    request(libc::RTM_DELLINK, member, &span(first, last))
}

fn span(first: u16, last: u16) -> Vec<(u16, u16)> {
    if first == last { vec![(first, 0)] } else { vec![(first, RANGE_BEGIN), (last, RANGE_END)] }
}

fn request(kind: u16, member: Member, vlans: &[(u16, u16)]) -> Request {
    let (index, mut spec) = match member {
        Member::Port(index) => (index, Attributes::new()),
        Member::Bridge(index) => (index, Attributes::new().bytes(IFLA_BRIDGE_FLAGS, &BRIDGE_FLAGS_SELF.to_ne_bytes())),
    };
    for (tag, flags) in vlans {
        let info = [flags.to_ne_bytes(), tag.to_ne_bytes()].concat();
        spec = spec.bytes(IFLA_BRIDGE_VLAN_INFO, &info);
    }
    let mut payload = header(index);
    payload.extend(Attributes::new().nest(IFLA_AF_SPEC, spec).into_bytes());
    Request { kind, flags: 0, payload }
}

/// Asks for the VLANs of all bridges and ports; the answers are for [`read`].
pub fn dump() -> Request {
    let mut payload = header(0);
    payload.extend(Attributes::new().bytes(IFLA_EXT_MASK, &RTEXT_FILTER_BRVLAN.to_ne_bytes()).into_bytes());
    Request { kind: libc::RTM_GETLINK, flags: 0, payload }
}

/// The link's number and its VLANs.
pub fn read(message: &Message) -> Option<(u32, Vec<Vlan>)> {
    if message.kind != libc::RTM_NEWLINK || i32::from(*message.payload.first()?) != libc::AF_BRIDGE {
        return None;
    }
    let index = message.payload.get(4..).and_then(attribute::number)?;
    let spec = attribute::find(message.payload.get(HEADER..)?, IFLA_AF_SPEC).unwrap_or_default();
    let vlans = attribute::read(spec).filter(|(kind, _)| *kind == IFLA_BRIDGE_VLAN_INFO).filter_map(|(_, value)| {
        let half = |at: usize| Some(u16::from_ne_bytes(value.get(at..at + 2)?.try_into().ok()?));
        let flags = half(0)?;
        Some(Vlan { tag: half(2)?, own: flags & PVID != 0, untagged: flags & UNTAGGED != 0 })
    });
    Some((index, vlans.collect()))
}

fn header(index: u32) -> Vec<u8> {
    let mut bytes = vec![libc::AF_BRIDGE as u8, 0, 0, 0];
    bytes.extend_from_slice(&index.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Member, Vlan, carry, read, set_own};
    use crate::socket::Message;

    #[test]
    fn what_is_written_is_read() {
        let message = |payload| Message { kind: libc::RTM_NEWLINK, payload };
        let own = read(&message(set_own(Member::Port(4), 50).payload)).expect("a port");
        assert_eq!(own, (4, vec![Vlan { tag: 50, own: true, untagged: true }]));
        let (index, carried) = read(&message(carry(Member::Bridge(3), 10, 12).payload)).expect("a bridge");
        assert_eq!((index, carried.iter().map(|v| v.tag).collect::<Vec<_>>()), (3, vec![10, 12]));
        assert!(read(&message(vec![7, 0, 0])).is_none());
    }
}
