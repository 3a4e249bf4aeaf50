//! What CHECK compares: interfaces, addresses and routes of the result with what is there.

use super::call::Call;
use super::place::{Found, Place};
use crate::pool::Subnet;
use spec::cni::failure::code;
use spec::cni::{Failure, Interface, Success};

/// Something is not as it should be.
pub(super) fn damaged(what: impl std::fmt::Display) -> Failure {
    Failure::new(code::INTERNAL, what)
}

/// The container's interface as the result names it.
pub(super) fn inner<'r>(call: &Call<'_>, result: &'r Success) -> Result<&'r Interface, Failure> {
    let name = &call.request.interface;
    let ours = |i: &&Interface| i.name == *name && i.sandbox == call.sandbox();
    result
        .interfaces
        .iter()
        .find(ours)
        .ok_or_else(|| damaged(format!("prevResult names no interface {name} in the sandbox {}", call.sandbox())))
}

/// The link that `interface` names, of one of these kinds (any, where none is named), and with its hardware address.
pub(super) fn expect_link(place: &mut Place, interface: &Interface, kinds: &[&str]) -> Result<Found, Failure> {
    let name = &interface.name;
    let found = place.find(name)?.ok_or_else(|| damaged(format!("Interface name {name} not found")))?;
    if !kinds.is_empty() && !kinds.contains(&found.kind().as_str()) {
        return Err(damaged(format!("Interface {name} is not of type {}", kinds.join(" or "))));
    }
    if !interface.mac.is_empty() && interface.mac != found.mac() {
        return Err(damaged(format!("Interface {name} Mac {} doesn't match: {}", interface.mac, found.mac())));
    }
    Ok(found)
}

/// That the link with number `index` inside has the result's addresses, and that its routes are there. Addresses of other
/// interfaces of the result are not looked at; more than the result says is fine, since later plugins may have added it.
pub(super) fn expect_addresses(
    place: &mut Place,
    interface: &str,
    index: u32,
    result: &Success,
) -> Result<(), Failure> {
    let there = place.addresses(index)?;
    for ip in &result.ips {
        let of = ip.interface.and_then(|at| result.interfaces.get(usize::try_from(at).ok()?));
        if of.is_some_and(|i| i.name != interface) {
            continue;
        }
        if !there.contains(&ip.address) {
            return Err(damaged(format!("Failed to match addr {} on interface {interface}", ip.address)));
        }
    }
    let routes = place.routes()?;
    for route in &result.routes {
        let to = Subnet::around(route.dst.address, route.dst.prefix);
        let same = |r: &&crate::route::Route| r.destination == to && (route.gw.is_none() || r.gateway == route.gw);
        if !routes.iter().any(|r| same(&r)) {
            return Err(damaged(format!("Expected Route {} not found in routing table", route.dst)));
        }
    }
    Ok(())
}
