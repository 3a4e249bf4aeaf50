//! ipvlan: a link with addresses of its own behind its parent's hardware address (drivers/net/ipvlan/).
//!
//! For cables where a second hardware address is not welcome. The mode is the parent's: all children of one have the same.

use super::Child;
use crate::socket::Request;
use netlink_packet_route::link::{InfoData, InfoIpVlan, InfoKind, IpVlanFlags, IpVlanMode};
use std::fmt;
use std::str::FromStr;

/// Where packets are decided upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// In the child: neighbours are asked for, broadcasts arrive.
    #[default]
    L2,
    /// In the parent's namespace by its routes; no broadcasts, no neighbours.
    L3,
    /// As L3, and the parent's packet rules see what passes.
    L3s,
}

/// What children of one parent are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flag {
    /// Neighbours.
    #[default]
    Bridge,
    /// Strangers.
    Private,
    /// Apart here; joined by a switch that sends packets back.
    Vepa,
}

const MODES: [(Mode, &str); 3] = [(Mode::L2, "l2"), (Mode::L3, "l3"), (Mode::L3s, "l3s")];
const FLAGS: [(Flag, &str); 3] = [(Flag::Bridge, "bridge"), (Flag::Private, "private"), (Flag::Vepa, "vepa")];

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = MODES.into_iter().find(|(_, name)| *name == text).map(|(mode, _)| mode);
        found.ok_or_else(|| format!("`{text}` is no ipvlan mode: l2, l3 or l3s"))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MODES.into_iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Flag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = FLAGS.into_iter().find(|(_, name)| *name == text).map(|(flag, _)| flag);
        found.ok_or_else(|| format!("`{text}` is no ipvlan flag: bridge, private or vepa"))
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FLAGS.into_iter().find(|(flag, _)| flag == self).map_or("", |(_, name)| name))
    }
}

/// Makes an ipvlan. It has no hardware address of its own: `child.mac` is not looked at.
pub fn create(child: &Child<'_>, mode: Mode, flag: Flag) -> Request {
    let mode = match mode {
        Mode::L2 => IpVlanMode::L2,
        Mode::L3 => IpVlanMode::L3,
        Mode::L3s => IpVlanMode::L3S,
    };
    let flags = match flag {
        Flag::Bridge => IpVlanFlags::empty(),
        Flag::Private => IpVlanFlags::Private,
        Flag::Vepa => IpVlanFlags::Vepa,
    };
    let data = vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)];
    Child { mac: None, ..*child }.create(InfoKind::IpVlan, InfoData::IpVlan(data))
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, Flag, MODES, Mode, create};
    use crate::link::{Child, Link};
    use crate::mac::Mac;
    use crate::socket::Message;

    #[test]
    fn modes_and_flags_have_names() {
        for (mode, name) in MODES {
            assert_eq!((mode.to_string().as_str(), name.parse()), (name, Ok(mode)));
        }
        for (flag, name) in FLAGS {
            assert_eq!((flag.to_string().as_str(), name.parse()), (name, Ok(flag)));
        }
        assert!("bridge".parse::<Mode>().is_err() && "l3".parse::<Flag>().is_err());
    }

    #[test]
    fn it_has_its_parents_hardware_address() {
        let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        let child = Child { name: "eth0", parent: 7, namespace: None, mac, mtu: None };
        let payload = create(&child, Mode::L3s, Flag::Private).payload;
        let link = Link::read(&Message { kind: libc::RTM_NEWLINK, payload }).expect("a link");
        assert_eq!((link.kind.as_str(), link.below, link.mac), ("ipvlan", Some(7), None));
    }
}
