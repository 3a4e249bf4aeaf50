//! `rename`: another name for a container, also while it runs: then its networks learn of it too.
//!
//! They are told first, so that who was killed in between may repeat the line; told again of the old name when the new one
//! turns out to be another's.

use super::{Asked, Site, conflict};
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result, events, execute, names, wiring};
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
    tell(site, record, plain)?;
    let renamed = site.root.rename_container(&record.id, plain).map_err(|e| {
        let _ = tell(site, record, &record.name);
        match e.kind {
            store::Kind::Exists => taken(&e.subject),
            _ => crate::error::store(e),
        }
    })?;
    events::container(site.root, &renamed, "rename", &[("oldName", &format!("/{}", record.name))]);
    Ok(())
}

/// Lets the networks of a container that runs know it by `name`. What stands in for `netwire` keeps the name it was given: to
/// call a container by another is none of the verbs it shares with ours.
fn tell(site: Site<'_>, record: &Record, name: &str) -> Result<()> {
    let state = super::state(site.root, &record.id)?;
    let asked = Asked::of(record)?;
    let tools = Tools::new(&asked.request.programs, site.own.to_owned());
    let known = wiring::endpoints(&asked.request).iter().any(|endpoint| wiring::has_names(&endpoint.network));
    let attached = matches!(state.status, Status::Running | Status::Paused);
    if !known || !attached || tools.foreign(Tool::Netwire).is_some() {
        return Ok(());
    }
    let mut rename = tools.command(Tool::Netwire);
    rename.args(["rename", "--id", record.id.as_str(), name]);
    rename.env("VENEER_ROOT", site.root.path()).env("VENEER_RUN", site.place.path());
    execute::run(rename, "netwire").map(drop)
}
