//! `netwire`: an attachment to a network of ours, which `netwire network create` made. The network is the one called as the
//! configuration's `network`, or `name`.
//!
//! Addresses, leases, rules and names are the network's ([`crate::attach`]); the runtime's capabilities (`ips`, `mac`,
//! `portMappings`, `bandwidth`, `aliases`) become what `netwire attach` has options for.

use super::call::{Call, failed};
use super::configuration::invalid;
use super::inspection::{self, damaged};
use super::place::Place;
use super::plugin::Plugin;
use crate::attach::{self, Wish};
use crate::bandwidth::{Bandwidth, Limit};
use crate::definition::Definition;
use crate::lease::Book;
use crate::namespace::Reference;
use serde::Deserialize;
use spec::cni::failure::code;
use spec::cni::{Attachment, Cidr, Dns, Failure, Ip, Route, Success};
use std::net::IpAddr;

pub(super) struct Network;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    network: String,
    #[serde(rename = "runtimeConfig")]
    runtime: Runtime,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Runtime {
    ips: Vec<String>,
    aliases: std::collections::BTreeMap<String, Vec<String>>,
    #[serde(rename = "portMappings")]
    ports: Vec<Mapping>,
    bandwidth: Option<Rates>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Mapping {
    host_port: u16,
    container_port: u16,
    protocol: String,
    #[serde(rename = "hostIP")]
    host: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Rates {
    ingress_rate: u64,
    ingress_burst: u64,
    egress_rate: u64,
    egress_burst: u64,
}

impl Mapping {
    /// As `netwire publish` reads it.
    fn spec(&self) -> String {
        let protocol = if self.protocol.is_empty() { "tcp" } else { &self.protocol };
        let host = match self.host.as_str() {
            "" => String::new(),
            six if six.contains(':') => format!("[{six}]:"),
            four => format!("{four}:"),
        };
        format!("{host}{}:{}/{}", self.host_port, self.container_port, protocol.to_ascii_lowercase())
    }
}

fn read(call: &Call<'_>) -> Result<(Keys, String), Failure> {
    let keys: Keys = call.configuration.decode()?;
    let name = if keys.network.is_empty() { call.configuration.name.clone() } else { keys.network.clone() };
    crate::definition::check_name(&name).map_err(invalid)?;
    Ok((keys, name))
}

fn wish(call: &Call<'_>, keys: &Keys, network: &str) -> Result<Wish, Failure> {
    let mut wish = Wish::new(network, Reference::Path(call.sandbox().into()), &call.request.container);
    wish.interface.clone_from(&call.request.interface);
    let asked = call.request.arguments.get("IP").into_iter().chain(keys.runtime.ips.iter().map(String::as_str));
    for text in asked {
        let plain = text.split_once('/').map_or(text, |(address, _)| address);
        wish.addresses.push(plain.parse().map_err(|_| invalid(format!("cannot understand ip: {text}")))?);
    }
    wish.mac = call.mac()?.and_then(|mac| mac.try_into().ok()).map(crate::mac::Mac);
    wish.name = call.request.arguments.get("K8S_POD_NAME").map(str::to_owned);
    // The convention's aliases are those of each network.
    wish.aliases = keys.runtime.aliases.get(&call.configuration.name).cloned().unwrap_or_default();
    let ports = keys.runtime.ports.iter().map(|mapping| mapping.spec().parse().map_err(invalid));
    wish.ports = ports.collect::<Result<_, _>>()?;
    wish.bandwidth = keys.runtime.bandwidth.as_ref().map(|rates| {
        let limit = |rate: u64, burst: u64| {
            (rate > 0).then_some(Limit { rate_bits: rate, burst_bits: Some(burst).filter(|burst| *burst > 0) })
        };
        Bandwidth {
            inward: limit(rates.ingress_rate, rates.ingress_burst),
            outward: limit(rates.egress_rate, rates.egress_burst),
        }
    });
    Ok(wish)
}

fn everything(of: IpAddr) -> Cidr {
    let address = if of.is_ipv4() { IpAddr::V4([0; 4].into()) } else { IpAddr::V6([0; 16].into()) };
    Cidr { address, prefix: 0 }
}

impl Plugin for Network {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let (keys, network) = read(call)?;
        let namespace = call.namespace()?;
        let mut inside = Place::inside(&namespace)?;
        let interface = &call.request.interface;
        if inside.find(interface)?.is_some() {
            return Err(damaged(format!("interface \"{interface}\" already exists in the container")));
        }
        let attached = attach::attach(call.state, &wish(call, &keys, &network)?).map_err(failed)?;
        let mut here = Place::here()?;
        let mut result = Success::default();
        for name in [&attached.bridge, &attached.host_interface].into_iter().filter(|name| !name.is_empty()) {
            result.interfaces.extend(here.find(name)?.map(|link| link.described("")));
        }
        let at = result.interfaces.len() as i64;
        result.interfaces.push(inside.need(interface)?.described(call.sandbox()));
        let same = |a: &IpAddr, b: &IpAddr| a.is_ipv4() == b.is_ipv4();
        for text in &attached.addresses {
            let address: Cidr = text.parse().map_err(damaged)?;
            let gateway = attached.gateways.iter().find(|gateway| same(gateway, &address.address)).copied();
            result.ips.push(Ip { interface: Some(at), address, gateway });
        }
        let default = |gateway: &IpAddr| Route {
            dst: everything(*gateway),
            gw: Some(*gateway),
            mtu: 0,
            advmss: 0,
            priority: 0,
            table: None,
            scope: None,
        };
        result.routes = attached.gateways.iter().map(default).collect();
        let own = call.configuration.dns()?;
        let servers = attached.dns.iter().map(IpAddr::to_string).collect();
        result.dns = if own.is_empty() { Dns { nameservers: servers, ..Dns::default() } } else { own };
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (_, network) = read(call)?;
        detach(call, &network, &call.attachment())
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (_, network) = read(call)?;
        let namespace = call.namespace()?;
        let result = call.required_previous()?;
        let Attachment { container, interface } = call.attachment();
        let book = Book::load(call.state, &network).map_err(failed)?;
        if book.find(&container, &interface).is_none() {
            return Err(damaged(format!("{container} has no lease for {interface} on network {network}")));
        }
        let mut inside = Place::inside(&namespace)?;
        let found = inspection::expect_link(&mut inside, inspection::inner(call, result)?, &[])?;
        inspection::expect_addresses(&mut inside, &interface, found.index, result)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (_, network) = read(call)?;
        if network == crate::definition::DEFAULT || Definition::load(call.state, &network).map_err(failed)?.is_some() {
            return Ok(());
        }
        Err(Failure::new(code::NOT_AVAILABLE, format!("there is no network {network}"))
            .details(format!("netwire network create {network}")))
    }

    fn gc(&self, call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
        let (_, network) = read(call)?;
        let book = Book::load(call.state, &network).map_err(failed)?;
        let of =
            |l: &crate::lease::Lease| Attachment { container: l.container.clone(), interface: l.interface.clone() };
        let stale: Vec<_> = book.leases().map(of).filter(|attachment| !valid.contains(attachment)).collect();
        let mut done = Ok(());
        for attachment in &stale {
            done = done.and(detach(call, &network, attachment));
        }
        done
    }
}

/// Detaches; goes on after a failure and gives all of them.
fn detach(call: &Call<'_>, network: &str, of: &Attachment) -> Result<(), Failure> {
    attach::detach(call.state, network, &of.container, Some(&of.interface)).map_err(|failures| {
        let all: Vec<String> = failures.iter().map(ToString::to_string).collect();
        Failure::new(code::INTERNAL, all.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::Mapping;

    #[test]
    fn mappings_as_they_are_published() {
        let mapping = |host: &str, protocol: &str| {
            Mapping { host_port: 8080, container_port: 80, protocol: protocol.into(), host: host.into() }.spec()
        };
        assert_eq!(mapping("", ""), "8080:80/tcp");
        assert_eq!(mapping("127.0.0.1", "UDP"), "127.0.0.1:8080:80/udp");
        assert_eq!(mapping("::1", "tcp"), "[::1]:8080:80/tcp");
        assert!(mapping("::1", "tcp").parse::<spec::published::Published>().is_ok());
    }
}
