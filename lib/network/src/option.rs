//! What `network create -o KEY=VALUE` knows: docker's keys and netavark's, each done or refused by name.
//!
//! A key that both have under two names is written down as it was typed and found under either. A key that is in neither
//! table is refused: what somebody asks for and does not get must not be passed over in silence.

use crate::driver::Driver;
use crate::overlay::underlay;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A key that is understood.
struct Key {
    name: &'static str,
    /// Docker's name for the same, where it differs.
    docker: &'static str,
    drivers: &'static [Driver],
    check: fn(&str) -> Result<(), String>,
}

use Driver::{Bridge, Ipvlan, Macvlan, Overlay, Ptp, Vlan};
const ALL: &[Driver] = &[Bridge, Macvlan, Ipvlan, Vlan, Ptp, Overlay];
const BRIDGED: &[Driver] = &[Bridge, Overlay];
const ROUTED: &[Driver] = &[Bridge, Overlay, Ptp];
const PARENTED: &[Driver] = &[Macvlan, Ipvlan, Vlan];

const KEYS: &[Key] = &[
    key("mtu", "com.docker.network.driver.mtu", ALL, mtu),
    key("bridge_name", "com.docker.network.bridge.name", BRIDGED, interface),
    key("icc", "com.docker.network.bridge.enable_icc", ROUTED, boolean),
    key("masquerade", "com.docker.network.bridge.enable_ip_masquerade", ROUTED, boolean),
    key("inhibit_ipv4", "com.docker.network.bridge.inhibit_ipv4", &[Bridge], boolean),
    key("gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv4", ROUTED, gateway_mode),
    key("gateway_mode_ipv6", "com.docker.network.bridge.gateway_mode_ipv6", ROUTED, gateway_mode),
    key("ipv6", "com.docker.network.enable_ipv6", ALL, boolean),
    key("internal", "com.docker.network.internal", ALL, boolean),
    key("isolate", "", BRIDGED, isolate),
    key("hairpin", "", BRIDGED, boolean),
    key("obey_input", "", ROUTED, boolean),
    key("metric", "", ALL, number),
    key("no_default_route", "", ALL, boolean),
    key("parent", "", PARENTED, interface),
    key("mode", "macvlan_mode", &[Macvlan], macvlan_mode),
    key("mode", "ipvlan_mode", &[Ipvlan], ipvlan_mode),
    key("ipvlan_flag", "", &[Ipvlan], ipvlan_flag),
    key("bcqueuelen", "", &[Macvlan], number),
    key("bclim", "", &[Macvlan], limit),
    key("host_binding_ipv4", "com.docker.network.bridge.host_binding_ipv4", ROUTED, address4),
    key("trusted_host_interfaces", "com.docker.network.bridge.trusted_host_interfaces", BRIDGED, interfaces),
    key("container_iface_prefix", "com.docker.network.container_iface_prefix", ALL, prefix),
    key("outbound_addr4", "", BRIDGED, source4),
    key("outbound_addr6", "", BRIDGED, source6),
    key("vlan", "", &[Vlan, Bridge], vlan),
    key("vni", "com.docker.network.driver.overlay.vxlanid_list", &[Overlay], underlay::check_vni),
    key("port", "", &[Overlay], underlay::check_port),
    key("local", "", &[Overlay], underlay::check_address),
    key("dev", "", &[Overlay], interface),
];

/// Keys that others understand and this program does not, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("encrypted", "packets of an overlay are not encrypted here; put the hosts' link into a tunnel that is"),
    ("vrf", "make the bridge yourself, put it into the VRF, and name it: --bridge DEV"),
    (
        "host_interface_name",
        "the end outside is named by netwire, so that it is found again; attach prints it as host_interface",
    ),
];

const fn key(
    name: &'static str,
    docker: &'static str,
    drivers: &'static [Driver],
    check: fn(&str) -> Result<(), String>,
) -> Key {
    Key { name, docker, drivers, check }
}

/// Why `options` cannot be a network's of this kind, if they cannot.
pub fn check(driver: Driver, options: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in options {
        if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return Err(format!("option `{name}` is not supported: {instead}"));
        }
        let mut found = KEYS.iter().filter(|key| key.name == name || key.docker == name).peekable();
        if found.peek().is_none() {
            return Err(format!("option `{name}` is unknown"));
        }
        let key = found.find(|key| key.drivers.contains(&driver));
        let key = key.ok_or_else(|| format!("option `{name}` means nothing to a network of driver {driver}"))?;
        (key.check)(value).map_err(|why| format!("option `{name}`: {why}"))?;
        if name == key.docker && options.get(key.name).is_some_and(|other| other != value) {
            return Err(format!("options `{name}` and `{}` contradict each other", key.name));
        }
    }
    if driver == Vlan && get(options, "vlan").is_none() {
        return Err("a network of driver vlan needs to be told which: -o vlan=TAG".into());
    }
    Ok(())
}

/// The value of the option called `name`, under whichever of its names it was given.
pub fn get<'a>(options: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let other = |key: &&Key| key.name == name && !key.docker.is_empty();
    let found = options.get(name).or_else(|| KEYS.iter().filter(other).find_map(|key| options.get(key.docker)));
    found.map(String::as_str)
}

/// A value that says yes or no.
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "true" | "1" | "yes" | "" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn boolean(value: &str) -> Result<(), String> {
    truth(value).map(drop).ok_or_else(|| format!("`{value}` is neither true nor false"))
}

fn isolate(value: &str) -> Result<(), String> {
    if value == "strict" { Ok(()) } else { boolean(value) }
}

fn number(value: &str) -> Result<(), String> {
    value.parse::<u32>().map(drop).map_err(|_| format!("`{value}` is no number"))
}

fn limit(value: &str) -> Result<(), String> {
    value.parse::<i32>().map(drop).map_err(|_| format!("`{value}` is no number"))
}

fn address4(value: &str) -> Result<(), String> {
    value.parse::<Ipv4Addr>().map(drop).map_err(|_| format!("`{value}` is no address of IPv4"))
}

fn source4(value: &str) -> Result<(), String> {
    address4(value)?;
    source(value)
}

fn source6(value: &str) -> Result<(), String> {
    value.parse::<Ipv6Addr>().map_err(|_| format!("`{value}` is no address of IPv6"))?;
    source(value)
}

/// What is sent has one machine's address.
fn source(value: &str) -> Result<(), String> {
    match value.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            Err(format!("`{value}` is no machine's address"))
        }
        _ => Ok(()),
    }
}

fn interfaces(value: &str) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    value.split(':').try_for_each(|name| {
        interface(name)?;
        if seen.insert(name) { Ok(()) } else { Err(format!("`{name}` is named twice")) }
    })
}

/// A number follows it.
fn prefix(value: &str) -> Result<(), String> {
    interface(&format!("{value}00"))
}

fn mtu(value: &str) -> Result<(), String> {
    match value.parse::<u32>() {
        Ok(68..=65535) => Ok(()),
        _ => Err(format!("`{value}` is not in 68..=65535")),
    }
}

fn interface(value: &str) -> Result<(), String> {
    crate::link::check_name(value)
}

fn gateway_mode(value: &str) -> Result<(), String> {
    one_of(value, &["nat", "routed"])
}

fn macvlan_mode(value: &str) -> Result<(), String> {
    one_of(value, &["bridge", "private", "vepa", "passthru"])
}

fn ipvlan_mode(value: &str) -> Result<(), String> {
    one_of(value, &["l2", "l3", "l3s"])
}

fn ipvlan_flag(value: &str) -> Result<(), String> {
    one_of(value, &["bridge", "private", "vepa"])
}

fn vlan(value: &str) -> Result<(), String> {
    match value.parse::<u16>() {
        Ok(1..=4094) => Ok(()),
        _ => Err(format!("`{value}` is not in 1..=4094")),
    }
}

fn one_of(value: &str, good: &[&str]) -> Result<(), String> {
    if good.contains(&value) { Ok(()) } else { Err(format!("`{value}` is none of {}", good.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::{check, get};
    use crate::driver::Driver;
    use std::collections::BTreeMap;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn one_key_has_two_names() {
        let given = options(&[("com.docker.network.driver.mtu", "1400"), ("parent", "up0"), ("macvlan_mode", "vepa")]);
        assert_eq!(check(Driver::Macvlan, &given), Ok(()));
        assert_eq!((get(&given, "mtu"), get(&given, "mode"), get(&given, "icc")), (Some("1400"), Some("vepa"), None));
        let two = options(&[("com.docker.network.driver.mtu", "1400"), ("mtu", "1500")]);
        assert!(check(Driver::Bridge, &two).unwrap_err().contains("contradict each other"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (driver, key, value, why) in [
            (Driver::Bridge, "frobnicate", "1", "option `frobnicate` is unknown"),
            (Driver::Bridge, "parent", "up0", "option `parent` means nothing to a network of driver bridge"),
            (Driver::Bridge, "mtu", "12", "option `mtu`: `12` is not in 68..=65535"),
            (Driver::Bridge, "vrf", "red", "option `vrf` is not supported"),
            (Driver::Ipvlan, "ipvlan_mode", "l4", "`l4` is none of l2, l3, l3s"),
            (Driver::Vlan, "parent", "up0", "needs to be told which: -o vlan=TAG"),
            (Driver::Bridge, "trusted_host_interfaces", "up0:up1:up0", "`up0` is named twice"),
            (Driver::Bridge, "outbound_addr4", "0.0.0.0", "`0.0.0.0` is no machine's address"),
            (Driver::Bridge, "outbound_addr6", "::", "`::` is no machine's address"),
            (Driver::Bridge, "icc", "maybe", "`maybe` is neither true nor false"),
        ] {
            assert!(check(driver, &options(&[(key, value)])).unwrap_err().contains(why), "{key}");
        }
    }
}
