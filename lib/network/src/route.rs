//! Routes of both families (net/ipv4/fib_frontend.c, net/ipv6/route.c).

use crate::address;
use crate::attribute;
use crate::pool::Subnet;
use crate::socket::{Message, Request};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::str::FromStr;

/// `struct rtmsg`.
const HEADER: usize = 12;

/// A route to a subnet, as the kernel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; 0.0.0.0/0 and ::/0 are the default routes.
    pub destination: Subnet,
    /// The next station, if it has one.
    pub gateway: Option<IpAddr>,
    /// The number of the link it goes out by, if it has one.
    pub link: Option<u32>,
}

impl Route {
    /// Reads an `RTM_NEWROUTE` that is about ordinary traffic; broadcast and local routes are not, nor those that each link
    /// of IPv6 gives itself (fe80::/64, ff00::/8).
    pub fn read(message: &Message) -> Option<Self> {
        let payload = &message.payload;
        let all = match (message.kind, i32::from(*payload.first()?)) {
            (libc::RTM_NEWROUTE, libc::AF_INET) => Subnet::ALL_V4,
            (libc::RTM_NEWROUTE, libc::AF_INET6) => Subnet::ALL_V6,
            _ => return None,
        };
        if [libc::RTN_BROADCAST, libc::RTN_LOCAL, libc::RTN_MULTICAST, libc::RTN_ANYCAST].contains(payload.get(7)?) {
            return None;
        }
        let attributes = payload.get(HEADER..)?;
        let destination = match attribute::find(attributes, libc::RTA_DST) {
            Some(value) => Subnet::around(address::read_ip(value)?, *payload.get(1)?),
            None => all,
        };
        if matches!(destination.network(), IpAddr::V6(six) if six.is_unicast_link_local() || six.is_multicast()) {
            return None;
        }
        let gateway = attribute::find(attributes, libc::RTA_GATEWAY).and_then(address::read_ip);
        let link = attribute::find(attributes, libc::RTA_OIF).and_then(attribute::number);
        Some(Self { destination, gateway, link })
    }

    /// Whether it is a default route.
    pub fn is_default(&self) -> bool {
        self.destination.prefix() == 0
    }
}

/// A route as people write it: `DESTINATION[,GATEWAY[,METRIC]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    /// Where it leads.
    pub destination: Subnet,
    /// The next station; without one everybody there is a neighbour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Of several to the same place the one with the lowest number is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

impl FromStr for Via {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a route like 10.8.0.0/16,10.20.0.1 or 10.8.0.0/16,10.20.0.1,100");
        let mut parts = text.split(',');
        let destination = parts.next().unwrap_or_default().parse()?;
        let gateway: Option<IpAddr> = match parts.next() {
            None | Some("") => None,
            Some(gateway) => Some(gateway.parse().map_err(|_| wrong())?),
        };
        let metric = parts.next().map(str::parse).transpose().map_err(|_| wrong())?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self { destination, gateway, metric })
    }
}

/// A route to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRoute {
    /// The number of the link it goes out by; without one the kernel finds it by the gateway.
    pub link: Option<u32>,
    /// Where it leads.
    pub destination: Subnet,
    /// The next station; without one everybody there is a neighbour on the link.
    pub gateway: Option<IpAddr>,
    /// Of several to the same place the one with the lowest number is taken.
    pub metric: Option<u32>,
}

/// Asks for all routes of both families.
pub fn dump() -> Request {
    Request::of(libc::RTM_GETROUTE, 0, &RouteMessage::default())
}

/// Makes a route. Refused with EEXIST where there is one to the same place with the same metric.
pub fn add(route: &NewRoute) -> Request {
    Request::of(libc::RTM_NEWROUTE, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &compose(route))
}

/// Makes a route; one to the same place with the same metric is replaced.
pub fn replace(route: &NewRoute) -> Request {
    Request::of(libc::RTM_NEWROUTE, (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16, &compose(route))
}

/// Takes a route away. Refused with ESRCH where there is none.
pub fn delete(route: &NewRoute) -> Request {
    Request::of(libc::RTM_DELROUTE, 0, &compose(route))
}

/// Makes `gateway` the way to everywhere in its family, out by the link with number `link`.
pub fn add_default(link: u32, gateway: impl Into<IpAddr>) -> Request {
    let gateway = gateway.into();
    let destination = if gateway.is_ipv4() { Subnet::ALL_V4 } else { Subnet::ALL_V6 };
    add(&NewRoute { link: Some(link), destination, gateway: Some(gateway), metric: None })
}

fn compose(route: &NewRoute) -> RouteMessage {
    let mut message = RouteMessage::default();
    let to = route.destination.network();
    message.header.address_family = address::family(to);
    message.header.destination_prefix_length = route.destination.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    // The kernel of IPv4 takes a gateway only from a route that is wider than the link itself.
    message.header.scope = match route.gateway {
        None if to.is_ipv4() => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    message.header.kind = RouteType::Unicast;
    if route.destination.prefix() > 0 {
        message.attributes.push(RouteAttribute::Destination(wire(to)));
    }
    if let Some(gateway) = route.gateway {
        message.attributes.push(if gateway.is_ipv4() == to.is_ipv4() {
            RouteAttribute::Gateway(wire(gateway))
        } else {
            RouteAttribute::Via(match gateway {
                IpAddr::V4(four) => netlink_packet_route::route::RouteVia::Inet(four),
                IpAddr::V6(six) => netlink_packet_route::route::RouteVia::Inet6(six),
            })
        });
    }
    message.attributes.extend(route.link.map(RouteAttribute::Oif));
    message.attributes.extend(route.metric.map(RouteAttribute::Priority));
    message
}

fn wire(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(four) => RouteAddress::Inet(four),
        IpAddr::V6(six) => RouteAddress::Inet6(six),
    }
}

#[cfg(test)]
mod tests {
    use super::{NewRoute, Route, Via, add, add_default};
    use crate::socket::Message;
    use std::net::IpAddr;

    #[test]
    fn a_route_is_read_as_it_was_written() {
        for gateway in ["10.0.0.1", "fd00::1"] {
            let gateway: IpAddr = gateway.parse().unwrap();
            let payload = add_default(3, gateway).payload;
            let read = Route::read(&Message { kind: libc::RTM_NEWROUTE, payload }).expect("a route");
            assert!(read.is_default());
            assert_eq!((read.link, read.gateway), (Some(3), Some(gateway)));
        }
        for to in ["10.9.0.0/16", "fd07::/64"] {
            let route = NewRoute { link: Some(3), destination: to.parse().unwrap(), gateway: None, metric: Some(7) };
            let read = Route::read(&Message { kind: libc::RTM_NEWROUTE, payload: add(&route).payload }).expect("one");
            assert_eq!((read.destination, read.gateway, read.is_default()), (route.destination, None, false));
        }
        let own = NewRoute { link: None, destination: "fe80::/64".parse().unwrap(), gateway: None, metric: None };
        assert_eq!(Route::read(&Message { kind: libc::RTM_NEWROUTE, payload: add(&own).payload }), None);
    }

    #[test]
    fn routes_as_written() {
        let via = |text: &str| text.parse::<Via>();
        assert_eq!(via("10.8.0.0/16,10.20.0.1,7").unwrap().metric, Some(7));
        assert_eq!(via("fd00::/64").unwrap().gateway, None);
        for wrong in ["", "10.0.0.1/8,10.20.0.1", "10.0.0.0/8,x", "10.0.0.0/8,10.20.0.1,x", "10.0.0.0/8,10.20.0.1,1,1"]
        {
            assert!(via(wrong).is_err(), "{wrong}");
        }
    }
}
