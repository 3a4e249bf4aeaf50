//! What the hosts' packets of an overlay network go by: this host's address and link, the network's number and port.

use crate::address::{self, Address};
use crate::bridge;
use crate::definition::Definition;
use crate::driver::vxlan::{self, LARGEST_VNI, PORT, Tunnel};
use crate::error::{Error, Kind, Result, refused};
use crate::link::{self, Link};
use crate::overlay::membership::{Membership, Source};
use crate::route::{self, Route};
use crate::socket::{Message, Request, Socket};
use std::net::IpAddr;

const OP: &str = "find the way between the hosts of network";
/// Networks whose number was not given have one from here on, made of their name.
const FIRST_MADE_VNI: u32 = 1 << 16;

/// The tunnel of an overlay network on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Underlay {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// The largest packet inside that crosses whole, in bytes.
    pub mtu: u32,
}

/// The number of a network: the one it was created with, or one made of its name, which so is the same on all hosts.
pub fn vni(definition: &Definition) -> u32 {
    let given = definition.option("vni").and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        // FNV-1a.
        let byte = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = definition.name.bytes().fold(0x811c_9dc5, byte);
        FIRST_MADE_VNI + hash % (LARGEST_VNI + 1 - FIRST_MADE_VNI)
    })
}

/// The UDP port of a network.
pub fn port(definition: &Definition) -> u16 {
    definition.option("port").and_then(|text| text.parse().ok()).unwrap_or(PORT)
}

/// Finds them out. The address is the one that the network was created with (`-o local=`), else the first of its device
/// (`-o dev=`), else the first of the link that the default route goes by.
pub fn find(socket: &mut Socket, definition: &Definition, membership: Option<&Membership>) -> Result<Underlay> {
    let mut all = |request: &Request| -> Result<Vec<Message>> {
        socket.dump(request)?.map_err(|refusal| refused(OP, &definition.name, refusal))
    };
    let addresses: Vec<Address> = all(&address::dump())?.iter().filter_map(Address::read).collect();
    let links: Vec<Link> = all(&link::dump())?.iter().filter_map(Link::read).collect();
    let routes: Vec<Route> = all(&route::dump())?.iter().filter_map(Route::read).collect();
    let lacking = |why: String| {
        Error::new(Kind::NotFound, OP, &definition.name)
            .because(why)
            .hint("create it with -o local=ADDRESS or -o dev=LINK, as the other hosts reach this one")
    };
    let given: Option<IpAddr> = definition.option("local").and_then(|text| text.parse().ok());
    let device = match definition.option("dev") {
        None => None,
        Some(name) => {
            let found = links.iter().find(|link| link.name == name);
            Some(found.ok_or_else(|| lacking(format!("there is no link {name}")))?.index)
        }
    };
    let of_link =
        |link: u32| addresses.iter().find(|a| a.link == link && !a.is_link_local() && !a.address.is_loopback());
    let (local, carrier) = match (given, device) {
        (Some(local), device) => {
            let carrier = addresses.iter().find(|a| a.address == local).map(|a| a.link);
            (local, device.or(carrier).ok_or_else(|| lacking(format!("this host has no address {local}")))?)
        }
        (None, device) => {
            let by_default = || routes.iter().filter(|r| r.is_default()).find_map(|r| r.link);
            let link = device.or_else(by_default);
            let link = link.ok_or_else(|| lacking("there is no default route to tell this host's link by".into()))?;
            let first = of_link(link).ok_or_else(|| lacking("the link between the hosts has no address".into()))?;
            (first.address, link)
        }
    };
    let group = match membership.map(|m| &m.source) {
        Some(Source::Group { group }) => Some(*group),
        _ => None,
    };
    if let Some(group) = group.filter(|group| group.is_ipv4() != local.is_ipv4()) {
        return Err(lacking(format!("group {group} is of another family than this host's address {local}")));
    }
    let learning = !matches!(membership.map(|m| &m.source), Some(Source::Etcd(_)));
    let outer = links.iter().find(|link| link.index == carrier).map_or(1500, |link| link.mtu);
    let tunnel = Tunnel {
        vni: vni(definition),
        port: port(definition),
        local,
        link: device.or_else(|| group.map(|_| carrier)),
        group,
        learning,
    };
    Ok(Underlay { tunnel, mtu: outer.saturating_sub(vxlan::overhead(local)).max(68) })
}

/// The name of the network's VXLAN link.
pub fn link_name(definition: &Definition) -> String {
    format!("vx-{}", definition.id.get(..12).unwrap_or(&definition.id))
}

/// The network's VXLAN link, if it stands: one with another's mark, or of another kind, is an error.
pub fn present(socket: &mut Socket, definition: &Definition) -> Result<Option<(Link, Tunnel)>> {
    const OP: &str = "find interface";
    let name = link_name(definition);
    let messages = match socket.ask(link::get(&name))? {
        Ok(messages) => messages,
        Err(refusal) if refusal.errno == libc::ENODEV => return Ok(None),
        Err(refusal) => return Err(refused(OP, name, refusal)),
    };
    let found = messages.iter().find_map(Tunnel::read);
    let found = found.filter(|(link, _)| link.alias.is_empty() || link.alias == bridge::alias(definition));
    found.map(Some).ok_or_else(|| {
        Error::new(Kind::InUse, OP, &name)
            .because("an interface of this name exists and is not this network's")
            .hint(format!("see what it is: ip -d link show {name}"))
    })
}

/// Why `value` cannot be a network's number.
pub fn check_vni(value: &str) -> std::result::Result<(), String> {
    match value.parse::<u32>() {
        Ok(1..=LARGEST_VNI) => Ok(()),
        _ => Err(format!("`{value}` is not in 1..={LARGEST_VNI}")),
    }
}

/// Why `value` cannot be a port.
pub fn check_port(value: &str) -> std::result::Result<(), String> {
    match value.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(format!("`{value}` is no port")),
    }
}

/// Why `value` cannot be a host's address.
pub fn check_address(value: &str) -> std::result::Result<(), String> {
    match value.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Ok(()),
        _ => Err(format!("`{value}` is no host's address")),
    }
}
