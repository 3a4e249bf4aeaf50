//! ifb: a link that gives back what it is given, with a queue in between (drivers/net/ifb.c). Queues of the kernel work on
//! what a link sends; to have one for what a link receives, that is led through one of these.

use super::{CREATE, named, up};
use crate::socket::Request;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo};

/// Makes an ifb and sets it up.
pub fn create(name: &str, mtu: u32) -> Request {
    let mut message = up(named(name));
    message.attributes.push(LinkAttribute::Mtu(mtu));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]));
    Request::of(libc::RTM_NEWLINK, CREATE, &message)
}
