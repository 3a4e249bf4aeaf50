//! `bandwidth`: limits of a container's interface, by token buckets at the outer end of its pair ([`crate::bandwidth`]).
//!
//! Ingress is what comes to the container, egress what it sends; rates in bits a second, bursts in bits. What the
//! configuration says goes before what the runtime says, as the reference does it.

use super::call::{Call, failed};
use super::configuration::invalid;
use super::inspection::damaged;
use super::place::Place;
use super::plugin::Plugin;
use crate::bandwidth::{self, Limit};
use crate::socket::Socket;
use serde::Deserialize;
use spec::cni::{Failure, Interface, Success};
use std::collections::BTreeSet;

pub(super) struct Bandwidth;

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default, rename_all = "camelCase")]
struct Rates {
    ingress_rate: u64,
    ingress_burst: u64,
    egress_rate: u64,
    egress_burst: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Keys {
    #[serde(flatten)]
    own: Rates,
    #[serde(rename = "runtimeConfig")]
    runtime: Runtime,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Runtime {
    bandwidth: Option<Rates>,
}

impl Rates {
    fn is_zero(&self) -> bool {
        [self.ingress_rate, self.ingress_burst, self.egress_rate, self.egress_burst] == [0; 4]
    }

    fn limits(&self) -> Result<bandwidth::Bandwidth, Failure> {
        let limit = |rate: u64, burst: u64| match (rate, burst) {
            (0, 0) => Ok(None),
            (_, 0) => Err(invalid("if rate is set, burst must also be set")),
            (0, _) => Err(invalid("if burst is set, rate must also be set")),
            (_, burst) if burst / 8 >= u32::MAX.into() => Err(invalid("burst cannot be more than 4GB")),
            (rate, burst) => Ok(Some(Limit { rate_bits: rate, burst_bits: Some(burst) })),
        };
        Ok(bandwidth::Bandwidth {
            inward: limit(self.ingress_rate, self.ingress_burst)?,
            outward: limit(self.egress_rate, self.egress_burst)?,
        })
    }
}

fn wanted(call: &Call<'_>) -> Result<bandwidth::Bandwidth, Failure> {
    let keys: Keys = call.configuration.decode()?;
    let rates = if keys.own.is_zero() { keys.runtime.bandwidth.unwrap_or_default() } else { keys.own };
    rates.limits()
}

/// The outer end of the container's pair: one of the result's interfaces of this host.
fn outer(call: &Call<'_>, result: &Success) -> Result<String, Failure> {
    let interface = &call.request.interface;
    let inner = Place::inside(&call.namespace()?)?.need(interface)?;
    let peer = inner.peer().filter(|_| inner.kind() == "veth");
    let peer = peer.ok_or_else(|| damaged(format!("container interface {interface} has no veth peer")))?;
    let found = Place::here()?.find_numbered(peer)?;
    let name = found.map(|link| link.name()).unwrap_or_default();
    match result.interfaces.iter().any(|i| i.sandbox.is_empty() && i.name == name) {
        true => Ok(name),
        false => Err(damaged("no veth peer of container interface found in host ns")),
    }
}

impl Plugin for Bandwidth {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let wanted = wanted(call)?;
        let mut result = call.required_previous()?.clone();
        if wanted.is_none() {
            return Ok(result);
        }
        let outer = outer(call, &result)?;
        let mut socket = Socket::open_route().map_err(failed)?;
        bandwidth::apply(&mut socket, &outer, &wanted).map_err(failed).inspect_err(|_| {
            let _ = bandwidth::remove(&mut socket, &outer);
        })?;
        if wanted.outward.is_some() {
            let queue = Place::here()?.need(&bandwidth::ifb_name(&outer))?;
            result.interfaces.push(Interface { mtu: 0, ..queue.described("") });
        }
        Ok(result)
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        wanted(call)?;
        let mut here = Place::here()?;
        // Whoever made the pair, one of these is its outer end. The bridge among them has no ifb, and nothing is done to it.
        let known = call.previous.iter().flat_map(|result| &result.interfaces).filter(|i| i.sandbox.is_empty());
        let names: BTreeSet<String> = known.map(|i| i.name.clone()).chain([call.outer_name()]).collect();
        let mut done = Ok(());
        for name in &names {
            done = done.and(here.delete(&bandwidth::ifb_name(name)));
        }
        if let Some(namespace) = call.namespace_if_any()?
            && let Some(inner) = Place::inside(&namespace)?.find(&call.request.interface)?
            && let Some(peer) = inner.peer().filter(|_| inner.kind() == "veth")
            && let Some(outer) = here.find_numbered(peer)?
        {
            let mut socket = Socket::open_route().map_err(failed)?;
            done = done.and(bandwidth::remove(&mut socket, &outer.name()).map_err(failed));
        }
        done
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let wanted = wanted(call)?;
        let outer = outer(call, call.required_previous()?)?;
        let mut socket = Socket::open_route().map_err(failed)?;
        let (inward, outward) = bandwidth::read(&mut socket, &outer).map_err(failed)?;
        for (what, wanted, found) in [("ingress", wanted.inward, inward), ("egress", wanted.outward, outward)] {
            let Some(limit) = wanted else { continue };
            match found {
                None => return Err(damaged(format!("Failed to find qdisc for {what} of {outer}"))),
                Some(bucket) if bucket.rate_bytes != (limit.rate_bits / 8).max(1) => {
                    return Err(damaged(format!("Rate doesn't match for {what} of {outer}")));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
