//! A pair whose one end is a port of a bridge: made, and set as the keys say.

use super::super::inspection::damaged;
use super::super::message::{Link, link};
use super::super::place::{Found, Place};
use crate::attribute::Attributes;
use crate::namespace::Namespace;
use spec::cni::Failure;
use std::os::fd::{AsFd, AsRawFd};

/// The VLAN that every port has at first.
const DEFAULT_VLAN: u16 = 1;
const PVID: u16 = 1 << 1;
const UNTAGGED: u16 = 1 << 2;

/// A pair to be made.
pub(super) struct Pair<'a> {
    pub(super) outer: &'a str,
    pub(super) inner: &'a str,
    pub(super) namespace: &'a Namespace,
    pub(super) bridge: u32,
    pub(super) mtu: Option<u32>,
    pub(super) mac: Option<&'a [u8]>,
}

impl Pair<'_> {
    /// Makes it: the outer end up and a port of the bridge, the inner in its namespace from birth. An inner one that is
    /// there is an error; an outer one is what a crash or a namespace that is being taken down left, and goes.
    pub(super) fn create(&self, here: &mut Place, inside: &mut Place) -> Result<(), Failure> {
        let taken = || {
            damaged(format!(
                "container veth name (\"{}\") peer provided (\"{}\") already exists",
                self.inner, self.outer
            ))
        };
        if inside.find(self.inner)?.is_some() {
            return Err(taken());
        }
        here.delete(self.outer)?;
        here.apply("create interface", self.inner, &[self.request()])
    }

    fn request(&self) -> crate::socket::Request {
        let namespace = self.namespace.as_fd().as_raw_fd().cast_unsigned();
        let inner = Link::named(self.inner).mtu(self.mtu).mac(self.mac).number(link::NAMESPACE_FD, namespace);
        let data = Attributes::new().bytes(link::VETH_PEER, &inner.peer());
        let outer = Link::named(self.outer).up().mtu(self.mtu).number(link::MASTER, self.bridge);
        outer.kind("veth", data).create()
    }
}

/// How a port is set.
pub(super) struct Port<'a> {
    pub(super) hairpin: bool,
    pub(super) isolated: bool,
    pub(super) vlan: Option<u16>,
    pub(super) trunk: &'a [u16],
    pub(super) keep_default: bool,
}

impl Port<'_> {
    /// Sets the port with number `index`. A port is born with none of these, so what is off is not told.
    pub(super) fn set(&self, here: &mut Place, index: u32, name: &str) -> Result<(), Failure> {
        let mut requests = Vec::new();
        for (on, kind) in [(self.hairpin, link::PORT_HAIRPIN), (self.isolated, link::PORT_ISOLATED)] {
            if on {
                let setting = Attributes::new().bytes(kind, &[1]);
                requests.push(Link::numbered(index).nest(link::PROTOCOL_INFO, setting).port(true));
            }
        }
        let filters = self.vlan.is_some() || !self.trunk.is_empty();
        if filters && !self.keep_default {
            requests.push(vlan(index, DEFAULT_VLAN, 0, false));
        }
        requests.extend(self.vlan.map(|id| vlan(index, id, PVID | UNTAGGED, true)));
        requests.extend(self.trunk.iter().map(|id| vlan(index, *id, 0, true)));
        if self.vlan.is_none() && !self.trunk.is_empty() {
            requests.push(vlan(index, DEFAULT_VLAN, PVID | UNTAGGED, true));
        }
        here.apply("set port", name, &requests)
    }
}

fn vlan(index: u32, id: u16, flags: u16, set: bool) -> crate::socket::Request {
    let info = [flags.to_ne_bytes(), id.to_ne_bytes()].concat();
    Link::numbered(index).nest(link::AF_SPEC, Attributes::new().bytes(link::BRIDGE_VLAN, &info)).port(set)
}

/// The bridge's own interface in a VLAN.
pub(super) fn vlan_name(bridge: &str, vlan: u16) -> String {
    format!("{bridge}.{vlan}")
}

/// The interface by which this host is in the VLAN of a bridge: one end of a pair whose other is a port in that VLAN.
pub(super) fn in_vlan(here: &mut Place, bridge: &Found, like: &Port<'_>, vlan: u16) -> Result<Found, Failure> {
    let name = vlan_name(&bridge.name(), vlan);
    if let Some(found) = here.find(&name)? {
        return Ok(found);
    }
    crate::link::check_name(&name).map_err(super::super::configuration::invalid)?;
    // Named by the bridge's number: one a bridge and VLAN.
    let port = format!("vb{}.{vlan}", bridge.index);
    let inner = Link::named(&name).mtu(Some(bridge.mtu()));
    let data = Attributes::new().bytes(link::VETH_PEER, &inner.peer());
    let outer = Link::named(&port).up().mtu(Some(bridge.mtu())).number(link::MASTER, bridge.index);
    // Another call may make it at the same time.
    here.apply_unless("create interface", &name, &[outer.kind("veth", data).create()], libc::EEXIST)?;
    let other = here.need(&port)?;
    let only = Port { hairpin: false, isolated: false, vlan: Some(vlan), trunk: &[], keep_default: like.keep_default };
    only.set(here, other.index, &port)?;
    here.apply("set up interface", &name, &[Link::named(&name).up().change()])?;
    here.need(&name)
}
