//! Networks of driver ptp: a veth pair to each container and routes, no bridge, no broadcast.
//!
//! ```text
//!   container                              the caller's namespace
//!   10.70.0.16/32                          10.70.0.1/32 on each outer end
//!   10.70.0.1 dev eth0 ─── veth pair ───── 10.70.0.16 dev vethXXXXXXXXXXX
//!   10.70.0.0/24, default via 10.70.0.1    forwarded, masqueraded
//! ```
//!
//! Everything a container sends comes to this machine as a router, also what is for its neighbour in the subnet. Addresses
//! and routes here go with the outer end, so with the container's namespace.

use super::{Endpoint, Ground};
use crate::address;
use crate::bridge::{Tables, find, mtu_of, set, unless, v6_setting, veth};
use crate::definition::Definition;
use crate::error::{Result, refused};
use crate::lease::Lease;
use crate::nft;
use crate::pool::{self, Subnet};
use crate::route::{self, NewRoute};
use crate::socket::{Refusal, Socket};
use std::net::IpAddr;

/// The largest packet where nothing says otherwise.
const MTU: u32 = 1500;

pub(super) fn prepare(socket: &mut Socket, definition: &Definition) -> Result<Ground> {
    let mtu = match definition.mtu {
        Some(mtu) => mtu,
        None => match Tables::read(socket)?.default_link() {
            Some(uplink) => mtu_of(socket, uplink)?.unwrap_or(MTU),
            None => MTU,
        },
    };
    Ok(Ground { index: 0, mtu, mac: None })
}

pub(super) fn plug(endpoint: &Endpoint<'_>, socket: &mut Socket, inner: &mut Socket) -> Result<()> {
    let lease = endpoint.lease;
    veth::plug(endpoint, socket, inner)?;
    let wrong = |refusal: Refusal| refused("set up interface", &lease.outer, refusal);
    let outer = find(socket, &lease.outer)?.ok_or_else(|| veth::vanished("set up interface", &lease.outer))?;
    // As on a bridge: what a container says of routes is not for this machine (CVE-2020-10749), and the first packet to it
    // does not wait until the end here has tried its address. The line has no carrier yet, so it has not begun to.
    for key in ["accept_ra", "accept_dad"] {
        let _ = set(&v6_setting(&lease.outer, key), "0");
    }
    let mut requests = Vec::new();
    for gateway in gateways(endpoint) {
        requests.push(address::add(outer.index, gateway, pool::width(gateway)));
    }
    for address in &lease.addresses {
        requests.push(route::replace(&to(outer.index, Subnet::only(*address), None)));
    }
    for answer in socket.transact(&requests)? {
        unless(answer, libc::EEXIST).map_err(wrong)?;
    }
    Ok(())
}

/// The routes inside that lead to the gateway and to the rest of the subnet, before any other can go by it.
pub(super) fn routes(endpoint: &Endpoint<'_>, index: u32) -> Vec<NewRoute> {
    let there = gateways(endpoint).map(|gateway| to(index, Subnet::only(gateway), None));
    let neighbours = endpoint.lease.addresses.iter().filter_map(|address| endpoint.definition.pool_of(*address));
    let neighbours = neighbours.filter_map(|pool| Some(to(index, pool.subnet, Some(pool.gateway?))));
    there.chain(neighbours.collect::<Vec<_>>()).collect()
}

fn gateways<'a>(endpoint: &'a Endpoint<'_>) -> impl Iterator<Item = IpAddr> + 'a {
    endpoint.lease.addresses.iter().filter_map(|address| endpoint.definition.pool_of(*address)?.gateway)
}

fn to(link: u32, destination: Subnet, gateway: Option<IpAddr>) -> NewRoute {
    NewRoute { link: Some(link), destination, gateway, metric: None }
}

/// What packet rules must know of the line whose outer end is the link called `outer`: each is a network of its own to them.
/// Lines are open to each other unless the option `icc` says otherwise.
pub(crate) fn facts<'a>(definition: &'a Definition, outer: &'a str) -> nft::Facts<'a> {
    nft::Facts { link: outer, isolate: !definition.flag("icc", true), ..nft::Facts::of(definition) }
}

/// Deletes the interface, then takes the line out of the packet rules.
pub(super) fn unplug(lease: &Lease, own: u64, socket: &mut Socket) -> Result<()> {
    let gone = veth::unplug(lease, own, socket);
    gone.and(nft::remove_line(&lease.outer))
}
