//! `netwire check`: what is missing or strange, and what to do about it. Changes nothing.

use crate::address::{self, Address};
use crate::bridge;
use crate::driver::Driver;
use crate::error::Result;
use crate::lease::Lease;
use crate::namespace::{Namespace, Reference};
use crate::nft;
use crate::overlay;
use crate::publish;
use crate::socket::Socket;
use crate::state::State;
use crate::survey::{self, Network, Survey};
use serde::Serialize;
use std::collections::BTreeSet;

const RESTORE: &str = "netwire restore";
const PRUNE: &str = "netwire prune";

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The network it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What it is.
    pub what: String,
    /// What mends it.
    pub remedy: String,
}

/// All that is not as it should be.
pub fn check(state: &State) -> Result<Vec<Finding>> {
    let mut socket = Socket::open_route()?;
    let survey = Survey::take(state, &mut socket)?;
    let mut findings = Findings::default();
    for (network, error) in &survey.damaged {
        let remedy = error.hint.clone().unwrap_or_else(|| "mend that file, or move it away".into());
        findings.add(Some(network), error.to_string(), &remedy);
    }
    let addresses = socket.dump(&address::dump())?.unwrap_or_default();
    let addresses: Vec<Address> = addresses.iter().filter_map(Address::read).collect();
    for network in &survey.networks {
        if network.is_in_use() {
            shared(&survey, network, &addresses, &mut findings);
        }
        for lease in &network.live {
            endpoint(&survey, network, lease, &mut findings);
        }
        for lease in &network.dead {
            let what = format!("{} has a lease on {} and is gone", lease.container, lease.interface);
            findings.of(network, what, PRUNE);
        }
        if network.membership.is_some() {
            match overlay::amiss(state, &mut socket, &network.definition) {
                Ok(lines) => lines.into_iter().for_each(|(what, remedy)| findings.of(network, what, &remedy)),
                Err(e) => findings.of(network, e.to_string(), e.hint.as_deref().unwrap_or(RESTORE)),
            }
        }
        if crate::dns::has_names(&network.definition)
            && !network.live.is_empty()
            && crate::dns::status(state, &network.definition.name).is_ok_and(|server| server.is_none())
        {
            findings.of(network, "its name server does not run".into(), RESTORE);
        }
    }
    let facts: Vec<_> = survey.networks.iter().filter(|n| n.is_in_use()).flat_map(Network::facts).collect();
    if !facts.is_empty() {
        for what in nft::missing(&facts)? {
            findings.add(None, what, RESTORE);
        }
        for what in publish::missing(state)? {
            findings.add(None, what, RESTORE);
        }
    }
    for (network, container) in orphaned_ports(state, &survey)? {
        findings.add(Some(&network), format!("ports are published for {container}, which is not on it"), PRUNE);
    }
    for stray in survey.strays(state) {
        let what = format!("{} says it is of network {}, which is not defined here", stray.link, stray.network);
        match stray.is_ours {
            true => findings.add(None, what, PRUNE),
            false => {
                let remedy = format!("leave it if another state root's is meant; else: ip link del {}", stray.link);
                findings.add(None, what, &remedy);
            }
        }
    }
    for path in survey::half_done(state) {
        findings.add(None, format!("{} was begun and never finished", path.display()), PRUNE);
    }
    Ok(findings.0)
}

/// Containers that have ports and no lease: the network, and the container.
pub(crate) fn orphaned_ports(state: &State, survey: &Survey) -> Result<BTreeSet<(String, String)>> {
    let all = publish::list(state, None)?.into_iter().map(|port| (port.network, port.container));
    let mut orphaned: BTreeSet<(String, String)> = all.collect();
    orphaned.retain(|(network, container)| {
        let damaged = survey.damaged.iter().any(|(name, _)| name == network);
        let known = survey.networks.iter().find(|n| n.definition.name == *network);
        let leased = crate::lease::Book::load(state, network)
            .is_ok_and(|book| book.entries().any(|lease| lease.container == *container));
        !damaged && (known.is_none() || !leased)
    });
    Ok(orphaned)
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, network: Option<&str>, what: String, remedy: &str) {
        self.0.push(Finding { network: network.map(str::to_owned), what, remedy: remedy.to_owned() });
    }

    fn of(&mut self, network: &Network, what: String, remedy: &str) {
        self.add(Some(&network.definition.name), what, remedy);
    }
}

/// The bridge of a network that is in use.
fn shared(survey: &Survey, network: &Network, addresses: &[Address], findings: &mut Findings) {
    let definition = &network.definition;
    if !definition.driver.has_bridge() {
        return;
    }
    let name = &definition.bridge;
    let Some(link) = survey.link(name) else {
        return findings.of(network, format!("its bridge {name} is missing"), RESTORE);
    };
    if link.kind != "bridge" || !survey::is_marked(link, definition) {
        let remedy = format!("rename it (ip link set {name} name …), then: {RESTORE}");
        return findings.of(network, format!("{name} is there and is not its bridge"), &remedy);
    }
    if !link.up {
        findings.of(network, format!("its bridge {name} is down"), RESTORE);
    }
    for (own, _) in bridge::addresses(definition) {
        if !addresses.iter().any(|a| a.link == link.index && a.address == own) {
            findings.of(network, format!("its bridge {name} lacks the address {own}"), RESTORE);
        }
    }
    for v6 in [false, true] {
        let concerned = !definition.internal && definition.subnets.iter().any(|pool| pool.subnet.is_v6() == v6);
        if concerned && !bridge::forwards(v6) {
            let family = if v6 { "IPv6" } else { "IPv4" };
            findings.of(network, format!("this machine does not forward packets of {family}"), RESTORE);
        }
    }
}

/// A container's interface, from both sides.
fn endpoint(survey: &Survey, network: &Network, lease: &Lease, findings: &mut Findings) {
    let definition = &network.definition;
    let who = format!("{} of {}", lease.interface, lease.container);
    if definition.driver.has_outer_end() {
        match survey.link(&lease.outer) {
            None => return findings.of(network, format!("{who} is missing ({} outside)", lease.outer), RESTORE),
            Some(outer) => {
                let bridge = survey.link(&definition.bridge).map(|link| link.index);
                if definition.driver != Driver::Ptp && (outer.controller.is_none() || outer.controller != bridge) {
                    let what = format!("{who} is not on the bridge ({} outside)", lease.outer);
                    findings.of(network, what, RESTORE);
                }
                if !outer.up {
                    findings.of(network, format!("{who} is down outside ({})", lease.outer), RESTORE);
                }
            }
        }
    }
    let looked = inside(lease);
    match looked {
        Ok(lines) => lines.into_iter().for_each(|what| findings.of(network, format!("{who} {what}"), RESTORE)),
        Err(e) => findings.of(network, e.to_string(), e.hint.as_deref().unwrap_or(RESTORE)),
    }
}

fn inside(lease: &Lease) -> Result<Vec<String>> {
    let mut inner = Namespace::open(&Reference::Path(lease.namespace.path.clone()))?.route_socket()?;
    let Some(link) = bridge::find(&mut inner, &lease.interface)? else { return Ok(vec!["is missing".into()]) };
    let mut lines = Vec::new();
    if !link.up {
        lines.push("is down".into());
    }
    let present = inner.dump(&address::dump())?.unwrap_or_default();
    let present: Vec<Address> = present.iter().filter_map(Address::read).filter(|a| a.link == link.index).collect();
    let lacking = lease.addresses.iter().filter(|wanted| !present.iter().any(|a| a.address == **wanted));
    lines.extend(lacking.map(|address| format!("lacks the address {address}")));
    Ok(lines)
}
