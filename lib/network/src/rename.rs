//! A container gets another name while it is attached: only what its networks know of it changes, no link and no packet.
//!
//! The lease is written anew under the network's lock; the network's name server reads it before its next answer, and other
//! hosts of an overlay network are told.

use crate::definition::Definition;
use crate::error::{Error, Result};
use crate::lease::{Book, Lease};
use crate::network;
use crate::overlay;
use crate::state::State;
use serde::Serialize;

/// What an interface's container is called now; printed as one line of JSON.
#[derive(Debug, Serialize)]
pub struct Renamed {
    /// The network.
    pub network: String,
    /// The interface inside.
    pub interface: String,
    /// The container's name there.
    pub name: String,
    /// Its other names there.
    pub aliases: Vec<String>,
}

/// Calls `container` by `name` on `network`, which there must be, or on all that it is on. `aliases` take the place of its other names; where they
/// are not given it keeps those. That it is on none is fine. Goes on after a failure and gives every one.
pub fn rename(
    state: &State,
    container: &str,
    network: Option<&str>,
    name: &str,
    aliases: Option<&[String]>,
) -> (Vec<Renamed>, Vec<Error>) {
    let (mut renamed, mut failures) = (Vec::new(), Vec::new());
    let networks = match network {
        Some(name) => network::find(state, name).map(|found| vec![found.name]),
        None => state.list(),
    };
    for network in networks.unwrap_or_else(|e| {
        failures.push(e);
        Vec::new()
    }) {
        match on(state, container, &network, name, aliases) {
            Ok(some) => renamed.extend(some),
            Err(e) => failures.push(e),
        }
    }
    (renamed, failures)
}

fn on(state: &State, container: &str, network: &str, name: &str, aliases: Option<&[String]>) -> Result<Vec<Renamed>> {
    let of_it = |lease: &&Lease| lease.container == container;
    // Most networks are none of its: those are not kept waiting.
    if !Book::load(state, network)?.leases().any(|lease| of_it(&lease)) {
        return Ok(Vec::new());
    }
    let lock = state.lock_network(network)?;
    let mut book = Book::load(state, network)?;
    let mut leases: Vec<Lease> = book.leases().filter(of_it).cloned().collect();
    if leases.is_empty() {
        // It has gone meanwhile, perhaps with the network: nothing of that is written anew.
        return Ok(Vec::new());
    }
    for lease in &mut leases {
        lease.name = Some(name.to_owned());
        if let Some(aliases) = aliases {
            lease.aliases = aliases.to_vec();
        }
        book.enter(lease.clone());
    }
    book.store()?;
    drop(lock);
    if let Some(definition) = Definition::load(state, network)? {
        leases.iter().for_each(|lease| overlay::rename(state, &definition, lease));
    }
    let told = |lease: Lease| Renamed {
        network: network.to_owned(),
        interface: lease.interface,
        name: name.to_owned(),
        aliases: lease.aliases,
    };
    Ok(leases.into_iter().map(told).collect())
}
