//! `rename`: another name for a container, also while it runs.

use super::{Site, conflict};
use crate::{Error, Kind, Result, events, names};
use store::Record;

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
    let renamed = site.root.rename_container(&record.id, plain).map_err(|e| match e.kind {
        store::Kind::Exists => {
            let hint = format!("remove it (ctr rm {plain}) or choose another name");
            not_allocated(Error::new(Kind::Conflict, "", names::taken(plain, &e.subject)).hint(hint))
        }
        _ => crate::error::store(e),
    })?;
    events::container(site.root, &renamed, "rename", &[("oldName", &format!("/{}", record.name))]);
    Ok(())
}
