//! `firewall`: who reaches the container. Chained: the bridge is the first interface of the result before.
//!
//! `open` adds nothing: our tables hold nothing back, and what others drop we cannot let through. `same-bridge` keeps isolated
//! bridges from each other, `isolated` also the ports of a bridge from each other (as far as the kernel shows bridged packets
//! to the rules: net.bridge.bridge-nf-call-iptables). Both are the bridge's and stay when one container goes.

use super::call::Call;
use super::configuration::{invalid, unsupported};
use super::plugin::Plugin;
use super::rules;
use serde::Deserialize;
use spec::cni::{Failure, Success};

pub(super) struct Firewall;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    backend: String,
    ingress_policy: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Open,
    SameBridge,
    Isolated,
}

fn read(call: &Call<'_>) -> Result<Policy, Failure> {
    let keys: Keys = call.configuration.decode()?;
    if !["", "nftables", "iptables"].contains(&keys.backend.as_str()) {
        return Err(unsupported("backend", format!("\"{}\"", keys.backend)));
    }
    match keys.ingress_policy.as_str() {
        "" | "open" => Ok(Policy::Open),
        "same-bridge" => Ok(Policy::SameBridge),
        "isolated" => Ok(Policy::Isolated),
        other => Err(invalid(format!("unknown ingress policy: \"{other}\""))),
    }
}

fn bridge(result: &Success) -> Result<&str, Failure> {
    match result.interfaces.first() {
        Some(first) if !first.name.is_empty() && first.sandbox.is_empty() => Ok(&first.name),
        _ => Err(invalid("the ingress policy needs a bridge: make sure to chain \"firewall\" behind \"bridge\"")),
    }
}

impl Plugin for Firewall {
    fn add(&self, call: &Call<'_>) -> Result<Success, Failure> {
        let policy = read(call)?;
        let missing = |_| invalid("missing prevResult from earlier plugin");
        let result = call.required_previous().map_err(missing)?;
        if policy != Policy::Open {
            rules::isolate(call, bridge(result)?, policy == Policy::Isolated)?;
        }
        Ok(result.clone())
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        read(call).map(drop)
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let policy = read(call)?;
        let missing = |_| invalid("missing prevResult from earlier plugin");
        let result = call.required_previous().map_err(missing)?;
        match policy {
            Policy::Open => Ok(()),
            _ => rules::expect_isolation(call, bridge(result)?, policy == Policy::Isolated),
        }
    }
}
