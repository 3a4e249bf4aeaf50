//! Ports of containers that the book of leases knows.

use super::{Outcome, Target, proxy, publish, unpublish};
use crate::definition::Definition;
use crate::driver;
use crate::error::{Error, Kind, Result};
use crate::lease::{Book, Lease};
use crate::network;
use crate::nft::{self, Facts, ports};
use crate::rootless::{self, record::Record};
use crate::state::State;
use spec::published::Published as Spec;
use std::net::IpAddr;

/// Publishes ports of a container that is attached; to the first network by name that it is on, unless one is named.
pub fn publish_leased(state: &State, network: Option<&str>, container: &str, specs: &[Spec]) -> Result<Outcome> {
    let definitions = match network {
        Some(name) => vec![network::find(state, name)?],
        None => network::all(state)?,
    };
    let reached = |d: &Definition| !d.internal && d.driver.has_outer_end();
    let mut other = None;
    for definition in &definitions {
        let book = Book::load(state, &definition.name)?;
        let Some(lease) = book.leases().find(|lease| lease.container == container) else { continue };
        if reached(definition) {
            let healed = match nft::ensure(&facts(definition, &lease.outer))? {
                true => heal(state)?,
                false => Vec::new(),
            };
            let mut outcome = publish_attached(state, definition, lease, specs)?;
            outcome.warnings.extend(healed);
            return Ok(outcome);
        }
        other = other.or_else(|| Some((definition, lease.clone())));
    }
    if let Some((definition, lease)) = other {
        return publish_attached(state, definition, &lease, specs);
    }
    if network.is_none() {
        carried(state, "publish ports of", container, |_| true)?;
    }
    let error = Error::new(Kind::NotFound, "publish ports of", container);
    Err(match network {
        Some(name) => error
            .because(format!("it is not on network {name}"))
            .hint(format!("netwire attach --network {name} --id {container} --netns … attaches it")),
        None => error.because("it is on no network").hint("attach it first: netwire attach"),
    })
}

/// Refuses `op` where a program of the user's carries the container's packets, if it `matters`: that knows its ports from the
/// start.
fn carried(state: &State, op: &'static str, container: &str, matters: impl Fn(&Record) -> bool) -> Result<()> {
    let is_it = |record: &Record| record.container == container && matters(record);
    let Some(record) = rootless::list(state)?.into_iter().find(is_it) else { return Ok(()) };
    let network = record.attachment.map_or_else(|| rootless::USER.to_owned(), |attachment| attachment.network);
    Err(Error::new(Kind::Unsupported, op, container)
        .because(format!("a program of the user's carries network {network}, and its ports are those it began with"))
        .hint(format!("detach it, and attach it again with the ports: netwire attach --network {network} -p …")))
}

/// Makes whole what was lost with the packet rules: every network that somebody is on, and all that is published. Gives what
/// somebody else has by now, a line each.
pub fn heal(state: &State) -> Result<Vec<String>> {
    let mut used = Vec::new();
    for definition in network::all(state)?.into_iter().filter(|d| d.driver.has_outer_end()) {
        let book = Book::load(state, &definition.name)?;
        let mut links: Vec<String> = book.leases().map(|lease| lease.outer.clone()).collect();
        // One link is all of a network with a bridge.
        links.truncate(if definition.driver.has_bridge() { 1 } else { usize::MAX });
        used.extend(links.into_iter().map(|outer| (definition.clone(), outer)));
    }
    nft::ensure_all(&used.iter().map(|(definition, outer)| facts(definition, outer)).collect::<Vec<_>>())?;
    super::ensure_all(state)
}

/// What the rules must know of a network, for the endpoint whose outer end is `outer`.
fn facts<'a>(definition: &'a Definition, outer: &'a str) -> Facts<'a> {
    match definition.driver.has_bridge() {
        true => Facts::of(definition),
        false => driver::ptp::facts(definition, outer),
    }
}

/// Unpublishes ports of a container on one network, or on all it has ports on. Goes on after a failure and gives every one.
pub fn unpublish_everywhere(
    state: &State,
    network: Option<&str>,
    container: &str,
    specs: Option<&[Spec]>,
) -> std::result::Result<(), Vec<Error>> {
    let on = |network: &str| match specs {
        // That a definition is damaged stands in nobody's way who asks for nothing in particular.
        None => unpublish(state, network, container, None),
        Some(specs) => {
            let definition = Definition::load(state, network)?;
            let specs = definition.map_or_else(|| specs.to_vec(), |definition| definition.published(specs));
            unpublish(state, network, container, Some(&specs))
        }
    };
    let mut failures = Vec::new();
    let networks: Vec<String> = match network {
        Some(network) => vec![network.to_owned()],
        None => {
            let has_ports = |record: &Record| record.attachment.as_ref().is_some_and(|made| !made.ports.is_empty());
            failures.extend(carried(state, "unpublish ports of", container, has_ports).err());
            super::book::list(state, Some(container)).map_err(|e| vec![e])?.into_iter().map(|(it, ..)| it).collect()
        }
    };
    failures.extend(networks.iter().filter_map(|network| on(network).err()));
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Publishes ports of a container that has `lease` on the network.
pub fn publish_attached(state: &State, definition: &Definition, lease: &Lease, specs: &[Spec]) -> Result<Outcome> {
    if specs.is_empty() {
        return Ok(Outcome::default());
    }
    let error = |why: String| Error::new(Kind::Invalid, "publish ports of", &lease.container).because(why);
    if !definition.driver.has_outer_end() {
        let why = format!(
            "containers on network {} of driver {} are not reached by way of this machine",
            definition.name, definition.driver
        );
        return Err(error(why).hint("its own address is reached from outside; or attach it to a bridge network too"));
    }
    if definition.internal {
        return Err(error(format!("network {} is internal: nothing comes in", definition.name))
            .hint("attach the container to a network that is not"));
    }
    publish(state, &target(definition, lease), &definition.published(specs))
}

/// Makes sure again of what beside the packet rules lets packets through to a container's ports: links that were made anew
/// have lost it. Gives what could not be had, a line each.
pub fn reach_again(state: &State, definition: &Definition, lease: &Lease) -> Result<Vec<String>> {
    let books = super::book::list(state, Some(&lease.container))?;
    let here = books.iter().filter(|(network, ..)| *network == definition.name);
    let wanted: Vec<_> =
        here.flat_map(|(.., doors)| doors.iter().flat_map(|(door, way)| super::book::entries(door, way))).collect();
    Ok(if wanted.is_empty() || definition.obeys_input() {
        Vec::new()
    } else {
        super::reach::ensure(&target(definition, lease), &wanted)
    })
}

fn target<'a>(definition: &'a Definition, lease: &'a Lease) -> Target<'a> {
    let bridge = definition.driver.has_bridge();
    Target {
        network: &definition.name,
        container: &lease.container,
        addresses: &lease.addresses,
        link: Some(if bridge { &definition.bridge } else { &lease.outer }),
        port: Some(lease.outer.as_str()).filter(|_| bridge),
        obeys_input: definition.obeys_input(),
    }
}

/// Takes away ports that lead to `addresses` for somebody who had them before and died without a word. Call it when
/// addresses are leased anew.
pub fn vacate(state: &State, addresses: &[IpAddr], network: &str, container: &str) -> Result<()> {
    for (on, of) in proxy::holders_of(state, addresses)? {
        if (on.as_str(), of.as_str()) != (network, container) {
            unpublish(state, &on, &of, None)?;
        }
    }
    let holders = match ports::holders_of(addresses) {
        Err(e) if e.kind == Kind::Unsupported => return Ok(()),
        holders => holders?,
    };
    for holder in holders {
        match holder.split_once(' ') {
            Some((on, of)) if (on, of) != (network, container) => unpublish(state, on, of, None)?,
            _ => {}
        }
    }
    Ok(())
}
