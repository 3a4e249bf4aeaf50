//! Which networks a container is on, and how: `--network` and the options beside it, with docker's words for what
//! contradicts itself. All of it is data; `netwire` does it.

use crate::port::{Exposed, Publish};
use crate::request::{Network, Request};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use spec::ContainerId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everything about a container's networks but which kind of network it has ([`Network`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wiring {
    /// Its interfaces, `eth0` first; empty where nothing was said, which is one on the default network.
    pub endpoints: Vec<Endpoint>,
    /// `-p`
    pub ports: Vec<Publish>,
    /// `-P`: every exposed port on some port of the machine's.
    pub publish_all: bool,
    /// `--expose`
    pub expose: Vec<Exposed>,
    /// `--dns`
    pub dns: Vec<String>,
    /// `--dns-search`
    pub dns_search: Vec<String>,
    /// `--dns-option`
    pub dns_options: Vec<String>,
    /// `--add-host`: name and address, or the word `host-gateway`.
    pub hosts: Vec<(String, String)>,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// The network; empty is the default one.
    pub network: String,
    /// `--ip`
    pub ip: Option<Ipv4Addr>,
    /// `--ip6`
    pub ip6: Option<Ipv6Addr>,
    /// `--mac-address`
    pub mac: Option<String>,
    /// `--network-alias`
    pub aliases: Vec<String>,
}

impl Endpoint {
    /// An interface on `network` with nothing special.
    pub fn on(network: &str) -> Self {
        Self { network: network.to_owned(), ..Self::default() }
    }

    /// Reads one value of `--network`: a name, or docker's `name=…,alias=…,ip=…,ip6=…,mac-address=…`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| wrong(format!("invalid argument \"{text}\" for \"--network\" flag: {why}"));
        if text.is_empty() {
            return Err(wrong("no name set for network".into()));
        }
        if !text.contains('=') {
            return Ok(Self::on(text));
        }
        let mut endpoint = Self::default();
        for field in text.split(',') {
            let (key, value) = field.split_once('=').ok_or_else(|| bad(format!("invalid field {field}")))?;
            match key {
                "name" => value.clone_into(&mut endpoint.network),
                "alias" => endpoint.aliases.push(value.to_owned()),
                "ip" => endpoint.ip = Some(value.parse().map_err(|_| invalid("IPv4 address", value))?),
                "ip6" => endpoint.ip6 = Some(value.parse().map_err(|_| invalid("IPv6 address", value))?),
                "mac-address" => endpoint.mac = Some(mac(value)?),
                other => return Err(bad(format!("invalid field key {other}"))),
            }
        }
        if endpoint.network.is_empty() {
            return Err(bad("network name/id is not specified".into()));
        }
        Ok(endpoint)
    }
}

fn wrong(text: String) -> Error {
    Error::new(Kind::Request, "", text)
}

fn invalid(what: &str, value: &str) -> Error {
    wrong(format!("invalid {what}: {value}"))
}

/// Reads `--mac-address`.
pub fn mac(text: &str) -> Result<String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let fits = parts.len() == 6 && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
    if fits { Ok(parts.join(":").to_lowercase()) } else { Err(wrong(format!("{text} is not a valid mac address"))) }
}

/// Reads `--dns`.
pub fn dns(text: &str) -> Result<String> {
    let text = text.trim();
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err(wrong(format!(
            "invalid argument \"{text}\" for \"--dns\" flag: IP address is not correctly formatted: {text}"
        ))),
    }
}

/// Reads `--dns-search`: a domain, or a dot for none.
pub fn dns_search(text: &str) -> Result<String> {
    let trimmed = text.trim();
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if trimmed == "." || trimmed.trim_end_matches('.').split('.').all(label) {
        return Ok(trimmed.trim_start_matches(' ').to_owned());
    }
    Err(wrong(format!("invalid argument \"{text}\" for \"--dns-search\" flag: {trimmed} is not a valid domain")))
}

/// Reads `--add-host`: `name:address` or `name=address`; an IPv6 address may be in brackets.
pub fn add_host(text: &str) -> Result<(String, String)> {
    let bad = |why: String| wrong(format!("invalid argument \"{text}\" for \"--add-host\" flag: {why}"));
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = parts
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| bad(format!("bad format for add-host: \"{text}\"")))?;
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if bare != crate::resolver::HOST_GATEWAY && bare.parse::<IpAddr>().is_err() {
        return Err(bad(format!("invalid IP address in add-host: \"{address}\"")));
    }
    Ok((name.to_owned(), bare.to_owned()))
}

/// What the options of one interface are beside several `--network`: docker has them belong to the first.
#[derive(Debug, Clone, Default)]
pub struct Single {
    /// `--ip`
    pub ip: Option<Ipv4Addr>,
    /// `--ip6`
    pub ip6: Option<Ipv6Addr>,
    /// `--mac-address`
    pub mac: Option<String>,
    /// `--network-alias`
    pub aliases: Vec<String>,
}

/// `--network` as often as it was given, with the options that belong to the first, as the kind of network and the interfaces.
pub fn networks(values: &[String], single: Single) -> Result<(Network, Vec<Endpoint>)> {
    let mut endpoints = values.iter().map(|v| Endpoint::parse(v)).collect::<Result<Vec<_>>>()?;
    for (at, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..at].iter().any(|other| other.network == endpoint.network) {
            return Err(wrong(format!("network \"{}\" is specified multiple times", endpoint.network)));
        }
    }
    if endpoints.len() > 1 && !endpoints.iter().all(|endpoint| is_users(&endpoint.network)) {
        return Err(wrong(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes".into(),
        ));
    }
    let network = endpoints.first().map(|e| Network::parse(&e.network)).transpose()?.unwrap_or_default();
    if endpoints.is_empty() {
        endpoints.push(Endpoint::default());
    }
    let first = &mut endpoints[0];
    let both =
        |what: &str, per: &str| wrong(format!("conflicting options: cannot specify both {what} and per-network {per}"));
    let Single { ip, ip6, mac, aliases } = single;
    match (
        ip.is_some() && first.ip.is_some(),
        ip6.is_some() && first.ip6.is_some(),
        mac.is_some() && first.mac.is_some(),
    ) {
        (true, ..) => return Err(both("--ip", "IPv4 address")),
        (_, true, _) => return Err(both("--ip6", "IPv6 address")),
        (.., true) => return Err(both("--mac-address", "MAC address")),
        _ if !aliases.is_empty() && !first.aliases.is_empty() => return Err(both("--network-alias", "alias")),
        _ => {}
    }
    (first.ip, first.ip6) = (ip.or(first.ip), ip6.or(first.ip6));
    first.mac = mac.or(first.mac.take());
    first.aliases.extend(aliases);
    if !first.aliases.is_empty() && !is_users(&first.network) {
        return Err(wrong("network-scoped aliases are only supported for user-defined networks".into()));
    }
    Ok((network, endpoints))
}

/// docker: networks that were created, as against those that are always there.
fn is_users(network: &str) -> bool {
    !matches!(network, "" | "default" | "bridge" | "host" | "none") && !network.starts_with("container:")
}

/// Refuses what contradicts the kind of network, in docker's words.
pub fn check(request: &Request) -> Result<()> {
    let wiring = &request.wiring;
    let has = |test: fn(&Endpoint) -> bool| wiring.endpoints.iter().any(test);
    let shared = matches!(request.network, Network::Container(_));
    let conflict = |what: &str| Err(wrong(format!("conflicting options: {what}")));
    if let Network::Container(name) = &request.network
        && name.is_empty()
    {
        return Err(wrong("Invalid network mode: invalid container format container:<name|id>".into()));
    }
    match &request.network {
        Network::Container(_) if request.hostname.is_some() => conflict("hostname and the network mode"),
        Network::Container(_) if !wiring.dns.is_empty() => conflict("dns and the network mode"),
        Network::Container(_) if !wiring.hosts.is_empty() => conflict("custom host-to-IP mapping and the network mode"),
        Network::Container(_) | Network::Host if has(|e| e.mac.is_some()) => {
            conflict("mac-address and the network mode")
        }
        Network::Container(_) if !wiring.ports.is_empty() || wiring.publish_all => {
            conflict("port publishing and the container type network mode")
        }
        Network::Container(_) if !wiring.expose.is_empty() => {
            conflict("port exposing and the container type network mode")
        }
        Network::Container(_) | Network::Host | Network::None if has(|e| e.ip.is_some() || e.ip6.is_some()) => {
            Err(wrong("user specified IP address is supported on user defined networks only".into()))
        }
        _ => Ok(()),
    }?;
    debug_assert!(!shared || wiring.ports.is_empty());
    Ok(())
}

/// The interfaces a request ends up with.
pub fn endpoints(request: &Request) -> Vec<Endpoint> {
    let Network::Named(name) = crate::plan::network(request) else { return Vec::new() };
    let mut endpoints = request.wiring.endpoints.clone();
    if endpoints.is_empty() {
        endpoints.push(Endpoint::default());
    }
    endpoints[0].network = name;
    endpoints
}

/// Whether containers on this network find each other by name: the default one and those of a user's programs have no names.
pub fn has_names(network: &str) -> bool {
    network != "bridge" && !is_users_program(network)
}

/// Whether the network is carried by a program of the user's.
pub fn is_users_program(network: &str) -> bool {
    matches!(network, "user" | "pasta" | "slirp4netns")
}

/// What a container is called on a network beside its name: as asked, its short id, and the host name it was given.
pub fn aliases(id: &ContainerId, request: &Request, endpoint: &Endpoint) -> Vec<String> {
    let mut aliases = endpoint.aliases.clone();
    aliases.push(id.short().to_owned());
    aliases.extend(request.hostname.clone());
    aliases.dedup();
    aliases
}

/// What `netwire` is told by its environment: the CNI plugins that stand in for what it does itself.
pub fn environment(request: &Request) -> Option<(&'static str, String)> {
    request.programs.cni.clone().map(|folders| ("VENEER_CNI_PATH", folders))
}

/// What is published: `-p`, and with `-P` every exposed port that is not.
pub fn published(request: &Request, image: &[String]) -> Vec<String> {
    let wiring = &request.wiring;
    let mut specs: Vec<String> = wiring.ports.iter().map(|port| port.spec.clone()).collect();
    if wiring.publish_all {
        let covered = |e: &Exposed| {
            wiring.ports.iter().any(|p| p.protocol == e.protocol && (p.container.0..=p.container.1).contains(&e.port))
        };
        specs.extend(exposed(request, image).iter().filter(|e| !covered(e)).map(Exposed::text));
    }
    specs
}

/// All exposed ports, in order: those of the image (`80/tcp`), of `--expose`, and those that are published (docker counts them).
pub fn exposed(request: &Request, image: &[String]) -> Vec<Exposed> {
    let wiring = &request.wiring;
    let mut all: Vec<Exposed> = image.iter().filter_map(|text| Exposed::parse(text).ok()).flatten().collect();
    all.extend(wiring.expose.iter().cloned());
    for port in &wiring.ports {
        all.extend((port.container.0..=port.container.1).map(|p| Exposed { port: p, protocol: port.protocol.clone() }));
    }
    all.sort();
    all.dedup();
    all
}

/// Networks of an ordinary user are carried by a program of theirs, `pasta` or `slirp4netns`; there is one kind of it, and
/// nothing about it can be chosen. `carried` says whether such a program is there.
pub fn without_root(request: &mut Request, carried: bool) -> Result<Option<&'static str>> {
    const USER: &str = "user";
    let Network::Named(name) = crate::plan::network(request) else { return Ok(None) };
    let refuse = |what: String| Err(Error::new(Kind::Request, "network", what));
    if !matches!(name.as_str(), "bridge" | USER | "pasta" | "slirp4netns") {
        return refuse(name).map_err(|e| {
            e.because("an ordinary user's containers have no network in common")
                .hint("leave out --network, or run as root")
        });
    }
    if let [endpoint, ..] = request.wiring.endpoints.as_slice()
        && (endpoint.ip.is_some() || endpoint.ip6.is_some() || endpoint.mac.is_some())
    {
        return refuse(name).map_err(|e| {
            e.because("without root its addresses are fixed").hint("leave out --ip, --ip6 and --mac-address")
        });
    }
    if !carried {
        if !request.wiring.ports.is_empty() || request.network != Network::Default {
            return refuse(name).map_err(|e| {
                e.because("neither pasta nor slirp4netns is installed").hint("install passt or slirp4netns")
            });
        }
        request.network = Network::None;
        return Ok(Some("no network inside: a user's packets need pasta or slirp4netns, and neither is installed"));
    }
    if name == "bridge" {
        request.network = Network::Named(USER.into());
    }
    Ok(None)
}

/// What is said where ports were asked for and there is nothing to publish them on.
pub fn discarded(request: &Request) -> Option<&'static str> {
    let asked = !request.wiring.ports.is_empty() || request.wiring.publish_all;
    match crate::plan::network(request) {
        Network::Host if asked => Some("WARNING: Published ports are discarded when using host network mode"),
        Network::None if asked && request.is_on_host() => {
            Some("WARNING: Published ports are discarded without a network: host has none unless --network names one")
        }
        Network::None if asked => Some("WARNING: Published ports are discarded without a network"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[&str], single: Single) -> String {
        let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        networks(&values, single).unwrap_err().to_string()
    }

    /// What the client of docker 28.2 says to each.
    #[test]
    fn dockers_words_on_networks() {
        let none = Single::default;
        let mixed = "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
        for pair in
            [["a", "host"], ["host", "a"], ["none", "a"], ["container:x", "a"], ["default", "a"], ["bridge", "a"]]
        {
            assert_eq!(said(&pair, none()), mixed, "{pair:?}");
        }
        assert_eq!(said(&["a", "a"], none()), "network \"a\" is specified multiple times");
        assert_eq!(said(&[""], none()), "no name set for network");
        assert_eq!(
            said(&["name=a,foo=1"], none()),
            "invalid argument \"name=a,foo=1\" for \"--network\" flag: invalid field key foo"
        );
        assert_eq!(
            said(&["alias=x"], none()),
            "invalid argument \"alias=x\" for \"--network\" flag: network name/id is not specified"
        );
        let alias = || Single { aliases: vec!["x".into()], ..Single::default() };
        let scoped = "network-scoped aliases are only supported for user-defined networks";
        for values in [&[][..], &["host"], &["bridge"]] {
            assert_eq!(said(values, alias()), scoped, "{values:?}");
        }
        assert_eq!(
            said(&["name=a,alias=y"], alias()),
            "conflicting options: cannot specify both --network-alias and per-network alias"
        );
        let ip = Single { ip: Some([1, 2, 3, 4].into()), ..Single::default() };
        assert_eq!(
            said(&["name=a,ip=1.2.3.5"], ip),
            "conflicting options: cannot specify both --ip and per-network IPv4 address"
        );
        assert_eq!(mac("x").unwrap_err().to_string(), "x is not a valid mac address");
        let (network, endpoints) = networks(&["a".into(), "name=b,alias=y".into()], alias()).unwrap();
        assert_eq!(network, Network::Named("a".into()));
        assert_eq!((endpoints[0].aliases[0].as_str(), endpoints[1].aliases[0].as_str()), ("x", "y"));
    }

    #[test]
    fn dockers_words_on_names() {
        let bad =
            |flag: &str, value: &str, why: &str| format!("invalid argument \"{value}\" for \"--{flag}\" flag: {why}");
        assert_eq!(dns("x").unwrap_err().to_string(), bad("dns", "x", "IP address is not correctly formatted: x"));
        assert_eq!(dns_search("a b").unwrap_err().to_string(), bad("dns-search", "a b", "a b is not a valid domain"));
        assert_eq!(dns_search("").unwrap_err().to_string(), bad("dns-search", "", " is not a valid domain"));
        let said = |text: &str| add_host(text).unwrap_err().to_string();
        assert_eq!(said("x"), bad("add-host", "x", "bad format for add-host: \"x\""));
        assert_eq!(said("x:1.2.3"), bad("add-host", "x:1.2.3", "invalid IP address in add-host: \"1.2.3\""));
        assert_eq!(said("x:"), bad("add-host", "x:", "invalid IP address in add-host: \"\""));
        assert_eq!(said("=1.1.1.1"), bad("add-host", "=1.1.1.1", "bad format for add-host: \"=1.1.1.1\""));
        let pair = |name: &str, ip: &str| (name.to_owned(), ip.to_owned());
        assert_eq!(add_host("x=::1").unwrap(), pair("x", "::1"));
        assert_eq!(add_host("x:[::1]").unwrap(), pair("x", "::1"));
        assert_eq!(add_host("x:host-gateway").unwrap(), pair("x", "host-gateway"));
    }

    #[test]
    fn what_a_shared_network_refuses() {
        let shared = || Request { network: Network::Container("x".into()), ..Request::default() };
        let said = |request: &Request| check(request).unwrap_err().to_string();
        assert_eq!(
            said(&Request { hostname: Some("a".into()), ..shared() }),
            "conflicting options: hostname and the network mode"
        );
        let with = |change: fn(&mut Wiring)| {
            let mut request = shared();
            change(&mut request.wiring);
            said(&request)
        };
        assert_eq!(with(|w| w.dns.push("1.1.1.1".into())), "conflicting options: dns and the network mode");
        assert_eq!(
            with(|w| w.hosts.push(("a".into(), "::1".into()))),
            "conflicting options: custom host-to-IP mapping and the network mode"
        );
        assert_eq!(
            with(|w| w.publish_all = true),
            "conflicting options: port publishing and the container type network mode"
        );
        assert_eq!(
            with(|w| w.expose = Exposed::parse("80").unwrap()),
            "conflicting options: port exposing and the container type network mode"
        );
        assert!(check(&shared()).is_ok());
    }

    #[test]
    fn all_exposed_ports_are_published_once() {
        let mut request = Request { network: Network::Named("bridge".into()), ..Request::default() };
        request.wiring.publish_all = true;
        request.wiring.ports = vec![Publish::parse("8080:80").unwrap()];
        request.wiring.expose = Exposed::parse("90/udp").unwrap();
        let image = ["80/tcp".to_owned(), "443".to_owned()];
        assert_eq!(published(&request, &image), ["8080:80/tcp", "90/udp", "443/tcp"]);
    }
}
