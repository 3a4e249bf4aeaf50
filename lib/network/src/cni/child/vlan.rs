//! `vlan`: the interface of one 802.1Q tag on a link.

use super::super::call::Call;
use super::super::configuration::invalid;
use super::super::place::Found;
use super::{Kind, Wish};
use crate::link::Child;
use crate::link::vlan;
use crate::socket::Request;
use serde::Deserialize;
use spec::cni::Failure;

const IFLA_VLAN_ID: u16 = 1;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    master: String,
    #[serde(rename = "vlanId")]
    tag: i64,
    mtu: i64,
    #[serde(rename = "linkInContainer")]
    in_container: bool,
}

pub(crate) struct Settings {
    tag: u16,
}

impl Kind for Settings {
    const KIND: &'static str = "vlan";
    const UNADDRESSED: &'static str = "vlan needs addresses: an ipam section";

    fn wish(call: &Call<'_>) -> Result<Wish<Self>, Failure> {
        let keys: Keys = call.configuration.decode()?;
        if keys.master.is_empty() {
            let msg = "\"master\" field is required. It specifies the host interface name to create the VLAN for";
            return Err(invalid(msg));
        }
        let tag = u16::try_from(keys.tag).ok().filter(|tag| *tag <= *vlan::TAGS.end());
        let wrong = || invalid(format!("invalid VLAN ID {} (must be between 0 and 4095 inclusive)", keys.tag));
        let kind = Self { tag: tag.ok_or_else(wrong)? };
        Ok(Wish { kind, master: keys.master, in_container: keys.in_container, mtu: keys.mtu, mac: None, given: None })
    }

    fn create(&self, child: &Child<'_>) -> Request {
        vlan::create(child, self.tag)
    }

    fn differs(&self, found: &Found) -> Option<String> {
        let same = found.of_kind(IFLA_VLAN_ID) == Some(&self.tag.to_ne_bytes()[..]);
        (!same).then(|| format!("VLAN of {} is not {}", found.name(), self.tag))
    }
}
