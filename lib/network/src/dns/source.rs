//! Where names come from: a network's definition and its book of leases, read as what a name server needs.

use crate::definition::Definition;
use crate::dns::name::Name;
use crate::dns::zone::{Entry, Origin};
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
    let members = book.leases().filter(|(_, lease)| lease.caller == caller).map(|(address, lease)| Member {
        entry: Entry {
            container: lease.container.clone(),
            names: Vec::new(),
            addresses: vec![IpAddr::from(address)],
            servers: Vec::new(),
        },
        outer: lease.outer.clone(),
        attacher: lease.attacher,
    });
    Ok(members.collect())
}

/// What a network is, as far as its names go.
pub(crate) fn origin(definition: &Definition) -> Origin {
    Origin { network: Name::parse(&definition.name), domain: domain(definition), subnets: vec![definition.subnet] }
}

/// Whether a network has a name server.
pub fn has_names(definition: &Definition) -> bool {
    definition.name != crate::definition::DEFAULT
}

/// Its bridge's addresses, which the server listens on.
pub fn addresses(definition: &Definition) -> Vec<IpAddr> {
    vec![IpAddr::from(definition.gateway)]
}

/// The servers its other questions go to; none for the machine's.
pub(crate) fn servers(_definition: &Definition) -> Vec<IpAddr> {
    Vec::new()
}

fn domain(_definition: &Definition) -> Option<Name> {
    None
}
