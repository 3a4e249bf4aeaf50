//! `macvlan`: an interface with a hardware address of its own on a link.

use super::super::call::Call;
use super::super::configuration::invalid;
use super::super::place::Found;
use super::{Kind, Wish};
use crate::attribute;
use crate::link::Child;
use crate::link::macvlan::{self, Mode};
use crate::socket::Request;
use serde::Deserialize;
use spec::cni::Failure;

const IFLA_MACVLAN_MODE: u16 = 1;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    master: String,
    mode: String,
    mtu: i64,
    #[serde(rename = "linkInContainer")]
    in_container: bool,
    bcqueuelen: u32,
}

pub(crate) struct Settings {
    mode: Mode,
    queue_length: Option<u32>,
}

impl Kind for Settings {
    const KIND: &'static str = "macvlan";

    fn wish(call: &Call<'_>) -> Result<Wish<Self>, Failure> {
        let keys: Keys = call.configuration.decode()?;
        call.request.arguments.refuse_unknown(&["MAC"]).map_err(invalid)?;
        let mode = match keys.mode.as_str() {
            "" => Mode::default(),
            name => name.parse().map_err(|_| invalid(format!("unknown macvlan mode: \"{name}\"")))?,
        };
        Ok(Wish {
            kind: Self { mode, queue_length: Some(keys.bcqueuelen).filter(|length| *length > 0) },
            master: keys.master,
            in_container: keys.in_container,
            mtu: keys.mtu,
            mac: call.mac()?,
            given: None,
        })
    }

    fn create(&self, child: &Child<'_>) -> Request {
        macvlan::create(child, self.mode, self.queue_length, None)
    }

    fn differs(&self, found: &Found) -> Option<String> {
        let wanted = match self.mode {
            Mode::Private => 1,
            Mode::Vepa => 2,
            Mode::Bridge => 4,
            Mode::Passthru => 8,
        };
        let there = found.of_kind(IFLA_MACVLAN_MODE).and_then(attribute::number);
        (there != Some(wanted)).then(|| format!("container macvlan mode does not match expected value: {}", self.mode))
    }
}
