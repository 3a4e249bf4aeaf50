//! A network to be created: what was left open is chosen, what cannot be is refused, the rest is written down.

use crate::bridge::{self, LEAST_MTU_V6, Tables};
use crate::definition::{self, DEFAULT, Definition, Pool};
use crate::driver::Driver;
use crate::error::{Error, Kind, Result};
use crate::option;
use crate::pool::{self, Subnet};
use crate::route::Via;
use crate::socket::Socket;
use crate::state::State;
use std::collections::BTreeMap;
use std::net::IpAddr;

const OP: &str = "create network";
/// Names the default network's bridge; the number is the first that is free.
const DEFAULT_BRIDGE: &str = "veneer";
const ANOTHER_SUBNET: &str = "choose another --subnet, or leave it out to have a free one chosen";

/// A network to be created.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// What kind of network.
    pub driver: Driver,
    /// Its subnets; gateways that are left out are the first address of each. Of a family that is wanted and has none, one
    /// that is free.
    pub subnets: Vec<Pool>,
    /// Whether it has IPv4.
    pub ipv4: bool,
    /// Whether it has IPv6; so it has where a subnet of IPv6 is given.
    pub ipv6: bool,
    /// Whether containers get addresses at all.
    pub addresses: bool,
    /// The bridge's name, or one made of the network's id.
    pub bridge: Option<String>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// Whether nothing leaves it and nothing comes in.
    pub internal: bool,
    /// Whether it has a name server.
    pub dns: bool,
    /// Whom that asks what it does not know.
    pub dns_servers: Vec<IpAddr>,
    /// The domain that its containers' names are in.
    pub dns_domain: Option<String>,
    /// Routes that each container gets.
    pub routes: Vec<Via>,
    /// See [`option`].
    pub options: BTreeMap<String, String>,
    /// What users write on it.
    pub labels: BTreeMap<String, String>,
}

impl Plan {
    /// A bridge network of IPv4 with whatever subnet is free.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            driver: Driver::Bridge,
            subnets: Vec::new(),
            ipv4: true,
            ipv6: false,
            addresses: true,
            bridge: None,
            mtu: None,
            internal: false,
            dns: name != DEFAULT,
            dns_servers: Vec::new(),
            dns_domain: None,
            routes: Vec::new(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    fn invalid(&self, why: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, OP, &self.name).because(why.into())
    }

    fn taken(&self, why: impl Into<String>) -> Error {
        Error::new(Kind::InUse, OP, &self.name).because(why.into())
    }

    /// The value of a flag that may also be given as an option.
    fn option(&self, name: &str) -> Option<&str> {
        option::get(&self.options, name)
    }

    fn says(&self, name: &str) -> Option<bool> {
        self.option(name).and_then(option::truth)
    }
}

/// Creates a network: chooses what was left open and writes it down. Links come with the first attach.
pub fn create(state: &State, plan: &Plan) -> Result<Definition> {
    definition::check_name(&plan.name).map_err(|why| plan.invalid(why))?;
    option::check(plan.driver, &plan.options).map_err(|why| plan.invalid(why))?;
    let _lock = state.lock_folder()?;
    if Definition::load(state, &plan.name)?.is_some() {
        return Err(plan
            .taken("a network of this name exists")
            .hint(format!("choose another name, or remove it: netwire network rm {}", plan.name)));
    }
    let others = super::all(state)?;
    let mut socket = Socket::open_route()?;
    let tables = Tables::read(&mut socket)?;
    let mut made = Definition::new(&plan.name, plan.driver, subnets(plan, &tables, &others)?)?;
    made.mtu = mtu(plan, &made)?;
    made.internal = plan.internal || plan.says("internal").unwrap_or(false);
    made.isolate = plan.option("isolate").is_none_or(|value| option::truth(value).unwrap_or(true));
    made.dns = plan.dns;
    made.dns_servers.clone_from(&plan.dns_servers);
    made.dns_domain.clone_from(&plan.dns_domain);
    made.routes.clone_from(&plan.routes);
    made.options.clone_from(&plan.options);
    made.labels.clone_from(&plan.labels);
    if plan.driver.has_bridge() {
        name_bridge(plan, &mut made, &others, &mut socket)?;
    } else if plan.bridge.is_some() {
        return Err(plan.invalid(format!("a network of driver {} has no bridge", plan.driver)));
    }
    refuse_idle_options(plan, &made)?;
    let present = match made.bridge.as_str() {
        "" => None,
        name => bridge::find(&mut socket, name)?,
    };
    made.adopted = present.is_some();
    refuse_overlap(plan, &made, &others)?;
    if plan.driver.owns_subnets() {
        tables.refuse_overlap(&made, present.map(|link| link.index)).map_err(|mut e| {
            e.hint = Some(ANOTHER_SUBNET.into());
            e
        })?;
    }
    made.store(state)?;
    Ok(made)
}

fn subnets(plan: &Plan, tables: &Tables, others: &[Definition]) -> Result<Vec<Pool>> {
    if !plan.addresses {
        return match plan.subnets.is_empty() {
            true => Ok(Vec::new()),
            false => Err(plan.invalid("a subnet, and no addresses").hint("leave out --subnet, or --ipam-driver none")),
        };
    }
    let v4 = plan.subnets.iter().any(|pool| !pool.subnet.is_v6());
    let v6 = plan.subnets.iter().any(|pool| pool.subnet.is_v6());
    if plan.driver == Driver::Overlay && (plan.ipv4 != v4 || (plan.ipv6 && !v6)) {
        return Err(plan
            .invalid("a subnet that each host would choose for itself, and it must be the same on all")
            .hint("give --subnet for each family, alike on all hosts; --ipv4=false for IPv6 alone"));
    }
    let mut pools: Vec<Pool> = Vec::new();
    for wanted in &plan.subnets {
        let pool = completed(plan, wanted)?;
        if let Some(other) = pools.iter().find(|other| other.subnet.overlaps(pool.subnet)) {
            return Err(plan.invalid(format!("its subnets {} and {} overlap", other.subnet, pool.subnet)));
        }
        pools.push(pool);
    }
    let has = |pools: &[Pool], v6| pools.iter().any(|pool| pool.subnet.is_v6() == v6);
    if has(&pools, false) && !plan.ipv4 {
        return Err(plan.invalid("a subnet of IPv4, and no IPv4"));
    }
    if plan.ipv4 && !has(&pools, false) {
        let free = free_pool(&plan.name, tables, others)?;
        pools.insert(0, completed(plan, &Pool::new(free, None))?);
    }
    if (plan.ipv6 || plan.says("ipv6").unwrap_or(false)) && !has(&pools, true) {
        let mut random = [0_u8; 7];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| crate::error::failed("get random bytes", "", e))?;
        let taken: Vec<Subnet> = tables.subnets().chain(of(others)).collect();
        let free = pool::choose_v6(random, &taken).ok_or_else(|| no_pool(&plan.name))?;
        pools.push(completed(plan, &Pool::new(free, None))?);
    }
    if pools.is_empty() {
        return Err(plan.invalid("neither IPv4 nor IPv6").hint("--ipam-driver none makes a network without addresses"));
    }
    Ok(pools)
}

/// A subnet with its gateway, when all it says can be meant.
fn completed(plan: &Plan, wanted: &Pool) -> Result<Pool> {
    let subnet = wanted.subnet;
    let mut pool = wanted.clone();
    let gateway = wanted.gateway.or_else(|| subnet.hosts().next()).filter(|_| subnet.hosts().nth(1).is_some());
    let gateway = gateway.ok_or_else(|| {
        let smallest = if subnet.is_v6() { "/126" } else { "/30" };
        plan.invalid(format!("{subnet} has no room for a gateway and a container"))
            .hint(format!("the smallest subnet is a {smallest}"))
    })?;
    if !subnet.is_host(gateway) {
        return Err(plan.invalid(format!("gateway {gateway} is not an interface's address in {subnet}")));
    }
    pool.gateway = Some(gateway);
    if let Some(range) = pool.range
        && !(range.overlaps(subnet) && range.prefix() >= subnet.prefix())
    {
        return Err(plan.invalid(format!("the range {range} is not within {subnet}")));
    }
    if let Some((purpose, address)) = pool.reserved.iter().find(|(_, address)| !subnet.contains(**address)) {
        return Err(plan.invalid(format!("the address {address} reserved for {purpose} is not in {subnet}")));
    }
    Ok(pool)
}

fn mtu(plan: &Plan, made: &Definition) -> Result<Option<u32>> {
    let mtu = plan.mtu.or_else(|| plan.option("mtu").and_then(|text| text.parse().ok()));
    match mtu {
        Some(small) if made.ipv6 && small < LEAST_MTU_V6 => Err(plan
            .invalid(format!("an MTU of {small} is too small for IPv6"))
            .hint(format!("IPv6 wants at least {LEAST_MTU_V6}"))),
        mtu => Ok(mtu),
    }
}

fn name_bridge(plan: &Plan, made: &mut Definition, others: &[Definition], socket: &mut Socket) -> Result<()> {
    if plan.name == DEFAULT {
        made.bridge = default_bridge(socket, others)?;
    }
    let Some(bridge) = plan.bridge.as_deref().or_else(|| plan.option("bridge_name")) else { return Ok(()) };
    crate::link::check_name(bridge).map_err(|why| plan.invalid(why))?;
    if let Some(other) = others.iter().find(|o| o.bridge == bridge) {
        return Err(plan.taken(format!("bridge {bridge} belongs to network {}", other.name)));
    }
    bridge.clone_into(&mut made.bridge);
    Ok(())
}

/// Options that this network could do nothing with: what is asked for and not done is not passed over.
fn refuse_idle_options(plan: &Plan, made: &Definition) -> Result<()> {
    let trusted = plan.option("trusted_host_interfaces").unwrap_or_default();
    if trusted.split(':').any(|link| link == made.bridge && !link.is_empty()) {
        return Err(plan.invalid(format!("option `trusted_host_interfaces`: `{}` is its own bridge", made.bridge)));
    }
    for (key, v6) in [("outbound_addr4", false), ("outbound_addr6", true)] {
        if plan.option(key).is_none() {
            continue;
        }
        let family = if v6 { "IPv6" } else { "IPv4" };
        let why = match made.masquerades(v6) {
            true if made.subnets.iter().any(|pool| pool.subnet.is_v6() == v6) => continue,
            true => format!("it has no subnet of {family}"),
            false if made.internal => "nothing leaves an internal network".into(),
            false => format!("what leaves in {family} keeps its own address"),
        };
        return Err(plan.invalid(format!("option `{key}`: {why}")).hint("leave it out"));
    }
    Ok(())
}

/// Networks that lie on a link of the machine may share a subnet with each other: it is the link's.
fn refuse_overlap(plan: &Plan, made: &Definition, others: &[Definition]) -> Result<()> {
    for other in others.iter().filter(|other| plan.driver.owns_subnets() || other.driver.owns_subnets()) {
        for theirs in &other.subnets {
            if let Some(ours) = made.subnets.iter().find(|pool| pool.subnet.overlaps(theirs.subnet)) {
                return Err(plan
                    .taken(format!("{} overlaps {} of network {}", ours.subnet, theirs.subnet, other.name))
                    .hint(ANOTHER_SUBNET));
            }
        }
    }
    Ok(())
}

fn of(others: &[Definition]) -> impl Iterator<Item = Subnet> {
    others.iter().flat_map(|other| other.subnets.iter().map(|pool| pool.subnet))
}

fn free_pool(name: &str, tables: &Tables, others: &[Definition]) -> Result<Subnet> {
    let mut taken: Vec<Subnet> = tables.subnets().chain(of(others)).collect();
    if name != DEFAULT && !others.iter().any(|o| o.name == DEFAULT) {
        // The default network will want the first pool; whoever comes before it leaves that free.
        taken.extend(pool::pools().next());
    }
    pool::choose(&taken).ok_or_else(|| no_pool(name))
}

fn no_pool(name: &str) -> Error {
    Error::new(Kind::Full, "choose a subnet for network", name)
        .because("every pool overlaps a network or a route of this machine")
        .hint("give one with --subnet")
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
