//! A network without root: a program of the user's carries the packets between a tap interface in the container's namespace
//! and plain sockets in the caller's. It is passt's `pasta` (passt(1)) or `slirp4netns`(1), whichever is there.
//!
//! ```text
//!   container's namespace        pasta or slirp4netns (a process of the user's)      the caller's namespace
//!   ┌─────────────────────┐      ┌───────────────────────────────────────────┐
//!   │ eth0 10.0.2.100/24  ├─ tap ┤ ends connections, opens others; ports that ├─ sockets, as any program has them
//!   │ default via .2.2    │      │ are published are sockets it listens on    │
//!   └─────────────────────┘      └───────────────────────────────────────────┘
//!            ▲ keeper: a fork of netwire that ends the program with the container
//! ```
//!
//! Neither program ends by itself when a namespace has no process any more: its own handle keeps the namespace. So each has
//! a keeper ([`keeper`]), which waits for what the container ends with and then ends the program. What is known of both is in
//! one file a container ([`record`]), written before anything is started; processes in it are told by id and start time.
//!
//! The words of [`USER`] networks are the same as of bridges: attach (which may be repeated), detach (twice is fine).

pub mod forward;
pub mod keeper;
pub mod pasta;
pub mod record;
pub mod slirp;

use crate::attach::INTERFACE;
use crate::error::{Error, Kind, Result};
use crate::link;
use crate::namespace::{Identity, Namespace, Reference};
use crate::naming;
use crate::state::State;
use forward::{Forward, Listening};
use record::Record;
use serde::{Deserialize, Serialize};
use spec::published::Published as Spec;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// The name of the network that is carried by whichever program is there; [`Program::name`]s name one.
pub const USER: &str = "user";
/// The container's addresses, those of what is said to be its gateway, and of its name server: the same in every container,
/// since nobody but the container sees them.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
/// See [`ADDRESS`].
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// See [`ADDRESS`]. Questions to it go to the first name server of the caller.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// See [`ADDRESS`].
pub const ADDRESS_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
/// See [`ADDRESS`].
pub const GATEWAY_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
/// The largest packet in bytes: no wire limits it.
pub const MTU: u32 = 65520;

const ATTACH: &str = "attach to network";

/// A program that carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// `pasta`: both families, the real source addresses, quick; needs a default route in the caller's namespace.
    Pasta,
    /// `slirp4netns`: also where there is no way out.
    Slirp4netns,
}

impl Program {
    /// All, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Pasta, Self::Slirp4netns];

    /// The executable's name, and the name of the network that is carried by it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }

    fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let is_program =
            |file: &PathBuf| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file();
        std::env::split_paths(&path).map(|folder| folder.join(self.name())).find(is_program)
    }
}

/// Whether the name `network` means a network of a user's program: these names are no network's.
pub fn is_meant_by(network: &str) -> bool {
    network == USER || Program::ALL.iter().any(|program| program.name() == network)
}

/// What is to be attached, and where.
#[derive(Debug, Clone)]
pub struct Wish {
    /// [`USER`] or a program's name.
    pub network: String,
    /// The container's network namespace.
    pub namespace: Reference,
    /// The container's id.
    pub container: String,
    /// The interface's name inside; empty for the first that is free.
    pub interface: String,
    /// Ports that are to lead into it.
    pub ports: Vec<Spec>,
    /// Whether standard input is what the container ends with: the other end of a pipe that somebody holds.
    pub alive: bool,
}

/// What was attached; printed as one line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// Which program carries it.
    pub driver: Program,
    /// The interface inside.
    pub interface: String,
    /// Its addresses with the subnet's prefix.
    pub addresses: Vec<String>,
    /// The first of the gateways.
    pub gateway: IpAddr,
    /// Where the default routes go, one a family.
    pub gateways: Vec<IpAddr>,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The name server inside.
    pub dns: Vec<IpAddr>,
    /// The ports of the caller's that lead there; left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Listening>,
    /// What could not be done and is no reason to fail; one line each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Attaches a container's namespace. The calling process must have one thread: it forks the keeper.
pub fn attach(state: &State, wish: &Wish) -> Result<Attachment> {
    if !wish.interface.is_empty() {
        let wrong = |why: String| Error::new(Kind::Invalid, ATTACH, &wish.network).because(why);
        link::check_name(&wish.interface).map_err(wrong)?;
    }
    let inside = Namespace::open(&wish.namespace)?;
    let own = Namespace::own()?.identity().inode;
    if inside.identity().inode == own {
        return Err(Error::new(Kind::Invalid, ATTACH, &wish.network)
            .because(format!("{} is the caller's own network namespace", inside.identity().path.display()))
            .hint("give the namespace of the container; `unshare -n` or `ip netns add` makes one"));
    }
    let candidates = candidates(&wish.network)?;
    let mut record = match record::claim(state, wish, inside.identity().clone())? {
        record::Claim::Standing(attachment) => return Ok(attachment),
        record::Claim::Ours(record) => record,
    };
    let done = forward::choose(&wish.ports).and_then(|ports| {
        let wish = named(wish, &inside)?;
        first_that_works(&candidates, &wish, &ports, inside.identity(), &mut record)
    });
    if done.is_err() {
        let _ = record.forget();
    }
    done
}

/// The wish with the interface's name, where it has none. Who may not look into the namespace has no other network in it.
fn named<'a>(wish: &'a Wish, inside: &Namespace) -> Result<Cow<'a, Wish>> {
    if !wish.interface.is_empty() {
        return Ok(Cow::Borrowed(wish));
    }
    let interface = match inside.route_socket() {
        Err(e) if e.kind == Kind::NotPermitted => INTERFACE.to_owned(),
        inner => naming::free(naming::PREFIX, &mut inner?)?,
    };
    Ok(Cow::Owned(Wish { interface, ..wish.clone() }))
}

/// Ends what carries the container's packets, and forgets it. That there is nothing is fine.
pub fn detach(state: &State, container: &str) -> Result<()> {
    record::end(state, container)
}

/// All containers with a network of this kind whose program lives.
pub fn list(state: &State) -> Result<Vec<Record>> {
    Ok(record::all(state)?.into_iter().filter(Record::is_alive).collect())
}

/// Ends and forgets what belongs to nobody any more: records whose keeper is dead. Gives the containers' ids.
pub fn prune(state: &State) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for record in record::all(state)?.into_iter().filter(|record| !record.is_kept()) {
        record::end(state, &record.container)?;
        gone.push(record.container);
    }
    Ok(gone)
}

type Candidate = (Program, PathBuf);

/// The programs that can carry `network`, the best first.
fn candidates(network: &str) -> Result<Vec<Candidate>> {
    let wanted = |program: &Program| network == USER || program.name() == network;
    let found: Vec<Candidate> =
        Program::ALL.into_iter().filter(wanted).filter_map(|program| Some((program, program.find()?))).collect();
    if found.is_empty() {
        let missing =
            if network == USER { "neither pasta nor slirp4netns is installed" } else { "it is not installed" };
        return Err(Error::new(Kind::Unsupported, ATTACH, network)
            .because(missing)
            .hint("install passt or slirp4netns; as root the network bridge needs neither"));
    }
    Ok(found)
}

/// Starts the first of `candidates` that comes up. What kept an earlier one from it is a warning.
fn first_that_works(
    candidates: &[Candidate],
    wish: &Wish,
    ports: &[Forward],
    inside: &Identity,
    record: &mut Record,
) -> Result<Attachment> {
    let mut failed: Option<Error> = None;
    for (program, path) in candidates {
        let routes = Routes::of_this_namespace();
        if *program == Program::Pasta && !routes.any() && candidates.len() > 1 {
            // It takes its bearings from the default route.
            continue;
        }
        let job = keeper::Job { program: *program, path: path.clone(), routes, wish, ports, inside };
        match keeper::start(&job, record) {
            Ok(attachment) => return Ok(attachment),
            Err(error) => failed = Some(error),
        }
    }
    let error =
        failed.unwrap_or_else(|| Error::new(Kind::Unsupported, ATTACH, &wish.network).because("no program is left"));
    // Both make a tap interface, and say little of why they cannot.
    match std::fs::File::options().read(true).write(true).open("/dev/net/tun") {
        Err(e) if error.hint.is_none() => {
            let why = Error::new(Kind::NotPermitted, "open", "/dev/net/tun").because(e);
            Err(error.hint(format!("{why}: it must be there and open to you")))
        }
        _ => Err(error),
    }
}

/// The families that have a default route in the caller's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routes {
    /// IPv4
    pub four: bool,
    /// IPv6
    pub six: bool,
}

impl Routes {
    fn of_this_namespace() -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        Self { four: has_default(&read("route")), six: has_default_6(&read("ipv6_route")) }
    }

    fn any(self) -> bool {
        self.four || self.six
    }
}

/// `/proc/net/route`: interface, destination, gateway, flags, …, mask; all in hexadecimal.
fn has_default(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    })
}

/// `/proc/net/ipv6_route`: destination, its prefix, source, its prefix, next hop, metric, …, interface. The kernel's own
/// `::/0` that refuses everything is on `lo`.
fn has_default_6(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.first().is_some_and(|d| d.bytes().all(|b| b == b'0'))
            && fields.get(1) == Some(&"00")
            && fields.last() != Some(&"lo")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        assert!(!has_default(table));
        assert!(!has_default(&format!("{table}eth0\t0011000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")));
        assert!(has_default(&format!("{table}eth0\t00000000\t0111000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")));
        let zero = "0".repeat(32);
        let line = |next: &str, on: &str| {
            format!("{zero} 00 {zero} 00 {next} ffffffff 00000001 00000000 00200200       {on}\n")
        };
        assert!(!has_default_6(&line(&zero, "lo")));
        assert!(has_default_6(&line("fd990000000000000000000000000002", "eth0")));
    }

    #[test]
    fn names() {
        assert!(["user", "pasta", "slirp4netns"].into_iter().all(is_meant_by));
        assert!(!is_meant_by("bridge"));
    }
}
