//! The configurations that a definition of ours comes to, in the order they are added: the interface, then ports, bandwidth,
//! parameters, isolation, each where it is wanted.

use crate::attach::Wish;
use crate::definition::Definition;
use crate::driver::Driver;
use crate::error::{Error, Kind, Result};
use crate::pool::Subnet;
use crate::publish::Published;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use spec::published::{Host, Protocol, Published as Spec};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

const OP: &str = "carry by CNI plugins network";

/// One published port in CNI's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// The machine's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The machine's address; all of them without.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
}

impl Mapping {
    /// In our words, one an address.
    pub fn published(&self, network: &str, container: &str) -> Vec<Published> {
        let all = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let addresses = self.host.map_or_else(|| all.to_vec(), |address| vec![address]);
        let one = |host_ip| Published {
            network: network.to_owned(),
            container: container.to_owned(),
            host_ip,
            host_port: self.host_port,
            container_port: self.container_port,
            protocol: self.protocol,
        };
        addresses.into_iter().map(one).collect()
    }
}

/// The mappings that `specs` come to. Plugins choose no port, so one must be named.
pub fn mappings(specs: &[Spec]) -> Result<Vec<Mapping>> {
    let mut all = Vec::new();
    for spec in specs {
        let hosts = match &spec.host {
            Host::These(range) if range.len() == spec.container.len() => range.clone(),
            _ => {
                return Err(Error::new(Kind::Unsupported, "publish by CNI plugins", format!("{spec:?}"))
                    .because("they choose no port")
                    .hint("name the port of this machine: HOST:CONTAINER"));
            }
        };
        let pairs = hosts.zip(spec.container.clone());
        all.extend(pairs.map(|(host_port, container_port)| Mapping {
            host_port,
            container_port,
            protocol: spec.protocol,
            host: spec.address,
        }));
    }
    Ok(all)
}

/// The configuration that publishes `ports`.
pub fn portmap(network: &str, ports: &[Mapping]) -> Value {
    json!({"name": network, "type": "portmap", "runtimeConfig": {"portMappings": ports}})
}

/// The chain for one attachment. `has` says which types are installed: what only makes a network stricter than CNI's are is
/// left out where it is not there, and said to be missing where it was asked for.
pub fn of(
    definition: &Definition,
    wish: &Wish,
    store: &Path,
    ports: &[Mapping],
    has: impl Fn(&str) -> bool,
) -> Result<Vec<Value>> {
    let name = &definition.name;
    let not_done = |what: &str| Error::new(Kind::Unsupported, OP, name).because(format!("they have no {what}"));
    if definition.leaves_by(false).or(definition.leaves_by(true)).is_some() {
        return Err(not_done("outbound_addr4 and outbound_addr6"));
    }
    let parent = || definition.option("parent").map(|parent| ("master".to_owned(), json!(parent)));
    let mut keys: Map<String, Value> = Map::new();
    match definition.driver {
        Driver::Bridge => {
            keys.insert("bridge".into(), json!(definition.bridge));
            keys.insert("isGateway".into(), json!(true));
            let masquerades = definition.masquerades(false) || definition.masquerades(true);
            keys.insert("ipMasq".into(), json!(masquerades && !definition.internal));
            keys.insert("hairpinMode".into(), json!(true));
        }
        Driver::Ptp => drop(keys.insert("ipMasq".into(), json!(definition.masquerades(false)))),
        Driver::Macvlan | Driver::Ipvlan => keys.extend(parent()),
        other => return Err(not_done(&format!("{other} networks"))),
    }
    keys.insert("name".into(), json!(name));
    keys.insert("type".into(), json!(definition.driver.to_string()));
    keys.extend(definition.mtu.map(|mtu| ("mtu".to_owned(), json!(mtu))));
    let mut runtime = Map::new();
    runtime.extend(wish.mac.map(|mac| ("mac".to_owned(), json!(mac.to_string()))));
    if !wish.addresses.is_empty() {
        runtime.insert("ips".into(), json!(wish.addresses));
    }
    keys.insert("ipam".into(), ipam(definition, store));
    keys.insert("runtimeConfig".into(), Value::Object(runtime));
    let mut chain = vec![Value::Object(keys)];
    if !ports.is_empty() {
        chain.push(portmap(name, ports));
    }
    if let Some(limits) = wish.bandwidth {
        let burst = |limit: crate::bandwidth::Limit| limit.burst_bits.unwrap_or((limit.rate_bits / 10).max(640_000));
        let mut rates = json!({"name": name, "type": "bandwidth"});
        for (key, limit) in [("ingress", limits.inward), ("egress", limits.outward)] {
            if let Some(limit) = limit {
                rates[format!("{key}Rate")] = json!(limit.rate_bits);
                rates[format!("{key}Burst")] = json!(burst(limit));
            }
        }
        chain.push(rates);
    }
    if !wish.sysctls.is_empty() {
        let all: Map<String, Value> =
            wish.sysctls.iter().map(|s| (s.key.replace("IFNAME", &wish.interface), json!(s.value))).collect();
        chain.push(json!({"name": name, "type": "tuning", "sysctl": all}));
    }
    if definition.isolate && definition.driver == Driver::Bridge && has("firewall") {
        chain.push(json!({"name": name, "type": "firewall", "ingressPolicy": "same-bridge"}));
    }
    Ok(chain)
}

fn ipam(definition: &Definition, store: &Path) -> Value {
    let mut routes = Vec::new();
    let mut sets = Vec::new();
    for pool in &definition.subnets {
        let mut range = json!({"subnet": pool.subnet});
        if let Some(gateway) = pool.gateway {
            range["gateway"] = json!(gateway);
            if !definition.internal {
                let all = if gateway.is_ipv4() { Subnet::ALL_V4 } else { Subnet::ALL_V6 };
                routes.push(json!({"dst": all.to_string()}));
            }
        }
        if let Some(part) = pool.range {
            range["rangeStart"] = json!(part.hosts().next().unwrap_or(part.network()));
            range["rangeEnd"] = json!(part.last());
        }
        sets.push(json!([range]));
    }
    for via in &definition.routes {
        let mut route = json!({"dst": via.destination.to_string()});
        if let Some(gateway) = via.gateway {
            route["gw"] = json!(gateway);
        }
        routes.push(route);
    }
    json!({"type": "host-local", "dataDir": store, "ranges": sets, "routes": routes})
}

#[cfg(test)]
mod tests {
    use super::{Mapping, mappings, of};
    use crate::attach::Wish;
    use crate::definition::{Definition, Pool};
    use crate::driver::Driver;
    use crate::namespace::Reference;
    use std::path::Path;

    #[test]
    fn a_bridge_network_is_a_chain() {
        let subnet = "10.9.0.0/24".parse().unwrap();
        let pool = Pool::new(subnet, Some([10, 9, 0, 1].into()));
        let definition = Definition::new("web", Driver::Bridge, vec![pool]).unwrap();
        let mut wish = Wish::new("web", Reference::Process(1), "c1");
        wish.ports = vec!["127.0.0.1:8080-8081:80-81".parse().unwrap()];
        let ports = mappings(&wish.ports).unwrap();
        assert_eq!(ports.len(), 2);
        let chain = of(&definition, &wish, Path::new("/s"), &ports, |_| true).unwrap();
        let kinds: Vec<_> = chain.iter().map(|c| c["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["bridge", "portmap", "firewall"]);
        assert_eq!(chain[0]["ipam"]["ranges"][0][0]["gateway"], "10.9.0.1");
        assert_eq!(chain[0]["ipam"]["routes"][0]["dst"], "0.0.0.0/0");
        assert_eq!(chain[1]["runtimeConfig"]["portMappings"][1]["hostIP"], "127.0.0.1");
        assert_eq!(chain[1]["runtimeConfig"]["portMappings"][1]["protocol"], "tcp");
        let overlay = Definition { driver: Driver::Overlay, ..definition };
        assert!(of(&overlay, &wish, Path::new("/s"), &[], |_| true).is_err());
    }

    #[test]
    fn ports_must_be_named() {
        assert!(mappings(&["80".parse().unwrap()]).is_err());
        let everywhere: Vec<Mapping> = mappings(&["8080:80/udp".parse().unwrap()]).unwrap();
        assert_eq!(everywhere[0].published("n", "c").len(), 2);
    }
}
