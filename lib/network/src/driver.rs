//! The kinds of networks, and what differs between them.
//!
//! ```text
//!   prepare   what all endpoints of a network share (bridge, VLAN link, VXLAN link): under the network's lock, at each attach
//!   plug      one endpoint: the interface inside, born there under its name and hardware address; left alone where it is whole
//!   unplug    the endpoint goes, from whichever side it can be reached
//!   remove    what prepare made goes, under the network's lock
//! ```
//!
//! Addresses, routes and the state of the interface inside are the same for all kinds and set by [`crate::attach`] after
//! `plug`. Each function may be repeated, and may find what a crash left of itself.

mod child;
mod ipvlan;
mod macvlan;
pub(crate) mod parent;
pub(crate) mod ptp;
mod vlan;
pub mod vxlan;

use crate::bridge;
use crate::definition::Definition;
use crate::error::Result;
use crate::lease::Lease;
use crate::mac::Mac;
use crate::namespace::Namespace;
use crate::overlay;
use crate::pool;
use crate::route::NewRoute;
use crate::socket::Socket;
use crate::state::State;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge here, and a veth pair to each container.
    Bridge,
    /// Each container is another hardware address on a link of the machine.
    Macvlan,
    /// Each container is another address on a link of the machine.
    Ipvlan,
    /// Each container has a VLAN of a link of the machine for itself.
    Vlan,
    /// A veth pair to each container, and a route.
    Ptp,
    /// A bridge on each of several machines, joined by VXLAN.
    Overlay,
}

const NAMES: [(Driver, &str); 6] = [
    (Driver::Bridge, "bridge"),
    (Driver::Macvlan, "macvlan"),
    (Driver::Ipvlan, "ipvlan"),
    (Driver::Vlan, "vlan"),
    (Driver::Ptp, "ptp"),
    (Driver::Overlay, "overlay"),
];

/// What stands for all endpoints of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ground {
    /// The number of the bridge, or of the machine's link that endpoints are made on; 0 where there is none.
    pub index: u32,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The hardware address that every endpoint has, where they have none of their own.
    pub mac: Option<Mac>,
}

/// One interface of a container, as it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// The network.
    pub definition: &'a Definition,
    /// What [`Driver::prepare`] gave.
    pub ground: Ground,
    /// The container's id, the interface's name, hardware address, addresses, routes, names, limits, sysctls.
    pub lease: &'a Lease,
    /// The container's namespace.
    pub inside: &'a Namespace,
    /// Whether there was a lease before: then the interface may be there, whole or in part.
    pub known: bool,
}

impl Endpoint<'_> {
    /// The addresses with the number of bits of their subnets.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let alone = self.definition.driver == Driver::Ptp;
        self.lease.addresses.iter().map(move |address| {
            if alone {
                return (*address, pool::width(*address));
            }
            let pool = self.definition.pool_of(*address);
            (*address, pool.map_or(crate::pool::width(*address), |pool| pool.subnet.prefix()))
        })
    }

    /// The ways out: the gateways of the subnets it has addresses of; none in an internal network.
    pub fn gateways(&self) -> Vec<IpAddr> {
        if self.definition.internal {
            return Vec::new();
        }
        self.lease.addresses.iter().filter_map(|address| self.definition.pool_of(*address)?.gateway).collect()
    }
}

impl Driver {
    /// Whether its networks have a bridge in the caller's namespace.
    pub fn has_bridge(self) -> bool {
        matches!(self, Self::Bridge | Self::Overlay)
    }

    /// Whether its endpoints have an end in the caller's namespace.
    pub fn has_outer_end(self) -> bool {
        matches!(self, Self::Bridge | Self::Overlay | Self::Ptp)
    }

    /// Whether its endpoints hang on a link of the machine.
    pub fn has_parent(self) -> bool {
        matches!(self, Self::Macvlan | Self::Ipvlan | Self::Vlan)
    }

    /// Whether this machine forwards what its containers send.
    pub fn is_routed(self) -> bool {
        self.has_outer_end()
    }

    /// Whether its subnets are its own, so that no route of the machine and no other network may overlap them. The others
    /// share the subnet of the link they are on.
    pub fn owns_subnets(self) -> bool {
        self.has_outer_end()
    }

    /// Makes sure that what all endpoints share stands. Called at each attach, under the network's lock.
    pub fn prepare(self, state: &State, socket: &mut Socket, definition: &Definition) -> Result<Ground> {
        match self {
            Self::Bridge => bridge::ensure(socket, definition),
            Self::Macvlan | Self::Ipvlan | Self::Vlan => parent::prepare(socket, definition),
            Self::Ptp => ptp::prepare(socket, definition),
            Self::Overlay => overlay::prepare(state, socket, definition),
        }
    }

    /// Makes sure that the interface inside is there, with its name, hardware address and MTU; up or not. `socket` is one of
    /// the caller's namespace, `inner` one of the container's.
    pub fn plug(self, endpoint: &Endpoint<'_>, socket: &mut Socket, inner: &mut Socket) -> Result<()> {
        match self {
            Self::Bridge | Self::Overlay => bridge::plug(endpoint, socket, inner),
            Self::Macvlan => macvlan::plug(endpoint, socket, inner),
            Self::Ipvlan => ipvlan::plug(endpoint, socket, inner),
            Self::Vlan => vlan::plug(endpoint, socket, inner),
            Self::Ptp => ptp::plug(endpoint, socket, inner),
        }
    }

    /// Routes inside that must be there before any that goes by a gateway.
    pub(crate) fn first_routes(self, endpoint: &Endpoint<'_>, index: u32) -> Vec<NewRoute> {
        if self == Self::Ptp { ptp::routes(endpoint, index) } else { Vec::new() }
    }

    /// Whether the interface of a lease that has no outer end is there.
    pub(crate) fn is_plugged(lease: &Lease) -> bool {
        child::is_plugged(lease)
    }

    /// Removes the interface. `own` is the number of the calling thread's network namespace. That there is none is fine.
    pub fn unplug(self, lease: &Lease, own: u64, socket: &mut Socket) -> Result<()> {
        match self {
            Self::Bridge | Self::Overlay => bridge::unplug(lease, own, socket),
            Self::Macvlan | Self::Ipvlan | Self::Vlan => child::unplug(lease),
            Self::Ptp => ptp::unplug(lease, own, socket),
        }
    }

    /// Removes what [`Driver::prepare`] made. That there is none is fine.
    pub fn remove(self, state: &State, socket: &mut Socket, definition: &Definition) -> Result<()> {
        match self {
            Self::Bridge => bridge::remove(socket, definition),
            Self::Macvlan | Self::Ipvlan | Self::Vlan => parent::remove(socket, definition),
            Self::Ptp => Ok(()),
            Self::Overlay => overlay::remove(state, socket, definition),
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(driver, _)| driver == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Driver {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(driver, _)| *driver);
        found.ok_or_else(|| {
            let all: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("`{text}` is no network driver: {}", all.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Driver, NAMES};

    #[test]
    fn names_are_read_as_they_are_written() {
        for (driver, name) in NAMES {
            assert_eq!((name.parse(), driver.to_string().as_str()), (Ok(driver), name));
            assert_eq!(serde_json::to_value(driver).unwrap(), name);
        }
        assert!("weave".parse::<Driver>().unwrap_err().contains("bridge, macvlan"));
    }
}
