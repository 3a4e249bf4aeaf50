//! A container's interface: attached to a network and detached from it.
//!
//! Attach: what the network shares and the packet rules are made sure of, addresses are leased (under the network's lock),
//! then without a lock the interface is born inside ([`crate::driver`]), and addresses and routes are set there.
//! It may be repeated: what is whole is left alone, what is half-made is made anew with the same addresses.
//!
//! Detach: the link goes first, then the lease; so what fails half-way is still known, and detach can be repeated. Nobody
//! waits until the kernel has deleted a link: see `attach/leave.rs`.

mod leave;

use crate::address;
use crate::bandwidth::{self, Bandwidth};
use crate::bridge::veth::{self, outer_name};
use crate::bridge::{self, unless};
use crate::definition::{DEFAULT, Definition};
use crate::dns;
use crate::driver::{self, Driver, Endpoint, Ground};
use crate::error::{Error, Kind, Result, errno, refused};
use crate::lease::{Book, Lease, Process, names};
use crate::link::{self, Link};
use crate::mac::Mac;
use crate::namespace::{Namespace, Reference};
use crate::naming;
use crate::network;
use crate::nft;
use crate::overlay;
use crate::pool::Subnet;
use crate::port_flags;
use crate::publish::{self, Published};
use crate::route::{self, NewRoute, Via};
use crate::socket::{Request, Socket};
use crate::state::State;
use crate::sysctl::{self, Setting};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use spec::published::Published as Spec;
use std::borrow::Cow;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

pub use leave::settle;

/// The interface's name inside of who is on one network.
pub const INTERFACE: &str = "eth0";
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
    /// The interface's name inside; empty for the network's prefix and a number ([`crate::naming`]).
    pub interface: String,
    /// The addresses it must have; of a family of which none is named, any.
    pub addresses: Vec<IpAddr>,
    /// The hardware address it must have, or one made of the address.
    pub mac: Option<Mac>,
    /// The container's name on the network.
    pub name: Option<String>,
    /// Its other names there.
    pub aliases: Vec<String>,
    /// The name servers the network's server asks for it; those of the network where there are none.
    pub dns: Vec<IpAddr>,
    /// Routes of its own, beside the network's.
    pub routes: Vec<Via>,
    /// How much may go in and out.
    pub bandwidth: Option<Bandwidth>,
    /// What is written below `/proc/sys/net` inside; `IFNAME` stands for the interface.
    pub sysctls: Vec<Setting>,
    /// Ports of this machine that lead there.
    pub ports: Vec<Spec>,
}

impl Wish {
    /// The interface `eth0` with whatever addresses are free.
    pub fn new(network: &str, namespace: Reference, container: &str) -> Self {
        Self {
            network: network.to_owned(),
            namespace,
            container: container.to_owned(),
            interface: INTERFACE.to_owned(),
            addresses: Vec::new(),
            mac: None,
            name: None,
            aliases: Vec::new(),
            dns: Vec::new(),
            routes: Vec::new(),
            bandwidth: None,
            sysctls: Vec::new(),
            ports: Vec::new(),
        }
    }

    /// What the container is to be called on the network, as [`Lease::names`] gives it.
    pub fn names(&self) -> Vec<String> {
        names(self.name.as_deref(), &self.aliases, &self.container)
    }
}

/// What was attached; printed as one line of JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// Its id; left out where it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network_id: String,
    /// Its kind.
    pub driver: Driver,
    /// The interface inside.
    pub interface: String,
    /// The end of the veth pair outside; left out where the kind has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_interface: String,
    /// The network's bridge; left out where the kind has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bridge: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses with the subnet's prefix: `172.17.0.2/16`; IPv4 first.
    pub addresses: Vec<String>,
    /// The first of the gateways.
    pub gateway: Option<IpAddr>,
    /// The ways out, one a family; none in an internal network.
    pub gateways: Vec<IpAddr>,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The network's own name servers.
    pub dns: Vec<IpAddr>,
    /// The ports of this machine that lead there; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Published>,
    /// What could not be done and is no reason to fail; one line each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Attaches a container's namespace to a network.
pub fn attach(state: &State, wish: &Wish) -> Result<Attachment> {
    if !wish.interface.is_empty() {
        let wrong = |why: String| Error::new(Kind::Invalid, ATTACH, &wish.network).because(why);
        link::check_name(&wish.interface).map_err(wrong)?;
        return attach_once(state, wish);
    }
    for _ in 1..NAMES {
        match attach_once(state, wish) {
            Err(e) if e.op == veth::CREATE && errno(&e) == Some(libc::EEXIST) => {}
            done => return done,
        }
    }
    attach_once(state, wish)
}

fn attach_once(state: &State, wish: &Wish) -> Result<Attachment> {
    let inside = Namespace::open(&wish.namespace)?;
    let own = Namespace::own()?.identity().inode;
    if inside.identity().inode == own {
        return Err(Error::new(Kind::Invalid, ATTACH, &wish.network)
            .because(format!("{} is the caller's own network namespace", inside.identity().path.display()))
            .hint("give the namespace of the container; `unshare -n` or `ip netns add` makes one"));
    }
    let mut socket = Socket::open_route()?;
    let (mut inner, settings) = inside.route_socket_and_settings()?;
    let placed = place(state, wish, own, inside.identity().inode, [&mut socket, &mut inner])?;
    let Place { wish, definition, lock, mut book, ground, known, addresses, aside } = placed;
    let wish = &*wish;
    let driver = definition.driver;
    if wish.bandwidth.is_some() && !driver.has_outer_end() {
        return Err(Error::new(Kind::Unsupported, "limit interface", &wish.interface)
            .because(format!("a container on a network of driver {driver} has no end outside that could be limited"))
            .hint("attach it without limits, or to a network of driver bridge or ptp"));
    }
    let outer = match driver.has_outer_end() {
        true => match aside {
            // Its own name is still taken.
            Some(link) => outer_name(&definition.id, &wish.container, &format!("{}~{link}", wish.interface)),
            None => outer_name(&definition.id, &wish.container, &wish.interface),
        },
        false => String::new(),
    };
    let mut warnings = rules(state, &definition, &outer)?;
    let of_address = || known.as_ref().map(|lease| lease.mac).or_else(|| addresses.first().map(|a| Mac::of(*a)));
    let mac = match wish.mac.or(ground.mac).or_else(of_address) {
        Some(mac) => mac,
        None => Mac::random()?,
    };
    if known.is_none() {
        publish::vacate(state, &addresses, &definition.name, &wish.container)?;
    }
    let lease = Lease {
        container: wish.container.clone(),
        interface: wish.interface.clone(),
        mac,
        addresses,
        outer,
        namespace: inside.identity().clone(),
        caller: own,
        attacher: Process::own(),
        leaving: None,
        name: wish.name.clone(),
        aliases: wish.aliases.clone(),
        dns: wish.dns.clone(),
        routes: wish.routes.clone(),
        bandwidth: wish.bandwidth,
        sysctls: wish.sysctls.clone(),
    };
    book.enter(lease.clone());
    book.store()?;
    drop(lock);
    if known.as_ref().is_some_and(|known| known.names() != lease.names()) {
        overlay::rename(state, &definition, &lease);
    }

    // It starts while the interface is made, and ends by itself if that fails.
    let dns = dns::ensure_running(state, &definition).unwrap_or_else(|e| {
        warnings.push(format!("names on network {} are not answered: {e}", definition.name));
        Vec::new()
    });
    let endpoint = Endpoint { definition: &definition, ground, lease: &lease, inside: &inside, known: known.is_some() };
    if let Err(e) = wire(&endpoint, &mut socket, &mut inner, settings) {
        let _ = driver.unplug(&lease, own, &mut socket);
        let _ = release(state, &wish.network, &lease);
        return Err(e);
    }
    let published = match publish::publish_attached(state, &definition, &lease, &wish.ports) {
        Ok(published) => published,
        Err(e) => {
            // What was there before this call stays.
            if known.is_none() {
                let _ = driver.unplug(&lease, own, &mut socket);
                let _ = release(state, &wish.network, &lease);
            }
            return Err(e);
        }
    };
    warnings.extend(published.warnings);
    if book.leaving().next().is_some() {
        // Whose taker was killed; it is no reason to fail.
        let _ = settle(state, &wish.network, false);
    }
    let gateways = endpoint.gateways();
    Ok(Attachment {
        network: definition.name.clone(),
        network_id: definition.id.clone(),
        driver,
        addresses: lease.addresses.iter().map(|address| definition.with_prefix(*address)).collect(),
        interface: lease.interface,
        host_interface: lease.outer,
        bridge: definition.bridge.clone(),
        mac: lease.mac,
        gateway: gateways.first().copied(),
        gateways,
        mtu: ground.mtu,
        ports: published.ports,
        dns,
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
    let mut socket = Socket::open_route().map_err(one)?;
    let wanted = |lease: &Lease| lease.container == container && interface.is_none_or(|name| lease.interface == name);
    let known = Book::load(state, network).map_err(one)?.entries().any(&wanted);
    let mut failures = Vec::new();
    failures.extend(publish::unpublish(state, network, container, None).err());
    if known {
        for lease in leave::begin(state, &definition, own, &mut socket, wanted).map_err(one)? {
            overlay::release(state, &definition, &lease);
            let gone = match lease.leaving {
                Some(_) => leave::finish_one(state, network, &lease, &mut socket),
                None => {
                    definition.driver.unplug(&lease, own, &mut socket).and_then(|()| release(state, network, &lease))
                }
            };
            failures.extend(gone.err());
        }
    } else if definition.driver.has_outer_end() {
        // The run folder may have been lost; the link's name is known without it.
        let prefix = definition.interface_prefix();
        let names = match interface {
            Some(name) => vec![name.to_owned()],
            None => (0..LIKELY).map(|number| format!("{prefix}{number}")).collect(),
        };
        for name in names {
            failures.extend(veth::delete(&outer_name(&definition.id, container, &name), &mut socket).err());
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Sets the loopback interface of a namespace up.
pub fn loopback(namespace: &Reference) -> Result<()> {
    let mut inside = Namespace::open(namespace)?.route_socket()?;
    inside.ask(link::set_up(LOOPBACK))?.map_err(|refusal| refused("set up interface", LOOPBACK, refusal))?;
    Ok(())
}

/// What is attached to, and with what addresses; the network's lock is held.
struct Place<'a> {
    /// The wish with the interface's name.
    wish: Cow<'a, Wish>,
    definition: Definition,
    lock: crate::state::Lock,
    book: Book,
    ground: Ground,
    /// The lease that the interface has already.
    known: Option<Lease>,
    addresses: Vec<IpAddr>,
    /// The link of the interface's last life, in another namespace, that is still being deleted.
    aside: Option<u32>,
}

/// How often those who leave are waited for.
const ATTEMPTS: usize = 4;
/// How often a name is chosen: each time that it is gone by then, somebody else who chose at the same time has it.
const NAMES: usize = 32;
/// So many interfaces that nobody named are looked for where nothing is known of any.
const LIKELY: u32 = 8;

fn place<'a>(
    state: &State,
    wish: &'a Wish,
    own: u64,
    inside: u64,
    [socket, inner]: [&mut Socket; 2],
) -> Result<Place<'a>> {
    let mut wish = Cow::Borrowed(wish);
    let is_named = !wish.interface.is_empty();
    for attempt in 1.. {
        let (definition, lock, mut book, ground) = match prepare(state, &wish.network, socket) {
            Err(e) if e.kind == Kind::InUse && wish.network == DEFAULT => {
                network::redefine_default(state)?;
                prepare(state, &wish.network, socket)?
            }
            prepared => prepared?,
        };
        if !is_named {
            let choice =
                naming::choose(state, &definition, &book, &wish.container, inside, [&mut *socket, &mut *inner])?;
            if let Some(leaving) = choice.better.filter(|_| attempt < ATTEMPTS) {
                drop(lock);
                settle(state, &leaving, true)?;
                continue;
            }
            wish.to_mut().interface = choice.name;
        }
        let mut known = book.entry(&wish.container, &wish.interface).cloned();
        let mut wanted = wish.addresses.clone();
        let mut aside = None;
        if let Some(lease) = known.take_if(|lease| lease.leaving.is_some()) {
            if lease.namespace.inode != inside && lease.caller == own {
                // Cut off, and nobody's but ours: its addresses go over to the new interface without waiting.
                book.step_aside(&lease);
                aside = lease.leaving.map(|exit| exit.link);
                if wanted.is_empty() {
                    wanted = lease.addresses;
                }
            } else if attempt < ATTEMPTS {
                drop(lock);
                settle(state, &wish.network, true)?;
                continue;
            } else {
                known = Some(lease);
            }
        }
        let addresses = match &known {
            Some(lease) => still_fits(&wish, lease),
            None => overlay::choose(state, &definition, &wish, &wanted, |definition| {
                book.choose(definition, &wanted, own, socket)
            }),
        };
        match addresses {
            Err(e) if attempt < ATTEMPTS && leave::may_be_in_the_way(&e, &book) => {
                drop(lock);
                settle(state, &wish.network, true)?;
            }
            Err(e) => return Err(e),
            Ok(addresses) => return Ok(Place { wish, definition, lock, book, ground, known, addresses, aside }),
        }
    }
    unreachable!("the last attempt returns")
}

type Prepared = (Definition, crate::state::Lock, Book, Ground);

/// The network with its lock held, its leases, and what its endpoints share standing.
fn prepare(state: &State, name: &str, socket: &mut Socket) -> Result<Prepared> {
    network::find(state, name)?;
    let lock = state.lock_network(name)?;
    // Read again: it may have been removed while we waited for the lock.
    let definition = Definition::load(state, name)?
        .ok_or_else(|| Error::new(Kind::NotFound, ATTACH, name).because("the network was removed meanwhile"))?;
    let mut book = Book::load(state, name)?;
    book.set_network(&definition.id);
    let ground = definition.driver.prepare(state, socket, &definition)?;
    Ok((definition, lock, book, ground))
}

/// Packet rules and forwarding; gives what could not be had and can be lived without.
pub(crate) fn rules(state: &State, definition: &Definition, outer: &str) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if !definition.driver.is_routed() {
        return Ok(warnings);
    }
    let facts = match definition.driver.has_bridge() {
        true => nft::Facts::of(definition),
        false => driver::ptp::facts(definition, outer),
    };
    match nft::ensure(&facts) {
        Err(e) if e.kind == Kind::Unsupported && !definition.internal => {
            warnings.push(format!(
                "network {} has no masquerading, nothing beyond this machine answers: {e}",
                definition.name
            ));
        }
        Ok(true) => warnings.extend(publish::heal(state)?),
        done => drop(done?),
    }
    if !definition.internal {
        for v6 in [false, true] {
            if definition.subnets.iter().any(|pool| pool.subnet.is_v6() == v6) {
                let done = bridge::ensure_forwarding(v6);
                warnings.extend(done.err().map(|e| format!("containers reach only this machine: {e}")));
            }
        }
    }
    Ok(warnings)
}

/// The addresses that are leased, if they can be attached (again) as wished.
fn still_fits(wish: &Wish, lease: &Lease) -> Result<Vec<IpAddr>> {
    let refuse = |why: String| Err(Error::new(Kind::InUse, ATTACH, &wish.network).because(why));
    if lease.attacher.id != std::process::id() && lease.attacher.is_alive() {
        return refuse(format!("process {} is attaching {} just now", lease.attacher.id, wish.container));
    }
    if wish.addresses.iter().any(|wanted| !lease.addresses.contains(wanted)) {
        let all: Vec<String> = lease.addresses.iter().map(IpAddr::to_string).collect();
        let several = if all.len() == 1 { "address" } else { "addresses" };
        return refuse(format!("{} has the {several} {} there", wish.container, all.join(" and ")))
            .map_err(|e| e.hint("detach it first"));
    }
    Ok(lease.addresses.clone())
}

/// Makes the interface and sets it up.
fn wire(endpoint: &Endpoint<'_>, socket: &mut Socket, inner: &mut Socket, settings: Option<OwnedFd>) -> Result<()> {
    let Endpoint { definition, lease, .. } = endpoint;
    definition.driver.plug(endpoint, socket, inner)?;
    if let Some(settings) = settings.filter(|_| definition.driver.has_outer_end()) {
        ignore_advertisements(&settings, &lease.interface);
    }
    if definition.driver.has_bridge() && !definition.icc() {
        let set = socket.ask(port_flags::set_isolated(&lease.outer, true))?;
        set.map_err(|refusal| refused("keep from its neighbours", &lease.outer, refusal))?;
    }
    if let Some(limits) = lease.bandwidth {
        bandwidth::apply(socket, &lease.outer, &limits)?;
        bandwidth::sweep(socket)?;
    } else if endpoint.known && !lease.outer.is_empty() {
        bandwidth::remove(socket, &lease.outer)?;
    }
    sysctl::apply(endpoint.inside, &lease.interface, &lease.sysctls)?;
    let answers =
        inner.transact(&[link::set_up(LOOPBACK), link::set_up(&lease.interface), link::get(&lease.interface)])?;
    let mut index = None;
    for answer in answers {
        let messages = answer.map_err(|refusal| refused("set up interface", &lease.interface, refusal))?;
        index = index.or(messages.iter().find_map(Link::read).map(|link| link.index));
    }
    let index = index.ok_or_else(|| veth::vanished("set up interface", &lease.interface))?;
    for (what, answer) in inner_requests(endpoint, index, inner)? {
        unless(answer, libc::EEXIST).map_err(|refusal| refused("set", what, refusal))?;
    }
    if definition.driver.has_outer_end() {
        veth::await_carrier(endpoint, socket)?;
    }
    Ok(())
}

/// What is said of routes on a network of ours comes from another container: the interface does not listen, from before it
/// is up. Fails only where nobody could be led astray, without IPv6.
fn ignore_advertisements(settings: &OwnedFd, interface: &str) {
    let path = Path::new(interface).join("accept_ra");
    if let Ok(file) = rustix::fs::openat(settings, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::io::write(&file, b"0");
    }
}

type Told = Vec<(String, crate::socket::Answer)>;

/// Sends what makes addresses and routes of the interface with number `index` inside; gives each with its answer.
fn inner_requests(endpoint: &Endpoint<'_>, index: u32, inner: &mut Socket) -> Result<Told> {
    let mut told: Vec<(String, Request)> = Vec::new();
    for (address, prefix) in endpoint.addresses() {
        told.push((format!("address {address}"), address::add(index, address, prefix)));
    }
    let first = endpoint.definition.driver.first_routes(endpoint, index);
    for new in first.into_iter().chain(routes(endpoint, index)) {
        told.push((format!("route to {}", new.destination), route::add(&new)));
    }
    let (what, requests): (Vec<String>, Vec<Request>) = told.into_iter().unzip();
    Ok(what.into_iter().zip(inner.transact(&requests)?).collect())
}

/// The routes inside: the default ones, then the network's, then the container's own. One that names no gateway goes by the
/// network's. With several networks the first one's gateway stays the way out: a second default route is refused with
/// EEXIST, which is fine.
fn routes(endpoint: &Endpoint<'_>, index: u32) -> Vec<NewRoute> {
    let Endpoint { definition, lease, .. } = endpoint;
    let gateways = endpoint.gateways();
    let metric = definition.option("metric").and_then(|text| text.parse().ok());
    let all = |v6| if v6 { Subnet::ALL_V6 } else { Subnet::ALL_V4 };
    let default = |gateway: &IpAddr| Via { destination: all(gateway.is_ipv6()), gateway: Some(*gateway), metric };
    let mut wanted: Vec<Via> = Vec::new();
    if !definition.flag("no_default_route", false) {
        wanted.extend(gateways.iter().map(default));
    }
    wanted.extend(definition.routes.iter().chain(&lease.routes));
    let of_family = |to: Subnet| gateways.iter().find(|gateway| gateway.is_ipv6() == to.is_v6()).copied();
    wanted
        .into_iter()
        .map(|Via { destination, gateway, metric }| NewRoute {
            link: Some(index),
            destination,
            gateway: gateway.or_else(|| of_family(destination)),
            metric,
        })
        .collect()
}

/// Gives the addresses back, if they are still this attachment's.
fn release(state: &State, network: &str, lease: &Lease) -> Result<()> {
    let _lock = state.lock_network(network)?;
    let mut book = Book::load(state, network)?;
    if !book.give_back(lease) {
        return Ok(());
    }
    if let Some(definition) = Definition::load(state, network)? {
        overlay::release(state, &definition, lease);
    }
    book.store()
}

#[cfg(test)]
mod tests {
    use super::release;
    use crate::definition::Definition;
    use crate::driver::Driver;
    use crate::lease::{Book, Lease, Process, tests::lease};
    use crate::rename::rename;
    use crate::state::State;

    /// A state with the network `web` and `lease` in its book.
    fn with(name: &str, lease: &Lease, body: impl FnOnce(&State)) {
        let folder = std::env::temp_dir().join(format!("attach-test-{name}-{}", std::process::id()));
        let state = State::new(folder.join("definitions"), folder.join("leases"));
        std::fs::create_dir_all(folder.join("leases")).unwrap();
        Definition::new("web", Driver::Ptp, Vec::new()).unwrap().store(&state).unwrap();
        let mut book = Book::load(&state, "web").unwrap();
        book.enter(lease.clone());
        book.store().unwrap();
        body(&state);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn who_is_renamed_while_it_is_detached_leaves_all_the_same() {
        let lease = lease("c1", &["10.0.0.2"]);
        with("renamed", &lease, |state| {
            let (renamed, failures) = rename(state, "c1", Some("web"), "other", Some(&["another".into()]));
            assert!(renamed.len() == 1 && failures.is_empty(), "{renamed:?} {failures:?}");
            release(state, "web", &lease).unwrap();
            assert!(Book::load(state, "web").unwrap().is_empty(), "nobody answers to its name any more");
        });
    }

    #[test]
    fn who_was_attached_anew_meanwhile_stays() {
        let lease = lease("c1", &["10.0.0.2"]);
        with("anew", &lease, |state| {
            let attacher = Process { start: lease.attacher.start + 1, ..lease.attacher };
            release(state, "web", &Lease { attacher, ..lease.clone() }).unwrap();
            assert_eq!(Book::load(state, "web").unwrap().find("c1", "eth0"), Some(&lease));
        });
    }
}
