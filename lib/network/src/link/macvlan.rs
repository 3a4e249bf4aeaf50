//! macvlan: a link with a hardware address of its own on somebody else's cable (drivers/net/macvlan.c).
//!
//! What the children of one parent may do with each other is their mode; with the parent's own addresses none of them can
//! speak, in no mode: what the parent sends goes out by the cable and never up to a child.

use super::Child;
use crate::socket::Request;
use netlink_packet_route::link::{InfoData, InfoKind, InfoMacVlan, MacVlanMode};
use std::fmt;
use std::str::FromStr;

/// What children of one parent are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Neighbours: they speak with each other directly.
    #[default]
    Bridge,
    /// Strangers, also where the switch sends a packet back.
    Private,
    /// Apart here; a switch that sends packets back (802.1Qbg) joins them.
    Vepa,
    /// There is only one, and it has the parent to itself.
    Passthru,
}

impl Mode {
    const ALL: [(Self, &str); 4] =
        [(Self::Bridge, "bridge"), (Self::Private, "private"), (Self::Vepa, "vepa"), (Self::Passthru, "passthru")];

    fn wire(self) -> MacVlanMode {
        match self {
            Self::Bridge => MacVlanMode::Bridge,
            Self::Private => MacVlanMode::Private,
            Self::Vepa => MacVlanMode::Vepa,
            Self::Passthru => MacVlanMode::Passthrough,
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(mode, _)| mode);
        found.ok_or_else(|| format!("`{text}` is no macvlan mode: bridge, private, vepa or passthru"))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.into_iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name))
    }
}

/// Makes a macvlan. Of `queue_length` broadcasts that wait for the kernel's worker (`bcqueuelen`) the parent keeps the
/// largest that any child asked for. For groups that more children than `queued_from` listen to the kernel's worker does it,
/// for others they are handed on at once (`bclim`, kernels from 6.4); with a negative number all are.
pub fn create(child: &Child<'_>, mode: Mode, queue_length: Option<u32>, queued_from: Option<i32>) -> Request {
    let mut data = vec![InfoMacVlan::Mode(mode.wire())];
    data.extend(queue_length.map(InfoMacVlan::BcQueueLen));
    data.extend(queued_from.map(InfoMacVlan::BcCutoff));
    child.create(InfoKind::MacVlan, InfoData::MacVlan(data))
}

#[cfg(test)]
mod tests {
    use super::{Mode, create};
    use crate::link::{Child, Link};
    use crate::mac::Mac;
    use crate::socket::Message;

    #[test]
    fn modes_have_names() {
        for (mode, name) in Mode::ALL {
            assert_eq!((mode.to_string().as_str(), name.parse()), (name, Ok(mode)));
        }
        assert!("l2".parse::<Mode>().unwrap_err().contains("passthru"));
    }

    #[test]
    fn it_stands_on_its_parent() {
        let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        let child = Child { name: "eth0", parent: 7, namespace: None, mac, mtu: Some(1400) };
        let payload = create(&child, Mode::Vepa, Some(100), Some(2)).payload;
        let link = Link::read(&Message { kind: libc::RTM_NEWLINK, payload }).expect("a link");
        assert_eq!((link.kind.as_str(), link.below, link.mtu, link.mac), ("macvlan", Some(7), 1400, mac));
    }
}
