//! `netwire list`: all networks, who is on them under which names, and which ports of this machine lead there.

use crate::error::Result;
use crate::network::{self, Member};
use crate::publish::{self, Published};
use crate::state::State;
use serde::Serialize;

/// A network with all that is on it; printed as one line of JSON.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The network.
    #[serde(flatten)]
    pub definition: crate::definition::Definition,
    /// The interfaces on it.
    pub containers: Vec<Resident>,
}

/// An interface on a network, and its ports.
#[derive(Debug, Serialize)]
pub struct Resident {
    /// The interface.
    #[serde(flatten)]
    pub member: Member,
    /// The ports of this machine that lead to its container by this network.
    pub ports: Vec<Published>,
}

/// All networks by name. Those whose definition cannot be read are left out: `check` tells them.
pub fn all(state: &State) -> Result<Vec<Entry>> {
    let ports = publish::list(state, None)?;
    let mut entries = Vec::new();
    for name in state.list()? {
        let Ok(view) = network::inspect(state, &name) else { continue };
        let of = |member: &Member| {
            let its = ports.iter().filter(|port| port.network == name && port.container == member.id);
            its.cloned().collect()
        };
        let containers = view.containers.into_iter().map(|member| Resident { ports: of(&member), member }).collect();
        entries.push(Entry { definition: view.definition, containers });
    }
    Ok(entries)
}
