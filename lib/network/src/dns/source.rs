//! Where names come from: a network's definition, its book of leases, and of an overlay network what is known of other
//! hosts; read as what a name server needs.

use crate::bridge;
use crate::definition::Definition;
use crate::dns::name::Name;
use crate::dns::zone::{Entry, Origin};
use crate::driver::Driver;
use crate::error::Result;
use crate::lease::{Book, Process};
use crate::overlay::view::View;
use crate::state::State;
use std::collections::BTreeMap;
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
            names: lease.names(),
            addresses: lease.addresses.clone(),
            servers: lease.dns.clone(),
        },
        outer: lease.outer.clone(),
        attacher: lease.attacher,
    });
    Ok(members.collect())
}

/// The containers on other hosts of `network`: of an overlay network whose hosts are known by etcd. They come and go with
/// what this host's server writes down ([`crate::overlay::view`]).
pub(crate) fn elsewhere(state: &State, definition: &Definition) -> Vec<Entry> {
    if definition.driver != Driver::Overlay {
        return Vec::new();
    }
    let view = View::load(state, &definition.name);
    let Some(local) = view.local else { return Vec::new() };
    let mut found: BTreeMap<(IpAddr, &str, &str), Entry> = BTreeMap::new();
    for (address, claim) in view.elsewhere(local) {
        let whose = (claim.host, claim.container.as_str(), claim.interface.as_str());
        let entry = found.entry(whose).or_insert_with(|| Entry {
            container: claim.container.clone(),
            names: claim.names.clone(),
            addresses: Vec::new(),
            servers: Vec::new(),
        });
        entry.addresses.push(address);
    }
    found.into_values().collect()
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
