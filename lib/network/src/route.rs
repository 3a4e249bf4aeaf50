//! IPv4 routes (net/ipv4/fib_frontend.c).

use crate::attribute;
use crate::pool::Subnet;
use crate::socket::{Message, Request};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use std::net::Ipv4Addr;

/// `struct rtmsg`.
const HEADER: usize = 12;

/// A route to a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; 0.0.0.0/0 is the default route.
    pub destination: Subnet,
    /// The number of the link it goes out by, if it has one.
    pub link: Option<u32>,
}

impl Route {
    /// Reads an `RTM_NEWROUTE` that is about ordinary traffic; broadcast and local routes are not.
    pub fn read(message: &Message) -> Option<Self> {
        let payload = &message.payload;
        if message.kind != libc::RTM_NEWROUTE || i32::from(*payload.first()?) != libc::AF_INET {
            return None;
        }
        if [libc::RTN_BROADCAST, libc::RTN_LOCAL, libc::RTN_MULTICAST].contains(payload.get(7)?) {
            return None;
        }
        let attributes = payload.get(HEADER..)?;
        let to: [u8; 4] = match attribute::find(attributes, libc::RTA_DST) {
            Some(value) => value.try_into().ok()?,
            None => [0; 4],
        };
        let link = attribute::find(attributes, libc::RTA_OIF).and_then(attribute::number);
        Some(Self { destination: Subnet::around(to.into(), *payload.get(1)?), link })
    }

    /// Whether it is the default route.
    pub fn is_default(&self) -> bool {
        self.destination.prefix() == 0
    }
}

/// Asks for all IPv4 routes.
pub fn dump() -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    Request::of(libc::RTM_GETROUTE, 0, &message)
}

/// Makes `gateway` the way to everywhere, out by the link with number `link`. Refused with EEXIST where a default route is.
pub fn add_default(link: u32, gateway: Ipv4Addr) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    message.attributes.push(RouteAttribute::Oif(link));
    Request::of(libc::RTM_NEWROUTE, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &message)
}

#[cfg(test)]
mod tests {
    use super::{Route, add_default};
    use crate::socket::Message;

    #[test]
    fn a_route_is_read_as_it_was_written() {
        let payload = add_default(3, [10, 0, 0, 1].into()).payload;
        let read = Route::read(&Message { kind: libc::RTM_NEWROUTE, payload }).expect("a route");
        assert!(read.is_default());
        assert_eq!(read.link, Some(3));
    }
}
