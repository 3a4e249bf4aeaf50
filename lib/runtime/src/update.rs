//! `update`: other limits for a container that runs.

use crate::container::status_of;
use crate::error::{Error, Kind, Result, invalid};
use crate::state::{Entry, Status};
use spec::runtime::LinuxResources;
use std::path::Path;

/// Changes the limits of container `id`; what `resources` does not name stays as it is, and devices stay in any case.
pub fn update(root: &Path, id: &str, resources: &LinuxResources) -> Result<()> {
    let entry = Entry::open(root, id)?;
    entry.lock()?;
    let mut record = entry.load_made()?;
    if status_of(&entry, Some(&record)) == Status::Stopped {
        // runc's words: engines look for them.
        return Err(Error::new(Kind::WrongState, "update", id).because("container not running".to_owned()));
    }
    let Some(cgroup) = record.cgroup.as_mut().filter(|c| !c.is_none()) else {
        return Err(invalid("update", id, "the container has no cgroup")
            .hint("limits need root, or a cgroup delegated to this user"));
    };
    let before = cgroup.clone();
    let done = cgroup.update(resources);
    if *cgroup != before {
        entry.save(&record)?;
    }
    done
}
