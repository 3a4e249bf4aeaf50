//! What the command line means: every value read and checked, folders chosen. Touches nothing.

use crate::cli::{Args, Attach, Create, Detach, Network, NetworkVerb, Verb};
use crate::rootless;
use crate::whose::Whose;
use cli::Failure;
use network::attach::Wish;
use network::bandwidth::{self, Bandwidth, Limit};
use network::definition::Pool;
use network::driver::Driver;
use network::namespace::Reference;
use network::pool::Subnet;
use network::state::State;
use network::sysctl::Setting;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What is to be done, and with which state.
#[derive(Debug)]
pub struct Plan {
    /// Where networks and leases are.
    pub state: State,
    /// Folders of CNI plugins that carry networks, if any do.
    pub plugins: Vec<String>,
    /// The network namespace in which it is to be done, instead of ours.
    pub place: Option<Reference>,
    /// What is to be done.
    pub step: Step,
}

/// What is to be done.
#[derive(Debug)]
pub enum Step {
    /// Create a network; print all of it or its id.
    Create {
        /// The network.
        plan: network::network::Plan,
        /// Whether to print all of it.
        json: bool,
        /// Whether one of this name that is there is left as it is.
        ignore: bool,
    },
    /// Remove networks.
    Remove {
        /// Their names.
        names: Vec<String>,
        /// Whether it is fine that one is not there.
        force: bool,
    },
    /// List networks.
    List(Listing),
    /// Show networks.
    Inspect(Vec<String>),
    /// Attach.
    Attach(Box<Wish>),
    /// Attach to a network that a user's program carries.
    AttachUser(network::rootless::Wish),
    /// Detach from it.
    DetachUser {
        /// The network.
        network: String,
        /// The container.
        whose: Whose,
    },
    /// Detach.
    Detach {
        /// The network.
        network: String,
        /// The container.
        whose: Whose,
        /// The interface, or all.
        interface: Option<String>,
    },
    /// Call a container by another name.
    Rename {
        /// The container's id.
        container: String,
        /// The network, or all that it is on.
        network: Option<String>,
        /// Its name.
        name: String,
        /// Its other names, where they change.
        aliases: Option<Vec<String>>,
    },
    /// Publish, unpublish or list ports.
    Publish(crate::publish::Plan),
    /// Name servers.
    Dns(crate::dns::Step),
    /// Something with a network across hosts.
    Overlay(crate::overlay::Step),
    /// Keep networks as they are described.
    Keep(crate::keep::Step),
    /// Serve published ports, written down there.
    Relay(std::path::PathBuf),
    /// Set `lo` up.
    Loopback(Reference),
}

/// How networks are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// For people.
    Table,
    /// One object a line.
    Json,
    /// One name a line.
    Names,
}

/// What the environment says about folders.
#[derive(Debug, Default)]
pub struct Places {
    /// Whether the caller is root.
    pub root: bool,
    /// `VENEER_ROOT`
    pub veneer_root: Option<PathBuf>,
    /// `VENEER_RUN`
    pub veneer_run: Option<PathBuf>,
    /// `XDG_DATA_HOME`, or what it is by default
    pub data_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`
    pub runtime_dir: Option<PathBuf>,
}

impl Places {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self {
            root: rustix::process::geteuid().is_root(),
            veneer_root: var("VENEER_ROOT"),
            veneer_run: var("VENEER_RUN"),
            data_home: var("XDG_DATA_HOME").or_else(|| Some(var("HOME")?.join(".local/share"))),
            runtime_dir: var("XDG_RUNTIME_DIR"),
        }
    }

    /// Where definitions and leases are. Whoever names the root alone keeps all below it, so that two roots never share leases.
    pub(crate) fn state(&self, state: Option<PathBuf>, run: Option<PathBuf>) -> Result<State, Failure> {
        let nowhere = |what: &str| {
            Failure::new(format!("no place for networks: {what} is not set")).hint("name one with --state")
        };
        let named = state.or_else(|| self.veneer_root.clone());
        let run = run.or_else(|| self.veneer_run.clone()).map(|run| run.join("networks"));
        if let Some(root) = named {
            let definitions = root.join("networks");
            let leases = run.unwrap_or_else(|| definitions.join("run"));
            return Ok(State::new(definitions, leases));
        }
        let (data, runtime) = match self.root {
            true => (Some("/var/lib/veneer".into()), Some("/run/veneer".into())),
            false => {
                (self.data_home.as_ref().map(|d| d.join("veneer")), self.runtime_dir.as_ref().map(|d| d.join("veneer")))
            }
        };
        let definitions: PathBuf = data.ok_or_else(|| nowhere("neither XDG_DATA_HOME nor HOME"))?.join("networks");
        let leases = run.or_else(|| runtime.map(|r: PathBuf| r.join("networks")));
        Ok(State::new(definitions.clone(), leases.unwrap_or_else(|| definitions.join("run"))))
    }
}

/// Reads and checks what was typed.
pub fn plan(args: Args, places: &Places) -> Result<Plan, Failure> {
    let state = places.state(args.state, args.run)?;
    let plugins = crate::carried::folders(args.cni_path.as_deref());
    let mut place = None;
    let step = match args.verb {
        Verb::Network(Network { netns, verb }) => {
            place = netns.as_deref().map(reference).transpose()?;
            networks(verb)?
        }
        Verb::Attach(attach) if rootless::is_meant_by(&attach.network) => Step::AttachUser(rootless::wish(*attach)?),
        Verb::Attach(attach) => Step::Attach(Box::new(wish(*attach)?)),
        Verb::Detach(detach) => detachment(detach)?,
        Verb::Rename(rename) => Step::Rename {
            container: container_id(rename.id)?,
            network: rename.network.map(network_name).transpose()?,
            name: crate::dns::host(rename.name)?,
            aliases: match rename.aliases.is_empty() {
                true => None,
                false => Some(rename.aliases.into_iter().map(crate::dns::host).collect::<Result<_, _>>()?),
            },
        },
        Verb::Publish(typed) => Step::Publish(crate::publish::Plan::publish(typed)?),
        Verb::Unpublish(typed) => Step::Publish(crate::publish::Plan::unpublish(typed)?),
        Verb::Dns(verb) => Step::Dns(crate::dns::plan(verb)?),
        Verb::Overlay(verb) => Step::Overlay(crate::overlay::plan(verb)?),
        Verb::Restore => Step::Keep(crate::keep::Step::Restore),
        Verb::Check { json } => Step::Keep(crate::keep::Step::Check(json)),
        Verb::Prune => Step::Keep(crate::keep::Step::Prune),
        Verb::List { json } => Step::Keep(crate::keep::Step::List(json)),
        Verb::Relay { record } => Step::Relay(record),
        Verb::Loopback { netns } => Step::Loopback(reference(&netns)?),
    };
    if let Step::Remove { names, .. } | Step::Inspect(names) = &step {
        for name in names {
            network_name(name.clone())?;
        }
    }
    Ok(Plan { state, plugins, place, step })
}

fn networks(verb: NetworkVerb) -> Result<Step, Failure> {
    Ok(match verb {
        NetworkVerb::Create(create) => {
            Step::Create { json: create.json, ignore: create.ignore, plan: network_plan(*create)? }
        }
        NetworkVerb::Rm { names, force } => Step::Remove { names, force },
        NetworkVerb::Ls { json: true, .. } => Step::List(Listing::Json),
        NetworkVerb::Ls { quiet: true, .. } => Step::List(Listing::Names),
        NetworkVerb::Ls { .. } => Step::List(Listing::Table),
        NetworkVerb::Inspect { names, .. } => Step::Inspect(names),
    })
}

/// Who has an id is found from the outside, so the namespace beside it need not be there, nor be looked at.
fn detachment(detach: Detach) -> Result<Step, Failure> {
    let netns = detach.netns.as_deref().filter(|_| detach.id.is_none());
    let whose = Whose::read("detach", detach.id, netns)?;
    Ok(match rootless::is_meant_by(&detach.network) {
        true => Step::DetachUser { network: detach.network, whose },
        false => Step::Detach { network: network_name(detach.network)?, whose, interface: detach.ifname },
    })
}

fn network_plan(create: Create) -> Result<network::network::Plan, Failure> {
    if let Some(bridge) = &create.bridge {
        network::link::check_name(bridge).map_err(Failure::usage)?;
    }
    let options = pairs("--opt", create.options)?;
    let driver: Driver = create.driver.parse().map_err(|why: String| Failure::usage(why))?;
    network::option::check(driver, &options).map_err(Failure::usage)?;
    let mut subnets = Vec::new();
    for subnet in create.subnets {
        subnets.push(Pool::new(read(&subnet)?, None));
    }
    for gateway in create.gateways {
        let pool = pool_of(&mut subnets, gateway, "--gateway")?;
        if let Some(other) = pool.gateway.replace(gateway) {
            return Err(Failure::usage(format!("two gateways for {}: {other} and {gateway}", pool.subnet)));
        }
    }
    for range in create.ranges {
        let range: Subnet = read(&range)?;
        let pool = pool_of(&mut subnets, range.network(), "--ip-range")?;
        if let Some(other) = pool.range.replace(range) {
            return Err(Failure::usage(format!("two ranges for {}: {other} and {range}", pool.subnet)));
        }
    }
    for (purpose, address) in pairs("--aux-address", create.reserved)? {
        let address = address.parse().map_err(|_| Failure::usage(format!("`{address}` is not an address")))?;
        pool_of(&mut subnets, address, "--aux-address")?.reserved.insert(purpose, address);
    }
    let addresses = match create.ipam_driver.as_str() {
        "default" | "host-local" => true,
        "none" | "null" => false,
        other => return Err(Failure::usage(format!("`{other}` is no IPAM driver: default, none"))),
    };
    let name = network_name(create.name)?;
    Ok(network::network::Plan {
        driver,
        subnets,
        ipv4: create.ipv4.unwrap_or(true),
        ipv6: create.ipv6.unwrap_or(false),
        addresses,
        bridge: create.bridge,
        mtu: create.mtu,
        internal: create.internal,
        dns_servers: create.dns_servers,
        dns_domain: create.dns_domain.map(crate::dns::domain).transpose()?,
        dns: !create.disable_dns && name != network::definition::DEFAULT,
        routes: create.routes.iter().map(|text| read(text)).collect::<Result<_, _>>()?,
        options,
        labels: pairs("--label", create.labels)?,
        name,
    })
}

/// The subnet that `address` is said of.
fn pool_of<'a>(subnets: &'a mut [Pool], address: IpAddr, flag: &str) -> Result<&'a mut Pool, Failure> {
    if subnets.is_empty() {
        return Err(Failure::usage(format!("{flag} {address} without a subnet")).hint("give the --subnet it is in"));
    }
    let all: Vec<String> = subnets.iter().map(|pool| pool.subnet.to_string()).collect();
    let found = subnets.iter_mut().find(|pool| pool.subnet.contains(address));
    found.ok_or_else(|| Failure::usage(format!("{flag} {address} is not in {}", all.join(" or "))))
}

/// `KEY=VALUE` texts; one without `=` has an empty value.
fn pairs(flag: &str, texts: Vec<String>) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for text in texts {
        let (key, value) = text.split_once('=').unwrap_or((&text, ""));
        if key.is_empty() {
            let what = flag.trim_start_matches('-');
            return Err(Failure::usage(format!("{what} `{text}` has no key")).hint(format!("{flag} KEY=VALUE")));
        }
        all.insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

fn read<T: FromStr<Err = String>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(Failure::usage)
}

fn wish(attach: Attach) -> Result<Wish, Failure> {
    if let Some(name) = &attach.ifname {
        network::link::check_name(name).map_err(Failure::usage)?;
    }
    let limits = Bandwidth {
        inward: limit(attach.ingress_rate.as_deref(), attach.ingress_burst.as_deref())?,
        outward: limit(attach.egress_rate.as_deref(), attach.egress_burst.as_deref())?,
    };
    let sysctls = attach.sysctls.iter().map(|text| Setting::parse(text).map_err(Failure::usage));
    Ok(Wish {
        network: network_name(attach.network)?,
        namespace: reference(&attach.netns)?,
        container: container_id(attach.id)?,
        interface: attach.ifname.unwrap_or_default(),
        addresses: attach.addresses,
        mac: attach.mac.as_deref().map(read).transpose()?,
        name: attach.name.map(crate::dns::host).transpose()?,
        aliases: attach.aliases.into_iter().map(crate::dns::host).collect::<Result<_, _>>()?,
        dns: attach.dns,
        routes: attach.routes.iter().map(|text| read(text)).collect::<Result<_, _>>()?,
        bandwidth: Some(limits).filter(|limits| !limits.is_none()),
        sysctls: sysctls.collect::<Result<_, _>>()?,
        ports: crate::publish::specs(&attach.ports)?,
    })
}

fn limit(rate: Option<&str>, burst: Option<&str>) -> Result<Option<Limit>, Failure> {
    let Some(rate) = rate else { return Ok(None) };
    let rate_bits = bandwidth::parse_rate(rate).map_err(Failure::usage)?;
    let burst_bits = burst.map(bandwidth::parse_burst).transpose().map_err(Failure::usage)?;
    Ok(Some(Limit { rate_bits, burst_bits }))
}

/// What is no network of ours wherever networks are named, and what to do instead.
const ELSEWHERE: [(&str, &str); 3] = [
    (
        "host",
        "a container that shares this machine's network needs no wire: run it without a network namespace of its own",
    ),
    ("none", "a container without a network needs no wire; netwire loopback --netns NETNS sets its lo up"),
    ("container", "to share another container's network run this one in that namespace: nsrun --net=/proc/PID/ns/net"),
];

pub(crate) fn network_name(name: String) -> Result<String, Failure> {
    network::definition::check_name(&name).map_err(|why| {
        let word = name.split(':').next().unwrap_or_default();
        match ELSEWHERE.iter().find(|(other, _)| *other == word) {
            Some((_, hint)) => Failure::usage(why).hint(*hint),
            None => Failure::usage(why),
        }
    })?;
    Ok(name)
}

pub(crate) fn reference(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(Failure::usage)
}

pub(crate) fn container_id(id: String) -> Result<String, Failure> {
    if id.is_empty() || id.len() > 256 || id.contains(char::is_control) {
        return Err(Failure::usage("a container's id is 1 to 256 characters, none of them a control character"));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::{Places, plan};
    use crate::cli::Args;
    use clap::Parser;

    fn planned(line: &str, places: &Places) -> Result<super::Plan, cli::Failure> {
        plan(Args::try_parse_from(line.split(' ')).unwrap(), places)
    }

    #[test]
    fn folders() {
        let at = |line: &str, places: &Places| {
            let state = planned(line, places).unwrap().state;
            format!("{} {}", state.definition_path("x").display(), state.lease_path("x").display())
        };
        let ls = "netwire network ls";
        let root = Places { root: true, ..Places::default() };
        assert_eq!(at(ls, &root), "/var/lib/veneer/networks/x.json /run/veneer/networks/x.json");
        let named = Places { veneer_root: Some("/r".into()), ..root };
        assert_eq!(at(ls, &named), "/r/networks/x.json /r/networks/run/x.json");
        assert_eq!(at("netwire --state /s network ls", &named), "/s/networks/x.json /s/networks/run/x.json");
        assert_eq!(at("netwire network ls --run /n", &named), "/r/networks/x.json /n/networks/x.json");
        let user = Places { data_home: Some("/d".into()), runtime_dir: Some("/u".into()), ..Places::default() };
        assert_eq!(at(ls, &user), "/d/veneer/networks/x.json /u/veneer/networks/x.json");
        assert!(planned(ls, &Places::default()).unwrap_err().message.contains("no place"));
    }

    #[test]
    fn wrong_values_are_usage_errors() {
        let places = Places { root: true, ..Places::default() };
        for (line, text) in [
            ("netwire network create host", "`host` cannot be the name of a network"),
            ("netwire network create a --subnet 10.0.0.1/8", "has host bits set"),
            ("netwire network create a --label =x", "has no key"),
            ("netwire network rm ../x", "cannot be the name of a network"),
            ("netwire attach --network a --netns c --id x --ifname a/b", "cannot be the name of an interface"),
            ("netwire attach --network a --netns c --id x --mac 1", "is not a hardware address"),
            ("netwire attach --network a --netns .. --id x", "neither a path"),
            ("netwire publish --netns .. 80", "neither a path"),
            ("netwire publish 80", "publish: which container is missing"),
            ("netwire unpublish", "unpublish: which container is missing"),
            ("netwire detach --network a", "detach: which container is missing"),
        ] {
            let failure = planned(line, &places).unwrap_err();
            assert_eq!(failure.code, cli::exit::USAGE, "{line}");
            assert!(failure.message.contains(text), "{line}: {}", failure.message);
        }
    }
}
