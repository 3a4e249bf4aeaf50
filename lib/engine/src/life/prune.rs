//! `container prune`: removes what does not run.

use super::{Asked, Site};
use crate::Result;
use std::collections::BTreeMap;
use store::{Record, Status};

/// Which containers go, or networks.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only those made before this moment.
    pub until: Option<jiff::Timestamp>,
    /// Only those that have all of these labels (with this value, where one is given).
    pub labels: Vec<(String, Option<String>)>,
    /// Only those that have not all of these.
    pub not_labels: Vec<(String, Option<String>)>,
}

impl Which {
    fn takes(&self, record: &Record) -> bool {
        let labels = Asked::of(record).map(|asked| asked.labels()).unwrap_or_default();
        self.fits(record.created.parse().ok(), &labels)
    }

    /// Whether it is one of them that was made then and has these labels.
    pub fn fits(&self, made: Option<jiff::Timestamp>, labels: &BTreeMap<String, String>) -> bool {
        let in_time = self.until.is_none_or(|until| made.is_some_and(|made| made < until));
        in_time && has_all(labels, &self.labels) && (self.not_labels.is_empty() || !has_all(labels, &self.not_labels))
    }
}

/// Whether `labels` has all that are `wanted`.
pub fn has_all(labels: &BTreeMap<String, String>, wanted: &[(String, Option<String>)]) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key).is_some_and(|has| value.as_ref().is_none_or(|want| want == has)))
}

/// What became of a pruning.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The ids of those removed.
    pub removed: Vec<String>,
    /// How much they had written, in bytes.
    pub freed_bytes: u64,
}

/// Removes all containers that do not run and are meant. One that cannot be removed now is left, as in docker.
pub fn prune(site: Site<'_>, which: &Which) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    for record in site.root.containers().map_err(crate::error::store)? {
        let Ok(stored) = site.root.container_state(&record.id) else { continue };
        if super::is_live(&stored) || stored.status == Status::Removing || !which.takes(&record) {
            continue;
        }
        let bytes = super::size::written(site.root, &record.id);
        if super::remove::remove(site, &record, false).is_ok() {
            pruned.freed_bytes += bytes;
            pruned.removed.push(record.id.to_string());
        }
    }
    crate::events::pruned(site.root, "container", pruned.freed_bytes);
    Ok(pruned)
}
