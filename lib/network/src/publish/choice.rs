//! Which ports of the machine a wish comes to.

use super::book::{Book, Door, Way, entries};
use super::socket::{Obstacle, try_bind};
use crate::error::{Error, Kind, Result};
use crate::nft::ports::{self, Entry};
use spec::published::{Host, Protocol, Published as Spec};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const PUBLISH: &str = "publish";
/// How often the kernel is asked for a free port that is not published.
const TRIES: usize = 1000;

/// Ports that somebody was quicker to take: protocol and number.
pub(super) type Taken = BTreeSet<(u8, u16)>;

/// The doors that `specs` come to and where they lead. What the container has already stays as it is.
pub(super) fn settle(book: &Book, specs: &[Spec], to: &[IpAddr], taken: &Taken) -> Result<Vec<(Door, Way)>> {
    let mut all: Vec<(Door, Way)> = Vec::new();
    for spec in specs {
        let to: Vec<IpAddr> =
            to.iter().copied().filter(|a| spec.address.is_none_or(|on| on.is_ipv4() == a.is_ipv4())).collect();
        if to.is_empty() {
            return Err(Error::new(Kind::Invalid, PUBLISH, spec)
                .because("the container has no address of that family")
                .hint(
                    "publish it on an address of the other family, or attach the container to a network that has both",
                ));
        }
        for (n, inside) in spec.container.clone().enumerate() {
            let way = Way { to: to.clone(), inside, chosen: true };
            let had = book.doors().iter().find(|(door, there)| {
                (door.0, door.1, there.inside) == (spec.address, spec.protocol, inside)
                    && there.chosen
                    && fits(&spec.host, door.2)
                    && !all.iter().any(|(settled, _)| settled == *door)
            });
            let found = match (&spec.host, had) {
                (Host::These(host), _) => {
                    let port = host.clone().nth(n).unwrap_or(0);
                    let door = (spec.address, spec.protocol, port);
                    let way = Way { chosen: false, ..way };
                    check(book, &all, &door, &way)?;
                    (door, way)
                }
                (_, Some((door, _))) => (*door, way),
                (Host::Free, None) => (free(spec, &way, &all, taken)?, way),
                (Host::OneOf(host), None) => {
                    let mut candidates = host.clone().map(|port| (spec.address, spec.protocol, port));
                    let door = candidates.find(|door| is_free(door, &way, &all, taken).is_ok_and(|free| free));
                    let none = || {
                        Error::new(Kind::InUse, PUBLISH, spec)
                            .because("port is already allocated: all of the range are")
                    };
                    (door.ok_or_else(none)?, way)
                }
            };
            all.push(found);
        }
    }
    Ok(all)
}

/// Whether `door`, which leads there, is one of those that `spec` speaks of.
pub(super) fn covers(spec: &Spec, door: &Door, way: &Way) -> bool {
    (spec.address, spec.protocol) == (door.0, door.1)
        && spec.container.contains(&way.inside)
        && match &spec.host {
            Host::These(host) => {
                let offset = way.inside - spec.container.start();
                host.start().checked_add(offset) == Some(door.2)
            }
            host => fits(host, door.2),
        }
}

fn fits(host: &Host, port: u16) -> bool {
    match host {
        Host::Free => true,
        Host::These(ports) | Host::OneOf(ports) => ports.contains(&port),
    }
}

/// An error where the container has the door for something else, or a process of the machine listens there.
fn check(book: &Book, all: &[(Door, Way)], door: &Door, way: &Way) -> Result<()> {
    let here = all.iter().find(|(settled, _)| settled == door).map(|(_, way)| way);
    match here.or_else(|| book.doors().get(door)) {
        Some(there) if there.inside == way.inside => Ok(()),
        Some(there) => Err(Error::new(Kind::InUse, PUBLISH, name(door))
            .because(format!("port is already allocated: it leads to port {} of this container", there.inside))
            .hint("unpublish it first, or choose another")),
        None => bindable(door, way).map(drop),
    }
}

/// Asks the kernel for a port that nobody listens at, until one is not published either.
fn free(spec: &Spec, way: &Way, all: &[(Door, Way)], taken: &Taken) -> Result<Door> {
    for _ in 0..TRIES {
        let port = bindable(&(spec.address, spec.protocol, 0), way)?;
        let port = if port == 0 { random_port()? } else { port };
        let door = (spec.address, spec.protocol, port);
        if is_free(&door, way, all, taken)? {
            return Ok(door);
        }
    }
    Err(Error::new(Kind::Full, PUBLISH, spec).because("no free port was found").hint("name one"))
}

fn is_free(door: &Door, way: &Way, all: &[(Door, Way)], taken: &Taken) -> Result<bool> {
    if all.iter().any(|((_, protocol, port), _)| (*protocol, *port) == (door.1, door.2))
        || taken.contains(&(door.1.number(), door.2))
        || bindable(door, way).is_err()
    {
        return Ok(false);
    }
    let wanted: Vec<Entry> = entries(door, way).collect();
    ports::are_free(&wanted)
}

/// Tries to bind the door in each family it leads to; with port 0 the first one's choice counts.
fn bindable(door: &Door, way: &Way) -> Result<u16> {
    let (address, protocol, mut port) = *door;
    for to in &way.to {
        let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let at = SocketAddr::new(address.unwrap_or(any), port);
        match try_bind(at, protocol) {
            Ok(bound) => port = bound,
            // The other family's own choice was in the way of this one: the caller asks again.
            Err(Obstacle::Process(_)) if door.2 == 0 => return Ok(port),
            Err(obstacle) => return Err(refusal(at, protocol, obstacle)),
        }
    }
    Ok(port)
}

fn refusal(at: SocketAddr, protocol: Protocol, obstacle: Obstacle) -> Error {
    let error = |kind| Error::new(kind, PUBLISH, format!("{at}/{protocol}"));
    match obstacle {
        Obstacle::Process(Some((name, id))) => error(Kind::InUse)
            .because(format!("address already in use: {name} (process {id}) listens there"))
            .hint("stop it, or choose another port"),
        Obstacle::Process(None) => error(Kind::InUse)
            .because("address already in use: a process of this machine listens there")
            .hint("stop it, or choose another port"),
        Obstacle::NoAddress => error(Kind::NotFound)
            .because("cannot assign requested address: this machine has no such address")
            .hint("ip address shows those it has"),
        Obstacle::Failed(e) => error(Kind::System).because(e),
    }
}

fn random_port() -> Result<u16> {
    let mut bytes = [0; 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| crate::error::failed("get random bytes", "", e))?;
    Ok(0x8000 | (u16::from_ne_bytes(bytes) & 0x7fff))
}

fn name(door: &Door) -> String {
    let (address, protocol, port) = door;
    address.map_or_else(|| format!("{port}/{protocol}"), |a| format!("{}/{protocol}", SocketAddr::new(a, *port)))
}
