//! A container's interface: attached to a network and detached from it.
//!
//! Attach: bridge and rules are made sure of, an address is leased (under the network's lock), then without a lock the veth
//! pair is born with its inner end inside, and address and default route are set there. Four round trips where all stands.
//! It may be repeated: what is whole is left alone, what is half-made is made anew with the same address.
//!
//! Detach: the link goes first, then the lease; so what fails half-way is still known, and detach can be repeated.

use crate::address;
use crate::bridge::{self, Bridge, unless};
use crate::definition::{DEFAULT, Definition};
use crate::error::{Error, Kind, Result, refused};
use crate::lease::{Book, Lease, Process};
use crate::link::{self, Link};
use crate::mac::Mac;
use crate::namespace::{Namespace, Reference};
use crate::network;
use crate::nft;
use crate::route;
use crate::socket::Socket;
use crate::state::State;
use serde::Serialize;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// The interface's name inside where none is given.
pub const INTERFACE: &str = "eth0";
/// How often the carrier is looked for, and the pause between.
const CARRIER_ATTEMPTS: usize = 50;
const CARRIER_PAUSE: Duration = Duration::from_millis(1);
const LOOPBACK: &str = "lo";
const ATTACH: &str = "attach to network";

/// What is to be attached, and where.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The network's name.
    pub network: String,
    /// The container's network namespace.
    pub namespace: Reference,
    /// The container's id.
    pub container: String,
    /// The interface's name inside.
    pub interface: String,
    /// The address it must have, or any.
    pub address: Option<IpAddr>,
    /// The hardware address it must have, or one made of the address.
    pub mac: Option<Mac>,
}

/// What was attached; printed as one line of JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The interface inside.
    pub interface: String,
    /// The end of the veth pair outside.
    pub host_interface: String,
    /// The network's bridge.
    pub bridge: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses with the subnet's prefix: `172.17.0.2/16`.
    pub addresses: Vec<String>,
    /// The bridge's address, which the default route goes by; none in an internal network.
    pub gateway: Option<IpAddr>,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The network's own name servers; none so far.
    pub dns: Vec<IpAddr>,
    /// What could not be done and is no reason to fail; one line each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Attaches a container's namespace to a network.
pub fn attach(state: &State, wish: &Wish) -> Result<Attachment> {
    link::check_name(&wish.interface).map_err(|why| Error::new(Kind::Invalid, ATTACH, &wish.network).because(why))?;
    let inside = Namespace::open(&wish.namespace)?;
    let own = Namespace::own()?.identity().inode;
    if inside.identity().inode == own {
        return Err(Error::new(Kind::Invalid, ATTACH, &wish.network)
            .because(format!("{} is the caller's own network namespace", inside.identity().path.display()))
            .hint("give the namespace of the container; `unshare -n` or `ip netns add` makes one"));
    }
    let mut socket = Socket::open_route()?;
    let (definition, lock, mut book, bridge) = match prepare(state, &wish.network, &mut socket) {
        Err(e) if e.kind == Kind::InUse && wish.network == DEFAULT => {
            network::redefine_default(state)?;
            prepare(state, &wish.network, &mut socket)?
        }
        prepared => prepared?,
    };
    let warnings = rules(&definition)?;
    let known = book.find(&wish.container, &wish.interface).map(|(address, lease)| (address, lease.clone()));
    let address = match &known {
        Some((address, lease)) => still_fits(wish, *address, lease)?,
        None => book.choose(&definition, wish.address, own, &mut socket)?,
    };
    let lease = Lease {
        container: wish.container.clone(),
        interface: wish.interface.clone(),
        mac: wish.mac.unwrap_or_else(|| known.as_ref().map_or(Mac::of(address), |(_, lease)| lease.mac)),
        outer: outer_name(&definition, &wish.container, &wish.interface),
        namespace: inside.identity().clone(),
        caller: own,
        attacher: Process::own(),
    };
    book.enter(address, lease.clone());
    book.store()?;
    drop(lock);

    let wire = Wire { definition: &definition, bridge, lease: &lease, address, inside: &inside };
    if let Err(e) = wire.pull(&mut socket, known.is_some()) {
        let _ = socket.ask(link::delete(&lease.outer));
        let _ = release(state, &wish.network, address, &lease);
        return Err(e);
    }
    Ok(Attachment {
        network: definition.name.clone(),
        interface: lease.interface,
        host_interface: lease.outer,
        bridge: definition.bridge.clone(),
        mac: lease.mac,
        addresses: vec![format!("{address}/{}", definition.subnet.prefix())],
        gateway: (!definition.internal).then_some(definition.gateway),
        mtu: bridge.mtu,
        dns: Vec::new(),
        warnings,
    })
}

/// Detaches the container's interface, or all that it has on the network. That there is none is fine, also that the
/// network or the container's namespace is gone. Goes on after a failure and gives every one.
pub fn detach(
    state: &State,
    network: &str,
    container: &str,
    interface: Option<&str>,
) -> std::result::Result<(), Vec<Error>> {
    let one = |e: Error| vec![e];
    let Some(definition) = Definition::load(state, network).map_err(one)? else { return Ok(()) };
    let own = Namespace::own().map_err(one)?.identity().inode;
    let book = Book::load(state, network).map_err(one)?;
    let mut socket = Socket::open_route().map_err(one)?;
    let wanted = |lease: &Lease| lease.container == container && interface.is_none_or(|name| lease.interface == name);
    let leases: Vec<_> = book.leases().filter(|(_, lease)| wanted(lease)).collect();
    let mut failures = Vec::new();
    for (address, lease) in &leases {
        let done = unplug(lease, own, &mut socket).and_then(|()| release(state, network, *address, lease));
        failures.extend(done.err());
    }
    if leases.is_empty() {
        // The run folder may have been lost; the link's name is known without it.
        let outer = outer_name(&definition, container, interface.unwrap_or(INTERFACE));
        failures.extend(delete_link(&outer, &mut socket).err());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Sets the loopback interface of a namespace up.
pub fn loopback(namespace: &Reference) -> Result<()> {
    let mut inside = Namespace::open(namespace)?.route_socket()?;
    inside.ask(link::set_up(LOOPBACK))?.map_err(|refusal| refused("set up interface", LOOPBACK, refusal))?;
    Ok(())
}

type Prepared = (Definition, crate::state::Lock, Book, Bridge);

/// The network with its lock held, its leases, and its bridge standing.
fn prepare(state: &State, name: &str, socket: &mut Socket) -> Result<Prepared> {
    network::find(state, name)?;
    let lock = state.lock_network(name)?;
    // Read again: it may have been removed while we waited for the lock.
    let definition = Definition::load(state, name)?
        .ok_or_else(|| Error::new(Kind::NotFound, ATTACH, name).because("the network was removed meanwhile"))?;
    let book = Book::load(state, name)?;
    let bridge = bridge::ensure(socket, &definition)?;
    Ok((definition, lock, book, bridge))
}

/// Packet rules and forwarding; gives what could not be had and can be lived without.
fn rules(definition: &Definition) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let facts = nft::Facts { network: &definition.name, bridge: &definition.bridge, internal: definition.internal };
    match nft::ensure(&facts) {
        Err(e) if e.kind == Kind::Unsupported && !definition.internal => {
            warnings.push(format!(
                "network {} has no masquerading, nothing beyond this machine answers: {e}",
                definition.name
            ));
        }
        done => done?,
    }
    if !definition.internal {
        warnings.extend(bridge::ensure_forwarding().err().map(|e| format!("containers reach only this machine: {e}")));
    }
    Ok(warnings)
}

/// Whether what is leased can be attached (again) as wished.
fn still_fits(wish: &Wish, address: IpAddr, lease: &Lease) -> Result<IpAddr> {
    let refuse = |why: String| Err(Error::new(Kind::InUse, ATTACH, &wish.network).because(why));
    if lease.attacher.id != std::process::id() && lease.attacher.is_alive() {
        return refuse(format!("process {} is attaching {} just now", lease.attacher.id, wish.container));
    }
    match wish.address {
        Some(wanted) if wanted != address => {
            refuse(format!("{} has the address {address} there", wish.container)).map_err(|e| e.hint("detach it first"))
        }
        _ => Ok(address),
    }
}

/// The outer end's name: the same for the same interface of the same container, so that what a crash left is found.
fn outer_name(definition: &Definition, container: &str, interface: &str) -> String {
    // FNV-1a; the parts cannot run into each other, since a NUL is in none of them.
    let text = [definition.id.as_bytes(), container.as_bytes(), interface.as_bytes()].join(&0);
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("veth{:011x}", hash >> 20)
}

/// One interface to be wired.
struct Wire<'a> {
    definition: &'a Definition,
    bridge: Bridge,
    lease: &'a Lease,
    address: IpAddr,
    inside: &'a Namespace,
}

impl Wire<'_> {
    fn pull(&self, socket: &mut Socket, known: bool) -> Result<()> {
        let lease = self.lease;
        let mut inner = self.inside.route_socket()?;
        let present = if known { bridge::find(&mut inner, &lease.interface)? } else { None };
        let whole =
            present.is_some_and(|link| link.mac == Some(lease.mac)) && bridge::find(socket, &lease.outer)?.is_some();
        if whole {
            let joined = socket.ask(link::set_port(&lease.outer, self.bridge.index))?;
            joined.map_err(|refusal| refused("add to the bridge", &lease.outer, refusal))?;
        } else {
            self.create(socket)?;
        }
        let answers =
            inner.transact(&[link::set_up(LOOPBACK), link::set_up(&lease.interface), link::get(&lease.interface)])?;
        let mut index = None;
        for answer in answers {
            let messages = answer.map_err(|refusal| refused("set up interface", &lease.interface, refusal))?;
            index = index.or(messages.iter().find_map(Link::read).map(|link| link.index));
        }
        let vanished = || Error::new(Kind::NotFound, "set up interface", &lease.interface).because("it vanished");
        let index = index.ok_or_else(vanished)?;
        let mut requests = vec![address::add(index, self.address, self.definition.subnet.prefix())];
        if !self.definition.internal {
            // With several networks the first one's gateway stays the way out: EEXIST is fine.
            requests.push(route::add_default(index, self.definition.gateway));
        }
        for answer in inner.transact(&requests)? {
            unless(answer, libc::EEXIST).map_err(|refusal| refused("set address", self.address, refusal))?;
        }
        self.await_carrier(socket)
    }

    /// The kernel takes note of a carrier later, on a work queue (net/core/link_watch.c); until then the bridge drops what
    /// comes, and the container's first question would be answered after a second. Asking for a link makes it take note at
    /// once (rtnl_getlink, Linux 6.8); for older ones we ask again, a little while.
    fn await_carrier(&self, socket: &mut Socket) -> Result<()> {
        for _ in 0..CARRIER_ATTEMPTS {
            let asked = [link::get(&self.lease.outer), link::get(&self.definition.bridge)];
            let answers = socket.transact(&asked)?;
            if answers.iter().flatten().flatten().filter_map(Link::read).all(|link| link.running) {
                break;
            }
            std::thread::sleep(CARRIER_PAUSE);
        }
        Ok(())
    }

    fn create(&self, socket: &mut Socket) -> Result<()> {
        let lease = self.lease;
        let request = || {
            link::create_veth(&link::Veth {
                outer: &lease.outer,
                bridge: self.bridge.index,
                inner: &lease.interface,
                namespace: self.inside.as_fd(),
                mac: lease.mac,
                mtu: self.bridge.mtu,
            })
        };
        let mut made = socket.ask(request())?;
        if made.as_ref().is_err_and(|refusal| refusal.errno == libc::EEXIST)
            && socket.ask(link::delete(&lease.outer))?.is_ok()
        {
            // It was what a crash left, or the container's last life whose namespace is just being taken down.
            made = socket.ask(request())?;
        }
        made.map(drop).map_err(|refusal| {
            let taken = refusal.errno == libc::EEXIST;
            let error = refused("create interface", &lease.interface, refusal);
            if taken {
                error.hint("the namespace has an interface of this name; choose another with --ifname")
            } else {
                error
            }
        })
    }
}

/// Deletes the lease's link from whichever side it can be reached.
fn unplug(lease: &Lease, own: u64, socket: &mut Socket) -> Result<()> {
    if lease.caller == own {
        return delete_link(&lease.outer, socket);
    }
    if !lease.namespace.is_there() {
        return Ok(());
    }
    let mut inner = Namespace::open(&Reference::Path(lease.namespace.path.clone()))?.route_socket()?;
    match bridge::find(&mut inner, &lease.interface)? {
        Some(link) if link.mac == Some(lease.mac) => delete_link(&lease.interface, &mut inner),
        _ => Ok(()),
    }
}

fn delete_link(name: &str, socket: &mut Socket) -> Result<()> {
    unless(socket.ask(link::delete(name))?, libc::ENODEV).map_err(|refusal| refused("delete interface", name, refusal))
}

/// Gives the address back, if it is still this lease's.
fn release(state: &State, network: &str, address: IpAddr, lease: &Lease) -> Result<()> {
    let _lock = state.lock_network(network)?;
    let mut book = Book::load(state, network)?;
    let same = book.find(&lease.container, &lease.interface).is_some_and(|(at, found)| at == address && found == lease);
    if same && book.release(address).is_some() { book.store() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::outer_name;
    use crate::definition::Definition;
    use crate::link::check_name;

    #[test]
    fn outer_names_are_names_and_differ() {
        let made = |net: u8| Definition::new("web", "10.1.0.0/24".parse().unwrap(), [10, net, 0, 1]).unwrap();
        let (one, two) = (made(1), made(2));
        let name = outer_name(&one, "c1", "eth0");
        assert_eq!((name.len(), check_name(&name)), (15, Ok(())));
        assert_eq!(name, outer_name(&one, "c1", "eth0"));
        assert_ne!(name, outer_name(&two, "c1", "eth0"));
        assert_ne!(name, outer_name(&one, "c1", "eth1"));
        assert_ne!(outer_name(&one, "a", "be"), outer_name(&one, "ab", "e"));
    }
}
