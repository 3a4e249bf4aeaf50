//! What this host knows of the others: kept by `serve`, written beside the leases so that a server that starts anew, and
//! everybody else, can read it without asking etcd.
//!
//! What vanishes while somebody watches is gone: etcd said so. What is missing when etcd is read anew after it was away may
//! only be late, since every host comes back in its own time; so that stays for a while.

use crate::error::Result;
use crate::lease::Process;
use crate::overlay::directory::{Change, Claim, Member, Record};
use crate::overlay::forwarding::{Forwarding, Place};
use crate::state::{self, Durability, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What is known.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct View {
    /// The server that keeps this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Process>,
    /// The number of this host's lease in etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<i64>,
    /// This host's address among the members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// Whether etcd answers.
    #[serde(default)]
    pub connected: bool,
    /// What is wrong, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The members, this host too.
    #[serde(default)]
    pub hosts: BTreeMap<IpAddr, Member>,
    /// The addresses that are taken.
    #[serde(default)]
    pub addresses: BTreeMap<IpAddr, Taken>,
    /// Since when hosts and addresses are missing.
    #[serde(skip)]
    missing: BTreeMap<(bool, IpAddr), Instant>,
}

/// An address that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// By whom.
    #[serde(flatten)]
    pub claim: Claim,
    /// The record's very bytes, by which it is deleted.
    pub record: String,
}

impl View {
    /// That of `network`; an empty one where there is none, or none that can be read.
    pub fn load(state: &State, network: &str) -> Self {
        let bytes = state::load(&state.view_path(network)).ok().flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Writes it down.
    pub fn store(&self, state: &State, network: &str) -> Result<()> {
        let path = state.view_path(network);
        let bytes = serde_json::to_vec(self).map_err(|e| state::damaged(&path, e))?;
        state::replace_locked(&path, &bytes, Durability::Run)
    }

    /// Everything as it stood in etcd at one moment. What is missing there is kept as missing since `now`.
    pub fn merge(&mut self, records: Vec<Record>, now: Instant) {
        let mut missing: BTreeMap<(bool, IpAddr), Instant> =
            self.hosts.keys().map(|host| ((true, *host), now)).collect();
        missing.extend(self.addresses.keys().map(|address| ((false, *address), now)));
        for record in records {
            match &record {
                Record::Host(host, _) => missing.remove(&(true, *host)),
                Record::Address(address, ..) => missing.remove(&(false, *address)),
            };
            self.change(Change::Came(record));
        }
        for (key, since) in &mut missing {
            *since = self.missing.get(key).copied().unwrap_or(*since);
        }
        self.missing = missing;
    }

    /// What a watch said; whether that changed anything.
    pub fn change(&mut self, change: Change) -> bool {
        match change {
            Change::Came(Record::Host(host, member)) => {
                self.missing.remove(&(true, host));
                self.hosts.insert(host, member.clone()) != Some(member)
            }
            Change::Came(Record::Address(address, claim, bytes)) => {
                self.missing.remove(&(false, address));
                let taken = Taken { claim, record: String::from_utf8_lossy(&bytes).into_owned() };
                self.addresses.insert(address, taken.clone()) != Some(taken)
            }
            Change::HostWent(host) => self.hosts.remove(&host).is_some(),
            Change::AddressWent(address) => self.addresses.remove(&address).is_some(),
        }
    }

    /// Forgets what has been missing for `grace`; whether there was something.
    pub fn expire(&mut self, now: Instant, grace: Duration) -> bool {
        let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.missing).into_iter().partition(|(_, since)| now.duration_since(*since) >= grace);
        self.missing = kept;
        for (is_host, address) in gone.keys() {
            match is_host {
                true => drop(self.hosts.remove(address)),
                false => drop(self.addresses.remove(address)),
            }
        }
        !gone.is_empty()
    }

    /// What the kernel's tables of the host with address `local` should say: the containers of hosts that are members.
    pub fn forwarding(&self, local: IpAddr) -> Forwarding {
        let place = |claim: &Claim| Place { mac: claim.mac, host: claim.host };
        Forwarding {
            hosts: self.hosts.keys().copied().filter(|host| is_peer(*host, local)).collect(),
            places: Some(self.elsewhere(local).map(|(address, claim)| (address, place(claim))).collect()),
        }
    }

    /// The addresses of containers on other hosts than the one with address `local`, and whose they are: of hosts that are
    /// members, so that they can be reached.
    pub fn elsewhere(&self, local: IpAddr) -> impl Iterator<Item = (IpAddr, &Claim)> {
        let all = self.addresses.iter().map(|(address, taken)| (*address, &taken.claim));
        all.filter(move |(_, claim)| is_peer(claim.host, local) && self.hosts.contains_key(&claim.host))
    }
}

/// Hosts are reached by addresses of the own one's family.
fn is_peer(host: IpAddr, local: IpAddr) -> bool {
    host != local && host.is_ipv4() == local.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::View;
    use crate::lease::Process;
    use crate::mac::Mac;
    use crate::overlay::directory::{Change, Claim, Member, Record};
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    fn host(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn member(n: u8) -> Record {
        Record::Host(host(n), Member { id: n.to_string(), name: String::new() })
    }

    fn address(n: u8, at: u8) -> Record {
        let claim = Claim {
            host: host(at),
            mac: Mac([2, 0, 0, 0, 0, n]),
            container: format!("c{n}"),
            interface: "eth0".into(),
            attacher: Process::own(),
            names: Vec::new(),
        };
        Record::Address([10, 9, 0, n].into(), claim, b"{}".to_vec())
    }

    #[test]
    fn forwarding_is_the_containers_of_other_members() {
        let mut view = View::default();
        view.merge(vec![member(1), member(2), address(11, 1), address(12, 2), address(13, 3)], Instant::now());
        let forwarding = view.forwarding(host(1));
        assert_eq!(forwarding.hosts, [host(2)].into());
        // 11 is our own, 13 is on a host that is no member.
        let places: Vec<_> = forwarding.places.unwrap().into_iter().map(|(a, p)| (a.to_string(), p.host)).collect();
        assert_eq!(places, [("10.9.0.12".to_string(), host(2))]);
        assert!(view.change(Change::Came(member(3))) && !view.change(Change::Came(member(3))));
        assert_eq!(view.forwarding(host(1)).places.unwrap().len(), 2);
        assert!(view.change(Change::HostWent(host(2))), "said while watching: at once");
        assert_eq!(view.forwarding(host(1)).hosts, [host(3)].into());
    }

    #[test]
    fn what_is_missing_after_etcd_was_away_is_kept_for_a_while() {
        let (mut view, start, grace) = (View::default(), Instant::now(), Duration::from_secs(10));
        view.merge(vec![member(1), member(2), address(12, 2)], start);
        view.merge(vec![member(1)], start);
        view.merge(vec![member(1)], start + Duration::from_secs(9));
        assert!(!view.expire(start + Duration::from_secs(9), grace));
        assert_eq!(view.forwarding(host(1)).hosts, [host(2)].into());
        assert!(view.expire(start + grace, grace), "the first time counts");
        assert!(view.hosts.len() == 1 && view.addresses.is_empty());
        view.merge(vec![member(1), member(2)], start);
        view.merge(vec![member(1)], start);
        assert!(view.change(Change::Came(member(2))) || !view.expire(start + grace, grace), "it came back");
        assert_eq!(view.hosts.len(), 2);
    }
}
