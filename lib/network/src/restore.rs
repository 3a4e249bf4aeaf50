//! `netwire restore`: everything made again from what is written down, after a reboot, a flush of the firewall, or any other
//! damage. What is whole is left alone, so it may be called at any time.

use crate::attach::{self, Wish};
use crate::definition::Definition;
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::namespace::Reference;
use crate::nft;
use crate::overlay::{self, membership::Membership, membership::Source};
use crate::publish;
use crate::socket::Socket;
use crate::state::State;
use crate::survey::{Network, Survey};

/// What could not be made whole.
#[derive(Debug, Default)]
pub struct Report {
    /// What failed.
    pub failures: Vec<Error>,
    /// What could not be had and can be lived without; a line each.
    pub warnings: Vec<String>,
}

/// Makes everything again, and goes on after a failure.
pub fn restore(state: &State) -> Result<Report> {
    let mut report = Report::default();
    let mut socket = Socket::open_route()?;
    let survey = Survey::take(state, &mut socket)?;
    report.failures.extend(survey.damaged.into_iter().map(|(_, error)| error));
    for network in &survey.networks {
        report.add(shared(state, &mut socket, network));
    }
    let facts: Vec<_> = survey.networks.iter().flat_map(Network::facts).collect();
    if !facts.is_empty() {
        report.failures.extend(nft::ensure_all(&facts).err());
    }
    for network in &survey.networks {
        for lease in &network.live {
            report.add(attach::attach(state, &wish(&network.definition, lease)).map(|attached| attached.warnings));
            report.add(publish::reach_again(state, &network.definition, lease));
        }
    }
    report.add(publish::ensure_all(state));
    for network in &survey.networks {
        if let Some(Membership { source: Source::Etcd(_), .. }) = &network.membership {
            report.failures.extend(overlay::serve::ensure_running(state, &network.definition.name).err());
        }
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, done: Result<Vec<String>>) {
        match done {
            Ok(warnings) => {
                self.warnings.extend(warnings.into_iter().filter(|w| !self.warnings.contains(w)).collect::<Vec<_>>())
            }
            Err(e) => self.failures.push(e),
        }
    }
}

/// What the endpoints of a network share, where that is not another link of the machine.
fn shared(state: &State, socket: &mut Socket, network: &Network) -> Result<Vec<String>> {
    let definition = &network.definition;
    if !definition.driver.has_bridge() {
        return Ok(Vec::new());
    }
    {
        let _lock = state.lock_network(&definition.name)?;
        match definition.driver {
            Driver::Overlay => overlay::build(state, socket, definition)?,
            driver => driver.prepare(state, socket, definition)?,
        };
    }
    attach::rules(state, definition, "")
}

/// What a container that is there asked for when it was attached.
fn wish(definition: &Definition, lease: &Lease) -> Wish {
    Wish {
        interface: lease.interface.clone(),
        addresses: lease.addresses.clone(),
        mac: Some(lease.mac),
        name: lease.name.clone(),
        aliases: lease.aliases.clone(),
        dns: lease.dns.clone(),
        routes: lease.routes.clone(),
        bandwidth: lease.bandwidth,
        sysctls: lease.sysctls.clone(),
        ..Wish::new(&definition.name, Reference::Path(lease.namespace.path.clone()), &lease.container)
    }
}
