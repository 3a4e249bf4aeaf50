//! `portmap`: ports of this host that lead to the container. Chained: the addresses are those of the result before.
//!
//! `conditionsV4`, `conditionsV6`, `markMasqBit` and `externalSetMarkChain` are iptables' or nft's own language or marks, and
//! are refused by name; so is `masqAll`, which would hide who asks.

use super::call::{Call, failed};
use super::configuration::{invalid, unsupported};
use super::place::{self, Place};
use super::plugin::Plugin;
use super::rules::{self, Port};
use serde::Deserialize;
use serde_json::Value;
use spec::cni::{Attachment, Failure, Success};
use std::net::IpAddr;

pub(super) struct Portmap;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    backend: String,
    snat: Option<bool>,
    #[serde(rename = "runtimeConfig")]
    runtime: Runtime,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Runtime {
    #[serde(rename = "portMappings")]
    mappings: Vec<Mapping>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Mapping {
    host_port: i64,
    container_port: i64,
    protocol: String,
    #[serde(rename = "hostIP")]
    host: String,
}

/// The configuration, checked.
struct Wish {
    mappings: Vec<(Mapping, u8)>,
    snat: bool,
}

fn protocol(name: &str) -> Option<u8> {
    Some(match name.to_ascii_lowercase().as_str() {
        "" | "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        _ => return None,
    })
}

impl Wish {
    fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let keys: Keys = call.configuration.decode()?;
        if !["", "nftables", "iptables"].contains(&keys.backend.as_str()) {
            return Err(invalid(format!("unrecognized backend \"{}\"", keys.backend)));
        }
        refuse(&call.configuration.document)?;
        let checked = keys.runtime.mappings.into_iter().map(|mapping| {
            for (what, number) in [("container", mapping.container_port), ("host", mapping.host_port)] {
                if !(1..=65535).contains(&number) {
                    return Err(invalid(format!("Invalid {what} port number: {number}")));
                }
            }
            let number = protocol(&mapping.protocol);
            let number = number.ok_or_else(|| unsupported("protocol", format!("\"{}\"", mapping.protocol)))?;
            Ok((mapping, number))
        });
        Ok(Self { mappings: checked.collect::<Result<_, _>>()?, snat: keys.snat.unwrap_or(true) })
    }

    /// The ports that lead to the first address of each family.
    fn ports(&self, call: &Call<'_>, result: &Success) -> Result<Vec<Port>, Failure> {
        let mut all = Vec::new();
        for address in container_addresses(call, result) {
            for (mapping, protocol) in &self.mappings {
                let host = match mapping.host.as_str() {
                    "" => None,
                    text => Some(text.parse::<IpAddr>().map_err(|_| invalid(format!("Invalid hostIP: {text}")))?),
                };
                if host.is_some_and(|host| host.is_ipv4() != address.is_ipv4()) {
                    continue;
                }
                all.push(Port {
                    host: host.filter(|host| !host.is_unspecified()),
                    protocol: *protocol,
                    port: mapping.host_port as u16,
                    to: (address, mapping.container_port as u16),
                });
            }
        }
        Ok(all)
    }
}

/// What is not done here.
fn refuse(document: &Value) -> Result<(), Failure> {
    let given = |value: &Value| match value {
        Value::Array(list) => !list.is_empty(),
        Value::Bool(on) => *on,
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    let keys = ["conditionsV4", "conditionsV6", "externalSetMarkChain", "markMasqBit", "masqAll"];
    for key in keys {
        if let Some(value) = document.get(key).filter(|value| given(value)) {
            return Err(unsupported(key, value));
        }
    }
    Ok(())
}

/// The container's first address of each family: of its own interface, or of none that is said.
fn container_addresses(call: &Call<'_>, result: &Success) -> Vec<IpAddr> {
    let inside = |ip: &&spec::cni::Ip| {
        let of = ip.interface.and_then(|at| result.interfaces.get(usize::try_from(at).ok()?));
        of.is_none_or(|i| i.name == call.request.interface && !i.sandbox.is_empty())
    };
    let all: Vec<IpAddr> = result.ips.iter().filter(inside).map(|ip| ip.address.address).collect();
    let first = |v4: bool| all.iter().find(|address| address.is_ipv4() == v4).copied();
    [first(true), first(false)].into_iter().flatten().collect()
}

/// The name of the link that leads to `address`.
fn way_to(here: &mut Place, address: IpAddr) -> Result<Option<String>, Failure> {
    let routes = here.routes()?;
    let to = routes.iter().filter(|route| route.destination.contains(address));
    let best = to.max_by_key(|route| route.destination.prefix()).and_then(|route| route.link);
    Ok(best.map(|index| here.find_numbered(index)).transpose()?.flatten().map(|link| link.name()))
}

impl Plugin for Portmap {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let wish = Wish::read(call)?;
        let result = call.required_previous()?.clone();
        let ports = wish.ports(call, &result)?;
        if ports.is_empty() {
            return Ok(result);
        }
        let mut here = Place::here()?;
        let target = ports.iter().map(|port| port.to.0).find(IpAddr::is_ipv4).unwrap_or(ports[0].to.0);
        let bridge = way_to(&mut here, target)?;
        rules::publish(call, &ports, wish.snat, bridge.as_deref())?;
        if let Some(bridge) = bridge.filter(|_| wish.snat && target.is_ipv4()) {
            // So that what comes from 127.0.0.1 may leave by that link; the table drops what comes in that way from outside.
            place::set(&format!("ipv4/conf/{bridge}/route_localnet"), "1")
                .map_err(|e| failed(e).during("unable to enable route_localnet"))
                .inspect_err(|_| drop(rules::forget_ports(call)))?;
        }
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        Wish::read(call)?;
        rules::forget_ports(call)
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        let result = call.required_previous()?;
        rules::expect_ports(call, &wish.ports(call, result)?)
    }

    fn gc(&self, call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
        rules::forget_all_but(&call.configuration.name, valid)
    }
}

#[cfg(test)]
mod tests {
    use super::{protocol, refuse};
    use serde_json::json;

    #[test]
    fn what_is_not_done_is_named() {
        let why = |document| refuse(&document).unwrap_err();
        let failure = why(json!({"conditionsV4": ["-s", "10.0.0.0/8"]}));
        assert_eq!(
            (failure.code, failure.msg.contains("conditionsV4") && failure.msg.contains("10.0.0.0/8")),
            (2, true)
        );
        assert_eq!(why(json!({"markMasqBit": 3})).code, 2);
        assert!(refuse(&json!({"conditionsV4": [], "masqAll": false, "externalSetMarkChain": ""})).is_ok());
        assert_eq!((protocol("TCP"), protocol("sctp"), protocol("icmp")), (Some(6), Some(132), None));
    }
}
