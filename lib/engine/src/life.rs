//! Containers after they were made: who lives, who has ended; starting, stopping, killing, removing, and what a crash left.
//!
//! ```text
//!            create            start                   the process ends
//!   (nothing) ────▶ created ─────────▶ running ───────────────────────▶ exited ──▶ start again
//!                                      │    ▲ pause, unpause               │
//!                                      ▼    │                              ▼ rm (--rm: by the supervisor)
//!                                      paused            running -f ──▶ removing ──▶ (nothing)
//! ```
//!
//! Who changes a container, and how several of them get along:
//!
//! - A state is changed under its container's lock only, and the lock is never held while something is waited for.
//! - [`claim`]: a supervisor owns the container from the moment it has written itself into the state. There is one at a
//!   time; who comes second leaves without a word. When it ends it gives the container back ([`claim::ended`],
//!   [`claim::failed`]), and only if it still owns it.
//! - [`remove`]: whoever removes writes himself down too, and the status `removing`. A supervisor that finds this gives up
//!   what it is doing, and leaves the removing to that one.
//! - All of them can be killed at any instant. Whoever is written down and does not live any more owns nothing; what he left
//!   half done is done by the next command ([`settle`]).

use crate::place::Place;
use crate::plan::Shared;
use crate::process::Defaults;
use crate::request::{Network, Request};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use spec::ContainerId;
use std::collections::BTreeMap;
use std::path::Path;
use store::{Record, Root, State, Status};

pub mod claim;
pub mod identity;
pub mod list;
mod owner;
pub mod prune;
pub mod remove;
pub mod rename;
pub mod settle;
pub mod signal;
pub mod size;
pub mod start;
pub mod stop;
pub mod top;
pub mod wait;

pub use identity::{boot_id, is_live, own_process, process};
pub use settle::settle;

/// Where a container lives: what every verb needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The store.
    pub root: &'a Root,
    /// Where run state is.
    pub place: &'a Place,
    /// Our own executable, which is all our tools.
    pub own: &'a Path,
}

/// What the engine keeps in a container's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// What the user asked for.
    pub request: Request,
    /// What the image says of its processes.
    pub defaults: Defaults,
}

impl Asked {
    /// Reads it back.
    pub fn of(record: &Record) -> Result<Self> {
        Self::deserialize(&record.asked)
            .map_err(|e| Error::new(Kind::Failed, "read the record of container", record.id.short()).because(e))
    }

    /// The image's labels and the container's own, which go before.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.defaults.labels.clone();
        labels.extend(self.request.labels.clone());
        labels
    }
}

/// A container's state as it really is: `running` only while supervisor or process live.
pub fn state(root: &Root, id: &ContainerId) -> Result<State> {
    root.container_state(id).map(seen).map_err(crate::error::store)
}

/// A state that was read, as it really is.
pub fn seen(mut state: State) -> State {
    if identity::complete(&mut state) {
        state.supervisor = None;
    }
    if !is_live(&state) {
        if is_active(state.status) {
            state.status = Status::Exited;
            state.exit_code = 137;
            state.error = "its supervisor is gone".into();
        }
        (state.process, state.supervisor) = (None, None);
    }
    state
}

/// Whether docker counts this among the running ones: it has a process, or will have one again.
pub fn is_active(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused | Status::Restarting)
}

/// An error that is a sentence of docker's.
pub(crate) fn conflict(sentence: impl std::fmt::Display) -> Error {
    Error::new(Kind::Conflict, "", sentence)
}

/// docker: what needs a process, asked of a container that has none.
pub fn not_running(id: &ContainerId) -> Error {
    conflict(format!("Container {id} is not running")).hint("ctr ps lists those that are, ctr start starts one")
}

/// The container whose network `request` asks for, if it does: one that runs. Where that has another one's network itself, the
/// names are in the folder of the one whose network it was at first.
pub fn shared(root: &Root, place: &Place, request: &Request) -> Result<Option<Shared>> {
    let Network::Container(name) = &request.network else { return Ok(None) };
    let record = root.find_container(name).map_err(crate::error::store)?;
    let now = state(root, &record.id)?;
    let Some(process) = now.process.filter(|_| is_active(now.status)) else {
        let what = "cannot join network of a non running container";
        return Err(conflict(format!("{what}: {}", record.id)));
    };
    let asked = Asked::of(&record)?;
    if let Some(first) = shared(root, place, &asked.request)? {
        return Ok(Some(Shared { pid: process.pid, ..first }));
    }
    let machine = crate::machine::Machine { hostname: crate::machine::hostname(), ..Default::default() };
    let hostname = crate::plan::hostname(&record.id, &asked.request, &machine, None);
    Ok(Some(Shared { pid: process.pid, folder: place.of(&record.id), hostname }))
}
