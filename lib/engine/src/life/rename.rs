//! `rename`: another name for a container, also while it runs: then its networks learn of it too.
//!
//! They are told first, so that who was killed in between may repeat the line; told again of the old name when the new one
//! turns out to be another's. A container that is just being put together is attached under the name its supervisor read: its supervisor
//! looks again once it has written down that it runs, and we look again once the name is written.

use super::{Asked, Site, conflict};
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result, events, execute, names, wiring};
use serde::de::IgnoredAny;
use store::{Record, Status};

/// Gives the container the name `new`; docker allows a slash in front of it.
pub fn rename(site: Site<'_>, record: &Record, new: &str) -> Result<()> {
    let plain = new.strip_prefix('/').unwrap_or(new);
    if plain == record.name {
        return Err(conflict("Renaming a container with the same name as its current name")
            .hint(format!("it is called {plain} already")));
    }
    let not_allocated = |e: Error| {
        let words = format!("Error when allocating new name: {e}");
        Error { subject: words, ..e }
    };
    // docker names the slash here
    names::check(plain).map_err(|e| {
        let words = format!("Error when allocating new name: {}", names::invalid(&format!("/{plain}")));
        Error { subject: words, ..e }
    })?;
    let taken = |id: &str| {
        let hint = format!("remove it (ctr rm {plain}) or choose another name");
        not_allocated(Error::new(Kind::Conflict, "", names::taken(plain, id)).hint(hint))
    };
    if let Ok(other) = site.root.find_container(plain)
        && other.name == plain
    {
        return Err(taken(other.id.as_str()));
    }
    let told = tell(site, record, plain)?;
    let renamed = site.root.rename_container(&record.id, plain).map_err(|e| {
        let _ = tell(site, record, &record.name);
        match e.kind {
            store::Kind::Exists => taken(&e.subject),
            _ => crate::error::store(e),
        }
    })?;
    if !told {
        // It may have begun to run meanwhile, with the name it had.
        tell(site, &renamed, plain)?;
    }
    events::container(site.root, &renamed, "rename", &[("oldName", &format!("/{}", record.name))]);
    Ok(())
}

/// Lets the networks of a container that runs know it by `name`; whether it runs.
fn tell(site: Site<'_>, record: &Record, name: &str) -> Result<bool> {
    let state = super::state(site.root, &record.id)?;
    let attached = matches!(state.status, Status::Running | Status::Paused);
    if attached {
        tell_networks(site, record, &Asked::of(record)?, name)?;
    }
    Ok(attached)
}

/// A supervisor has written down that its container runs, whose `record` it read before: lets its networks know it by the name it was given
/// meanwhile. Whoever gave it saw none that ran, or told them after this.
pub(crate) fn catch_up(site: Site<'_>, record: &Record, asked: &Asked) -> Result<()> {
    if !has_names(asked) {
        return Ok(());
    }
    let now = site.root.container_as::<IgnoredAny>(&record.id).map_err(crate::error::store)?;
    if now.name == record.name { Ok(()) } else { tell_networks(site, record, asked, &now.name) }
}

/// Whether one of its networks has names.
fn has_names(asked: &Asked) -> bool {
    wiring::endpoints(&asked.request).iter().any(|endpoint| wiring::has_names(&endpoint.network))
}

/// What stands in for `netwire` keeps the name it was given: to call a container by another is none of the verbs it shares with ours.
fn tell_networks(site: Site<'_>, record: &Record, asked: &Asked, name: &str) -> Result<()> {
    let tools = Tools::new(&asked.request.programs, site.own.to_owned());
    if !has_names(asked) || tools.foreign(Tool::Netwire).is_some() {
        return Ok(());
    }
    let mut rename = tools.command(Tool::Netwire);
    rename.args(["rename", "--id", record.id.as_str(), name]);
    rename.env("VENEER_ROOT", site.root.path()).env("VENEER_RUN", site.place.path());
    execute::run(rename, "netwire").map(drop)
}
