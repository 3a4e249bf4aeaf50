//! All containers with their states, quickly also where there are a thousand.
//!
//! A listing of those that run reads every state, which is short, and the records of those alone that it shows. Files are read by as
//! many threads as there are processors.

use super::{is_active, seen};
use crate::Result;
use spec::ContainerId;
use store::{Record, Root, State};

/// How many containers are worth a thread more.
const WORTH: usize = 64;

/// Every container, or with `active` only those that run, newest first, each as it really is. One that is being removed right
/// now may be left out.
pub fn list(root: &Root, active: bool) -> Result<Vec<(Record, State)>> {
    let ids = root.container_ids().map_err(crate::error::store)?;
    let one = |id: &ContainerId| {
        let state = seen(root.container_state(id).ok()?);
        if active && !is_active(state.status) {
            return None;
        }
        Some((root.container(id).ok()?, state))
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(ids.len() / WORTH + 1);
    let part = ids.len().div_ceil(threads).max(1);
    let mut all: Vec<(Record, State)> = std::thread::scope(|scope| {
        let (mine, theirs) = ids.split_at(part.min(ids.len()));
        let others: Vec<_> = theirs
            .chunks(part)
            .map(|ids| scope.spawn(move || ids.iter().filter_map(one).collect::<Vec<_>>()))
            .collect();
        let mut all: Vec<_> = mine.iter().filter_map(one).collect();
        for other in others {
            all.extend(other.join().unwrap_or_default());
        }
        all
    });
    all.sort_by(|(a, _), (b, _)| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(all)
}
