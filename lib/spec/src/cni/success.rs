//! The result of a plugin, in the shape of the newest version; written in and read from all of them.
//!
//! ```text
//! 0.1.0, 0.2.0   ip4 and ip6, one address each, each with its routes; no interfaces
//! 0.3.0 – 0.4.0  interfaces, ips (each says its family), routes, dns
//! 1.0.0          ips no longer say their family
//! 1.1.0          interfaces may say their mtu, socket and device
//! ```

use super::{Cidr, Version};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// What a plugin made, or found and passes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Success {
    /// The interfaces, inside and outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// The addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<Ip>,
    /// The routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// What is known of names.
    pub dns: Dns,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address; empty if it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// The largest packet in bytes; 0 if that is not said.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The namespace's path; empty for one of the host's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// A socket that belongs to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// The device it is.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// Which of the interfaces has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<i64>,
    /// The address with the subnet's prefix.
    pub address: Cidr,
    /// The subnet's way out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_address")]
    pub gateway: Option<IpAddr>,
}

/// A route inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub dst: Cidr,
    /// By whom; the subnet's gateway if that is not said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_address")]
    pub gw: Option<IpAddr>,
    /// The largest packet in bytes; 0 if that is not said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The largest segment to announce in bytes; 0 if that is not said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advmss: u32,
    /// Its metric.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// Its table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// How far its destination is: 0 anywhere, 253 on this link, 254 this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

/// What is known of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Where short names are searched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// The resolver's options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// An address, where an empty text is none.
pub fn maybe_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => {
            text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("invalid IP address: {text}")))
        }
    }
}

/// `ip4` or `ip6` of the oldest results.
#[derive(Debug, Serialize, Deserialize)]
struct OldIp {
    ip: Cidr,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_address")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Route>,
}

impl Success {
    /// Reads a result of `version`, or of the version it names itself.
    pub fn read(value: &Value, version: Version) -> Result<Self, String> {
        let version = match value.get("cniVersion") {
            Some(Value::String(text)) => text.parse()?,
            None => version,
            Some(other) => return Err(format!("`{other}` is no version")),
        };
        if version >= Version::V0_3_0 {
            return Self::deserialize(value).map_err(|e| e.to_string());
        }
        let part = |key: &str| match value.get(key) {
            None => Ok(None),
            Some(part) => OldIp::deserialize(part).map(Some).map_err(|e| format!("{key}: {e}")),
        };
        let mut read = Self::default();
        for old in [part("ip4")?, part("ip6")?].into_iter().flatten() {
            read.ips.push(Ip { interface: None, address: old.ip, gateway: old.gateway });
            read.routes.extend(old.routes);
        }
        if let Some(dns) = value.get("dns") {
            read.dns = Dns::deserialize(dns).map_err(|e| format!("dns: {e}"))?;
        }
        Ok(read)
    }

    /// Writes it as a result of `version`. The oldest hold one address of a family, and need one.
    pub fn write(&self, version: Version) -> Result<Value, String> {
        let mut written = if version >= Version::V0_3_0 { self.write_new(version)? } else { self.write_old()? };
        written.insert("cniVersion".into(), version.name().into());
        Ok(Value::Object(written))
    }

    fn write_new(&self, version: Version) -> Result<Map<String, Value>, String> {
        let Value::Object(mut written) = serde_json::to_value(self).map_err(|e| e.to_string())? else {
            return Err("a result is an object".into());
        };
        let list = |written: &mut Map<String, Value>, key: &str, each: &mut dyn FnMut(&mut Map<String, Value>)| {
            let list = written.get_mut(key).and_then(Value::as_array_mut);
            list.into_iter().flatten().filter_map(Value::as_object_mut).for_each(each);
        };
        if version < Version::V1_1_0 {
            list(&mut written, "interfaces", &mut |one| drop(one.remove("mtu")));
        }
        if version < Version::V1_0_0 {
            list(&mut written, "interfaces", &mut |one| {
                one.retain(|key, _| ["name", "mac", "sandbox"].contains(&&**key))
            });
            let mut families = self.ips.iter().map(|ip| if ip.address.address.is_ipv4() { "4" } else { "6" });
            list(&mut written, "ips", &mut |one| {
                one.insert("version".into(), families.next().unwrap_or_default().into());
            });
        }
        Ok(written)
    }

    fn write_old(&self) -> Result<Map<String, Value>, String> {
        let mut written = Map::new();
        for (key, v4) in [("ip4", true), ("ip6", false)] {
            let Some(ip) = self.ips.iter().find(|ip| ip.address.address.is_ipv4() == v4) else { continue };
            let plain = |r: &Route| Route { mtu: 0, advmss: 0, priority: 0, table: None, scope: None, ..r.clone() };
            let routes = self.routes.iter().filter(|r| r.dst.address.is_ipv4() == v4).map(plain).collect();
            let old = OldIp { ip: ip.address, gateway: ip.gateway, routes };
            written.insert(key.into(), serde_json::to_value(old).map_err(|e| e.to_string())?);
        }
        if written.is_empty() {
            return Err("cannot convert: no valid IP addresses".into());
        }
        written.insert("dns".into(), serde_json::to_value(&self.dns).map_err(|e| e.to_string())?);
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::{Success, Version};
    use serde_json::{Value, json};

    fn newest() -> Value {
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "cni0", "mac": "02:00:00:00:00:01", "mtu": 1500},
                           {"name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1500, "sandbox": "/run/netns/a"}],
            "ips": [{"interface": 1, "address": "10.1.0.5/16", "gateway": "10.1.0.1"},
                    {"interface": 1, "address": "fd00::5/64"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400, "priority": 7}, {"dst": "::/0"}],
            "dns": {"nameservers": ["10.1.0.1"], "domain": "x"},
        })
    }

    #[test]
    fn the_newest_comes_back() {
        let read = Success::read(&newest(), Version::V0_1_0).unwrap();
        assert_eq!(read.write(Version::V1_1_0).unwrap(), newest());
    }

    #[test]
    fn older_ones_have_what_they_can() {
        let read = Success::read(&newest(), Version::V1_1_0).unwrap();
        let middle = read.write(Version::V0_4_0).unwrap();
        assert_eq!(middle["ips"][1], json!({"version": "6", "interface": 1, "address": "fd00::5/64"}));
        assert_eq!(middle["interfaces"][0], json!({"name": "cni0", "mac": "02:00:00:00:00:01"}));
        let old = read.write(Version::V0_2_0).unwrap();
        assert_eq!(
            old,
            json!({
                "cniVersion": "0.2.0",
                "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
                "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0"}]},
                "dns": {"nameservers": ["10.1.0.1"], "domain": "x"},
            })
        );
        let again = Success::read(&old, Version::V1_0_0).unwrap();
        assert_eq!((again.ips.len(), again.routes.len(), again.interfaces.len()), (2, 2, 0));
        assert_eq!(Success::default().write(Version::V0_1_0), Err("cannot convert: no valid IP addresses".into()));
    }

    #[test]
    fn what_is_no_result_is_refused() {
        for wrong in [json!({"cniVersion": "7.0.0"}), json!({"ips": [{"address": "x"}]}), json!({"cniVersion": 1})] {
            assert!(Success::read(&wrong, Version::V1_0_0).is_err(), "{wrong}");
        }
        let empty = json!({"ips": [{"address": "10.0.0.1/8", "gateway": ""}]});
        assert_eq!(Success::read(&empty, Version::V1_0_0).unwrap().ips[0].gateway, None);
    }
}
