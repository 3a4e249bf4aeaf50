//! The bridge of a network: made at the first attach, looked after at each, so that it also comes back after a reboot.

use crate::address::{self, Address};
use crate::definition::Definition;
use crate::error::{Error, Kind, Result, failed, refused};
use crate::link::{self, Link};
use crate::mac::Mac;
use crate::pool::Subnet;
use crate::route::{self, Route};
use crate::socket::{Answer, Refusal, Request, Socket};

/// Whether machines forward packets for others; of the network namespace of who reads it.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// A bridge that stands.
#[derive(Debug, Clone, Copy)]
pub struct Bridge {
    /// Its number.
    pub index: u32,
    /// The largest packet in bytes.
    pub mtu: u32,
}

/// What is written on a network's bridge, so that two state roots that chose the same name do not take each other's.
fn alias(definition: &Definition) -> String {
    format!("network {} {}", definition.name, definition.id)
}

/// Makes sure that the network's bridge stands, is up and has its address.
///
/// A bridge that is to be made is refused with [`Kind::InUse`] where the machine's own routes or addresses lie in the
/// network's subnet: it would cut the machine off from them.
pub fn ensure(socket: &mut Socket, definition: &Definition) -> Result<Bridge> {
    const OP: &str = "set up bridge";
    let name = definition.bridge.as_str();
    let wrong = |refusal: Refusal| refused(OP, name, refusal);
    let bridge = match find(socket, name)? {
        Some(bridge) => bridge,
        None => {
            let tables = Tables::read(socket)?;
            tables.refuse_overlap(definition, None)?;
            let mtu = match (definition.mtu, tables.default_link) {
                (None, Some(uplink)) => mtu_of(socket, uplink)?,
                (mtu, _) => mtu,
            };
            let made = link::create_bridge(name, Mac::of(definition.gateway), mtu);
            for answer in socket.transact(&[made, link::set_alias(name, &alias(definition))])? {
                answer.map_err(wrong)?;
            }
            let gone = || Error::new(Kind::NotFound, OP, name).because("it vanished while it was set up");
            find(socket, name)?.ok_or_else(gone)?
        }
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
    let mut requests = vec![address::add(bridge.index, definition.gateway, definition.subnet.prefix())];
    if !bridge.up {
        requests.push(link::set_up(name));
    }
    for answer in socket.transact(&requests)? {
        unless(answer, libc::EEXIST).map_err(wrong)?;
    }
    Ok(Bridge { index: bridge.index, mtu: bridge.mtu })
}

/// Deletes the network's bridge; that there is none is fine.
pub fn remove(socket: &mut Socket, definition: &Definition) -> Result<()> {
    let name = definition.bridge.as_str();
    if definition.adopted || find(socket, name)?.is_none_or(|link| link.alias != alias(definition)) {
        return Ok(());
    }
    unless(socket.ask(link::delete(name))?, libc::ENODEV).map_err(|refusal| refused("delete bridge", name, refusal))
}

/// Makes the calling namespace forward packets between its links.
pub fn ensure_forwarding() -> Result<()> {
    let wrong = |e| failed("switch on", FORWARDING, e);
    if std::fs::read(FORWARDING).map_err(wrong)?.first() == Some(&b'0') {
        std::fs::write(FORWARDING, "1").map_err(wrong)?;
    }
    Ok(())
}

/// The link called `name`.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    match socket.ask(link::get(name))? {
        Ok(messages) => Ok(messages.iter().find_map(Link::read)),
        Err(refusal) if refusal.errno == libc::ENODEV => Ok(None),
        Err(refusal) => Err(refused("find interface", name, refusal)),
    }
}

fn mtu_of(socket: &mut Socket, index: u32) -> Result<Option<u32>> {
    let links = everything(socket, &link::dump(), "list links")?;
    Ok(links.iter().filter_map(Link::read).find(|link| link.index == index).map(|link| link.mtu).filter(|mtu| *mtu > 0))
}

/// Success, also where the refusal is the one that says that it was so already.
pub(crate) fn unless(answer: Answer, fine: i32) -> std::result::Result<(), Refusal> {
    match answer {
        Err(refusal) if refusal.errno != fine => Err(refusal),
        _ => Ok(()),
    }
}

fn everything(socket: &mut Socket, request: &Request, op: &'static str) -> Result<Vec<crate::socket::Message>> {
    socket.dump(request)?.map_err(|refusal| refused(op, "", refusal))
}

/// Which subnets the calling namespace already reaches, and by which links.
#[derive(Debug)]
pub struct Tables {
    taken: Vec<(Subnet, Option<u32>)>,
    default_link: Option<u32>,
}

impl Tables {
    /// Reads addresses and routes.
    pub fn read(socket: &mut Socket) -> Result<Self> {
        let addresses = everything(socket, &address::dump(), "list addresses")?;
        let routes: Vec<Route> =
            everything(socket, &route::dump(), "list routes")?.iter().filter_map(Route::read).collect();
        let mut taken: Vec<_> = addresses.iter().filter_map(Address::read).map(|a| (a.subnet, Some(a.link))).collect();
        taken.extend(routes.iter().filter(|r| !r.is_default()).map(|r| (r.destination, r.link)));
        let default_link = routes.iter().find(|r| r.is_default()).and_then(|r| r.link);
        Ok(Self { taken, default_link })
    }

    /// All of these subnets.
    pub fn subnets(&self) -> impl Iterator<Item = Subnet> {
        self.taken.iter().map(|(subnet, _)| *subnet)
    }

    /// An error where the network's subnet overlaps one that is reached by another link than `except`.
    pub fn refuse_overlap(&self, definition: &Definition, except: Option<u32>) -> Result<()> {
        let mut others = self.taken.iter().filter(|(_, link)| except.is_none() || *link != except);
        match others.find(|(subnet, _)| subnet.overlaps(definition.subnet)) {
            None => Ok(()),
            Some((subnet, _)) => Err(Error::new(Kind::InUse, "use subnet", definition.subnet)
                .because(format!("it overlaps {subnet}, which this machine reaches already"))
                .hint(
                    "remove the network and create it with another --subnet, or without one to have a free one chosen",
                )),
        }
    }
}
