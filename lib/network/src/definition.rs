//! What a network is: written once at its creation, read by everybody.

use crate::driver::Driver;
use crate::error::{Error, Kind, Result};
use crate::naming;
use crate::option;
use crate::pool::Subnet;
use crate::route::Via;
use crate::state::{self, Durability, State};
use serde::{Deserialize, Serialize};
use spec::published::Published;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

/// The network that is there without being created.
pub const DEFAULT: &str = "bridge";
/// Names that mean something else wherever networks are named.
const RESERVED: [&str; 7] = ["host", "none", "default", "container", "user", "pasta", "slirp4netns"];
/// The form in which definitions are written; a newer one is refused, the older one is read.
const FORMAT: u32 = 2;

/// A network as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The form of this record.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// What kind of network.
    pub driver: Driver,
    /// The bridge's name; empty for kinds that have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bridge: String,
    /// The subnets its addresses are from; none where containers have no addresses of ours.
    pub subnets: Vec<Pool>,
    /// Whether the bridge was there before the network: then it stays when the network goes.
    #[serde(default)]
    pub adopted: bool,
    /// The largest packet in bytes; without it that of the link the default route goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether it has a subnet of IPv6.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether nothing leaves it and nothing comes in.
    #[serde(default)]
    pub internal: bool,
    /// Whether other networks of this machine cannot reach it, nor it them.
    #[serde(default = "yes")]
    pub isolate: bool,
    /// Whether it has a name server.
    #[serde(default)]
    pub dns: bool,
    /// Whom that asks what it does not know; without any the machine's own resolvers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<IpAddr>,
    /// The domain that its containers' names are in, beside the network's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_domain: Option<String>,
    /// Routes that each container gets beside the default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Via>,
    /// The options as they were given; see [`option`].
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// What users wrote on it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When it was created, in seconds since 1970.
    pub created_s: u64,
}

/// A subnet of a network and what of it is for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The subnet.
    pub subnet: Subnet,
    /// The way out; a bridge has this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The part that containers are given addresses of that did not ask for one; all of it where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Subnet>,
    /// Addresses that nobody is given: what they are for, and which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<String, IpAddr>,
}

impl Pool {
    /// A subnet with its gateway, if it has one.
    pub fn new(subnet: Subnet, gateway: Option<IpAddr>) -> Self {
        Self { subnet, gateway, range: None, reserved: BTreeMap::new() }
    }
}

/// What format 1 had in another way.
#[derive(Deserialize)]
struct Former {
    format: u32,
    subnet: Option<Subnet>,
    gateway: Option<IpAddr>,
}

fn yes() -> bool {
    true
}

impl Definition {
    /// A new definition of `name` with what every network has: an id, and the hour.
    pub fn new(name: &str, driver: Driver, subnets: Vec<Pool>) -> Result<Self> {
        let mut random = [0_u8; 32];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| crate::error::failed("get random bytes", "", e))?;
        let id: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let created_s = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs());
        Ok(Self {
            format: FORMAT,
            name: name.to_owned(),
            driver,
            bridge: if driver.has_bridge() { format!("vn-{}", &id[..12]) } else { String::new() },
            id,
            ipv6: subnets.iter().any(|pool| pool.subnet.is_v6()),
            subnets,
            adopted: false,
            mtu: None,
            internal: false,
            isolate: true,
            dns: false,
            dns_servers: Vec::new(),
            dns_domain: None,
            routes: Vec::new(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            created_s,
        })
    }

    /// The definition of `name`, if there is one.
    pub fn load(state: &State, name: &str) -> Result<Option<Self>> {
        let path = state.definition_path(name);
        let Some(bytes) = state::load(&path)? else { return Ok(None) };
        Self::read(&path, &bytes).map(Some)
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let damaged = |e| state::damaged(path, e);
        let former: Former = serde_json::from_slice(bytes).map_err(damaged)?;
        if former.format > FORMAT {
            return Err(Error::new(Kind::Unsupported, "read", path.display())
                .because(format!("its format is {}, this netwire knows up to {FORMAT}", former.format))
                .hint("use the newer netwire that wrote it"));
        }
        if former.format == FORMAT {
            return serde_json::from_slice(bytes).map_err(damaged);
        }
        let mut value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
        let subnets: Vec<Pool> = former.subnet.map(|subnet| Pool::new(subnet, former.gateway)).into_iter().collect();
        value["format"] = FORMAT.into();
        value["subnets"] = serde_json::to_value(subnets).map_err(damaged)?;
        serde_json::from_value(value).map_err(damaged)
    }

    /// Writes it down.
    pub fn store(&self, state: &State) -> Result<()> {
        let path = state.definition_path(&self.name);
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| state::damaged(&path, e))?;
        bytes.push(b'\n');
        state::replace_locked(&path, &bytes, Durability::Disk)
    }

    /// The value of the option called `name`, under whichever of its names it was given.
    pub fn option(&self, name: &str) -> Option<&str> {
        option::get(&self.options, name)
    }

    /// Whether the option called `name` says yes; `default` where it was not given.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.option(name).and_then(option::truth).unwrap_or(default)
    }

    /// Whether containers may reach each other.
    pub fn icc(&self) -> bool {
        self.flag("icc", true)
    }

    /// Whether published ports obey the machine's input policy: see [`crate::publish`].
    pub fn obeys_input(&self) -> bool {
        self.flag("obey_input", false)
    }

    /// Whether what leaves the network in IPv4, or in IPv6, leaves under this machine's address.
    pub fn masquerades(&self, v6: bool) -> bool {
        let mode = self.option(if v6 { "gateway_mode_ipv6" } else { "gateway_mode_ipv4" });
        !self.internal && self.flag("masquerade", true) && mode != Some("routed")
    }

    /// The address that what leaves the network in IPv4, or in IPv6, leaves under, where one was told.
    pub fn leaves_by(&self, v6: bool) -> Option<IpAddr> {
        let told = self.option(if v6 { "outbound_addr6" } else { "outbound_addr4" })?;
        told.parse().ok().filter(|_| self.masquerades(v6))
    }

    /// `specs` with the address that ports are published on where they name none. The unspecified one is docker's own word for
    /// all of them, in both families.
    pub fn published(&self, specs: &[Published]) -> Vec<Published> {
        let own: Option<IpAddr> = self.option("host_binding_ipv4").and_then(|address| address.parse().ok());
        let own = own.filter(|address| !address.is_unspecified());
        specs.iter().map(|spec| Published { address: spec.address.or(own), ..spec.clone() }).collect()
    }

    /// What its interfaces inside are called where nobody says, before the number: see [`crate::naming`].
    pub fn interface_prefix(&self) -> &str {
        self.option("container_iface_prefix").unwrap_or(naming::PREFIX)
    }

    /// The gateways of its subnets.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.subnets.iter().filter_map(|pool| pool.gateway)
    }

    /// The subnet that `address` is of.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.subnets.iter().find(|pool| pool.subnet.contains(address))
    }

    /// `address` with the number of bits of its subnet: `172.17.0.2/16`.
    pub fn with_prefix(&self, address: IpAddr) -> String {
        let prefix = self.pool_of(address).map_or(crate::pool::width(address), |pool| pool.subnet.prefix());
        format!("{address}/{prefix}")
    }
}

/// Why `name` cannot be a network's name, if it cannot: it becomes part of a file's name.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if !name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) || !name.bytes().all(fits) || name.len() > 128 {
        return Err(format!(
            "`{name}` cannot be the name of a network: letters, digits and `_.-`, a letter or digit first, at most 128"
        ));
    }
    if RESERVED.contains(&name) {
        return Err(format!("`{name}` cannot be the name of a network: it means something else there"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Definition, Pool, check_name};
    use crate::driver::Driver;
    use std::path::Path;

    #[test]
    fn names() {
        for good in ["bridge", "web-1", "a.b_c", "0"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".hidden", "-x", "a/b", "a b", "host", "none", "x\0", &"x".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    fn made() -> Definition {
        let pool = Pool::new("10.1.0.0/24".parse().unwrap(), Some([10, 1, 0, 1].into()));
        Definition::new("web", Driver::Bridge, vec![pool]).unwrap()
    }

    #[test]
    fn ports_are_published_where_the_network_says_unless_they_do() {
        let shown = |address: &str| {
            let mut made = made();
            made.options.insert("com.docker.network.bridge.host_binding_ipv4".into(), address.into());
            let specs = ["80:80", "[::1]:81:81"].map(|spec| spec.parse().unwrap());
            made.published(&specs).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown("127.0.0.1"), ["127.0.0.1:80:80/tcp", "[::1]:81:81/tcp"]);
        assert_eq!(shown("0.0.0.0"), ["80:80/tcp", "[::1]:81:81/tcp"], "docker's own default: both families");
    }

    #[test]
    fn unknown_members_are_ignored() {
        let made = made();
        assert_eq!((made.id.len(), made.bridge.len()), (64, 15));
        let mut value = serde_json::to_value(&made).unwrap();
        value["something_newer"] = true.into();
        assert_eq!(serde_json::from_value::<Definition>(value).unwrap(), made);
    }

    #[test]
    fn the_first_format_is_read() {
        let written =
            br#"{"format": 1, "name": "web", "id": "0a", "driver": "bridge", "bridge": "vn-0", "subnet": "10.1.0.0/24",
            "gateway": "10.1.0.1", "adopted": false, "internal": true, "labels": {"a": "b"}, "created_s": 7}"#;
        let read = Definition::read(Path::new("web.json"), written).unwrap();
        assert_eq!(read.subnets, made().subnets);
        assert_eq!(
            (read.driver, read.internal, read.isolate, read.dns, read.ipv6),
            (Driver::Bridge, true, true, false, false)
        );
        assert_eq!((read.format, read.created_s, read.labels["a"].as_str()), (2, 7, "b"));
    }

    #[test]
    fn what_options_say() {
        let mut web = made();
        assert!(web.icc() && web.masquerades(false) && web.masquerades(true));
        web.options.insert("com.docker.network.bridge.enable_icc".into(), "false".into());
        web.options.insert("gateway_mode_ipv6".into(), "routed".into());
        assert!(!web.icc() && web.masquerades(false) && !web.masquerades(true));
        assert_eq!(web.with_prefix([10, 1, 0, 9].into()), "10.1.0.9/24");
    }
}
