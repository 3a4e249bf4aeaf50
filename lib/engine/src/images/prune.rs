//! Images that nobody needs: those without a name, or all that no container uses.

use super::{Removed, remove};
use crate::life::prune::Which;
use serde_json::Value;
use spec::Digest;
use std::collections::HashMap;
use store::{Kind, Result, Root};

/// Those that are meant and without a name, or with `all` also those that have one; what went, and how many bytes of files that were.
pub fn prune(root: &Root, all: bool, which: &Which) -> Result<(Vec<Removed>, u64)> {
    let used: Vec<Digest> = root.users()?.into_iter().filter_map(|user| user.image_id).collect();
    let mut sizes: HashMap<String, u64> = HashMap::new();
    let mut gone = Vec::new();
    for image in root.images()? {
        let in_use = used.contains(&image.id) || super::mount::is_mounted(root, &image.id);
        if in_use || (!all && !image.names.is_empty()) {
            continue;
        }
        let Ok(configuration) = root.configuration(&image.id) else { continue };
        if !fits(which, &configuration.raw) {
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
    crate::events::pruned(root, "image", freed);
    Ok((gone, freed))
}

fn fits(which: &Which, raw: &Value) -> bool {
    let made = raw.get("created").and_then(Value::as_str).and_then(|time| time.parse().ok());
    let labels = raw.pointer("/config/Labels").and_then(Value::as_object).into_iter().flatten();
    let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    // docker: one that does not say when it was made is older than any
    which.fits(made.or(Some(jiff::Timestamp::MIN)), &labels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn which_go_is_what_it_is_of_containers() {
        let label = |name: &str| (name.to_owned(), None);
        let image = |labels: Value| json!({ "created": "2026-01-02T03:04:05Z", "config": { "Labels": labels } });
        let (one, both) = (image(json!({ "a": "" })), image(json!({ "a": "", "b": "c" })));
        // it goes unless it has all of them
        let which = Which { not_labels: vec![label("a"), label("b")], ..Which::default() };
        assert!(fits(&which, &one) && !fits(&which, &both) && fits(&which, &image(Value::Null)));
        let which = Which { labels: vec![label("a"), ("b".into(), Some("c".into()))], ..Which::default() };
        assert!(!fits(&which, &one) && fits(&which, &both));
        let until = |time: &str| Which { until: Some(time.parse().unwrap()), ..Which::default() };
        assert!(fits(&until("2026-01-02T03:04:06Z"), &one) && !fits(&until("2026-01-02T03:04:04Z"), &one));
        assert!(fits(&until("1970-01-01T00:00:01Z"), &json!({})), "nobody knows when it was made");
    }
}
