//! Waiting for a container's supervisor: until it has made what it makes, or put away what it had.

use super::Site;
use super::identity::{self, is_live, wait};
use crate::Result;
use rustix::process::{Signal, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use store::{ProcessId, Record, Root, State};

/// How long a supervisor gets for either, and a process to end that was killed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a container that is still being put together is looked at.
const POLL: Duration = Duration::from_millis(5);
/// How long its end is waited for alone.
const SOON: Duration = Duration::from_secs(1);

/// Waits while a supervisor has no process: it waits to start its container again, or is putting it together, and gives up when it sees
/// that nobody wants that. Gives the state as it is then; `None` where the container is gone.
pub(super) fn until_process(site: Site<'_>, record: &Record, mut now: State) -> Result<Option<State>> {
    let start = Instant::now();
    while is_live(&now) && now.process.is_none() && start.elapsed() < PATIENCE {
        wake(site, record);
        std::thread::sleep(POLL);
        now = match site.root.container_state(&record.id) {
            Err(e) if e.kind == store::Kind::NotFound => return Ok(None),
            other => identity::completed(other.map_err(crate::error::store)?),
        };
    }
    if !is_live(&now) {
        see_it_done(site, record);
    }
    Ok(Some(now))
}

/// Whoever gives a container back clears up behind that under its lock: what is free is cleared.
fn see_it_done(site: Site<'_>, record: &Record) {
    // It may be gone.
    drop(site.root.lock_container(&record.id));
}

/// Makes a supervisor that waits look at the state: it polls its socket.
fn wake(site: Site<'_>, record: &Record) {
    let _ = std::os::unix::net::UnixStream::connect(site.place.of(&record.id).join("attach"));
}

/// Waits until a supervisor whose container's process has ended has ended too, or lives on only for somebody else who reads slowly what
/// the container wrote, and has given the container back.
pub(super) fn until_given_back(root: &Root, record: &Record, id: ProcessId, supervisor: &OwnedFd) {
    let mut ended = wait(supervisor, Some(SOON));
    while !ended && root.container_state(&record.id).is_ok_and(|state| has_it(&state, id)) {
        ended = wait(supervisor, Some(SOON / 10));
    }
}

/// Whether the container is that process's to run or to remove.
fn has_it(state: &State, id: ProcessId) -> bool {
    [state.supervisor, state.remover].contains(&Some(id))
}

/// Waits until a supervisor whose container's process has ended has put everything away. It may live on for who reads slowly what the
/// container wrote, but has given the container back then. One that does not come so far is killed; of that one, and of one that
/// was killed by somebody else, the answer is no: what it had is still to be cleared away.
pub(super) fn until_put_away(site: Site<'_>, record: &Record, id: ProcessId, supervisor: &OwnedFd) -> bool {
    let end = Instant::now() + PATIENCE;
    let mut ended = wait(supervisor, Some(SOON));
    loop {
        // Looked at behind its end, the state has the last that it wrote.
        if !site.root.container_state(&record.id).is_ok_and(|state| has_it(&state, id)) {
            see_it_done(site, record);
            return true;
        }
        if ended {
            return false;
        }
        if Instant::now() >= end {
            let _ = pidfd_send_signal(supervisor, Signal::KILL);
            wait(supervisor, Some(PATIENCE));
            return false;
        }
        ended = wait(supervisor, Some(SOON / 10));
    }
}
