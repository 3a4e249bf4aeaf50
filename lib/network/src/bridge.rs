//! The bridge of a network: made at the first attach, looked after at each, so that it also comes back after a reboot.

mod tables;
mod tag;
pub(crate) mod veth;

use crate::address;
use crate::definition::Definition;
use crate::driver::Ground;
use crate::error::{Error, Kind, Result, failed, refused};
use crate::link::{self, Link};
use crate::mac::Mac;
use crate::socket::{Answer, Refusal, Socket};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use tables::Tables;
pub(crate) use veth::{plug, unplug};

/// What the kernel lets be set of the calling namespace's links and protocols.
const SYSCTLS: &str = "/proc/sys/net";
/// The least that IPv6 asks of a link (RFC 8200, section 5); the kernel switches it off below.
pub const LEAST_MTU_V6: u32 = 1280;

/// What is written on a network's bridge, so that two state roots that chose the same name do not take each other's.
pub(crate) fn alias(definition: &Definition) -> String {
    format!("network {} {}", definition.name, definition.id)
}

/// Makes sure that the network's bridge stands, is up and has its addresses.
///
/// A bridge that is to be made is refused with [`Kind::InUse`] where the machine's own routes or addresses lie in one of the
/// network's subnets: it would cut the machine off from them.
pub fn ensure(socket: &mut Socket, definition: &Definition) -> Result<Ground> {
    const OP: &str = "set up bridge";
    let name = definition.bridge.as_str();
    let wrong = |refusal: Refusal| refused(OP, name, refusal);
    let bridge = match find(socket, name)? {
        Some(bridge) => bridge,
        None => create(socket, definition)?,
    };
    if bridge.kind != "bridge" {
        return Err(Error::new(Kind::InUse, OP, name)
            .because("an interface of this name exists and is no bridge")
            .hint("rename it, or create the network with another --bridge"));
    }
    if !definition.adopted && bridge.alias != alias(definition) {
        return Err(Error::new(Kind::InUse, OP, name)
            .because("a bridge of this name exists and is not this network's")
            .hint("see what is written on it: ip link show; delete it, or create the network with another --bridge"));
    }
    tag::ensure(socket, definition)?;
    let mut requests: Vec<_> = addresses(definition).map(|(ip, bits)| address::add(bridge.index, ip, bits)).collect();
    if !bridge.up {
        requests.push(link::set_up(name));
    }
    for answer in socket.transact(&requests)? {
        unless(answer, libc::EEXIST).map_err(wrong)?;
    }
    Ok(Ground { index: bridge.index, mtu: bridge.mtu, mac: None })
}

fn create(socket: &mut Socket, definition: &Definition) -> Result<Link> {
    const OP: &str = "set up bridge";
    let name = definition.bridge.as_str();
    let tables = Tables::read(socket)?;
    tables.refuse_overlap(definition, None)?;
    let mtu = match (definition.mtu, tables.default_link()) {
        (None, Some(uplink)) => {
            mtu_of(socket, uplink)?.map(|mtu| if definition.ipv6 { mtu.max(LEAST_MTU_V6) } else { mtu })
        }
        (mtu, _) => mtu,
    };
    let mac = definition.gateways().next().map_or_else(|| Mac::of([10, 0, 0, 1]), Mac::of);
    let made = link::create_bridge(name, mac, mtu);
    for answer in socket.transact(&[made, link::set_alias(name, &alias(definition))])? {
        answer.map_err(|refusal| refused(OP, name, refusal))?;
    }
    // What containers say of routes is not for this machine (CVE-2020-10749).
    let _ = set(&v6_setting(name, "accept_ra"), "0");
    // An address of its own is tried for a second, from the first port on; until then the kernel asks for no neighbour
    // (ndisc_solicit), and what is forwarded to a container is lost.
    let _ = set(&v6_setting(name, "accept_dad"), "0");
    find(socket, name)?.ok_or_else(|| veth::vanished(OP, name))
}

/// The bridge's own addresses.
pub(crate) fn addresses(definition: &Definition) -> impl Iterator<Item = (IpAddr, u8)> {
    let without_v4 = definition.flag("inhibit_ipv4", false);
    let own = definition.subnets.iter().filter_map(|pool| Some((pool.gateway?, pool.subnet.prefix())));
    own.filter(move |(address, _)| !(without_v4 && address.is_ipv4()))
}

/// Deletes the network's bridge; that there is none is fine.
pub fn remove(socket: &mut Socket, definition: &Definition) -> Result<()> {
    let name = definition.bridge.as_str();
    if definition.adopted || find(socket, name)?.is_none_or(|link| link.alias != alias(definition)) {
        return Ok(());
    }
    unless(socket.ask(link::delete(name))?, libc::ENODEV).map_err(|refusal| refused("delete bridge", name, refusal))
}

/// Makes the calling namespace forward packets of IPv4, or of IPv6, between its links.
pub fn ensure_forwarding(v6: bool) -> Result<()> {
    let path = match v6 {
        false => Path::new(SYSCTLS).join("ipv4/ip_forward"),
        true => v6_setting("all", "forwarding"),
    };
    let wrong = |e| failed("switch on", path.display(), e);
    if std::fs::read(&path).map_err(wrong)?.first() == Some(&b'0') {
        if v6 {
            keep_advertisements();
        }
        set(&path, "1").map_err(wrong)?;
    }
    Ok(())
}

/// Whether the calling namespace forwards packets of IPv4, or of IPv6, between its links.
pub(crate) fn forwards(v6: bool) -> bool {
    let path = if v6 { v6_setting("all", "forwarding") } else { Path::new(SYSCTLS).join("ipv4/ip_forward") };
    std::fs::read(path).is_ok_and(|value| value.first() != Some(&b'0'))
}

/// A machine that forwards forgets what routers told it, its default route with that, unless 2 says otherwise
/// (addrconf_fixup_forwarding in net/ipv6/addrconf.c).
fn keep_advertisements() {
    let Ok(links) = std::fs::read_dir(Path::new(SYSCTLS).join("ipv6/conf")) else { return };
    for link in links.flatten().filter(|link| link.file_name() != "all") {
        let path = link.path().join("accept_ra");
        if std::fs::read(&path).is_ok_and(|value| value.first() == Some(&b'1')) {
            let _ = set(&path, "2");
        }
    }
}

pub(crate) fn v6_setting(link: &str, key: &str) -> PathBuf {
    Path::new(SYSCTLS).join("ipv6/conf").join(link).join(key)
}

pub(crate) fn set(path: &Path, value: &str) -> std::io::Result<()> {
    std::fs::write(path, value)
}

/// The link called `name`.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    match socket.ask(link::get(name))? {
        Ok(messages) => Ok(messages.iter().find_map(Link::read)),
        Err(refusal) if refusal.errno == libc::ENODEV => Ok(None),
        Err(refusal) => Err(refused("find interface", name, refusal)),
    }
}

pub(crate) fn mtu_of(socket: &mut Socket, index: u32) -> Result<Option<u32>> {
    let links = tables::everything(socket, &link::dump(), "list links")?;
    Ok(links.iter().filter_map(Link::read).find(|link| link.index == index).map(|link| link.mtu).filter(|mtu| *mtu > 0))
}

/// Success, also where the refusal is the one that says that it was so already.
pub(crate) fn unless(answer: Answer, fine: i32) -> std::result::Result<(), Refusal> {
    match answer {
        Err(refusal) if refusal.errno != fine => Err(refusal),
        _ => Ok(()),
    }
}
