//! How a bridge treats one of its ports (net/bridge/br_netlink.c, br_setport).

use crate::socket::Request;
use netlink_packet_route::link::{InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage};

/// Whether a frame may leave by the port it came in by. A container needs that to reach its own published port where
/// bridged frames pass the packet rules (br_netfilter): the address is rewritten before the bridge looks where it goes.
pub fn set_hairpin(name: &str, on: bool) -> Request {
    set(name, InfoBridgePort::HairpinMode(on))
}

/// Whether frames from this port go to no other isolated one: containers that may not talk to each other.
pub fn set_isolated(name: &str, on: bool) -> Request {
    set(name, InfoBridgePort::Isolated(on))
}

fn set(name: &str, flag: InfoBridgePort) -> Request {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![flag])),
    ]));
    Request::of(libc::RTM_NEWLINK, 0, &message)
}
