//! `ipvlan`: an interface that shares the hardware address of the link it is on. It can be chained: on the one interface that
//! the plugins before made, and with their addresses where nobody else gives some.

use super::super::call::Call;
use super::super::configuration::invalid;
use super::super::place::Found;
use super::super::request::Command;
use super::{Kind, Wish};
use crate::link::Child;
use crate::link::ipvlan::{self, Flag, Mode};
use crate::socket::Request;
use serde::Deserialize;
use spec::cni::Failure;

const IFLA_IPVLAN_MODE: u16 = 1;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    master: String,
    mode: String,
    mtu: i64,
    #[serde(rename = "linkInContainer")]
    in_container: bool,
}

pub(crate) struct Settings {
    mode: Mode,
}

impl Kind for Settings {
    const KIND: &'static str = "ipvlan";
    const UNADDRESSED: &'static str = "ipvlan needs addresses: an ipam section, or a plugin before it that has some";
    const LIMITED: bool = false;

    fn wish(call: &Call<'_>) -> Result<Wish<Self>, Failure> {
        let keys: Keys = call.configuration.decode()?;
        let mode = match keys.mode.as_str() {
            "" => Mode::default(),
            name => name.parse().map_err(|_| invalid(format!("unknown ipvlan mode: \"{name}\"")))?,
        };
        let mut master = keys.master;
        // CHECK is told the result of the whole chain, in which the interface is this one.
        let before = call.previous.as_ref().filter(|_| call.request.command != Command::Check);
        if let Some(previous) = before.filter(|_| master.is_empty()) {
            match &previous.interfaces[..] {
                [one] if !one.name.is_empty() => master.clone_from(&one.name),
                _ => return Err(invalid("chained master failure. PrevResult lacks a single named interface")),
            }
        }
        let given = before.filter(|p| call.configuration.ipam.is_empty() && !p.ips.is_empty()).cloned();
        Ok(Wish { kind: Self { mode }, master, in_container: keys.in_container, mtu: keys.mtu, mac: None, given })
    }

    fn create(&self, child: &Child<'_>) -> Request {
        ipvlan::create(child, self.mode, Flag::default())
    }

    fn differs(&self, found: &Found) -> Option<String> {
        let wanted: u16 = match self.mode {
            Mode::L2 => 0,
            Mode::L3 => 1,
            Mode::L3s => 2,
        };
        let there = found.of_kind(IFLA_IPVLAN_MODE);
        let same = there == Some(&wanted.to_ne_bytes()[..]);
        (!same).then(|| format!("Container IPVlan mode does not match expected value: {}", self.mode))
    }
}
