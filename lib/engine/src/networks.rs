//! Networks that were created, as far as `ctr` looks after them: they are `netwire network`'s, and what is done to them here is done by
//! its verbs.

use crate::life::prune::Which;
use crate::life::{Asked, Site};
use crate::place::Place;
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result, execute, request::Programs, wiring};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

/// What is there without being created, and never goes.
const DEFAULT: &str = "bridge";

/// A network, as `netwire network ls --json` tells of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    created_s: i64,
}

/// All that were created below the state root `root`.
pub fn list(own: &Path, root: &Path, place: &Place) -> Result<Vec<Network>> {
    let mut command = netwire(own, root, place);
    command.args(["network", "ls", "--json"]);
    let said = execute::run(command, "netwire")?;
    let read = |line: &[u8]| {
        serde_json::from_slice(line).map_err(|e| Error::new(Kind::Failed, "read", "netwire network ls").because(e))
    };
    let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut all = lines.map(read).collect::<Result<Vec<Network>>>()?;
    all.retain(|network| network.name != DEFAULT);
    Ok(all)
}

/// Removes all that are meant and that no container asks for, running or not; their names. One that cannot be removed now, as
/// somebody else is on it, is left, as in docker.
pub fn prune(site: Site<'_>, which: &Which) -> Result<Vec<String>> {
    let mut used = BTreeSet::new();
    for id in site.root.container_ids().map_err(crate::error::store)? {
        let record = match site.root.container(&id) {
            // Removed while we looked.
            Err(e) if e.kind == store::Kind::NotFound => continue,
            // One that cannot be read might use any.
            other => other.map_err(crate::error::store)?,
        };
        let asked = Asked::of(&record)?;
        used.extend(wiring::endpoints(&asked.request).into_iter().map(|endpoint| endpoint.network));
    }
    let mut removed = Vec::new();
    for network in list(site.own, site.root.path(), site.place)? {
        let made = jiff::Timestamp::from_second(network.created_s).ok();
        if used.contains(&network.name) || !which.fits(made, &network.labels) {
            continue;
        }
        let mut command = netwire(site.own, site.root.path(), site.place);
        command.args(["network", "rm", &network.name]);
        if execute::run(command, "netwire").is_ok() {
            removed.push(network.name);
        }
    }
    Ok(removed)
}

fn netwire(own: &Path, root: &Path, place: &Place) -> Command {
    let mut command = Tools::new(&Programs::default(), own.to_owned()).command(Tool::Netwire);
    command.env("VENEER_ROOT", root).env("VENEER_RUN", place.path()).stdin(Stdio::null());
    command
}
