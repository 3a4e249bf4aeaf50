//! Does what the plan says: opens, packs, tells.

use super::output::Output;
use super::plan::Plan;
use super::time;
use crate::interrupt::Stop;
use crate::maps::Map;
use crate::run::threads;
use crate::{report, source};
use cli::failure::Outcome;
use cli::progress::Progress;
use cli::{Failure, exit, output};
use layer::pack::{Mtimes, PackOptions, Packed, pack_difference, pack_layer};
use serde_json::json;
use std::os::fd::AsFd;

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
    let upper = source::folder(&plan.upper)?;
    let lower = plan.lower.as_deref().map(source::folder).transpose()?;
    let ids = plan.ids.as_ref().map(Map::ids).transpose()?;
    let progress = if plan.quiet { Progress::hidden() } else { Progress::bytes("packing", None) };
    let tell = |count| progress.add(count);
    let options = PackOptions {
        name: &plan.upper.to_string_lossy(),
        packing: plan.packing,
        jobs: threads(plan.jobs),
        plain: plan.plain,
        literal: false,
        lively: false,
        prefix: b"",
        mtimes: mtimes(plan)?,
        owner: plan.owner,
        group: plan.group,
        ids: ids.as_ref(),
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

fn told(plan: &Plan, packed: &Packed) -> u8 {
    report::tell_lines(&format!("pack {}: left out", plan.upper.display()), &packed.skipped, packed.skipped_count);
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
