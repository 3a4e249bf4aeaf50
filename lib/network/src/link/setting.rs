//! What can be changed on a link that stands; one request each, all by its name.

use super::named;
use crate::mac::Mac;
use crate::socket::Request;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

/// Gives the link another hardware address. Most kinds of link take one also while they are up.
pub fn set_mac(name: &str, mac: Mac) -> Request {
    change(with(name, LinkAttribute::Address(mac.0.to_vec())))
}

/// Sets the largest packet, in bytes.
pub fn set_mtu(name: &str, mtu: u32) -> Request {
    change(with(name, LinkAttribute::Mtu(mtu)))
}

/// Sets how many packets wait in the link's queue.
pub fn set_queue_length(name: &str, packets: u32) -> Request {
    change(with(name, LinkAttribute::TxQueueLen(packets)))
}

/// Whether the link takes every packet, whomever it is for.
pub fn set_promiscuous(name: &str, on: bool) -> Request {
    change(flag(named(name), LinkFlags::Promisc, on))
}

/// Whether the link takes every multicast packet.
pub fn set_all_multicast(name: &str, on: bool) -> Request {
    change(flag(named(name), LinkFlags::Allmulti, on))
}

/// Sets the link down.
pub fn set_down(name: &str) -> Request {
    change(flag(named(name), LinkFlags::Up, false))
}

/// Gives the link another name; some kernels refuse that while it is up (dev_change_name).
pub fn rename(index: u32, name: &str) -> Request {
    let mut message = named(name);
    message.header.index = index;
    change(message)
}

fn with(name: &str, attribute: LinkAttribute) -> LinkMessage {
    let mut message = named(name);
    message.attributes.push(attribute);
    message
}

fn flag(mut message: LinkMessage, flag: LinkFlags, on: bool) -> LinkMessage {
    message.header.change_mask = flag;
    message.header.flags = if on { flag } else { LinkFlags::empty() };
    message
}

fn change(message: LinkMessage) -> Request {
    Request::of(libc::RTM_NEWLINK, 0, &message)
}
