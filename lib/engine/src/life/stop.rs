//! `stop`: asking the process to end, and after a while ending it.

use super::identity::{self, handle, is_live, wait};
use super::{Asked, Site, owner, signal};
use crate::{Result, events};
use nix::sys::signal::Signal;
use rustix::process::Signal as Number;
use std::time::Duration;
use store::{Record, State, Status};

/// docker's seconds between asking and ending.
pub const GRACE: Duration = Duration::from_secs(10);

/// How a container is asked to end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// By this signal, instead of the container's own.
    pub signal: Option<i32>,
    /// Seconds until it is killed, instead of the container's own or [`GRACE`]; negative: never.
    pub seconds: Option<i64>,
}

/// Asks the container's process to end, and ends it where it has not in time. Returns when everything of it is cleared away;
/// whether there was something to stop: one that is not running is no error, as in docker.
pub fn stop(site: Site<'_>, record: &Record, manner: Manner) -> Result<bool> {
    end(site, record, manner, false)
}

/// The same, where `keep` says that the container stays although it was made with `--rm`.
pub(super) fn end(site: Site<'_>, record: &Record, manner: Manner, keep: bool) -> Result<bool> {
    let mark = |state: &mut State| {
        identity::complete(state);
        if is_live(state) && state.status != Status::Removing {
            state.stopped_by_hand = true;
            state.kept = keep;
        }
    };
    let now = site.root.update_container(&record.id, mark).map_err(crate::error::store)?;
    let was_paused = now.status == Status::Paused;
    let Some(now) = owner::until_process(site, record, now)? else { return Ok(true) };
    if !is_live(&now) {
        return Ok(false);
    }
    let asked = Asked::of(record)?;
    let number = manner.signal.unwrap_or_else(|| signal::to_stop(&asked));
    let seconds = manner.seconds.or(signal::seconds(&asked)).unwrap_or(GRACE.as_secs() as i64);
    let grace = u64::try_from(seconds).ok().map(Duration::from_secs);
    let supervisor = now.supervisor.and_then(|id| Some((id, handle(id)?)));
    if let Some(process) = now.process.and_then(handle) {
        let tell = |number: i32| events::container(site.root, record, "kill", &[("signal", &number.to_string())]);
        let ended = |limit| wait(&process, limit);
        // It may end between the look and the signal.
        tell(number);
        let sent = signal::send(site, record, &number.to_string());
        if was_paused {
            let _ = signal::thaw(site, record);
        }
        if !ended(if sent.is_ok() { grace } else { Some(Duration::ZERO) }) {
            tell(Signal::SIGKILL as i32);
            let killed = signal::send(site, record, &(Signal::SIGKILL as i32).to_string());
            if killed.is_err() && !ended(Some(Duration::ZERO)) {
                // The runtime has lost its state, or is not ours any more: the process is known all the same.
                let _ = rustix::process::pidfd_send_signal(&process, Number::KILL);
            }
            if !ended(Some(owner::PATIENCE)) {
                return killed.map(|()| true);
            }
        }
    }
    let put_away = supervisor.is_some_and(|(id, supervisor)| owner::until_put_away(site, record, id, &supervisor));
    if !put_away {
        // Its supervisor died before it: nobody else puts away what is left.
        super::settle(site.root, site.place, site.own)?;
    }
    events::container(site.root, record, "stop", &[]);
    Ok(true)
}
