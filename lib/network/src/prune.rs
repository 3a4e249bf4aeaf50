//! `netwire prune`: what belongs to nobody goes. Leases and ports of containers that died without a word, links and packet
//! rules of networks whose definition was lost, files that were begun and never finished.
//!
//! Only what this state root made: another one's links carry ids that are unknown here, and stay. Of a network whose
//! definition was lost nothing goes while containers that are alive are on it.

use crate::bridge;
use crate::check::orphaned_ports;
use crate::error::{Error, Result, refused};
use crate::lease::Book;
use crate::link;
use crate::nft;
use crate::overlay;
use crate::publish;
use crate::socket::Socket;
use crate::state::{self, State};
use crate::survey::{self, Network, Stray, Survey};
use std::collections::BTreeMap;

/// What went, a line each, and what could not be removed.
#[derive(Debug, Default)]
pub struct Report {
    /// What went.
    pub gone: Vec<String>,
    /// What could not be removed.
    pub failures: Vec<Error>,
}

/// Removes what belongs to nobody, and goes on after a failure.
pub fn prune(state: &State) -> Result<Report> {
    let mut report = Report::default();
    let mut socket = Socket::open_route()?;
    let survey = Survey::take(state, &mut socket)?;
    for network in &survey.networks {
        report.failures.extend(crate::attach::settle(state, &network.definition.name, false).err());
        if !network.dead.is_empty() {
            report.add(bury(state, &mut socket, network));
        }
    }
    let mut lost: BTreeMap<String, Vec<Stray>> = BTreeMap::new();
    for stray in survey.strays(state).into_iter().filter(|stray| stray.is_ours) {
        lost.entry(stray.network.clone()).or_default().push(stray);
    }
    for (network, strays) in &lost {
        report.add(unmake(state, &mut socket, survey.own, network, strays));
    }
    for (network, container) in orphaned_ports(state, &Survey::take(state, &mut socket)?)? {
        let line = format!("ports of {container} on network {network}");
        report.add(publish::unpublish(state, &network, &container, None).map(|()| vec![line]));
    }
    let swept = crate::bandwidth::sweep(&mut socket);
    report.add(swept.map(|names| names.into_iter().map(|name| format!("link {name}")).collect()));
    for path in survey::half_done(state) {
        report.add(state::remove(&path).map(|()| vec![format!("file {}", path.display())]));
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, done: Result<Vec<String>>) {
        match done {
            Ok(lines) => self.gone.extend(lines),
            Err(e) => self.failures.push(e),
        }
    }
}

/// Gives back what containers had that are gone.
fn bury(state: &State, socket: &mut Socket, network: &Network) -> Result<Vec<String>> {
    let definition = &network.definition;
    let mut lines = Vec::new();
    for lease in &network.dead {
        if !lease.outer.is_empty() {
            delete(socket, &lease.outer)?;
        }
        publish::unpublish(state, &definition.name, &lease.container, None)?;
        overlay::release(state, definition, lease);
        lines.push(format!("lease of {} ({}) on network {}", lease.container, lease.interface, definition.name));
    }
    let _lock = state.lock_network(&definition.name)?;
    let mut book = Book::load(state, &definition.name)?;
    for lease in &network.dead {
        book.give_back(lease);
    }
    book.store()?;
    Ok(lines)
}

/// Removes what is left of a network that is not defined any more, if nobody alive is on it.
fn unmake(state: &State, socket: &mut Socket, own: u64, network: &str, strays: &[Stray]) -> Result<Vec<String>> {
    let _lock = state.lock_network(network)?;
    let (live, dead) = survey::leases(state, network, own)?;
    if !live.is_empty() || crate::definition::Definition::load(state, network)?.is_some() {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    for lease in dead.iter().filter(|lease| !lease.outer.is_empty()) {
        delete(socket, &lease.outer)?;
    }
    for stray in strays {
        delete(socket, &stray.link)?;
        nft::remove(&nft::Facts::plain(network, &stray.link))?;
        lines.push(format!("link {} of network {network}", stray.link));
    }
    crate::dns::stop(state, network)?;
    for path in [state.lease_path(network), state.membership_path(network), state.view_path(network)] {
        if path.exists() {
            state::remove(&path)?;
            lines.push(format!("file {}", path.display()));
        }
    }
    Ok(lines)
}

fn delete(socket: &mut Socket, name: &str) -> Result<()> {
    bridge::unless(socket.ask(link::delete(name))?, libc::ENODEV)
        .map_err(|refusal| refused("delete interface", name, refusal))
}
