//! What a network is: written once at its creation, read by everybody.

use crate::error::{Error, Kind, Result};
use crate::pool::Subnet;
use crate::state::{self, Durability, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The network that is there without being created.
pub const DEFAULT: &str = "bridge";
/// Names that mean something else wherever networks are named.
const RESERVED: [&str; 7] = ["host", "none", "default", "container", "user", "pasta", "slirp4netns"];
/// The form in which definitions are written; a newer one is refused.
const FORMAT: u32 = 1;

/// A network as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The form of this record.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// What kind of network: `bridge`.
    pub driver: String,
    /// The bridge's name.
    pub bridge: String,
    /// The subnet its addresses are from.
    pub subnet: Subnet,
    /// The bridge's own address.
    pub gateway: IpAddr,
    /// Whether the bridge was there before the network: then it stays when the network goes.
    #[serde(default)]
    pub adopted: bool,
    /// The largest packet in bytes; without it that of the link the default route goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether nothing leaves it and nothing comes in.
    #[serde(default)]
    pub internal: bool,
    /// What users wrote on it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When it was created, in seconds since 1970.
    pub created_s: u64,
}

impl Definition {
    /// A new definition of `name` with what every network has: an id, and the hour.
    pub fn new(name: &str, subnet: Subnet, gateway: impl Into<IpAddr>) -> Result<Self> {
        let mut random = [0_u8; 32];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| crate::error::failed("get random bytes", "", e))?;
        let id: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let created_s = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs());
        Ok(Self {
            format: FORMAT,
            name: name.to_owned(),
            driver: "bridge".into(),
            bridge: format!("vn-{}", &id[..12]),
            id,
            subnet,
            gateway: gateway.into(),
            adopted: false,
            mtu: None,
            internal: false,
            labels: BTreeMap::new(),
            created_s,
        })
    }

    /// The definition of `name`, if there is one.
    pub fn load(state: &State, name: &str) -> Result<Option<Self>> {
        let path = state.definition_path(name);
        let Some(bytes) = state::load(&path)? else { return Ok(None) };
        let definition: Self = serde_json::from_slice(&bytes).map_err(|e| state::damaged(&path, e))?;
        if definition.format > FORMAT {
            return Err(Error::new(Kind::Unsupported, "read", path.display())
                .because(format!("its format is {}, this netwire knows up to {FORMAT}", definition.format))
                .hint("use the newer netwire that wrote it"));
        }
        Ok(Some(definition))
    }

    /// Writes it down.
    pub fn store(&self, state: &State) -> Result<()> {
        let path = state.definition_path(&self.name);
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| state::damaged(&path, e))?;
        bytes.push(b'\n');
        state::replace(&path, &bytes, Durability::Disk)
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
    use super::{Definition, check_name};

    #[test]
    fn names() {
        for good in ["bridge", "web-1", "a.b_c", "0"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".hidden", "-x", "a/b", "a b", "host", "none", "x\0", &"x".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_members_are_ignored() {
        let made = Definition::new("web", "10.1.0.0/24".parse().unwrap(), [10, 1, 0, 1]).unwrap();
        assert_eq!((made.id.len(), made.bridge.len()), (64, 15));
        let mut value = serde_json::to_value(&made).unwrap();
        value["something_newer"] = true.into();
        assert_eq!(serde_json::from_value::<Definition>(value).unwrap(), made);
    }
}
