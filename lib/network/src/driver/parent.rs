//! The link of the machine that a network's containers hang on (macvlan, ipvlan, VLAN).
//!
//! It is named by the option `parent`, or is the one that the default route goes by. It is used, not owned: neither set up
//! nor changed nor removed, since it is the machine's own. But for a VLAN that is not there yet: `eth0.50` is made on `eth0`,
//! bears the network's name as its alias, and goes with the network, or is handed on to another one that hangs on it.

use super::{Driver, Ground};
use crate::bridge::{Tables, find, unless};
use crate::definition::Definition;
use crate::error::{Error, Kind, Result, refused};
use crate::link::{self, Child, Link, vlan};
use crate::socket::Socket;

const OP: &str = "use parent interface";
const NEEDS_VLAN: &str = "the kernel needs module 8021q";

/// What is written on a VLAN that was made for the network.
fn alias(definition: &Definition) -> String {
    format!("network {} {}", definition.name, definition.id)
}

/// The parent, made where it is a VLAN that is missing.
pub(super) fn ensure(socket: &mut Socket, definition: &Definition) -> Result<Link> {
    let Some(name) = definition.option("parent") else { return default(socket, definition) };
    match find(socket, name)? {
        Some(link) if !link.up && link.alias == alias(definition) => set_up(socket, name)?,
        Some(_) => {}
        None => make_vlan(socket, definition, name)?,
    }
    find(socket, name)?.ok_or_else(|| missing(name))
}

fn default(socket: &mut Socket, definition: &Definition) -> Result<Link> {
    let index = Tables::read(socket)?.default_link();
    let links = socket.dump(&link::dump())?.map_err(|refusal| refused("list links", "", refusal))?;
    let found = index.and_then(|index| links.iter().filter_map(Link::read).find(|link| link.index == index));
    found.ok_or_else(|| {
        Error::new(Kind::NotFound, "find a parent interface for network", &definition.name)
            .because("there is no default route whose interface it could be")
            .hint("name one when the network is created: -o parent=INTERFACE")
    })
}

fn make_vlan(socket: &mut Socket, definition: &Definition, name: &str) -> Result<()> {
    let (below, tag) = vlan::split(name).ok_or_else(|| missing(name))?;
    let parent = find(socket, below)?.ok_or_else(|| missing(below))?;
    let child = Child { name, parent: parent.index, namespace: None, mac: None, mtu: None };
    let mut answers = socket.transact(&[vlan::create(&child, tag), link::set_alias(name, &alias(definition))])?;
    let aliased = answers.pop().unwrap_or(Ok(Vec::new()));
    let made = answers.pop().unwrap_or(Ok(Vec::new()));
    let taken = made.as_ref().is_err_and(|refusal| refusal.errno == libc::EEXIST);
    made.map_err(|refusal| {
        let lacks = refusal.errno == libc::EOPNOTSUPP;
        let error = refused("create VLAN", name, refusal);
        match (taken, lacks) {
            (true, _) => error.hint(format!("{below} has VLAN {tag} under another name; give that as parent")),
            (_, true) => error.hint(NEEDS_VLAN),
            _ => error,
        }
    })?;
    aliased.map_err(|refusal| refused("create VLAN", name, refusal))?;
    set_up(socket, name)
}

fn set_up(socket: &mut Socket, name: &str) -> Result<()> {
    socket.ask(link::set_up(name))?.map(drop).map_err(|refusal| {
        let below = vlan::split(name).map_or(name, |(below, _)| below);
        let down = refusal.errno == libc::ENETDOWN;
        let error = refused("set up interface", name, refusal);
        if down { error.hint(format!("set up {below} first: ip link set {below} up")) } else { error }
    })
}

fn missing(name: &str) -> Error {
    Error::new(Kind::NotFound, OP, name)
        .because("no such interface")
        .hint("ip link shows what there is; NAME.TAG is made as a VLAN of NAME")
}

/// The network's VLAN goes, if it was made for it.
pub(super) fn remove(socket: &mut Socket, definition: &Definition) -> Result<()> {
    let Some(name) = definition.option("parent") else { return Ok(()) };
    if find(socket, name)?.is_none_or(|link| link.alias != alias(definition)) {
        return Ok(());
    }
    unless(socket.ask(link::delete(name))?, libc::ENODEV).map_err(|refusal| refused("delete VLAN", name, refusal))
}

/// Before `definition` is removed: a VLAN that was made for it and that another of `networks` hangs on is that one's now.
pub(crate) fn hand_on(socket: &mut Socket, definition: &Definition, networks: &[Definition]) -> Result<()> {
    if !definition.driver.has_parent() {
        return Ok(());
    }
    let Some(name) = definition.option("parent") else { return Ok(()) };
    let same = |other: &&Definition| {
        other.id != definition.id && other.driver.has_parent() && other.option("parent") == Some(name)
    };
    let Some(heir) = networks.iter().find(same) else { return Ok(()) };
    if find(socket, name)?.is_none_or(|link| link.alias != alias(definition)) {
        return Ok(());
    }
    let told = socket.ask(link::set_alias(name, &alias(heir)))?;
    told.map(drop).map_err(|refusal| refused("hand on VLAN", name, refusal))
}

/// What a network stands on whose containers hang on a parent.
pub(super) fn prepare(socket: &mut Socket, definition: &Definition) -> Result<Ground> {
    let parent = ensure(socket, definition)?;
    let mtu = definition.mtu.unwrap_or(parent.mtu);
    if mtu > parent.mtu {
        return Err(Error::new(Kind::Invalid, OP, &parent.name)
            .because(format!("its packets have at most {} bytes, the network's {mtu}", parent.mtu))
            .hint("create the network with a smaller --mtu, or without one"));
    }
    let mode = definition.option("mode");
    let shared = match definition.driver {
        Driver::Ipvlan | Driver::Vlan => true,
        driver => driver == Driver::Macvlan && mode == Some("passthru"),
    };
    Ok(Ground { index: parent.index, mtu, mac: parent.mac.filter(|_| shared) })
}
