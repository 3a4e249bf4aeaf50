//! All containers with their states, quickly also where there are a thousand.
//!
//! A listing of those that run reads every state, which is short, and the records of those alone that it shows. Files are read by as
//! many threads as there are processors.

use super::{Asked, is_active, seen};
use crate::Result;
use spec::ContainerId;
use store::{Kind, Record, Root, State, Status};

/// How many containers are worth a thread more.
const WORTH: usize = 64;

/// A container.
#[derive(Debug)]
pub struct Listed {
    /// What it is.
    pub record: Record<()>,
    /// What was asked for; none where that cannot be read.
    pub asked: Option<Asked>,
    /// How it really is; dead, if that cannot be read.
    pub state: State,
}

/// Every container, or with `active` only those that run, newest first. One that is being removed right now may be left out.
pub fn list(root: &Root, active: bool) -> Result<Vec<Listed>> {
    let ids = root.container_ids().map_err(crate::error::store)?;
    let one = |id: &ContainerId| {
        let state = match root.container_state(id) {
            Ok(state) => seen(state),
            Err(damaged) if damaged.kind == Kind::Damaged => {
                State { status: Status::Dead, error: damaged.to_string(), ..State::default() }
            }
            Err(_) => return None,
        };
        if active && !is_active(state.status) {
            return None;
        }
        let (record, asked) = match root.container_as::<Asked>(id) {
            Ok(record) => {
                let (record, asked) = record.apart();
                (record, Some(asked))
            }
            Err(_) => (root.container(id).ok()?.apart().0, None),
        };
        Some(Listed { record, asked, state })
    };
    let mut all = in_parts(&ids, |ids| ids.iter().filter_map(one).collect());
    all.sort_by(|Listed { record: a, .. }, Listed { record: b, .. }| {
        b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id))
    });
    Ok(all)
}

/// What `some` makes of all items, where there are many by several threads, each with a part of them; in order.
pub fn in_parts<T: Sync, R: Send>(items: &[T], some: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(items.len() / WORTH + 1);
    let part = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let (mine, theirs) = items.split_at(part.min(items.len()));
        let some = &some;
        let others: Vec<_> = theirs.chunks(part).map(|items| scope.spawn(move || some(items))).collect();
        let mut all = some(mine);
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}
