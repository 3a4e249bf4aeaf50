//! An overlay network's records in etcd: what the network is, which hosts are members, who has which address.
//!
//! ```text
//! PREFIX/NETWORK/network              what must be the same on all hosts; whoever joins first writes it
//! PREFIX/NETWORK/hosts/HOST           a member, under a lease that it keeps alive: it vanishes with the host
//! PREFIX/NETWORK/addresses/ADDRESS    whose address that is, where, and under which hardware address
//! ```
//!
//! An address is taken by writing its record in a transaction that fails if there is one: so two hosts never have the same,
//! however many ask at once. These records are under no lease: a host that lost sight of etcd still has its containers, and
//! their addresses must not be given away. They go with the container, by the host itself when it comes back, or by
//! `netwire overlay leave --host` for a host that never will.

use crate::definition::Definition;
use crate::error::{Error, Kind, Result};
use crate::etcd::{Client, Event, Pair, Watch};
use crate::lease::{Lease, Process};
use crate::mac::Mac;
use crate::overlay::membership::Cluster;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The host's address.
    pub host: IpAddr,
    /// The container's hardware address.
    pub mac: Mac,
    /// The container's id.
    pub container: String,
    /// The interface inside.
    pub interface: String,
    /// Who took it: while that lives, the container's lease may be still to come.
    pub attacher: Process,
    /// What the container is called on the network; none where a netwire of before wrote this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Claim {
    /// That of `lease` on the host with address `host`.
    pub fn of(lease: &Lease, host: IpAddr) -> Self {
        Self {
            host,
            mac: lease.mac,
            container: lease.container.clone(),
            interface: lease.interface.clone(),
            attacher: lease.attacher,
            names: lease.names(),
        }
    }

    /// Whether it is of this container's interface on this host.
    fn is_of(&self, host: IpAddr, container: &str, interface: &str) -> bool {
        (self.host, self.container.as_str(), self.interface.as_str()) == (host, container, interface)
    }
}

/// A member as it stands in etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What tells it from another with the same address.
    pub id: String,
    /// Its name, for people.
    pub name: String,
}

/// What stands under a network's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A member.
    Host(IpAddr, Member),
    /// An address that is taken; with the record's very bytes.
    Address(IpAddr, Claim, Vec<u8>),
}

/// A record that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Came(Record),
    /// A host went.
    HostWent(IpAddr),
    /// An address was given back.
    AddressWent(IpAddr),
}

/// What must be the same on all hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The network's number.
    pub vni: u32,
    /// The UDP port.
    pub port: u16,
    /// Its subnets.
    pub subnets: Vec<crate::pool::Subnet>,
}

/// The records of one network.
#[derive(Debug)]
pub struct Directory {
    client: Client,
    prefix: String,
}

impl Directory {
    /// Those of `network` in `cluster`. Nothing is asked yet.
    pub fn open(cluster: &Cluster, network: &str) -> Result<Self> {
        let prefix = format!("{}/{network}/", cluster.prefix.trim_end_matches('/'));
        Ok(Self { client: cluster.client()?, prefix })
    }

    /// Makes sure that `shared` is what all hosts go by.
    pub fn agree(&mut self, definition: &Definition, shared: &Shared) -> Result<()> {
        let pair = Pair { key: format!("{}network", self.prefix), value: bytes(shared) };
        let Err(present) = self.client.create(std::slice::from_ref(&pair))? else { return Ok(()) };
        let theirs = present.first().map(|pair| pair.value.as_slice()).unwrap_or_default();
        let theirs: Shared = serde_json::from_slice(theirs).map_err(|e| damaged(&pair.key, e))?;
        if theirs == *shared {
            return Ok(());
        }
        let text = |s: &Shared| {
            let subnets: Vec<String> = s.subnets.iter().map(ToString::to_string).collect();
            format!("vni {}, port {}, subnet {}", s.vni, s.port, subnets.join(", "))
        };
        Err(Error::new(Kind::Invalid, "join overlay network", &definition.name)
            .because(format!("here it has {}, on the other hosts {}", text(shared), text(&theirs)))
            .hint("create it alike on all hosts: --subnet, -o vni=NUMBER, -o port=NUMBER"))
    }

    /// Writes this host down as a member under `lease`. An error where another host has that address.
    pub fn register(&mut self, host: IpAddr, member: &Member, lease: i64) -> Result<()> {
        self.refuse_double(host, member)?;
        self.client.put(&Pair { key: self.host_key(host), value: bytes(member) }, Some(lease))
    }

    /// An error where another host is a member under this address.
    pub fn refuse_double(&mut self, host: IpAddr, member: &Member) -> Result<()> {
        let key = self.host_key(host);
        let there = self.client.get(&key)?;
        let there = there.and_then(|pair| serde_json::from_slice::<Member>(&pair.value).ok());
        match there {
            Some(there) if there.id != member.id => Err(Error::new(Kind::InUse, "join overlay network as", host)
                .because(format!("host {} is a member under this address", there.name))
                .hint(
                    "give each host an address of its own: -o local=ADDRESS; one that died is forgotten after its TTL",
                )),
            _ => Ok(()),
        }
    }

    /// All records, and the revision to watch from.
    pub fn read(&mut self) -> Result<(i64, Vec<Record>)> {
        let snapshot = self.client.range(&self.prefix)?;
        Ok((snapshot.revision, snapshot.pairs.iter().filter_map(|pair| self.record(pair)).collect()))
    }

    /// What changes after `revision`.
    pub fn watch(&mut self, revision: i64) -> Result<Watch> {
        self.client.watch(&self.prefix, revision)
    }

    /// What an event of a watch means; nothing for records of another kind.
    pub fn change(&self, event: &Event) -> Option<Change> {
        match event {
            Event::Put(pair) => self.record(pair).map(Change::Came),
            Event::Delete(key) => match self.split(key)? {
                ("hosts", host) => Some(Change::HostWent(host)),
                ("addresses", address) => Some(Change::AddressWent(address)),
                _ => None,
            },
        }
    }

    /// The addresses that somebody has.
    pub fn taken(&mut self) -> Result<BTreeSet<IpAddr>> {
        let prefix = format!("{}addresses/", self.prefix);
        Ok(self.client.keys(&prefix)?.iter().filter_map(|key| self.split(key)).map(|(_, address)| address).collect())
    }

    /// Takes all of `addresses`, or none: then those that others have, and whose they are. What this very host left behind
    /// is taken over: the caller holds the network's lock and knows that nobody here has them.
    pub fn claim(
        &mut self,
        addresses: &[IpAddr],
        claim: &Claim,
    ) -> Result<std::result::Result<(), Vec<(IpAddr, Claim)>>> {
        let value = bytes(claim);
        let pair = |address: &IpAddr| Pair { key: self.address_key(*address), value: value.clone() };
        let pairs: Vec<Pair> = addresses.iter().map(pair).collect();
        for _ in 0..3 {
            let Err(present) = self.client.create(&pairs)? else { return Ok(Ok(())) };
            let mut others = Vec::new();
            for pair in present {
                match self.record(&pair) {
                    Some(Record::Address(_, there, _)) if there.host == claim.host => self.client.delete_if(&pair)?,
                    Some(Record::Address(address, there, _)) => others.push((address, there)),
                    _ => return Err(damaged(&pair.key, "it is no record of ours")),
                }
            }
            if !others.is_empty() {
                return Ok(Err(others));
            }
        }
        Err(Error::new(Kind::System, "take an address in", &self.prefix).because("its record changes all the time"))
    }

    /// Gives an address back whose record is `value`; what has another record meanwhile is left alone.
    pub fn give_back(&mut self, address: IpAddr, value: &[u8]) -> Result<()> {
        let pair = Pair { key: self.address_key(address), value: value.to_vec() };
        self.client.delete_if(&pair)
    }

    /// Gives back what `host` has of `addresses` for the container's interface.
    pub fn release(&mut self, host: IpAddr, addresses: &[IpAddr], container: &str, interface: &str) -> Result<()> {
        for address in addresses {
            let key = self.address_key(*address);
            let Some(pair) = self.client.get(&key)? else { continue };
            if let Some(Record::Address(_, claim, _)) = self.record(&pair)
                && claim.is_of(host, container, interface)
            {
                self.client.delete_if(&pair)?;
            }
        }
        Ok(())
    }

    /// Writes down how the container of `lease` is called now. Whoever follows sees a record change, never vanish.
    pub fn rename(&mut self, host: IpAddr, lease: &Lease) -> Result<()> {
        for address in &lease.addresses {
            let Some(pair) = self.client.get(&self.address_key(*address))? else { continue };
            if let Some(Record::Address(_, claim, _)) = self.record(&pair)
                && claim.is_of(host, &lease.container, &lease.interface)
                && claim.names != lease.names()
            {
                self.client.replace_if(&pair, &bytes(&Claim { names: lease.names(), ..claim }))?;
            }
        }
        Ok(())
    }

    /// Forgets a host: its membership and its addresses. Gives how many records went.
    pub fn forget(&mut self, host: IpAddr) -> Result<usize> {
        let (_, records) = self.read()?;
        let mut gone = 0;
        for record in records {
            match record {
                Record::Host(at, _) if at == host => self.client.delete(&self.host_key(at))?,
                Record::Address(address, claim, value) if claim.host == host => self.give_back(address, &value)?,
                _ => continue,
            }
            gone += 1;
        }
        Ok(gone)
    }

    /// The client, for leases.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn host_key(&self, host: IpAddr) -> String {
        format!("{}hosts/{host}", self.prefix)
    }

    fn address_key(&self, address: IpAddr) -> String {
        format!("{}addresses/{address}", self.prefix)
    }

    fn split<'a>(&self, key: &'a str) -> Option<(&'a str, IpAddr)> {
        let (kind, address) = key.strip_prefix(&self.prefix)?.split_once('/')?;
        Some((kind, address.parse().ok()?))
    }

    /// A record; `None` for what is not one, which a newer netwire may have written.
    fn record(&self, pair: &Pair) -> Option<Record> {
        match self.split(&pair.key)? {
            ("hosts", host) => Some(Record::Host(host, serde_json::from_slice(&pair.value).ok()?)),
            ("addresses", address) => {
                Some(Record::Address(address, serde_json::from_slice(&pair.value).ok()?, pair.value.clone()))
            }
            _ => None,
        }
    }
}

fn bytes(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

fn damaged(key: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Invalid, "read from etcd", key).because(why).hint("delete that key, or join with another --prefix")
}

#[cfg(test)]
mod tests {
    use super::{Change, Directory, Record};
    use crate::etcd::{Event, Pair};
    use crate::overlay::membership::Cluster;

    #[test]
    fn events_are_understood_and_strange_ones_passed_over() {
        let cluster = Cluster {
            endpoints: vec!["127.0.0.1:1".into()],
            prefix: "veneer/".into(),
            ttl_s: 5,
            user: None,
            password_file: None,
        };
        let directory = Directory::open(&cluster, "web").unwrap();
        let put = |key: &str, value: &str| {
            directory.change(&Event::Put(Pair { key: key.into(), value: value.as_bytes().to_vec() }))
        };
        assert!(matches!(
            put("veneer/web/hosts/192.0.2.1", r#"{"id":"1","name":"a"}"#),
            Some(Change::Came(Record::Host(..)))
        ));
        assert_eq!(put("veneer/web/hosts/192.0.2.1", "x"), None);
        assert_eq!(put("veneer/web/network", "{}"), None);
        assert_eq!(put("veneer/db/hosts/192.0.2.1", r#"{"id":"1","name":"a"}"#), None);
        let gone = directory.change(&Event::Delete("veneer/web/addresses/fd00::9".into()));
        assert_eq!(gone, Some(Change::AddressWent("fd00::9".parse().unwrap())));
    }
}
