//! Images that nobody needs: those without a name, or all that no container uses.

use super::{Removed, remove};
use serde_json::Value;
use spec::Digest;
use std::collections::HashMap;
use store::{Kind, Result, Root};

/// Which of them go.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Also those that have a name.
    pub all: bool,
    /// Only those made before this, in seconds since 1970.
    pub until: Option<i64>,
    /// Only those that have (true) or have not (false) a label, perhaps with a value.
    pub labels: Vec<(bool, String, Option<String>)>,
}

/// What went, and how many bytes of files that were.
pub fn prune(root: &Root, what: &Prune) -> Result<(Vec<Removed>, u64)> {
    let used: Vec<Digest> = root.users()?.into_iter().filter_map(|user| user.image_id).collect();
    let mut sizes: HashMap<String, u64> = HashMap::new();
    let mut gone = Vec::new();
    for image in root.images()? {
        let in_use = used.contains(&image.id) || super::mount::is_mounted(root, &image.id);
        if in_use || (!what.all && !image.names.is_empty()) {
            continue;
        }
        let Ok(configuration) = root.configuration(&image.id) else { continue };
        if !fits(what, &configuration.raw) {
            continue;
        }
        for chain in configuration.chain_ids()? {
            let size = root.layer(&chain)?.map_or(0, |layer| layer.size_bytes);
            sizes.insert(chain.to_string(), size);
        }
        let mut names: Vec<String> = image.names.iter().map(|(name, _)| name.to_string()).collect();
        if names.is_empty() {
            names.push(image.id.to_string());
        }
        for name in names {
            match remove(root, &name, false) {
                Ok(removed) => gone.extend(removed),
                // Somebody uses it now, or removed it before us.
                Err(e) if matches!(e.kind, Kind::InUse | Kind::NotFound) => {}
                Err(e) => return Err(e),
            }
        }
    }
    let freed = gone.iter().map(|one| match one {
        Removed::Deleted(id) => sizes.get(id).copied().unwrap_or_default(),
        Removed::Untagged(_) => 0,
    });
    let freed = freed.sum();
    Ok((gone, freed))
}

fn fits(what: &Prune, raw: &Value) -> bool {
    if let Some(until) = what.until {
        let created = raw.get("created").and_then(Value::as_str).and_then(|t| t.parse::<jiff::Timestamp>().ok());
        if created.is_some_and(|at| at.as_second() > until) {
            return false;
        }
    }
    let labels = raw.pointer("/config/Labels").and_then(Value::as_object);
    what.labels.iter().all(|(wanted, name, value)| {
        let found = labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
        let has = found.is_some_and(|found| value.as_deref().is_none_or(|v| v == found));
        has == *wanted
    })
}
