//! The names of one network: which addresses each has, and which name each address.
//!
//! A container answers to its names and aliases and to its id (a long one cut to twelve digits, as engines print it), each
//! also below the network's name and below its domain, if it has one. A name that several containers have leads to all.

use crate::dns::name::Name;
use crate::lease::short;
use crate::pool::Subnet;
use std::collections::HashMap;
use std::net::IpAddr;

/// A container's interface on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The container's id.
    pub(crate) container: String,
    /// Its names and aliases, the one it is called by first.
    pub(crate) names: Vec<String>,
    /// The addresses of its interface.
    pub(crate) addresses: Vec<IpAddr>,
    /// The name servers its other questions go to; none for the network's.
    pub(crate) servers: Vec<IpAddr>,
}

/// What a network is, as far as its names go.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The network's name, if a domain can be called so.
    pub(crate) network: Option<Name>,
    /// Its domain.
    pub(crate) domain: Option<Name>,
    /// Its subnets.
    pub(crate) subnets: Vec<Subnet>,
}

/// The names of a network.
#[derive(Debug)]
pub(crate) struct Zone {
    origin: Origin,
    names: HashMap<Name, Vec<IpAddr>>,
    addresses: HashMap<IpAddr, Host>,
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// The container's id.
    pub(crate) container: String,
    /// What it is called, in full.
    pub(crate) name: Option<Name>,
    /// Its own name servers.
    pub(crate) servers: Vec<IpAddr>,
}

impl Zone {
    /// The names of `entries`.
    pub(crate) fn new(origin: Origin, entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut zone = Self { origin, names: HashMap::new(), addresses: HashMap::new() };
        for entry in entries {
            zone.enter(entry);
        }
        zone
    }

    fn enter(&mut self, entry: Entry) {
        let short = short(&entry.container);
        let names: Vec<Name> = entry.names.iter().map(String::as_str).chain([short]).filter_map(Name::parse).collect();
        let suffix = self.origin.domain.as_ref().or(self.origin.network.as_ref());
        let called = names.first().map(|name| suffix.and_then(|s| name.with(s)).unwrap_or_else(|| name.clone()));
        for name in names {
            let list = self.names.entry(name).or_default();
            // An alias may repeat the name.
            list.extend(entry.addresses.iter().filter(|a| !list.contains(a)).copied().collect::<Vec<_>>());
        }
        for address in entry.addresses {
            let (container, servers) = (entry.container.clone(), entry.servers.clone());
            self.addresses.insert(address, Host { container, name: called.clone(), servers });
        }
    }

    /// The addresses of `name`; it may be in full.
    pub(crate) fn find(&self, name: &Name) -> Option<&[IpAddr]> {
        let within = |suffix: &Option<Name>| name.below(suffix.as_ref()?).and_then(|short| self.names.get(&short));
        let found =
            self.names.get(name).or_else(|| within(&self.origin.domain)).or_else(|| within(&self.origin.network));
        found.map(Vec::as_slice)
    }

    /// Who has `address`.
    pub(crate) fn host(&self, address: IpAddr) -> Option<&Host> {
        self.addresses.get(&address)
    }

    /// Whether `address` is one of this network's, also if nobody has it.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        self.origin.subnets.iter().any(|subnet| subnet.contains(address))
    }

    /// Whether nobody but us knows anything of `name`: it is the domain or below it.
    pub(crate) fn owns(&self, name: &Name) -> bool {
        self.origin.domain.as_ref().is_some_and(|domain| name == domain || name.below(domain).is_some())
    }

    /// Whether the container has an address here.
    pub(crate) fn has(&self, container: &str) -> bool {
        self.addresses.values().any(|host| host.container == container)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Entry, Origin, Zone};
    use crate::dns::name::Name;

    pub(crate) fn entry(container: &str, names: &[&str], addresses: &[&str]) -> Entry {
        Entry {
            container: container.into(),
            names: names.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            servers: Vec::new(),
        }
    }

    pub(crate) fn zone(network: &str, domain: Option<&str>, entries: Vec<Entry>) -> Zone {
        let subnets = vec!["10.9.0.0/24".parse().unwrap(), "fd09::/64".parse().unwrap()];
        let origin = Origin { network: Name::parse(network), domain: domain.and_then(Name::parse), subnets };
        Zone::new(origin, entries)
    }

    #[test]
    fn each_name_leads_to_all_who_have_it() {
        let id = "0123456789abcdef".repeat(4);
        let zone = zone(
            "web",
            Some("corp.example"),
            vec![
                entry(&id, &["DB", "sql", "api.example.com"], &["10.9.0.2", "fd09::2"]),
                entry("c2", &["db2", "sql", "db2"], &["10.9.0.3"]),
            ],
        );
        let find = |name: &str| {
            let found = zone.find(&Name::parse(name).unwrap())?;
            Some(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        for name in ["db", "Db.", "db.web", "db.corp.example", "0123456789ab", "api.example.com", "0123456789ab.web"] {
            assert_eq!(find(name).as_deref(), Some("10.9.0.2 fd09::2"), "{name}");
        }
        assert_eq!(find("sql.WEB").as_deref(), Some("10.9.0.2 fd09::2 10.9.0.3"));
        assert_eq!(find("c2").as_deref(), Some("10.9.0.3"));
        for other in ["web", "d", "db.we", "0123456789a", "db.db.web", "corp.example", "x.corp.example"] {
            assert_eq!(find(other), None, "{other}");
        }
        assert!(zone.owns(&Name::parse("x.y.corp.example").unwrap()) && !zone.owns(&Name::parse("db.web").unwrap()));
        let host = zone.host("fd09::2".parse().unwrap()).unwrap();
        assert_eq!((&host.container, host.name.as_ref().unwrap().to_string().as_str()), (&id, "db.corp.example"));
        assert!(zone.covers("10.9.0.77".parse().unwrap()) && !zone.covers("10.9.1.1".parse().unwrap()));
        assert!(zone.has("c2") && !zone.has("c3"));
    }
}
