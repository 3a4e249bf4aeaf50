//! `ptp`: a veth pair, and routes instead of a bridge.
//!
//! ```text
//! container: eth0 10.1.0.5/16, everything by 10.1.0.1 ─ veth… 10.1.0.1/32, route to 10.1.0.5/32
//! ```
//!
//! A pair cannot be a point-to-point link, so the subnet's own route inside is replaced by one to the gateway alone and one
//! to the subnet by that gateway: the container asks the link for nobody but the gateway.

use super::call::Call;
use super::configuration::{invalid, unsupported};
use super::inspection;
use super::message::{self, Link, Scope, link};
use super::place::{self, Place};
use super::plugin::Plugin;
use super::{bridge, ipam, rules};
use crate::attribute::Attributes;
use crate::namespace::Namespace;
use serde::Deserialize;
use spec::cni::{Attachment, Cidr, Failure, Route, Success};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

pub(super) struct Ptp;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ip_masq: bool,
    ip_masq_backend: String,
    mtu: u32,
}

fn read(call: &Call<'_>) -> Result<Keys, Failure> {
    let keys: Keys = call.configuration.decode()?;
    if !["", "nftables", "iptables"].contains(&keys.ip_masq_backend.as_str()) {
        return Err(unsupported("ipMasqBackend", format!("\"{}\"", keys.ip_masq_backend)));
    }
    if call.configuration.ipam.is_empty() {
        return Err(invalid("ptp needs addresses: an ipam section"));
    }
    Ok(keys)
}

impl Plugin for Ptp {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let keys = read(call)?;
        let namespace = call.namespace()?;
        let (mut here, mut inside) = (Place::here()?, Place::inside(&namespace)?);
        let (outer, interface) = (call.outer_name(), &call.request.interface);
        if inside.find(interface)?.is_some() {
            let msg = format!("container veth name (\"{interface}\") peer provided (\"{outer}\") already exists");
            return Err(inspection::damaged(msg));
        }
        here.delete(&outer)?;
        let mtu = Some(keys.mtu).filter(|mtu| *mtu > 0);
        let fd = namespace.as_fd().as_raw_fd().cast_unsigned();
        let inner = Link::named(interface).mtu(mtu).number(link::NAMESPACE_FD, fd);
        let data = Attributes::new().bytes(link::VETH_PEER, &inner.peer());
        let pair = Link::named(&outer).up().mtu(mtu).kind("veth", data).create();
        here.apply("create interface", interface, &[pair])?;
        let done = ipam::add(call).and_then(|result| {
            let wired = wire(call, &keys, &mut here, &mut inside, &namespace, result);
            wired.inspect_err(|_| {
                let _ = ipam::del(call);
                let _ = rules::forget(call);
            })
        });
        done.inspect_err(|_| drop(here.delete(&outer)))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        let keys = read(call)?;
        let mut done = bridge::remove_interface(call).and(Place::here()?.delete(&call.outer_name()));
        done = done.and(ipam::del(call));
        if keys.ip_masq { done.and(rules::forget(call)) } else { done }
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let keys = read(call)?;
        let namespace = call.namespace()?;
        ipam::check(call)?;
        let result = call.required_previous()?;
        let mut inside = Place::inside(&namespace)?;
        let named = inspection::inner(call, result)?;
        let found = inspection::expect_link(&mut inside, named, &["veth"])?;
        inspection::expect_addresses(&mut inside, &call.request.interface, found.index, result)?;
        rules::expect_masquerade(call, keys.ip_masq, result)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Failure> {
        read(call)?;
        ipam::status(call)
    }

    fn gc(&self, call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
        let rules = rules::forget_all_but(&call.configuration.name, valid);
        ipam::gc(call, valid).and(rules)
    }
}

fn wire(
    call: &Call<'_>,
    keys: &Keys,
    here: &mut Place,
    inside: &mut Place,
    namespace: &Namespace,
    mut result: Success,
) -> Result<Success, Failure> {
    let (outer, interface) = (call.outer_name(), &call.request.interface);
    let v6 = result.ips.iter().any(|ip| ip.address.address.is_ipv6());
    let _ = place::set(&format!("ipv6/conf/{outer}/accept_ra"), "0");
    if v6 {
        let _ = place::set(&format!("ipv6/conf/{outer}/accept_dad"), "0");
    }
    // Nobody else is on the link who could have the address.
    place::prepare(namespace, interface, v6, false, &[])?;
    result.ips.iter_mut().for_each(|ip| ip.interface = Some(1));
    let index = inside.configure(interface, &result)?;
    if v6 {
        // A route cannot have a tentative source.
        inside.settle(index)?;
    }
    let outer_index = here.need(&outer)?.index;
    for ip in &result.ips {
        let (address, subnet) = (ip.address.address, ip.address.network());
        let gateway = ip.gateway.ok_or_else(|| invalid(format!("ptp needs a gateway for {}", ip.address)))?;
        let to_gateway = route(Cidr::single(gateway), None);
        let to_subnet = route(subnet, Some(gateway));
        let own = message::delete_route(index, &route(subnet, None));
        inside.apply_unless("delete route", &subnet.to_string(), &[own], libc::ESRCH)?;
        let new = [
            message::add_route(index, &to_gateway, Scope::Link, Some(address)),
            message::add_route(index, &to_subnet, Scope::Universe, Some(address)),
        ];
        inside.apply_unless("add route", &subnet.to_string(), &new, libc::EEXIST)?;
        let host = [
            message::add_address(outer_index, Cidr::single(gateway)),
            message::add_route(outer_index, &route(Cidr::single(address), None), Scope::Host, None),
        ];
        here.apply_unless("give address to", &outer, &host, libc::EEXIST)?;
        place::forward(address.is_ipv4())?;
    }
    if keys.ip_masq {
        rules::masquerade(call, &result)?;
    }
    result.interfaces = vec![here.need(&outer)?.described(""), inside.need(interface)?.described(call.sandbox())];
    let dns = call.configuration.dns()?;
    if !dns.is_empty() {
        result.dns = dns;
    }
    Ok(result)
}

fn route(dst: Cidr, gw: Option<IpAddr>) -> Route {
    Route { dst, gw, mtu: 0, advmss: 0, priority: 0, table: None, scope: None }
}
