//! What docker's inspect says of networks: `NetworkSettings`, and the network's part of `HostConfig` and `Config`.

use crate::command::port::bound;
use engine::life::Asked;
use engine::plan;
use engine::port::Bound;
use engine::request::{Network, Request};
use engine::wiring::{self, Endpoint};
use serde_json::{Map, Value, json};
use store::{Record, State, Status};

/// docker's `HostConfig.NetworkMode`.
pub(super) fn mode(request: &Request) -> String {
    match plan::network(request) {
        Network::Named(name) => name,
        Network::Host => "host".into(),
        Network::Container(name) => format!("container:{name}"),
        Network::None | Network::Default => "none".into(),
    }
}

/// Adds what docker's `HostConfig` says of networks.
pub(super) fn host_config(config: &mut Value, asked: &Asked) {
    let wiring = &asked.request.wiring;
    let mut bindings = Map::new();
    for port in &wiring.ports {
        let host = port.spec.rsplit_once(':').map_or("", |(host, _)| host);
        let (ip, outside) = host.rsplit_once(':').unwrap_or(("", host));
        let ip = ip.trim_matches(['[', ']']);
        let (first, last) = port.container;
        for inside in first..=last {
            // a range outside goes along with a range inside
            let outside = match outside.split_once('-').and_then(|(low, _)| low.parse::<u16>().ok()) {
                Some(low) if first != last => (low + (inside - first)).to_string(),
                _ => outside.to_owned(),
            };
            let list = bindings.entry(format!("{inside}/{}", port.protocol)).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(json!({ "HostIp": ip, "HostPort": outside }));
            }
        }
    }
    let hosts: Vec<String> = wiring.hosts.iter().map(|(name, ip)| format!("{name}:{ip}")).collect();
    config["NetworkMode"] = mode(&asked.request).into();
    config["PortBindings"] = Value::Object(bindings);
    config["PublishAllPorts"] = wiring.publish_all.into();
    config["Dns"] = json!(wiring.dns);
    config["DnsOptions"] = json!(wiring.dns_options);
    config["DnsSearch"] = json!(wiring.dns_search);
    config["ExtraHosts"] = json!(hosts);
}

/// docker's `Config.ExposedPorts`.
pub(super) fn exposed_ports(asked: &Asked) -> Value {
    let exposed = wiring::exposed(&asked.request, &asked.defaults.ports);
    Value::Object(exposed.iter().map(|port| (port.text(), json!({}))).collect())
}

/// docker's `NetworkSettings`.
pub(super) fn settings(record: &Record, asked: &Asked, state: &State) -> Value {
    let running = state.status == Status::Running;
    let mut networks = Map::new();
    for endpoint in wiring::endpoints(&asked.request) {
        let wire = state.wires.iter().find(|wire| running && wire["network"] == endpoint.network.as_str());
        let value = network(record, asked, &endpoint, wire.unwrap_or(&Value::Null));
        networks.insert(endpoint.network, value);
    }
    let first = wiring::endpoints(&asked.request).first().and_then(|e| networks.get(&e.network)).cloned();
    let first = first.unwrap_or_default();
    if networks.is_empty() && !matches!(asked.request.network, Network::Container(_)) {
        networks.insert(mode(&asked.request), unwired());
    }
    let of_first = |member: &str, none: Value| first.get(member).cloned().unwrap_or(none);
    let process = state.process.filter(|_| running);
    json!({
        "Bridge": "",
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": of_first("EndpointID", "".into()),
        "SandboxID": if running { record.id.as_str() } else { "" },
        "SandboxKey": process.map_or_else(String::new, |p| format!("/proc/{}/ns/net", p.pid)),
        "Ports": ports(asked, &bound(state), running),
        "Gateway": of_first("Gateway", "".into()),
        "IPAddress": of_first("IPAddress", "".into()),
        "IPPrefixLen": of_first("IPPrefixLen", 0.into()),
        "IPv6Gateway": of_first("IPv6Gateway", "".into()),
        "GlobalIPv6Address": of_first("GlobalIPv6Address", "".into()),
        "GlobalIPv6PrefixLen": of_first("GlobalIPv6PrefixLen", 0.into()),
        "MacAddress": of_first("MacAddress", "".into()),
        "Networks": networks,
    })
}

/// A member of docker's `Networks` that says nothing: that of `none` and `host`.
fn unwired() -> Value {
    json!({
        "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "", "DriverOpts": null, "GwPriority": 0,
        "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
        "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": null,
    })
}

/// docker: what is exposed and not published is null; nothing at all of one that does not run.
fn ports(asked: &Asked, bound: &[Bound], running: bool) -> Value {
    let mut ports = Map::new();
    if running {
        for port in wiring::exposed(&asked.request, &asked.defaults.ports) {
            ports.insert(port.text(), Value::Null);
        }
    }
    for port in bound {
        let list = ports.entry(format!("{}/{}", port.container_port, port.protocol)).or_insert(Value::Null);
        if list.is_null() {
            *list = json!([]);
        }
        if let Some(list) = list.as_array_mut() {
            list.push(json!({ "HostIp": port.host_ip, "HostPort": port.host_port.to_string() }));
        }
    }
    Value::Object(ports)
}

/// One member of docker's `Networks`; `wire` is what netwire printed, null of one that does not run.
fn network(record: &Record, asked: &Asked, endpoint: &Endpoint, wire: &Value) -> Value {
    let addresses = wire["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let (mut four, mut six) = (("", 0), ("", 0));
    for (ip, prefix) in addresses.filter_map(|text| text.split_once('/')) {
        let place = if ip.contains(':') { &mut six } else { &mut four };
        if place.0.is_empty() {
            *place = (ip, prefix.parse::<u8>().unwrap_or(0));
        }
    }
    let text = |member: &str| wire[member].as_str().unwrap_or_default();
    let gateways: Vec<&str> = wire["gateways"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let gateway = |six: bool| gateways.iter().find(|ip| ip.contains(':') == six).copied().unwrap_or_default();
    let has_names = wiring::has_names(&endpoint.network);
    let aliases = wiring::aliases(&record.id, &asked.request, endpoint);
    let names: Vec<&str> = std::iter::once(record.name.as_str()).chain(aliases.iter().map(String::as_str)).collect();
    json!({
        "IPAMConfig": match (endpoint.ip, endpoint.ip6) {
            (None, None) => Value::Null,
            (ip, ip6) => json!({ "IPv4Address": ip, "IPv6Address": ip6 }),
        },
        "Links": null,
        "Aliases": if endpoint.aliases.is_empty() { Value::Null } else { json!(endpoint.aliases) },
        "MacAddress": text("mac"),
        "DriverOpts": null,
        "GwPriority": 0,
        "NetworkID": wire["network_id"].as_str().unwrap_or_default(),
        "EndpointID": text("host_interface"),
        "Gateway": gateway(false),
        "IPAddress": four.0,
        "IPPrefixLen": four.1,
        "IPv6Gateway": gateway(true),
        "GlobalIPv6Address": six.0,
        "GlobalIPv6PrefixLen": six.1,
        "DNSNames": if has_names { json!(names) } else { Value::Null },
    })
}
