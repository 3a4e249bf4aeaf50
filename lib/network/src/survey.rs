//! What there is and what there should be, side by side: what `check`, `restore` and `prune` go by.

use crate::bridge;
use crate::definition::Definition;
use crate::driver::{Driver, ptp};
use crate::error::{Error, Result, refused};
use crate::lease::{Book, Lease, Process};
use crate::link::{self, Link};
use crate::namespace::Namespace;
use crate::nft::Facts;
use crate::overlay::membership::Membership;
use crate::socket::Socket;
use crate::state::{HALF_DONE, State};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// What is written on links before the network's name and id.
const MARK: &str = "network ";

/// Everything at one moment, in the calling namespace.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The number of the calling thread's network namespace.
    pub(crate) own: u64,
    /// All links.
    pub(crate) links: Vec<Link>,
    /// The networks that can be read.
    pub(crate) networks: Vec<Network>,
    /// What cannot be read: the network, and why.
    pub(crate) damaged: Vec<(String, Error)>,
}

/// A network, with its leases.
#[derive(Debug)]
pub(crate) struct Network {
    /// The network.
    pub(crate) definition: Definition,
    /// The leases of containers that are there, attached from the calling namespace.
    pub(crate) live: Vec<Lease>,
    /// Those of containers that are gone.
    pub(crate) dead: Vec<Lease>,
    /// How this host is a member of it, if it is an overlay network and was joined.
    pub(crate) membership: Option<Membership>,
}

impl Network {
    /// Whether it has to stand now: somebody is on it, or other hosts count on it.
    pub(crate) fn is_in_use(&self) -> bool {
        !self.live.is_empty() || self.membership.is_some()
    }

    /// What the packet rules say of it: of its bridge, or of each container's own link.
    pub(crate) fn facts(&self) -> Vec<Facts<'_>> {
        match self.definition.driver {
            Driver::Bridge | Driver::Overlay => vec![Facts::of(&self.definition)],
            Driver::Ptp => self.live.iter().map(|lease| ptp::facts(&self.definition, &lease.outer)).collect(),
            Driver::Macvlan | Driver::Ipvlan | Driver::Vlan => Vec::new(),
        }
    }
}

/// A link with our mark whose network is not defined here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    /// The link's name.
    pub(crate) link: String,
    /// The network's name as it is written there.
    pub(crate) network: String,
    /// The network's id as it is written there.
    pub(crate) id: String,
    /// Whether it was this state root that made it.
    pub(crate) is_ours: bool,
}

impl Survey {
    /// Reads everything; changes nothing.
    pub(crate) fn take(state: &State, socket: &mut Socket) -> Result<Self> {
        let own = Namespace::own()?.identity().inode;
        let links = socket.dump(&link::dump())?.map_err(|refusal| refused("list links", "", refusal))?;
        let links = links.iter().filter_map(Link::read).collect();
        let mut survey = Self { own, links, networks: Vec::new(), damaged: Vec::new() };
        for name in state.list()? {
            match Network::read(state, &name, own) {
                Ok(Some(network)) => survey.networks.push(network),
                Ok(None) => {}
                Err(e) => survey.damaged.push((name, e)),
            }
        }
        Ok(survey)
    }

    /// The link called `name`.
    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Links that say they are of a network that is not defined here. Those whose network this state root has leases of
    /// were made by it; others may be another state root's.
    pub(crate) fn strays(&self, state: &State) -> Vec<Stray> {
        let known: BTreeSet<&str> = self.networks.iter().map(|n| n.definition.id.as_str()).collect();
        let unreadable = |name: &str| self.damaged.iter().any(|(damaged, _)| damaged == name);
        let marked = self.links.iter().filter_map(|link| {
            let (network, id) = link.alias.strip_prefix(MARK)?.rsplit_once(' ')?;
            Some((link, network, id))
        });
        let strays = marked.filter(|(_, network, id)| !known.contains(id) && !unreadable(network));
        strays
            .map(|(link, network, id)| Stray {
                link: link.name.clone(),
                network: network.to_owned(),
                id: id.to_owned(),
                is_ours: Book::load(state, network).is_ok_and(|book| book.network_id() == id),
            })
            .collect()
    }
}

impl Network {
    fn read(state: &State, name: &str, own: u64) -> Result<Option<Self>> {
        let Some(definition) = Definition::load(state, name)? else { return Ok(None) };
        let (live, dead) = leases(state, name, own)?;
        let membership = match definition.driver {
            Driver::Overlay => Membership::load(state, name)?,
            _ => None,
        };
        Ok(Some(Self { definition, live, dead, membership }))
    }
}

/// The leases of containers that are there and were attached from here, and those of containers that are gone.
pub(crate) fn leases(state: &State, network: &str, own: u64) -> Result<(Vec<Lease>, Vec<Lease>)> {
    let book = Book::load(state, network)?;
    let settled = book.leases().filter(|lease| !lease.attacher.is_alive()).cloned();
    let (there, dead): (Vec<_>, Vec<_>) = settled.partition(|lease| lease.namespace.is_there());
    Ok((there.into_iter().filter(|lease| lease.caller == own).collect(), dead))
}

/// A file that is being written is so for a moment only.
const A_MOMENT: Duration = Duration::from_secs(5);

/// Files that somebody began to write and was killed at.
pub(crate) fn half_done(state: &State) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in state.folders() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let writer = name.to_str().filter(|name| name.starts_with('.')).and_then(|name| name.rsplit_once('.'));
            let is_old = || {
                let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
                (age > A_MOMENT).then_some(())
            };
            let abandoned = match writer {
                Some((_, HALF_DONE)) => is_old().is_some(),
                Some((_, id)) => id.parse().is_ok_and(|id| Process::of(id).is_none()),
                None => false,
            };
            if abandoned {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Whether `link` has this network's mark, or needs none because it was there before.
pub(crate) fn is_marked(link: &Link, definition: &Definition) -> bool {
    definition.adopted || link.alias == bridge::alias(definition)
}
