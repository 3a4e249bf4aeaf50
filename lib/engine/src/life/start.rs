//! `start` of a container that is there, and `restart`.

use super::identity::{self, is_ending};
use super::stop::{self, Manner};
use super::{Site, claim, conflict, owner};
use crate::attach::{self, End};
use crate::launch::Waiting;
use crate::machine::Machine;
use crate::{Error, Result, events, launch};
use std::process::Child;
use std::time::{Duration, Instant};
use store::{Record, Root, State, Status};

/// How often a container that somebody else starts is looked at, and how long.
const POLL: Duration = Duration::from_millis(5);
const TRIES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the supervisor of a container that does not run, which waits for its first words; `None` where it runs already.
pub fn begin(site: Site<'_>, record: &Record, machine: &Machine) -> Result<Option<Waiting>> {
    let now = super::state(site.root, &record.id)?;
    match now.status {
        Status::Paused => {
            return Err(conflict("cannot start a paused container, try unpause instead")
                .hint(format!("ctr unpause {}", record.name)));
        }
        Status::Removing | Status::Dead => return Err(claim::removal(&record.id)),
        Status::Running | Status::Restarting => return Ok(None),
        Status::Created | Status::Exited => {}
    }
    launch::start(site.root, record, site.place, site.own, machine).map(Some)
}

/// `ctr start`: returns when the container runs, or has run; one that runs already is no error, as in docker.
pub fn start(site: Site<'_>, record: &Record, machine: &Machine) -> Result<()> {
    // Whoever was quicker may have been about something else: clearing up behind a supervisor that died.
    for _ in 0..TRIES {
        let before = super::state(site.root, &record.id)?.started;
        let Some(waiting) = begin(site, record, machine)? else {
            wait_started(site, record)?;
            if wait_ending(site, record)? {
                continue;
            }
            return Ok(());
        };
        let mut starting = waiting.go(&[])?;
        let end = match attach::until_started(starting.socket) {
            Ok(end) => end,
            Err(e) => {
                let _ = starting.supervisor.wait();
                return Err(with_last_words(site.root, record, e));
            }
        };
        match end {
            Some(End::Taken) => wait_started(site, record)?,
            Some(End::Failed { message, hint, .. }) => {
                let _ = starting.supervisor.wait();
                let error = conflict(message);
                return Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
            None | Some(_) => return Ok(()),
        }
        let now = super::state(site.root, &record.id)?;
        if super::is_active(now.status) || now.started != before {
            return Ok(());
        }
    }
    Ok(())
}

/// A supervisor that went away without a word may have left some in its log.
pub fn with_last_words(root: &Root, record: &Record, error: Error) -> Error {
    let words = std::fs::read_to_string(launch::supervisor_log(root, record)).unwrap_or_default();
    match words.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => Error { hint: error.hint.clone(), ..conflict(format!("{error}: {line}")) },
        None => error,
    }
}

/// Somebody else starts it: waits until it runs, or did.
pub fn wait_started(site: Site<'_>, record: &Record) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let is_coming =
        |state: &State| state.status != Status::Restarting && super::is_live(state) && state.process.is_none();
    let now = || site.root.container_state(&record.id).map(identity::completed).map_err(crate::error::store);
    while Instant::now() < end && is_coming(&now()?) {
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Whether the container's process was just being ended by hand, by somebody who was killed over it: then waits until that is done.
fn wait_ending(site: Site<'_>, record: &Record) -> Result<bool> {
    let state = site.root.container_state(&record.id).map_err(crate::error::store)?;
    let Some(process) = state.process.filter(|process| state.stopped_by_hand && is_ending(*process)) else {
        return Ok(false);
    };
    let supervisor = state.supervisor.and_then(|id| Some((id, identity::handle(id)?)));
    let ended = identity::handle(process).is_none_or(|process| identity::wait(&process, Some(owner::PATIENCE)));
    if ended && !supervisor.is_some_and(|(id, supervisor)| owner::until_put_away(site, record, id, &supervisor)) {
        // Its supervisor died before it: nobody else puts away what is left.
        super::settle(site.root, site.place, site.own)?;
    }
    Ok(true)
}

/// Waits for the supervisor of a container that has ended, so that everything of it is cleared away when the command returns; not for one
/// that starts its container again and stays, nor for somebody else who is attached and reads nothing.
pub fn see_off(root: &Root, record: &Record, supervisor: &Child) {
    let goes_on = super::state(root, &record.id).is_ok_and(|state| super::is_active(state.status));
    let id = i32::try_from(supervisor.id()).ok().and_then(identity::process);
    if let Some((id, handle)) = id.filter(|_| !goes_on).and_then(|id| Some((id, identity::handle(id)?))) {
        owner::until_given_back(root, record, id, &handle);
    }
}

/// `ctr restart`: stops it if it runs, and starts it; `name` is what the user calls it.
pub fn restart(site: Site<'_>, record: &Record, manner: Manner, machine: &Machine, name: &str) -> Result<()> {
    let cannot = |e: Error| Error {
        op: "",
        subject: format!("Cannot restart container {name}: {e}"),
        kind: e.kind,
        source: None,
        hint: e.hint,
    };
    stop::end(site, record, manner, true).map_err(cannot)?;
    start(site, record, machine).map_err(cannot)?;
    events::container(site.root, record, "restart", &[]);
    Ok(())
}
