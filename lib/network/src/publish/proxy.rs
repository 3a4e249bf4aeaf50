//! Ports that obey the machine's input policy (`network create -o obey_input=true`).
//!
//! A port in the kernel's maps is led away before the machine's own rules for what comes in are asked. On such a network a
//! process of ours listens instead, as any server of the machine's would: what the policy drops never gets here. The price is
//! one more process and copies of every byte, and the container sees the machine's address.
//!
//! ```text
//! LEASES/.proxies/NETWORK/CONTAINER     a line of JSON for each process: which it is, and what it serves
//! ```
//!
//! The sockets are bound by who publishes, so that a port that is taken is told to him, and handed over. The process writes
//! its own line before it serves: whoever was killed on the way, what listens is written down or was never heard of. The
//! lock is the container's [`Book`](super::book::Book).

mod datagrams;
mod launch;
mod relay;
mod streams;

use super::{book, door};
use crate::error::{Error, Kind, Result, failed};
use crate::lease::Process;
use crate::nft::ports::{self, Entry};
use crate::state::{Durability, State};
pub use relay::serve;
use serde::{Deserialize, Serialize};
use spec::published::Protocol;
use std::path::{Path, PathBuf};

const PUBLISH: &str = "publish";
/// How many descriptors a process should have: one a port, two a connection.
const DESCRIPTORS: u64 = 1 << 16;

/// One process and what it serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    process: Process,
    entries: Vec<Entry>,
}

/// Makes sure that `wanted` is served. What the kernel's maps lead elsewhere would never come by: it is refused.
pub(super) fn ensure(state: &State, network: &str, container: &str, wanted: &[Entry]) -> Result<()> {
    if let Some(entry) = wanted.iter().find(|entry| entry.protocol == Protocol::Sctp.number()) {
        return Err(Error::new(Kind::Unsupported, PUBLISH, format!("{}/sctp", entry.port))
            .because(format!("network {network} obeys the machine's input policy, which only TCP and UDP can"))
            .hint("publish it on a network without -o obey_input"));
    }
    let lost = missing(state, network, container, wanted)?;
    for entry in &lost {
        match ports::are_free(std::slice::from_ref(entry)) {
            Ok(true) => {}
            Ok(false) => {
                return Err(Error::new(Kind::InUse, PUBLISH, door(entry))
                    .because("port is already allocated")
                    .hint("netwire publish --list shows whose it is"));
            }
            Err(e) if e.kind == Kind::Unsupported => {}
            Err(e) => return Err(e),
        }
    }
    if lost.is_empty() { Ok(()) } else { launch::start(&path(state, network, container), &lost) }
}

/// Those of `wanted` that no process serves.
pub(super) fn missing(state: &State, network: &str, container: &str, wanted: &[Entry]) -> Result<Vec<Entry>> {
    let living = living(&path(state, network, container))?;
    let served = |entry: &&Entry| living.iter().any(|line| line.entries.contains(entry));
    Ok(wanted.iter().filter(|entry| !served(entry)).copied().collect())
}

/// Ends what serves `gone`; what else the same process served is served by a new one.
pub(super) fn end(state: &State, network: &str, container: &str, gone: &[Entry]) -> Result<()> {
    let path = path(state, network, container);
    let (ending, mut staying): (Vec<Line>, Vec<Line>) =
        living(&path)?.into_iter().partition(|line| line.entries.iter().any(|entry| gone.contains(entry)));
    for line in &ending {
        launch::stop(&line.process, container)?;
    }
    let left: Vec<Entry> =
        ending.into_iter().flat_map(|line| line.entries).filter(|entry| !gone.contains(entry)).collect();
    if !left.is_empty() {
        launch::start(&path, &left)?;
        staying = living(&path)?;
    }
    if staying.is_empty() {
        return remove(&path);
    }
    let lines: Vec<u8> = staying.iter().flat_map(line).collect();
    crate::state::replace(&path, &lines, Durability::Run)
}

/// Whether a process of the container's serves ports, or did.
pub(super) fn is_used(state: &State, network: &str, container: &str) -> bool {
    path(state, network, container).exists()
}

/// Which containers' processes lead to one of `addresses`: network and container.
pub(super) fn holders_of(state: &State, addresses: &[std::net::IpAddr]) -> Result<Vec<(String, String)>> {
    if !folder(state).exists() {
        return Ok(Vec::new());
    }
    let all = book::list(state, None)?;
    let leads = |doors: &std::collections::BTreeMap<_, book::Way>| {
        doors.values().any(|way| way.to.iter().any(|to| addresses.contains(to)))
    };
    let mut found = Vec::new();
    for (network, container, doors) in all {
        if leads(&doors) && path(state, &network, &container).exists() {
            found.push((network, container));
        }
    }
    Ok(found)
}

/// The processes that live.
fn living(path: &Path) -> Result<Vec<Line>> {
    let bytes = crate::state::load(path)?.unwrap_or_default();
    let lines = bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    Ok(lines.filter(|line| line.process.is_alive()).collect())
}

fn line(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

fn remove(path: &Path) -> Result<()> {
    crate::state::remove(path)?;
    for folder in path.ancestors().skip(1).take(2) {
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

fn folder(state: &State) -> PathBuf {
    state.run_folder(".proxies")
}

fn path(state: &State, network: &str, container: &str) -> PathBuf {
    folder(state).join(network).join(book::file_name(container))
}

fn wrong(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |e| failed("serve ports of", path.display(), e)
}
