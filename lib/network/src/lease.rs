//! Who has which address of a network.
//!
//! One small file a network, below the run folder. It names the boot it was written in and means nothing in another one:
//! after a reboot there are no containers. What died without a word is collected when there are many leases, when the
//! subnet is full or when its address is asked for; so the usual attach costs the same however many there are.

use crate::bandwidth::{self, Bandwidth};
use crate::definition::{Definition, Pool};
use crate::driver::Driver;
use crate::error::{Error, Kind, Result};
use crate::link::{self, Link};
use crate::mac::Mac;
use crate::namespace::Identity;
use crate::pool;
use crate::route::Via;
use crate::socket::Socket;
use crate::state::{self, Durability, State};
use crate::sysctl::Setting;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// Below this many leases nobody looks for dead ones.
const COLLECT_AT: usize = 64;
/// How much of a long id people type.
const SHORT_ID: usize = 12;
/// The answers to so many questions fit into a socket's buffer.
const ASKED_AT_ONCE: usize = 32;

/// A container's interface and the addresses it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The container's id.
    pub container: String,
    /// The interface inside.
    pub interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses; none in a network without subnets.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The end of it outside; empty for kinds that have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outer: String,
    /// The container's network namespace.
    pub namespace: Identity,
    /// The number of the network namespace that `outer` is in.
    pub caller: u64,
    /// Who attaches it: while that lives, the link may be still to come.
    pub attacher: Process,
    /// It was detached, and its link is being deleted; until then it holds its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// The container's name among those on the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its other names there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The name servers it is to be asked for; those of the network where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// Routes of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Via>,
    /// How much may go in and out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// What is written below `/proc/sys/net` inside; `IFNAME` stands for the interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sysctls: Vec<Setting>,
}

impl Lease {
    /// What the container is called on the network: its name, or its id where it has none, then its other names.
    pub fn names(&self) -> Vec<String> {
        names(self.name.as_deref(), &self.aliases, &self.container)
    }

    /// Whether both are of one attachment: what a container is called may change while it is attached.
    fn is_of_the_same(&self, other: &Self) -> bool {
        let key = |lease: &Self| (lease.attacher, lease.caller, lease.namespace.inode);
        key(self) == key(other)
            && self.outer == other.outer
            && self.container == other.container
            && self.interface == other.interface
    }
}

/// A container's names in their order.
pub(crate) fn names(name: Option<&str>, aliases: &[String], container: &str) -> Vec<String> {
    let first = name.unwrap_or_else(|| short(container));
    std::iter::once(first).chain(aliases.iter().map(String::as_str)).map(str::to_owned).collect()
}

/// An id as people type it.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// How a lease ends: see [`crate::attach`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The number of the link that is deleted.
    pub link: u32,
    /// Who deletes it.
    pub by: Process,
}

/// A process, told from later ones with the same id by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// When it started, in clock ticks after boot.
    pub start: u64,
}

impl Process {
    /// The calling one.
    pub fn own() -> Self {
        let id = std::process::id();
        Self { id, start: start_of(id).unwrap_or(0) }
    }

    /// The one whose id is `id` now.
    pub fn of(id: u32) -> Option<Self> {
        start_of(id).map(|start| Self { id, start })
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        start_of(self.id) == Some(self.start)
    }
}

/// Field 22 of `/proc/PID/stat`; the name in field 2 may hold anything, even `)`. `None` also for a zombie.
fn start_of(process: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// All leases of one network. Whoever changes it holds the network's lock.
#[derive(Debug, Serialize, Deserialize)]
pub struct Book {
    boot: String,
    collect_at: usize,
    /// The network's id, by which its links are known when its definition is lost.
    #[serde(default)]
    network: String,
    leases: Leases,
    #[serde(skip)]
    path: PathBuf,
}

/// In the order of their addresses; written as a list. A netwire of before wrote a lease under its one address.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(from = "Written")]
struct Leases(Vec<Lease>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Now(Vec<Lease>),
    Before(BTreeMap<IpAddr, Lease>),
}

impl From<Written> for Leases {
    fn from(written: Written) -> Self {
        match written {
            Written::Now(leases) => Self(leases),
            Written::Before(leases) => {
                Self(leases.into_iter().map(|(address, lease)| Lease { addresses: vec![address], ..lease }).collect())
            }
        }
    }
}

impl Book {
    /// The leases of `network`; none where they were written in another boot.
    pub fn load(state: &State, network: &str) -> Result<Self> {
        let path = state.lease_path(network);
        let boot = boot_id();
        let empty = Self {
            boot: boot.clone(),
            collect_at: COLLECT_AT,
            leases: Leases::default(),
            network: String::new(),
            path: path.clone(),
        };
        let Some(bytes) = state::load(&path)?.filter(|bytes| !bytes.is_empty()) else { return Ok(empty) };
        let book: Self = serde_json::from_slice(&bytes).map_err(|e| state::damaged(&path, e))?;
        Ok(if book.boot == boot { Self { path, ..book } } else { empty })
    }

    /// The id of the network they are of, where it is known.
    pub fn network_id(&self) -> &str {
        &self.network
    }

    /// Says which network they are of; written down with them.
    pub(crate) fn set_network(&mut self, id: &str) {
        id.clone_into(&mut self.network);
    }

    /// Writes them down.
    pub fn store(&self) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| state::damaged(&self.path, e))?;
        state::replace_locked(&self.path, &bytes, Durability::Run)
    }

    /// Those of interfaces that are attached, by address.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.entries().filter(|lease| lease.leaving.is_none())
    }

    /// Those of interfaces that were detached and are not gone yet.
    pub fn leaving(&self) -> impl Iterator<Item = &Lease> {
        self.entries().filter(|lease| lease.leaving.is_some())
    }

    /// Both.
    pub fn entries(&self) -> impl Iterator<Item = &Lease> {
        self.leases.0.iter()
    }

    /// Whether there are none, also none that leave.
    pub fn is_empty(&self) -> bool {
        self.leases.0.is_empty()
    }

    /// The lease of the container's interface, when that is attached.
    pub fn find(&self, container: &str, interface: &str) -> Option<&Lease> {
        self.entry(container, interface).filter(|lease| lease.leaving.is_none())
    }

    /// The lease of the container's interface, also when that leaves.
    pub fn entry(&self, container: &str, interface: &str) -> Option<&Lease> {
        self.entries().find(|lease| lease.container == container && lease.interface == interface)
    }

    /// The lease that holds `address`.
    pub fn holder(&self, address: IpAddr) -> Option<&Lease> {
        self.entries().find(|lease| lease.addresses.contains(&address))
    }

    /// Gives the addresses of the container's interface back.
    pub fn release(&mut self, container: &str, interface: &str) -> Option<Lease> {
        let at = self.leases.0.iter().position(|lease| lease.container == container && lease.interface == interface)?;
        Some(self.leases.0.remove(at))
    }

    /// The same, if they are still those of the attachment that `lease` is of. Whether they were.
    pub fn give_back(&mut self, lease: &Lease) -> bool {
        let entry = self.entry(&lease.container, &lease.interface);
        entry.is_some_and(|entry| entry.is_of_the_same(lease))
            && self.release(&lease.container, &lease.interface).is_some()
    }

    /// What `lease`, which leaves, held is free for the same interface attached anew; its link is not forgotten.
    pub fn step_aside(&mut self, lease: &Lease) {
        let link = lease.leaving.map_or(0, |exit| exit.link);
        if let Some(mut aside) = self.release(&lease.container, &lease.interface) {
            aside.interface = format!("{}~{link}", aside.interface);
            aside.addresses.clear();
            self.enter(aside);
        }
    }

    /// Drops the lease that leaves by the link with number `link` of the namespace with number `caller`.
    pub fn left(&mut self, caller: u64, link: u32) -> bool {
        let before = self.leases.0.len();
        self.leases.0.retain(|lease| lease.caller != caller || lease.leaving.is_none_or(|exit| exit.link != link));
        self.leases.0.len() != before
    }

    /// Writes `lease` in, in place of what the container's interface had. Its addresses are free.
    pub fn enter(&mut self, lease: Lease) {
        self.release(&lease.container, &lease.interface);
        let at = self.leases.0.partition_point(|other| other.addresses <= lease.addresses);
        self.leases.0.insert(at, lease);
    }

    /// Addresses for an interface: those of `wanted`, if they are free, and the lowest free one of each family of which
    /// none is wanted. A further subnet of a family is used when those before it are full.
    pub fn choose(
        &mut self,
        definition: &Definition,
        wanted: &[IpAddr],
        own: u64,
        socket: &mut Socket,
    ) -> Result<Vec<IpAddr>> {
        if self.leases.0.len() >= self.collect_at {
            self.collect(own, socket)?;
            self.collect_at = COLLECT_AT.max(self.leases.0.len() * 2);
        }
        let mut chosen = Vec::new();
        for address in wanted {
            check(definition, *address)?;
            if self.holder(*address).is_some() {
                self.collect(own, socket)?;
            }
            if let Some(lease) = self.holder(*address) {
                return Err(Error::new(Kind::InUse, OP, &definition.name)
                    .because(format!("{address} is in use by {}", lease.container))
                    .hint("choose another address, or detach that container first"));
            }
            chosen.push(*address);
        }
        for v6 in [false, true] {
            let pools: Vec<&Pool> = definition.subnets.iter().filter(|pool| pool.subnet.is_v6() == v6).collect();
            if pools.is_empty() || wanted.iter().any(|address| address.is_ipv6() == v6) {
                continue;
            }
            let mut found = self.lowest(&pools);
            if found.is_none() {
                self.collect(own, socket)?;
                found = self.lowest(&pools);
            }
            chosen.push(found.ok_or_else(|| exhausted(definition, &pools))?);
        }
        chosen.sort_unstable();
        Ok(chosen)
    }

    /// The lowest free address of the first of `pools` that has one.
    fn lowest(&self, pools: &[&Pool]) -> Option<IpAddr> {
        let taken: BTreeSet<IpAddr> = self.entries().flat_map(|lease| lease.addresses.iter().copied()).collect();
        pools.iter().find_map(|pool| {
            let mut held = taken.iter().copied().skip_while(|address| *address < pool.first()).peekable();
            pool.addresses().find(|address| {
                while held.next_if(|taken| taken < address).is_some() {}
                held.peek() != Some(address) && pool.special(*address).is_none()
            })
        })
    }

    /// Forgets leases whose container is gone. `own` is the number of the calling thread's network namespace.
    ///
    /// Whether somebody is still at work is looked at first: who is not, has made the link that is looked for then. And a
    /// link is asked for by its name, since the list of all may lack one while others come and go.
    pub fn collect(&mut self, own: u64, socket: &mut Socket) -> Result<()> {
        let at_work = |lease: &Lease| lease.leaving.map_or(lease.attacher, |exit| exit.by).is_alive();
        let idle: Vec<&Lease> = self.entries().filter(|lease| !at_work(lease)).collect();
        let mut dead = Vec::new();
        for some in idle.chunks(ASKED_AT_ONCE) {
            let here: Vec<_> = some.iter().filter(|lease| lease.caller == own && !lease.outer.is_empty()).collect();
            let answers = socket.transact(&here.iter().map(|lease| link::get(&lease.outer)).collect::<Vec<_>>())?;
            for (lease, answer) in here.iter().zip(answers) {
                let number = match answer {
                    Ok(messages) => messages.iter().find_map(Link::read).map(|link| link.index),
                    Err(refusal) if refusal.errno == libc::ENODEV => None,
                    Err(refusal) => return Err(crate::error::refused("find interface", &lease.outer, refusal)),
                };
                if number.is_none() || lease.leaving.is_some_and(|exit| number != Some(exit.link)) {
                    dead.push((lease.container.clone(), lease.interface.clone()));
                }
            }
            let elsewhere = some.iter().filter(|lease| lease.caller != own || lease.outer.is_empty());
            let gone = elsewhere.filter(|lease| match lease.outer.as_str() {
                "" => !Driver::is_plugged(lease),
                _ => !lease.namespace.is_there(),
            });
            dead.extend(gone.map(|lease| (lease.container.clone(), lease.interface.clone())));
        }
        // The kernel takes a dead container's links away, but not what limited them.
        let released = dead.iter().filter_map(|(container, interface)| self.release(container, interface));
        let limited = released.filter(|lease| lease.caller == own && lease.bandwidth.is_some());
        let forgotten: Vec<_> = limited.map(|lease| bandwidth::forget(&lease.outer)).collect();
        if !forgotten.is_empty() {
            socket.transact(&forgotten)?;
        }
        Ok(())
    }
}

const OP: &str = "take an address of network";

/// Why nobody can be given `address`, whoever has what, if so.
fn check(definition: &Definition, address: IpAddr) -> Result<()> {
    let wrong = |why: String| Err(Error::new(Kind::Invalid, OP, &definition.name).because(why));
    let Some(pool) = definition.pool_of(address) else {
        let subnets: Vec<String> = definition.subnets.iter().map(|pool| pool.subnet.to_string()).collect();
        return match subnets.len() {
            0 => wrong("it has no subnet".into()),
            1 => wrong(format!("{address} is not in its subnet {}", subnets[0])),
            _ => wrong(format!("{address} is in none of its subnets {}", subnets.join(", "))),
        };
    };
    let subnet = pool.subnet;
    if !subnet.is_host(address) {
        let special = if subnet.is_v6() { "the first of" } else { "the first and the last of" };
        return wrong(format!("{address} is no interface's address: {special} {subnet} is special"));
    }
    match pool.special(address) {
        None => Ok(()),
        Some(purpose) => Err(Error::new(Kind::InUse, OP, &definition.name).because(format!("{address} is {purpose}"))),
    }
}

fn exhausted(definition: &Definition, pools: &[&Pool]) -> Error {
    let all: Vec<String> = pools.iter().map(|pool| pool.range.unwrap_or(pool.subnet).to_string()).collect();
    let what = if pools.iter().any(|pool| pool.range.is_some()) { "--ip-range" } else { "--subnet" };
    Error::new(Kind::Full, OP, &definition.name)
        .because(format!("all addresses of {} are in use", all.join(" and ")))
        .hint(format!("detach containers, or create a network with a larger {what}"))
}

impl Pool {
    /// The lowest address that is given to who asked for none.
    fn first(&self) -> IpAddr {
        self.range.unwrap_or(self.subnet).network()
    }

    /// All of those.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let range = self.range.unwrap_or(self.subnet);
        let all = std::iter::successors(Some(range.network()), |address| pool::following(*address));
        all.take_while(move |address| range.contains(*address)).filter(|address| self.subnet.is_host(*address))
    }

    /// What `address` is for, if no container can have it.
    fn special(&self, address: IpAddr) -> Option<String> {
        if self.gateway == Some(address) {
            return Some("its gateway".into());
        }
        let (purpose, _) = self.reserved.iter().find(|(_, reserved)| **reserved == address)?;
        Some(format!("reserved for {purpose}"))
    }
}

/// This boot of the machine.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Book, Lease, Process};
    use crate::bandwidth::{Bandwidth, Limit};
    use crate::definition::{Definition, Pool};
    use crate::driver::Driver;
    use crate::mac::Mac;
    use crate::namespace::Identity;
    use crate::socket::Socket;
    use crate::state::State;
    use crate::sysctl::Setting;
    use std::net::IpAddr;

    pub(crate) fn lease(container: &str, addresses: &[&str]) -> Lease {
        Lease {
            container: container.into(),
            interface: "eth0".into(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            addresses: addresses.iter().map(|text| ip(text)).collect(),
            outer: "veth0".into(),
            namespace: Identity { path: "/none".into(), inode: 1 },
            caller: 1,
            attacher: Process::own(),
            leaving: None,
            name: Some("web".into()),
            aliases: vec!["www".into()],
            dns: Vec::new(),
            routes: Vec::new(),
            bandwidth: Some(Bandwidth { inward: Some(Limit { rate_bits: 8, burst_bits: None }), outward: None }),
            sysctls: vec![Setting::parse("net.ipv4.conf.IFNAME.forwarding=0").unwrap()],
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn folder(name: &str) -> (State, std::path::PathBuf) {
        let folder = std::env::temp_dir().join(format!("lease-test-{name}-{}", std::process::id()));
        (State::new("/nonexistent".into(), folder.clone()), folder)
    }

    #[test]
    fn what_is_written_is_read_and_another_boot_forgets() {
        let (state, folder) = folder("boot");
        let mut book = Book::load(&state, "web").unwrap();
        book.enter(lease("c1", &["10.0.0.2", "fd00::2"]));
        book.store().unwrap();
        let again = Book::load(&state, "web").unwrap();
        assert_eq!(again.find("c1", "eth0"), Some(&lease("c1", &["10.0.0.2", "fd00::2"])));
        assert!(again.find("c1", "eth1").is_none());
        let text = std::fs::read_to_string(state.lease_path("web")).unwrap();
        std::fs::write(state.lease_path("web"), text.replacen("\"boot\":\"", "\"boot\":\"x", 1)).unwrap();
        assert!(Book::load(&state, "web").unwrap().is_empty());
        std::fs::write(state.lease_path("web"), "{").unwrap();
        assert!(Book::load(&state, "web").unwrap_err().hint.is_some());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_book_of_before_is_read() {
        let (state, folder) = folder("before");
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            r#"{{"boot":"{}","collect_at":64,"leases":{{"10.0.0.9":{{"container":"c1","interface":"eth0",
            "mac":"02:42:0a:00:00:09","outer":"veth0","namespace":{{"path":"/n","inode":1}},"caller":1,
            "attacher":{{"id":1,"start":0}}}}}}}}"#,
            super::boot_id()
        );
        std::fs::write(state.lease_path("web"), text).unwrap();
        let book = Book::load(&state, "web").unwrap();
        assert_eq!(book.holder(ip("10.0.0.9")).unwrap().container, "c1");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn addresses_are_given_by_family_range_and_reservation() {
        let (state, _) = folder("choice");
        let mut book = Book::load(&state, "web").unwrap();
        let mut socket = Socket::open_route().unwrap();
        let mut first = Pool::new("10.0.0.0/29".parse().unwrap(), Some(ip("10.0.0.1")));
        first.range = Some("10.0.0.0/30".parse().unwrap());
        first.reserved.insert("router".into(), ip("10.0.0.2"));
        let second = Pool::new("10.1.0.0/30".parse().unwrap(), Some(ip("10.1.0.1")));
        let six = Pool::new("fd00::/64".parse().unwrap(), Some(ip("fd00::1")));
        let web = Definition::new("web", Driver::Bridge, vec![first, six, second]).unwrap();
        let mut choose = |book: &mut Book, wanted: &[&str]| {
            let wanted: Vec<IpAddr> = wanted.iter().map(|text| ip(text)).collect();
            let chosen = book.choose(&web, &wanted, 1, &mut socket).map_err(|e| e.to_string())?;
            Ok::<_, String>(chosen.iter().map(IpAddr::to_string).collect::<Vec<_>>())
        };
        assert_eq!(choose(&mut book, &[]).unwrap(), ["10.0.0.3", "fd00::2"]);
        book.enter(lease("c1", &["10.0.0.3", "fd00::2"]));
        assert_eq!(choose(&mut book, &[]).unwrap(), ["10.1.0.2", "fd00::3"], "the range of the first subnet is full");
        assert_eq!(choose(&mut book, &["10.0.0.6"]).unwrap(), ["10.0.0.6", "fd00::3"], "static, outside of the range");
        assert_eq!(choose(&mut book, &["10.0.0.6", "fd00::9"]).unwrap(), ["10.0.0.6", "fd00::9"]);
        for (address, why) in [
            ("10.0.0.2", "10.0.0.2 is reserved for router"),
            ("10.0.0.3", "10.0.0.3 is in use by c1"),
            ("10.1.0.1", "10.1.0.1 is its gateway"),
            ("fd00::", "fd00:: is no interface's address: the first of fd00::/64 is special"),
            ("10.9.0.1", "10.9.0.1 is in none of its subnets 10.0.0.0/29, fd00::/64, 10.1.0.0/30"),
        ] {
            let message = choose(&mut book, &[address]).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
        book.enter(lease("c2", &["10.1.0.2", "fd00::3"]));
        let message = choose(&mut book, &[]).unwrap_err();
        assert!(message.contains("all addresses of 10.0.0.0/30 and 10.1.0.0/30 are in use"), "{message}");
        book.release("c1", "eth0").unwrap();
        assert_eq!(choose(&mut book, &[]).unwrap(), ["10.0.0.3", "fd00::2"], "what was given back is given again");
    }

    #[test]
    fn processes_are_told_apart_by_their_start() {
        let own = Process::own();
        assert!(own.is_alive());
        assert!(!Process { start: own.start + 1, ..own }.is_alive());
        assert!(!Process { id: u32::MAX, start: 0 }.is_alive());
    }
}
