//! Where names come from: a network's definition and its book of leases, read as what a name server needs.

use crate::bridge;
use crate::definition::Definition;
use crate::dns::name::Name;
use crate::dns::zone::{Entry, Origin, short};
use crate::error::Result;
use crate::lease::{Book, Process};
use crate::state::State;
use std::net::IpAddr;

/// A container on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its names and addresses.
    pub(crate) entry: Entry,
    /// The end of its interface outside; empty where there is none.
    pub(crate) outer: String,
    /// Who attaches it, or did.
    pub(crate) attacher: Process,
}

/// The containers on `network` that were attached from the network namespace `caller`.
pub(crate) fn members(state: &State, network: &str, caller: u64) -> Result<Vec<Member>> {
    let book = Book::load(state, network)?;
    let members = book.leases().filter(|lease| lease.caller == caller).map(|lease| Member {
        entry: Entry {
            container: lease.container.clone(),
            names: [lease.name.as_deref().unwrap_or_else(|| short(&lease.container))]
                .into_iter()
                .chain(lease.aliases.iter().map(String::as_str))
                .map(str::to_owned)
                .collect(),
            addresses: lease.addresses.clone(),
            servers: lease.dns.clone(),
        },
        outer: lease.outer.clone(),
        attacher: lease.attacher,
    });
    Ok(members.collect())
}

/// What a network is, as far as its names go.
pub(crate) fn origin(definition: &Definition) -> Origin {
    Origin {
        network: Name::parse(&definition.name),
        domain: definition.dns_domain.as_deref().and_then(Name::parse),
        subnets: definition.subnets.iter().map(|pool| pool.subnet).collect(),
    }
}

/// Whether a network has a name server: one that was created with names, and that has a bridge which that can listen on.
pub fn has_names(definition: &Definition) -> bool {
    definition.dns && definition.driver.has_bridge()
}

/// Its bridge's addresses, which the server listens on.
pub fn addresses(definition: &Definition) -> Vec<IpAddr> {
    bridge::addresses(definition).map(|(address, _)| address).collect()
}
