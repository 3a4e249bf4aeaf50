//! `bridge`: a veth pair between the container and a bridge of this host.
//!
//! ```text
//! container: eth0 ─ veth… ─ bridge (isGateway: has the gateways' addresses; with `vlan` BRIDGE.VLAN has them)
//! ```
//!
//! Order: pair (so an interface that exists is refused before anything is asked of IPAM), addresses, gateway, masquerading.
//! What fails undoes the steps before it. The bridge stays: others may be on it.

mod port;

use super::call::Call;
use super::configuration::{invalid, unsupported};
use super::inspection::{self, damaged};
use super::message::{self, Link, link};
use super::place::{self, Found, Place};
use super::plugin::Plugin;
use super::{ipam, rules};
use crate::attribute::Attributes;
use crate::mac::Mac;
use port::Port;
use serde::Deserialize;
use spec::cni::{Attachment, Cidr, Failure, Interface, Ip, Route, Success};
use std::net::IpAddr;

pub(super) struct Bridge;

/// The kind of link.
const KIND: &str = "bridge";

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    bridge: String,
    is_gateway: bool,
    is_default_gateway: bool,
    force_address: bool,
    ip_masq: bool,
    ip_masq_backend: String,
    mtu: u32,
    hairpin_mode: bool,
    promisc_mode: bool,
    vlan: i64,
    vlan_trunk: Vec<Trunk>,
    preserve_default_vlan: bool,
    macspoofchk: bool,
    enabledad: bool,
    disable_container_interface: bool,
    port_isolation: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            bridge: "cni0".into(),
            is_gateway: false,
            is_default_gateway: false,
            force_address: false,
            ip_masq: false,
            ip_masq_backend: String::new(),
            mtu: 0,
            hairpin_mode: false,
            promisc_mode: false,
            vlan: 0,
            vlan_trunk: Vec::new(),
            preserve_default_vlan: false,
            macspoofchk: false,
            enabledad: false,
            disable_container_interface: false,
            port_isolation: false,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Trunk {
    #[serde(rename = "minID")]
    min: Option<i64>,
    #[serde(rename = "maxID")]
    max: Option<i64>,
    id: Option<i64>,
}

/// The configuration, checked.
struct Wish {
    keys: Keys,
    vlan: Option<u16>,
    trunk: Vec<u16>,
    addressed: bool,
    mac: Option<Vec<u8>>,
}

impl Wish {
    fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let mut keys: Keys = call.configuration.decode()?;
        call.request.arguments.refuse_unknown(&["MAC"]).map_err(invalid)?;
        crate::link::check_name(&keys.bridge).map_err(invalid)?;
        if !(0..=4094).contains(&keys.vlan) {
            return Err(invalid(format!("invalid VLAN ID {} (must be between 0 and 4094)", keys.vlan)));
        }
        if !["", "nftables", "iptables"].contains(&keys.ip_masq_backend.as_str()) {
            return Err(unsupported("ipMasqBackend", format!("\"{}\"", keys.ip_masq_backend)));
        }
        let addressed = !call.configuration.ipam.is_empty();
        keys.is_gateway |= keys.is_default_gateway;
        let vlan = u16::try_from(keys.vlan).ok().filter(|vlan| *vlan > 0);
        let trunk = trunk(&keys.vlan_trunk)?;
        Ok(Self { vlan, trunk, addressed, mac: call.mac()?, keys })
    }

    /// What only ADD minds: with whatever was made DEL must be able to do away.
    fn refuse_contradictions(&self) -> Result<(), Failure> {
        if self.addressed && self.keys.disable_container_interface {
            return Err(invalid("cannot use IPAM when DisableContainerInterface flag is set"));
        }
        if self.keys.hairpin_mode && self.keys.promisc_mode {
            return Err(invalid("cannot set hairpin mode and promiscuous mode at the same time"));
        }
        Ok(())
    }

    fn filters(&self) -> bool {
        self.vlan.is_some() || !self.trunk.is_empty()
    }

    fn port(&self) -> Port<'_> {
        Port {
            hairpin: self.keys.hairpin_mode,
            isolated: self.keys.port_isolation,
            vlan: self.vlan,
            trunk: &self.trunk,
            keep_default: self.keys.preserve_default_vlan,
        }
    }
}

/// The VLANs that a port carries with their tag, in order.
fn trunk(parts: &[Trunk]) -> Result<Vec<u16>, Failure> {
    let id = |name: &str, value: i64| match u16::try_from(value) {
        Ok(id) if (1..=4094).contains(&id) => Ok(id),
        _ => Err(invalid(format!("incorrect trunk {name} parameter"))),
    };
    let mut all = std::collections::BTreeSet::new();
    for part in parts {
        match (part.min, part.max) {
            (Some(min), Some(max)) => {
                let (min, max) = (id("minID", min)?, id("maxID", max)?);
                if max < min {
                    return Err(invalid("minID is greater than maxID in trunk parameter"));
                }
                all.extend(min..=max);
            }
            (None, None) => {}
            _ => return Err(invalid("minID and maxID should be configured simultaneously")),
        }
        all.extend(part.id.map(|single| id("id", single)).transpose()?);
    }
    Ok(all.into_iter().collect())
}

impl Plugin for Bridge {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let wish = Wish::read(call)?;
        wish.refuse_contradictions()?;
        let namespace = call.namespace()?;
        let (mut here, mut inside) = (Place::here()?, Place::inside(&namespace)?);
        let bridge = ensure(&mut here, &wish)?;
        let outer = call.outer_name();
        let pair = port::Pair {
            outer: &outer,
            inner: &call.request.interface,
            namespace: &namespace,
            bridge: bridge.index,
            mtu: Some(wish.keys.mtu).filter(|mtu| *mtu > 0),
            mac: wish.mac.as_deref(),
        };
        pair.create(&mut here, &mut inside)?;
        let done = wire(call, &wish, &mut here, &mut inside, &namespace, &bridge);
        done.inspect_err(|_| {
            let _ = here.delete(&outer);
            let _ = rules::forget(call);
        })
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        let mut done = remove_interface(call);
        if wish.addressed {
            done = done.and(ipam::del(call));
        }
        if wish.keys.ip_masq || wish.keys.macspoofchk {
            done = done.and(rules::forget(call));
        }
        done
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wish = Wish::read(call)?;
        let namespace = call.namespace()?;
        if wish.addressed {
            ipam::check(call)?;
        }
        let result = call.required_previous()?;
        let (mut here, mut inside) = (Place::here()?, Place::inside(&namespace)?);
        let named = |i: &&Interface| i.name == wish.keys.bridge && i.sandbox.is_empty();
        let ours = result.interfaces.iter().find(named);
        let ours = ours.ok_or_else(|| damaged(format!("prevResult names no bridge {}", wish.keys.bridge)))?;
        let bridge = inspection::expect_link(&mut here, ours, &[KIND])?;
        if bridge.is_promiscuous() != wish.keys.promisc_mode {
            let (name, wanted) = (&wish.keys.bridge, wish.keys.promisc_mode);
            return Err(damaged(format!(
                "Bridge interface {name} configured Promisc Mode {wanted} doesn't match current state: {}",
                !wanted
            )));
        }
        let inner = inspection::expect_link(&mut inside, inspection::inner(call, result)?, &["veth"])?;
        let outer = match inner.peer() {
            Some(index) => here.find_numbered(index)?,
            None => None,
        };
        let on_bridge = outer.filter(|o| o.peer() == Some(inner.index) && o.master() == Some(bridge.index));
        let Some(outer) = on_bridge else {
            return Err(damaged(format!("CNI veth created for bridge {} was not found", wish.keys.bridge)));
        };
        if wish.addressed && !outer.is_operational() {
            return Err(damaged(format!("Interface {} is down", outer.name())));
        }
        inspection::expect_addresses(&mut inside, &call.request.interface, inner.index, result)?;
        if wish.addressed && wish.keys.is_gateway {
            expect_gateways(&mut here, &wish, &bridge, result)?;
        }
        rules::expect_masquerade(call, wish.keys.ip_masq, result)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Failure> {
        if Wish::read(call)?.addressed { ipam::status(call) } else { Ok(()) }
    }

    fn gc(&self, call: &Call<'_>, valid: &[Attachment]) -> Result<(), Failure> {
        let rules = rules::forget_all_but(&call.configuration.name, valid);
        if Wish::read(call)?.addressed { ipam::gc(call, valid).and(rules) } else { rules }
    }
}

/// Deletes the container's interface from inside; where its namespace is gone, the pair's outer end.
pub(super) fn remove_interface(call: &Call<'_>) -> Result<(), Failure> {
    if let Some(namespace) = call.namespace_if_any()? {
        return Place::inside(&namespace)?.delete(&call.request.interface);
    }
    // What the kernel has not taken down yet, or what lives on in a namespace whose file is gone.
    Place::here()?.delete(&call.outer_name())
}

/// The bridge, made where it is not there; one that is there is taken as it is.
fn ensure(here: &mut Place, wish: &Wish) -> Result<Found, Failure> {
    let name = &wish.keys.bridge;
    let during = |f: Failure| f.during(&format!("failed to create bridge \"{name}\""));
    let mut found = here.find(name)?;
    if found.is_none() {
        let mut data = Attributes::new();
        if wish.filters() {
            data = data.bytes(link::BRIDGE_VLAN_FILTERING, &[1]);
        }
        let mtu = Some(wish.keys.mtu).filter(|mtu| *mtu > 0);
        let make = Link::named(name).mtu(mtu).kind(KIND, data).create();
        here.apply_unless("create bridge", name, &[make], libc::EEXIST).map_err(during)?;
        // We want to own the routes for this interface; and it shall have its own address at once, since until then the
        // kernel asks no neighbour of IPv6 for theirs. Both before it is set up.
        for key in ["accept_ra", "accept_dad"] {
            let _ = place::set(&format!("ipv6/conf/{name}/{key}"), "0");
        }
        found = here.find(name)?;
    }
    let bridge = found.ok_or_else(|| during(damaged(format!("could not lookup \"{name}\": Link not found"))))?;
    if bridge.kind() != KIND {
        return Err(during(damaged(format!("\"{name}\" already exists but is not a bridge"))));
    }
    let mut change = Link::numbered(bridge.index);
    if wish.keys.promisc_mode {
        change = change.flag(libc::IFF_PROMISC, true);
    }
    if !bridge.is_up() {
        change = change.up();
    }
    if change.mask != 0 {
        here.apply("set up bridge", name, &[change.change()]).map_err(during)?;
    }
    Ok(bridge)
}

fn wire(
    call: &Call<'_>,
    wish: &Wish,
    here: &mut Place,
    inside: &mut Place,
    namespace: &crate::namespace::Namespace,
    bridge: &Found,
) -> Result<Success, Failure> {
    let (outer_name, inner_name) = (call.outer_name(), &call.request.interface);
    let outer = here.need(&outer_name)?;
    wish.port().set(here, outer.index, &outer_name)?;
    // We want to own the routes for this interface.
    let _ = place::set(&format!("ipv6/conf/{outer_name}/accept_ra"), "0");
    let mut result = Success::default();
    if wish.keys.macspoofchk {
        rules::pin_mac(call, &outer_name, &inside.need(inner_name)?.mac())?;
    }
    let mut tagged = None;
    if wish.addressed {
        result = ipam::add(call)?;
        let done = address(call, wish, here, inside, namespace, bridge, &mut result);
        tagged = done.inspect_err(|_| drop(ipam::del(call)))?;
    } else if !wish.keys.disable_container_interface {
        inside.apply("set up interface", inner_name, &[Link::named(inner_name).up().change()])?;
    }
    if !wish.keys.disable_container_interface {
        await_carrier(here, &outer_name).inspect_err(|_| {
            if wish.addressed {
                let _ = ipam::del(call);
            }
        })?;
    }
    let dns = call.configuration.dns()?;
    if !dns.is_empty() {
        result.dns = dns;
    }
    // Asked for at the end: a bridge without a gateway takes the lowest address of its ports.
    result.interfaces = vec![
        here.need(&wish.keys.bridge)?.described(""),
        here.need(&outer_name)?.described(""),
        inside.need(inner_name)?.described(call.sandbox()),
    ];
    result.interfaces.extend(tagged.map(|found: Found| found.described("")));
    Ok(result)
}

/// Addresses inside, gateways on the bridge, masquerading. Gives the bridge's interface in the VLAN, where there is one.
fn address(
    call: &Call<'_>,
    wish: &Wish,
    here: &mut Place,
    inside: &mut Place,
    namespace: &crate::namespace::Namespace,
    bridge: &Found,
    result: &mut Success,
) -> Result<Option<Found>, Failure> {
    let interface = &call.request.interface;
    let gateways = gateways(wish, result);
    let v6 = result.ips.iter().any(|ip| ip.address.address.is_ipv6());
    place::prepare(namespace, interface, v6, wish.keys.enabledad, &["ipv4"])?;
    // `configure` finds the interface by name; which of the result's it is comes later.
    let index = inside.configure(interface, result)?;
    if v6 {
        inside.settle(index)?;
    }
    let mut tagged = None;
    if wish.keys.is_gateway {
        let target = match wish.vlan {
            None => bridge.clone(),
            Some(vlan) => tagged.insert(port::in_vlan(here, bridge, &wish.port(), vlan)?).clone(),
        };
        for gateway in &gateways {
            ensure_address(here, &target, *gateway, wish.keys.force_address)?;
        }
        for v4 in [true, false] {
            if gateways.iter().any(|g| g.address.is_ipv4() == v4) {
                place::forward(v4)?;
            }
        }
    }
    if wish.keys.ip_masq {
        rules::masquerade(call, result)?;
    }
    Ok(tagged)
}

/// Completes the result with gateways and default routes, and gives the addresses that the bridge must have.
fn gateways(wish: &Wish, result: &mut Success) -> Vec<Cidr> {
    let mut all = Vec::new();
    for ip in &mut result.ips {
        ip.interface = Some(2);
        if !wish.keys.is_gateway {
            continue;
        }
        let gateway = *ip.gateway.get_or_insert_with(|| first_of(ip.address));
        all.push(Cidr { address: gateway, prefix: ip.address.prefix });
        let all_of_family = everything(gateway);
        let has_default = |r: &Route| r.dst == all_of_family && r.gw.is_some();
        if wish.keys.is_default_gateway && !result.routes.iter().any(has_default) {
            result.routes.push(plain_route(all_of_family, gateway));
        }
    }
    all
}

fn plain_route(dst: Cidr, gateway: IpAddr) -> Route {
    Route { dst, gw: Some(gateway), mtu: 0, advmss: 0, priority: 0, table: None, scope: None }
}

fn everything(of: IpAddr) -> Cidr {
    let address = if of.is_ipv4() { IpAddr::V4([0; 4].into()) } else { IpAddr::V6([0; 16].into()) };
    Cidr { address, prefix: 0 }
}

/// The first address of the network that `cidr` is in.
fn first_of(cidr: Cidr) -> IpAddr {
    crate::pool::following(cidr.network().address).unwrap_or(cidr.address)
}

/// Gives the bridge a gateway's address. Another one of IPv4, or one of IPv6 whose network overlaps, is an error or goes.
fn ensure_address(here: &mut Place, target: &Found, wanted: Cidr, force: bool) -> Result<(), Failure> {
    let name = target.name();
    let present = here.addresses(target.index)?;
    if present.contains(&wanted) {
        return Ok(());
    }
    let in_the_way = |there: &&Cidr| {
        there.address.is_ipv4() == wanted.address.is_ipv4()
            && (wanted.address.is_ipv4() || there.contains(wanted.address) || wanted.contains(there.address))
    };
    for other in present.iter().filter(in_the_way) {
        if !force {
            return Err(damaged(format!("\"{name}\" already has an IP address different from {wanted}"))
                .during("failed to set bridge addr"));
        }
        let take = message::delete_address(target.index, *other);
        here.apply_unless("take address from", &name, &[take], libc::EADDRNOTAVAIL)?;
    }
    // Its own hardware address, set: else it would take the lowest of its ports' and change with them.
    // One that lost its last port before it was set has none: then one made of the address.
    let mut mac: Vec<u8> = target.mac().split(':').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect();
    if mac.iter().all(|byte| *byte == 0) {
        mac = Mac::of(wanted.address).0.to_vec();
    }
    if wanted.address.is_ipv6() {
        let _ = place::set(&format!("ipv6/conf/{name}/accept_dad"), "0");
    }
    here.apply("fix hardware address of", &name, &[Link::numbered(target.index).mac(Some(&mac)).change()])?;
    here.apply_unless("give address to", &name, &[message::add_address(target.index, wanted)], libc::EEXIST)
}

fn expect_gateways(here: &mut Place, wish: &Wish, bridge: &Found, result: &Success) -> Result<(), Failure> {
    let target = match wish.vlan {
        None => bridge.clone(),
        Some(vlan) => here.need(&port::vlan_name(&wish.keys.bridge, vlan))?,
    };
    let present = here.addresses(target.index)?;
    let wanted = |ip: &Ip| ip.gateway.map(|address| Cidr { address, prefix: ip.address.prefix });
    match result.ips.iter().filter_map(wanted).find(|gateway| !present.contains(gateway)) {
        None => Ok(()),
        Some(gateway) => Err(damaged(format!("\"{}\" has not the gateway's address {gateway}", target.name()))),
    }
}

/// Waits until the bridge takes what the container sends. The kernel takes note of a carrier later, on a work queue
/// (net/core/link_watch.c); asking for the link makes it do so at once (Linux 6.8).
fn await_carrier(here: &mut Place, outer: &str) -> Result<(), Failure> {
    const ATTEMPTS: usize = 2500;
    for _ in 0..ATTEMPTS {
        if here.need(outer)?.is_operational() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(damaged(format!("bridge port in error state: {outer} has no carrier")))
}

#[cfg(test)]
mod tests {
    use super::{Trunk, first_of, trunk};

    #[test]
    fn trunks() {
        let part = |min, max, id| Trunk { min, max, id };
        assert_eq!(trunk(&[part(Some(3), Some(5), None), part(None, None, Some(4))]).unwrap(), [3, 4, 5]);
        let why = |one| trunk(&[one]).unwrap_err().msg;
        assert!(why(part(Some(1), None, None)).contains("simultaneously"));
        assert!(why(part(Some(5), Some(4), None)).contains("greater"));
        assert!(why(part(None, None, Some(4095))).contains("incorrect trunk id"));
    }

    #[test]
    fn gateways_are_the_first() {
        assert_eq!(first_of("10.1.2.3/16".parse().unwrap()).to_string(), "10.1.0.1");
        assert_eq!(first_of("fd00::9/64".parse().unwrap()).to_string(), "fd00::1");
    }
}
