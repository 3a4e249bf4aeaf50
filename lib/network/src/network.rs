//! Networks created, found, listed and removed.

use crate::bridge::{self, Tables};
use crate::definition::{self, DEFAULT, Definition};
use crate::error::{Error, Kind, Result};
use crate::lease::{Book, Lease};
use crate::mac::Mac;
use crate::namespace::Namespace;
use crate::nft;
use crate::pool::{self, Subnet};
use crate::socket::Socket;
use crate::state::{self, State};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Names the default network's bridge; the number is the first that is free.
const DEFAULT_BRIDGE: &str = "veneer";

/// A network to be created.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its subnet, or one that is free.
    pub subnet: Option<Subnet>,
    /// The bridge's address, or the first of the subnet.
    pub gateway: Option<IpAddr>,
    /// The bridge's name, or one made of the network's id.
    pub bridge: Option<String>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// Whether nothing leaves it and nothing comes in.
    pub internal: bool,
    /// What users write on it.
    pub labels: BTreeMap<String, String>,
}

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
    /// The end of the veth pair outside.
    pub host_interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses with the subnet's prefix: `172.17.0.2/16`.
    pub addresses: Vec<String>,
}

/// Creates a network: chooses what was left open and writes it down. Links come with the first attach.
pub fn create(state: &State, plan: &Plan) -> Result<Definition> {
    const OP: &str = "create network";
    let invalid = |why: String| Error::new(Kind::Invalid, OP, &plan.name).because(why);
    definition::check_name(&plan.name).map_err(invalid)?;
    let _lock = state.lock_folder()?;
    if Definition::load(state, &plan.name)?.is_some() {
        return Err(Error::new(Kind::InUse, OP, &plan.name)
            .because("a network of this name exists")
            .hint(format!("choose another name, or remove it: netwire network rm {}", plan.name)));
    }
    let others = all(state)?;
    let mut socket = Socket::open_route()?;
    let tables = Tables::read(&mut socket)?;
    let subnet = match plan.subnet {
        Some(subnet) => subnet,
        None if plan.gateway.is_some() => {
            return Err(invalid("a gateway without a subnet".into()).hint("give the --subnet it is in"));
        }
        None => free_pool(&plan.name, &tables, &others)?,
    };
    let gateway = plan.gateway.or_else(|| subnet.hosts().next());
    let gateway = gateway.filter(|_| subnet.hosts().nth(1).is_some()).ok_or_else(|| {
        invalid(format!("{subnet} has no room for a gateway and a container")).hint("the smallest subnet is a /30")
    })?;
    if !subnet.is_host(gateway) {
        return Err(invalid(format!("gateway {gateway} is not an interface's address in {subnet}")));
    }
    let mut made = Definition::new(&plan.name, subnet, gateway)?;
    made.mtu = plan.mtu;
    made.internal = plan.internal;
    made.labels.clone_from(&plan.labels);
    if plan.name == DEFAULT {
        made.bridge = default_bridge(&mut socket, &others)?;
    }
    if let Some(bridge) = &plan.bridge {
        crate::link::check_name(bridge).map_err(invalid)?;
        if let Some(other) = others.iter().find(|o| o.bridge == *bridge) {
            return Err(Error::new(Kind::InUse, OP, &plan.name)
                .because(format!("bridge {bridge} belongs to network {}", other.name)));
        }
        made.bridge.clone_from(bridge);
    }
    let present = bridge::find(&mut socket, &made.bridge)?;
    made.adopted = present.is_some();
    if let Some(other) = others.iter().find(|o| o.subnet.overlaps(subnet)) {
        return Err(Error::new(Kind::InUse, OP, &plan.name)
            .because(format!("{subnet} overlaps {} of network {}", other.subnet, other.name))
            .hint("choose another --subnet, or leave it out to have a free one chosen"));
    }
    tables.refuse_overlap(&made, present.map(|link| link.index)).map_err(|mut e| {
        e.hint = Some("choose another --subnet, or leave it out to have a free one chosen".into());
        e
    })?;
    made.store(state)?;
    Ok(made)
}

/// The network called `name`. The default one is defined when it is first looked for.
pub fn find(state: &State, name: &str) -> Result<Definition> {
    if let Some(found) = Definition::load(state, name)? {
        return Ok(found);
    }
    if name == DEFAULT {
        let plan = Plan { name: DEFAULT.into(), ..Plan::default() };
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
    let prefix = definition.subnet.prefix();
    let member = |(address, lease): (IpAddr, &Lease)| Member {
        id: lease.container.clone(),
        interface: lease.interface.clone(),
        host_interface: lease.outer.clone(),
        mac: lease.mac,
        addresses: vec![format!("{address}/{prefix}")],
    };
    let containers = book.leases().map(member).collect();
    Ok(View { definition, containers })
}

/// Removes a network that nobody is on: bridge, rules, leases, definition. Goes on after a failure and gives every one;
/// the definition stays then, so that it can be tried again.
pub fn remove(state: &State, name: &str) -> std::result::Result<(), Vec<Error>> {
    let one = |e: Error| vec![e];
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
        let users: Vec<_> = book.leases().map(|(_, lease)| lease.container.as_str()).collect();
        return Err(vec![
            Error::new(Kind::InUse, "remove network", name)
                .because(format!("it is in use by {}", users.join(", ")))
                .hint(format!("detach them first: netwire detach --network {name} --id {}", users[0])),
        ]);
    }
    let facts = nft::Facts { network: name, bridge: &definition.bridge, internal: definition.internal };
    let mut failures: Vec<Error> =
        [bridge::remove(&mut socket, &definition), nft::remove(&facts), state::remove(&state.lease_path(name))]
            .into_iter()
            .filter_map(Result::err)
            .collect();
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

fn free_pool(name: &str, tables: &Tables, others: &[Definition]) -> Result<Subnet> {
    let mut taken: Vec<Subnet> = tables.subnets().chain(others.iter().map(|o| o.subnet)).collect();
    if name != DEFAULT && !others.iter().any(|o| o.name == DEFAULT) {
        // The default network will want the first pool; whoever comes before it leaves that free.
        taken.extend(pool::pools().next());
    }
    pool::choose(&taken).ok_or_else(|| {
        Error::new(Kind::Full, "choose a subnet for network", name)
            .because("every pool overlaps a network or a route of this machine")
            .hint("give one with --subnet")
    })
}

fn default_bridge(socket: &mut Socket, others: &[Definition]) -> Result<String> {
    for number in 0..1000 {
        let name = format!("{DEFAULT_BRIDGE}{number}");
        if !others.iter().any(|o| o.bridge == name) && bridge::find(socket, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::new(Kind::Full, "name the bridge of network", DEFAULT).because("a thousand names are taken"))
}
