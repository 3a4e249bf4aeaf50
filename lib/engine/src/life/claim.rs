//! A container's owner: the one supervisor it has, from [`claim`] to [`ended`] or [`failed`]. Who gives it back writes that down and
//! then clears away its run folder, under the same lock: from then on it is the next one's. Killed between the two it leaves the
//! folder, by which [`super::settle`] finds what is left to do.

use super::identity::{boot_id, is_supervised, lives, own_process};
use super::{Asked, conflict};
use crate::{Error, Kind, Result, events};
use std::path::Path;
use store::{Record, Root, State, Status};

/// Writes us down as the container's supervisor, with its run state in `run`. Gives its state from before; `None` where another one has it, or a process of
/// it lives without a supervisor: then there is nothing to do for us.
pub fn claim(root: &Root, record: &Record, run: &Path) -> Result<Option<State>> {
    let mut before = None;
    let mut refused = None;
    let update = |state: &mut State| {
        if is_supervised(state) || super::is_live(state) {
            return;
        }
        refused = match state.status {
            Status::Removing | Status::Dead => Some(removal(&record.id)),
            _ if crate::mounted::is_writable(root, record) => Some(mounted(&record.name)),
            _ => None,
        };
        if refused.is_some() {
            return;
        }
        before = Some(state.clone());
        (state.supervisor, state.run) = (own_process(), Some(run.to_owned()));
        state.boot = boot_id();
        state.error.clear();
        (state.stopped_by_hand, state.kept, state.oom_killed, state.restart_count) = (false, false, false, 0);
    };
    root.update_container(&record.id, update).map_err(crate::error::store)?;
    refused.map_or(Ok(before), Err)
}

/// Two mounts that write to one upper give a tree that nobody can foresee.
fn mounted(name: &str) -> Error {
    conflict(format!("container {name} is mounted and can be written to from outside"))
        .hint(format!("ctr umount {name}; once it runs, ctr mount shows its tree read-only"))
}

/// docker: a container that is going cannot be started.
pub(super) fn removal(id: &spec::ContainerId) -> Error {
    conflict("container is marked for removal and cannot be started")
        .hint(format!("ctr ps -a shows when {} is gone", id.short()))
}

/// Whether somebody is removing this container, so that its supervisor should give up.
pub fn is_unwanted(state: &State) -> bool {
    state.status == Status::Removing
}

/// Whether the container is ours: a supervisor's writes to its end have to ask.
fn is_ours(state: &State) -> bool {
    state.supervisor.is_some() && state.supervisor == own_process()
}

/// A supervisor goes on with another run of its container, whose run state is in `run`. Gives the state to fall back to; `None` where
/// somebody wants the container to stay down, or has it.
pub fn again(root: &Root, record: &Record, run: &Path) -> Result<Option<State>> {
    let mut before = None;
    let update = |state: &mut State| {
        if !is_ours(state) {
            return;
        }
        if state.stopped_by_hand || state.status != Status::Restarting {
            state.disown();
            if state.status == Status::Restarting {
                state.status = Status::Exited;
            }
            return;
        }
        before = Some(State { status: Status::Exited, ..state.clone() });
        state.oom_killed = false;
        state.error.clear();
    };
    give_back(root, record, run, update).map_err(crate::error::store)?;
    Ok(before)
}

/// How a run of a container went.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Its run state.
    pub run: &'a Path,
    /// Its process's exit code.
    pub code: u8,
    /// What of it could not be cleared away.
    pub trouble: Option<&'a Error>,
}

/// The container has ended and everything of it is cleared away but its run folder. Where `wants` says so and nobody stopped it by hand
/// it is to be started again, and that is the answer; else gives it back, and removes it where it was asked for with `--rm`.
pub fn ended(root: &Root, record: &Record, ending: Ending<'_>, wants: impl FnOnce(&State) -> bool) -> Result<bool> {
    let remove = Asked::of(record).is_ok_and(|asked| asked.request.remove);
    let mut ours = false;
    let mut again = false;
    let update = |state: &mut State| {
        ours = is_ours(state);
        if !ours {
            return;
        }
        state.exit_code = ending.code;
        state.finished = Some(jiff::Timestamp::now().to_string());
        if let Some(trouble) = ending.trouble {
            state.error = trouble.to_string();
        }
        crate::health::end(state);
        again = state.status != Status::Removing && !state.stopped_by_hand && wants(state);
        if again {
            (state.process, state.root, state.status) = (None, None, Status::Restarting);
            state.restart_count += 1;
            return;
        }
        state.disown();
        // Somebody else may be removing it already; then that is his.
        ours = state.status != Status::Removing;
        if ours {
            state.status = Status::Exited;
        }
        if ours && remove && !state.kept {
            super::remove::mark(state);
        }
    };
    let state = give_back(root, record, ending.run, update).map_err(crate::error::store)?;
    if ours && !again && state.status == Status::Removing {
        // It ended as it ended; that it is still there its state says.
        let _ = super::remove::finish(root, record);
    }
    Ok(again)
}

/// The container could not be started: it is again what it was, and says why. With `--rm` it is removed.
pub fn failed(root: &Root, record: &Record, run: &Path, before: &State, error: &Error) {
    let remove = Asked::of(record).is_ok_and(|asked| asked.request.remove);
    let mut ours = false;
    let update = |state: &mut State| {
        ours = is_ours(state);
        if !ours {
            return;
        }
        state.disown();
        ours = state.status != Status::Removing;
        if ours {
            state.status = before.status;
            state.started.clone_from(&before.started);
            state.exit_code = kept_code(error.kind);
            state.error = error.to_string();
        }
        if ours && remove {
            super::remove::mark(state);
        }
    };
    // The container may have been removed while it was being made; then there is nothing to write to.
    if let Ok(state) = give_back(root, record, run, update)
        && ours
        && state.status == Status::Removing
    {
        let _ = super::remove::finish(root, record);
    }
}

/// docker keeps 128 for what it could not start, where `run` ends with 125.
fn kept_code(kind: Kind) -> u8 {
    match crate::supervise::exit_code(kind) {
        125 => 128,
        code => code,
    }
}

/// Changes the state of a container, and where nobody has it then removes its run folder.
pub(super) fn give_back(
    root: &Root,
    record: &Record,
    run: &Path,
    update: impl FnOnce(&mut State),
) -> store::Result<State> {
    // What cannot be removed the next command tries again.
    let clear = || {
        let _ = store::remove::tree(run);
    };
    let then = |state: &State| {
        if !super::is_live(state) {
            clear();
        }
    };
    // Of one that is gone nobody is told any more. Where its state cannot be written the folder is what tells of it.
    let gone = |e: &store::Error| {
        if e.kind == store::Kind::NotFound {
            clear();
        }
    };
    root.update_container_then(&record.id, update, then).inspect_err(gone)
}

/// Tells that a container's process ended.
pub fn tell_end(root: &Root, record: &Record, code: u8) {
    // It may be called otherwise by now.
    let now = root.container(&record.id);
    events::container(root, now.as_ref().unwrap_or(record), "die", &[("exitCode", &code.to_string())]);
}

/// Whether whoever is written down as remover is at it.
pub(super) fn is_being_removed(state: &State) -> bool {
    state.status == Status::Removing && state.boot == boot_id() && state.remover.is_some_and(lives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_a_container_stays_until_its_end_is_written_or_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        let record = Record {
            id: spec::ContainerId::from_random([7; 32]),
            name: "web".into(),
            created: "2026-01-01T00:00:00Z".into(),
            image: "host".into(),
            image_id: None,
            layers: vec!["/".into()],
            asked: serde_json::Value::Null,
        };
        root.create_container(&record).unwrap();
        let run = dir.path().join("run");
        let give_back = || {
            std::fs::create_dir_all(&run).unwrap();
            super::give_back(&root, &record, &run, State::disown).map_err(|e| e.kind)
        };
        let state = root.container_folder(&record.id).join("state");
        let whole = std::fs::read(&state).unwrap();
        std::fs::write(&state, "{").unwrap();
        assert_eq!(give_back(), Err(store::Kind::Damaged));
        assert!(run.exists(), "the next command finds it");
        std::fs::write(&state, whole).unwrap();
        give_back().unwrap();
        assert!(!run.exists());
        root.remove_container(&record.id).unwrap();
        assert_eq!(give_back(), Err(store::Kind::NotFound));
        assert!(!run.exists());
    }
}
