//! Who has which address of a network.
//!
//! One small file a network, below the run folder. It names the boot it was written in and means nothing in another one:
//! after a reboot there are no containers. What died without a word is collected when there are many leases, when the
//! subnet is full or when its address is asked for; so the usual attach costs the same however many there are.

use crate::definition::Definition;
use crate::error::{Error, Kind, Result};
use crate::link::{self, Link};
use crate::mac::Mac;
use crate::namespace::Identity;
use crate::socket::Socket;
use crate::state::{self, Durability, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// Below this many leases nobody looks for dead ones.
const COLLECT_AT: usize = 64;

/// An address that a container's interface has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The container's id.
    pub container: String,
    /// The interface inside.
    pub interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// The end of the veth pair outside.
    pub outer: String,
    /// The container's network namespace.
    pub namespace: Identity,
    /// The number of the network namespace that `outer` is in.
    pub caller: u64,
    /// Who attaches it: while that lives, the link may be still to come.
    pub attacher: Process,
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
    leases: BTreeMap<IpAddr, Lease>,
    #[serde(skip)]
    path: PathBuf,
}

impl Book {
    /// The leases of `network`; none where they were written in another boot.
    pub fn load(state: &State, network: &str) -> Result<Self> {
        let path = state.lease_path(network);
        let boot = boot_id();
        let empty = Self { boot: boot.clone(), collect_at: COLLECT_AT, leases: BTreeMap::new(), path: path.clone() };
        let Some(bytes) = state::load(&path)?.filter(|bytes| !bytes.is_empty()) else { return Ok(empty) };
        let book: Self = serde_json::from_slice(&bytes).map_err(|e| state::damaged(&path, e))?;
        Ok(if book.boot == boot { Self { path, ..book } } else { empty })
    }

    /// Writes them down.
    pub fn store(&self) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| state::damaged(&self.path, e))?;
        state::replace(&self.path, &bytes, Durability::Run)
    }

    /// All of them, by address.
    pub fn leases(&self) -> impl Iterator<Item = (IpAddr, &Lease)> {
        self.leases.iter().map(|(address, lease)| (*address, lease))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The lease of the container's interface.
    pub fn find(&self, container: &str, interface: &str) -> Option<(IpAddr, &Lease)> {
        self.leases().find(|(_, lease)| lease.container == container && lease.interface == interface)
    }

    /// Gives `address` back.
    pub fn release(&mut self, address: IpAddr) -> Option<Lease> {
        self.leases.remove(&address)
    }

    /// Writes `lease` in under `address`, which is free.
    pub fn enter(&mut self, address: IpAddr, lease: Lease) {
        self.leases.insert(address, lease);
    }

    /// The lowest free address of the network, or `wanted` if that is free.
    pub fn choose(
        &mut self,
        definition: &Definition,
        wanted: Option<IpAddr>,
        own: u64,
        socket: &mut Socket,
    ) -> Result<IpAddr> {
        const OP: &str = "take an address of network";
        if self.leases.len() >= self.collect_at {
            self.collect(own, socket)?;
            self.collect_at = COLLECT_AT.max(self.leases.len() * 2);
        }
        let subnet = definition.subnet;
        if let Some(wanted) = wanted {
            let wrong = |why: String| Error::new(Kind::Invalid, OP, &definition.name).because(why);
            if !subnet.contains(wanted) {
                return Err(wrong(format!("{wanted} is not in its subnet {subnet}")));
            }
            if !subnet.is_host(wanted) {
                return Err(wrong(format!(
                    "{wanted} is no interface's address: the first and the last of {subnet} are special"
                )));
            }
            if wanted == definition.gateway {
                return Err(Error::new(Kind::InUse, OP, &definition.name).because(format!("{wanted} is its gateway")));
            }
            if self.leases.contains_key(&wanted) {
                self.collect(own, socket)?;
            }
            return match self.leases.get(&wanted) {
                None => Ok(wanted),
                Some(lease) => Err(Error::new(Kind::InUse, OP, &definition.name)
                    .because(format!("{wanted} is in use by {}", lease.container))
                    .hint("choose another address, or detach that container first")),
            };
        }
        for look_again in [true, false] {
            let mut taken = self.leases.keys().copied().peekable();
            for address in subnet.hosts() {
                while taken.next_if(|t| *t < address).is_some() {}
                if taken.peek() != Some(&address) && address != definition.gateway {
                    return Ok(address);
                }
            }
            if look_again {
                self.collect(own, socket)?;
            }
        }
        Err(Error::new(Kind::Full, OP, &definition.name)
            .because(format!("all addresses of {subnet} are in use"))
            .hint("detach containers, or create a network with a larger --subnet"))
    }

    /// Forgets leases whose container is gone. `own` is the number of the calling thread's network namespace.
    pub fn collect(&mut self, own: u64, socket: &mut Socket) -> Result<()> {
        if self.leases.is_empty() {
            return Ok(());
        }
        let links = socket.dump(&link::dump())?.map_err(|refusal| crate::error::refused("list links", "", refusal))?;
        let links: HashSet<String> = links.iter().filter_map(Link::read).map(|link| link.name).collect();
        self.leases.retain(|_, lease| {
            let wired = if lease.caller == own { links.contains(&lease.outer) } else { lease.namespace.is_there() };
            wired || lease.attacher.is_alive()
        });
        Ok(())
    }
}

/// This boot of the machine.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Book, Lease, Process};
    use crate::mac::Mac;
    use crate::namespace::Identity;
    use crate::state::State;
    use std::net::IpAddr;

    fn lease(container: &str) -> Lease {
        Lease {
            container: container.into(),
            interface: "eth0".into(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            outer: "veth0".into(),
            namespace: Identity { path: "/none".into(), inode: 1 },
            caller: 1,
            attacher: Process::own(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_another_boot_forgets() {
        let folder = std::env::temp_dir().join(format!("lease-test-{}", std::process::id()));
        let state = State::new("/nonexistent".into(), folder.clone());
        let mut book = Book::load(&state, "web").unwrap();
        book.enter(IpAddr::from([10, 0, 0, 2]), lease("c1"));
        book.store().unwrap();
        let again = Book::load(&state, "web").unwrap();
        assert_eq!(again.find("c1", "eth0").map(|(a, _)| a.to_string()).as_deref(), Some("10.0.0.2"));
        assert!(again.find("c1", "eth1").is_none());
        let text = std::fs::read_to_string(state.lease_path("web")).unwrap();
        std::fs::write(state.lease_path("web"), text.replacen("\"boot\":\"", "\"boot\":\"x", 1)).unwrap();
        assert!(Book::load(&state, "web").unwrap().is_empty());
        std::fs::write(state.lease_path("web"), "{").unwrap();
        assert!(Book::load(&state, "web").unwrap_err().hint.is_some());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn processes_are_told_apart_by_their_start() {
        let own = Process::own();
        assert!(own.is_alive());
        assert!(!Process { start: own.start + 1, ..own }.is_alive());
        assert!(!Process { id: u32::MAX, start: 0 }.is_alive());
    }
}
