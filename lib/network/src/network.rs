//! Networks created, found, listed and removed.

mod plan;

use crate::bandwidth::Bandwidth;
use crate::definition::{DEFAULT, Definition};
use crate::driver;
use crate::error::{Error, Kind, Result};
use crate::lease::{Book, Lease};
use crate::mac::Mac;
use crate::namespace::Namespace;
use crate::nft;
use crate::socket::Socket;
use crate::state::{self, State};
use serde::Serialize;

pub use plan::{Plan, create};

/// A network and who is on it.
#[derive(Debug, Serialize)]
pub struct View {
    /// The network.
    #[serde(flatten)]
    pub definition: Definition,
    /// The interfaces on it.
    pub containers: Vec<Member>,
}

/// An interface on a network.
#[derive(Debug, Serialize)]
pub struct Member {
    /// The container's id.
    pub id: String,
    /// The interface inside.
    pub interface: String,
    /// The end of the veth pair outside; left out where the kind has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses with the subnet's prefix: `172.17.0.2/16`.
    pub addresses: Vec<String>,
    /// Its name on the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its other names there.
    pub aliases: Vec<String>,
    /// How much may go in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
}

/// The network called `name`. The default one is defined when it is first looked for.
pub fn find(state: &State, name: &str) -> Result<Definition> {
    if let Some(found) = Definition::load(state, name)? {
        return Ok(found);
    }
    if name == DEFAULT {
        let plan = Plan::new(DEFAULT);
        return match create(state, &plan) {
            // Somebody else was quicker.
            Err(e) if e.kind == Kind::InUse => Definition::load(state, name)?.ok_or(e),
            made => made,
        };
    }
    Err(Error::new(Kind::NotFound, "find network", name)
        .because("no such network")
        .hint(format!("netwire network ls lists them; netwire network create {name} makes it")))
}

/// All networks that are defined, by name.
pub fn all(state: &State) -> Result<Vec<Definition>> {
    state.list()?.iter().filter_map(|name| Definition::load(state, name).transpose()).collect()
}

/// All networks by name, the default one too, which is defined by that where the folder can be written to.
pub fn list(state: &State) -> Result<Vec<Definition>> {
    if let Err(e) = find(state, DEFAULT)
        && e.kind != Kind::NotPermitted
    {
        return Err(e);
    }
    all(state)
}

/// A network and who is on it now.
pub fn inspect(state: &State, name: &str) -> Result<View> {
    let definition = find(state, name)?;
    let mut book = Book::load(state, name)?;
    book.collect(Namespace::own()?.identity().inode, &mut Socket::open_route()?)?;
    let member = |lease: &Lease| Member {
        id: lease.container.clone(),
        interface: lease.interface.clone(),
        host_interface: lease.outer.clone(),
        mac: lease.mac,
        addresses: lease.addresses.iter().map(|address| definition.with_prefix(*address)).collect(),
        name: lease.name.clone(),
        aliases: lease.aliases.clone(),
        bandwidth: lease.bandwidth,
    };
    let containers = book.leases().map(member).collect();
    Ok(View { definition, containers })
}

/// Removes a network that nobody is on: bridge, rules, leases, definition. Goes on after a failure and gives every one;
/// the definition stays then, so that it can be tried again.
pub fn remove(state: &State, name: &str) -> std::result::Result<(), Vec<Error>> {
    let one = |e: Error| vec![e];
    crate::attach::settle(state, name, true).map_err(one)?;
    let _folder = state.lock_folder().map_err(one)?;
    let Some(definition) = Definition::load(state, name).map_err(one)? else {
        if name == DEFAULT {
            return Ok(());
        }
        return Err(vec![Error::new(Kind::NotFound, "remove network", name).because("no such network")]);
    };
    let _lock = state.lock_network(name).map_err(one)?;
    let mut socket = Socket::open_route().map_err(one)?;
    let mut book = Book::load(state, name).map_err(one)?;
    book.collect(Namespace::own().map_err(one)?.identity().inode, &mut socket).map_err(one)?;
    if !book.is_empty() {
        let users: Vec<_> = book.leases().map(|lease| lease.container.as_str()).collect();
        return Err(vec![
            Error::new(Kind::InUse, "remove network", name)
                .because(format!("it is in use by {}", users.join(", ")))
                .hint(format!("detach them first: netwire detach --network {name} --id {}", users[0])),
        ]);
    }
    let mut failures: Vec<Error> = Vec::new();
    if definition.dns {
        failures.extend(crate::dns::stop(state, name).err());
    }
    driver::parent::hand_on(&mut socket, &definition, &all(state).map_err(one)?).map_err(one)?;
    failures.extend(definition.driver.remove(state, &mut socket, &definition).err());
    if definition.driver.has_bridge() {
        let facts = nft::Facts::of(&definition);
        failures.extend(nft::remove(&facts).err());
    }
    failures.extend(state::remove(&state.lease_path(name)).err());
    if failures.is_empty() {
        failures.extend(state::remove(&state.definition_path(name)).err());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Gives the default network another subnet: what it had is now in the way of the machine's own routes, and nobody is on
/// it. The caller holds no lock.
pub(crate) fn redefine_default(state: &State) -> Result<Definition> {
    let _ = remove(state, DEFAULT).map_err(|mut failures| failures.remove(0));
    find(state, DEFAULT)
}
