//! Does what the plan says: opens, packs, tells.

use super::output::Output;
use super::plan::{Ids, Plan};
use super::time;
use crate::TOOL;
use crate::interrupt::Stop;
use crate::run::map_of_user;
use cli::failure::Outcome;
use cli::progress::Progress;
use cli::{Failure, exit, output};
use layer::Kind;
use layer::owners::IdMaps;
use layer::pack::{Mtimes, PackOptions, Packed, pack_difference, pack_layer};
use rustix::fs::{Mode, OFlags};
use serde_json::json;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Does it.
pub(super) fn run(plan: &Plan) -> Outcome {
    let mut out = match &plan.output {
        None => Output::standard()?,
        Some(path) => Output::named(path)?,
    };
    if !out.is_staged() {
        // Nothing to take back: a signal may end us at once, also while a pipe is full.
        let packed = pack(plan, &mut out, None)?;
        return Ok(packed.map_or(exit::DONE, |packed| told(plan, &packed)));
    }
    let stop = Stop::listen()?;
    let outcome = pack(plan, &mut out, Some(&stop)).and_then(|packed| {
        let Some(packed) = packed else { return Ok(exit::DONE) };
        out.finish(plan.sync)?;
        Ok(told(plan, &packed))
    });
    stop.obey();
    outcome
}

/// `None` where nobody wants the layer any more.
fn pack(plan: &Plan, out: &mut Output, stop: Option<&Stop>) -> Result<Option<Packed>, Failure> {
    let upper = open(&plan.upper)?;
    let lower = plan.lower.as_deref().map(open).transpose()?;
    let map;
    let ids: Option<&IdMaps> = match &plan.ids {
        Ids::AsTheyAre => None,
        Ids::Map(ids) => Some(ids),
        Ids::MapOfUser => {
            map = map_of_user()?;
            Some(&map)
        }
    };
    let progress = if plan.quiet { Progress::hidden() } else { Progress::bytes("packing", None) };
    let tell = |count| progress.add(count);
    let options = PackOptions {
        name: &plan.upper.to_string_lossy(),
        packing: plan.packing,
        jobs: plan.jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        plain: plan.plain,
        mtimes: mtimes(plan)?,
        owner: plan.owner,
        group: plan.group,
        ids,
        recorded: plan.rootless.then_some(true),
        select: if plan.select.is_everything() { None } else { Some(&plan.select) },
        sparse: plan.sparse,
        root: plan.root,
        xattrs: plan.xattrs,
        selinux: plan.selinux,
        itself: out.id(),
        trust_times: plan.trust_times,
        on_progress: if progress.is_hidden() { None } else { Some(&tell) },
        cancel: stop.map(|stop| &stop.flag),
    };
    let packed = match &lower {
        Some(lower) => pack_difference(lower.as_fd(), upper.as_fd(), out, &options),
        None => pack_layer(upper.as_fd(), out, &options),
    };
    drop(progress);
    match packed {
        Ok(packed) => Ok(Some(packed)),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn mtimes(plan: &Plan) -> Result<Mtimes, Failure> {
    if let Some(time) = plan.mtime {
        return Ok(Mtimes::Set(time));
    }
    match std::env::var_os("SOURCE_DATE_EPOCH") {
        None => Ok(Mtimes::Keep),
        Some(text) => match text.to_str().and_then(time::whole) {
            Some(time) => Ok(Mtimes::Clamp(time)),
            None => Err(Failure::usage(format_args!(
                "SOURCE_DATE_EPOCH: {}: not a number of seconds",
                text.to_string_lossy()
            ))),
        },
    }
}

fn open(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|e| layer::Error::new(Kind::System, "open", path.display()).because(std::io::Error::from(e)).into())
}

fn told(plan: &Plan, packed: &Packed) -> u8 {
    for line in &packed.skipped {
        output::complain(TOOL, &format!("pack {}: left out {line}", plan.upper.display()));
    }
    let more = packed.skipped_count - packed.skipped.len() as u64;
    if more > 0 {
        output::complain(TOOL, &format!("pack {}: left out {more} more", plan.upper.display()));
    }
    if plan.json {
        // That its reader has gone is no failure.
        let _ = output::json_line(&json!({
            "digest": packed.digest,
            "diff_id": packed.diff_id,
            "media_type": plan.packing.media_type(),
            "blob_bytes": packed.blob_bytes,
            "tar_bytes": packed.tar_bytes,
            "entries": packed.entries,
            "skipped": packed.skipped_count,
            "path": plan.output.as_ref().map(|o| o.to_string_lossy()),
        }));
    }
    exit::DONE
}
