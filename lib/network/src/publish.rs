//! Ports of this machine that lead into containers: published, unpublished, listed, and made whole again.
//!
//! Publishing: what is asked for is settled (which ports, none that a process listens at), written down in the container's
//! [`book`], and entered into the kernel's maps ([`crate::nft::ports`]) in one transaction that takes all or none. Somebody
//! else's port is refused by the maps themselves, whoever made the entry; then the book is put back. Unpublishing goes the
//! other way round. So after `kill -9` at any point the book holds at least what the kernel holds, and the same command
//! again, or the container's detach, makes both agree.
//!
//! Cost: per port asked for, whatever is published already.
//!
//! On a network that obeys the machine's input policy a process stands in the place of the kernel's maps ([`proxy`]).
//!
//! Lock order: the book's; inside it nothing but the kernel's own.

pub mod book;
mod choice;
pub mod conntrack;
mod leased;
mod proxy;
mod reach;
pub mod socket;

use crate::definition::Definition;
use crate::error::{Error, Kind, Result};
use crate::lease;
use crate::namespace::Namespace;
use crate::nft::ports::{self, Conflict, Entry};
use crate::socket::Socket;
use crate::state::State;
use book::{Book, Door, Way, entries};
pub use leased::{heal, publish_attached, publish_leased, reach_again, unpublish_everywhere, vacate};
pub use proxy::serve;
use serde::Serialize;
use spec::published::{Protocol, Published as Spec};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const PUBLISH: &str = "publish";
/// How often ports that are chosen freely are chosen again when others were quicker.
const CHOICES: usize = 100;
/// Whose ports are published, and where they lead.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The network's name.
    pub network: &'a str,
    /// The container's id.
    pub container: &'a str,
    /// Its addresses there. The first of each family counts.
    pub addresses: &'a [IpAddr],
    /// The link its packets come by here: the bridge, or the outer end of a routed pair.
    pub link: Option<&'a str>,
    /// The bridge's port that leads to it.
    pub port: Option<&'a str>,
    /// Whether a process serves its ports, so that they obey the machine's input policy.
    pub obeys_input: bool,
}

/// A published port, once for each address of the machine it is published on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Published {
    /// The network's name.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// The machine's address; the unspecified one means all of its family.
    pub host_ip: IpAddr,
    /// The machine's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// What was published, and what could not be done and is no reason to fail.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// All that was asked for.
    pub ports: Vec<Published>,
    /// A line each.
    pub warnings: Vec<String>,
}

/// What stands on the kernel's elements of a container's ports.
fn holder(network: &str, container: &str) -> String {
    format!("{network} {container}")
}

/// Publishes `specs`, all or none. What is published already is made sure of.
pub fn publish(state: &State, target: &Target<'_>, specs: &[Spec]) -> Result<Outcome> {
    if specs.is_empty() {
        return Ok(Outcome::default());
    }
    let to: Vec<IpAddr> = [
        target.addresses.iter().find(|a| a.is_ipv4()).copied(),
        target.addresses.iter().find(|a| a.is_ipv6()).copied(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let holder = holder(target.network, target.container);
    let mut book = open(state, target)?;
    let mut taken = BTreeSet::new();
    for _ in 0..CHOICES {
        let settled = choice::settle(&book, specs, &to, &taken)?;
        let new: Vec<_> = settled.iter().filter(|(door, way)| book.doors().get(door) != Some(way)).cloned().collect();
        let before: Vec<(Door, Way)> =
            new.iter().filter_map(|(door, _)| Some((*door, book.doors().get(door)?.clone()))).collect();
        if !new.is_empty() {
            book.enter(&new)?;
        }
        let wanted: Vec<Entry> = settled.iter().flat_map(|(door, way)| entries(door, way)).collect();
        let entered = match target.obeys_input {
            true => proxy::ensure(state, target.network, target.container, &wanted).map(Ok),
            false => ports::enter(&wanted, &holder, reach::by_loopback6()),
        };
        let failure = match entered {
            Ok(Ok(())) if target.obeys_input => {
                return Ok(Outcome { ports: shown(target.network, target.container, &settled), warnings: Vec::new() });
            }
            Ok(Ok(())) => {
                let mut warnings = reach::ensure(target, &wanted);
                let fresh: Vec<Entry> = new.iter().flat_map(|(door, way)| entries(door, way)).collect();
                warnings.extend(conntrack::forget_before(&fresh).err().map(|e| e.to_string()));
                return Ok(Outcome { ports: shown(target.network, target.container, &settled), warnings });
            }
            Ok(Err(conflicts)) => {
                let freed = free_of_the_dead(state, &conflicts)?;
                taken.extend(conflicts.iter().map(|c| (c.entry.protocol, c.entry.port)));
                let chosen = |c: &Conflict| settled.iter().any(|(door, way)| way.chosen && door.2 == c.entry.port);
                (!freed && !conflicts.iter().all(chosen)).then(|| refusal(&conflicts))
            }
            Err(e) => Some(e),
        };
        book.enter(&before)?;
        let fresh = new.iter().map(|(door, _)| *door).filter(|door| !before.iter().any(|(had, _)| had == door));
        book.strike(&fresh.collect::<Vec<_>>())?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if book.doors().is_empty() {
            // Its file went with its last port.
            book = open(state, target)?;
        }
    }
    let _ = book.strike(&[]);
    Err(Error::new(Kind::Full, PUBLISH, target.container).because("no free port was found").hint("name one"))
}

/// Unpublishes `specs`, or all that the container has on the network, and ends what came in that way. That there is none is
/// fine.
pub fn unpublish(state: &State, network: &str, container: &str, specs: Option<&[Spec]>) -> Result<()> {
    let Some(mut book) = Book::open(state, network, container, false)? else { return Ok(()) };
    let gone: Vec<(Door, Way)> = book
        .doors()
        .iter()
        .filter(|(door, way)| specs.is_none_or(|specs| specs.iter().any(|spec| choice::covers(spec, door, way))))
        .map(|(door, way)| (*door, way.clone()))
        .collect();
    let old: Vec<Entry> = gone.iter().flat_map(|(door, way)| entries(door, way)).collect();
    let doors: Vec<Door> = gone.into_iter().map(|(door, _)| door).collect();
    let stays: BTreeSet<IpAddr> = book
        .doors()
        .iter()
        .filter(|(door, _)| !doors.contains(door))
        .flat_map(|(door, way)| entries(door, way))
        .map(|e| e.to.ip())
        .collect();
    if proxy::is_used(state, network, container) {
        proxy::end(state, network, container, &old)?;
        return book.strike(&doors);
    }
    let last: BTreeSet<IpAddr> = old.iter().map(|e| e.to.ip()).filter(|a| !stays.contains(a)).collect();
    ports::take_out(&old, &holder(network, container), &last.into_iter().collect::<Vec<_>>())?;
    conntrack::forget_after(&old)?;
    book.strike(&doors)
}

/// Forgets containers that died without a word, so that nobody is reached by their ports who gets their addresses.
pub fn forget(state: &State, network: &str, containers: &[String]) -> Result<()> {
    containers.iter().try_for_each(|container| unpublish(state, network, container, None))
}

/// All that is published, or what one container has.
pub fn list(state: &State, container: Option<&str>) -> Result<Vec<Published>> {
    let mut all = Vec::new();
    for (network, container, doors) in book::list(state, container)? {
        let doors: Vec<_> = doors.into_iter().collect();
        all.extend(shown(&network, &container, &doors));
    }
    Ok(all)
}

/// What is written down and not in the kernel's rules, a line each.
pub fn missing(state: &State) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (network, container, doors) in book::list(state, None)? {
        let wanted: Vec<Entry> = doors.iter().flat_map(|(door, way)| entries(door, way)).collect();
        let (lost, what) = match obeys_input(state, &network)? {
            true => (proxy::missing(state, &network, &container, &wanted)?, "is served by nobody"),
            false => (ports::missing(&wanted, &holder(&network, &container))?, "is not in the packet rules"),
        };
        let name = |e: &Entry| format!("port {} of {container} on network {network} {what}", door_name(e));
        lines.extend(lost.iter().map(name));
    }
    Ok(lines)
}

/// Enters again what is written down, for containers that are there; gives what somebody else has by now, a line each.
pub fn ensure_all(state: &State) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (network, container, doors) in book::list(state, None)? {
        let wanted: Vec<Entry> = doors.iter().flat_map(|(door, way)| entries(door, way)).collect();
        if obeys_input(state, &network)? {
            let Some(_book) = Book::open(state, &network, &container, false)? else { continue };
            let failed = proxy::ensure(state, &network, &container, &wanted).err();
            lines.extend(failed.map(|e| format!("ports of {container} on network {network}: {e}")));
            continue;
        }
        if let Err(conflicts) = ports::enter(&wanted, &holder(&network, &container), reach::by_loopback6())? {
            lines.push(format!("ports of {container} on network {network}: {}", refusal(&conflicts)));
        }
    }
    Ok(lines)
}

fn obeys_input(state: &State, network: &str) -> Result<bool> {
    // One that is damaged is told of elsewhere, and stands in nobody's way.
    Ok(Definition::load(state, network).ok().flatten().is_some_and(|definition| definition.obeys_input()))
}

/// A port and its protocol as in messages: `0.0.0.0:80/tcp`.
fn door_name(entry: &Entry) -> String {
    let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| p.number() == entry.protocol);
    let address = door(entry);
    protocol.map_or_else(|| address.to_string(), |protocol| format!("{address}/{protocol}"))
}

/// The machine's address and port of `entry`.
fn door(entry: &Entry) -> SocketAddr {
    let any = if entry.to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(entry.host.unwrap_or(any), entry.port)
}

fn refusal(conflicts: &[Conflict]) -> Error {
    let Some(first) = conflicts.first() else { return Error::new(Kind::InUse, PUBLISH, "") };
    let error = Error::new(Kind::InUse, PUBLISH, door_name(&first.entry));
    match first.holder.split_once(' ') {
        Some((network, container)) => error
            .because(format!("port is already allocated: {container} on network {network} has it"))
            .hint(format!("choose another, or: netwire unpublish --network {network} --id {container}")),
        None => error.because("port is already allocated"),
    }
}

fn open(state: &State, target: &Target<'_>) -> Result<Book> {
    let made = Book::open(state, target.network, target.container, true)?;
    made.ok_or_else(|| Error::new(Kind::System, PUBLISH, target.container).because("its file vanished"))
}

/// Takes ports from containers that are gone. Whether there was one; only those of our own books can be known to be.
fn free_of_the_dead(state: &State, conflicts: &[Conflict]) -> Result<bool> {
    let holders: BTreeSet<&str> = conflicts.iter().map(|c| c.holder.as_str()).collect();
    let mut freed = false;
    for (network, container) in holders.into_iter().filter_map(|holder| holder.split_once(' ')) {
        if Definition::load(state, network)?.is_none() {
            continue;
        }
        let known = book::list(state, Some(container))?.iter().any(|(on, of, _)| on == network && of == container);
        let mut leases = lease::Book::load(state, network)?;
        leases.collect(Namespace::own()?.identity().inode, &mut Socket::open_route()?)?;
        if known && !leases.leases().any(|lease| lease.container == container) {
            unpublish(state, network, container, None)?;
            freed = true;
        }
    }
    Ok(freed)
}

fn shown(network: &str, container: &str, doors: &[(Door, Way)]) -> Vec<Published> {
    let mut all = Vec::new();
    for (door, way) in doors {
        all.extend(entries(door, way).map(|e| Published {
            network: network.to_owned(),
            container: container.to_owned(),
            host_ip: e.host.unwrap_or(if e.to.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            }),
            host_port: e.port,
            container_port: way.inside,
            protocol: door.1,
        }));
    }
    all
}
