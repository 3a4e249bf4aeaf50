//! `rm`: a container, its writable layer, its log. One remover at a time, written down in the state; a removal that was
//! killed is finished by the next command.

use super::claim::is_being_removed;
use super::identity::{self, boot_id, handle, is_live, own_process, wait};
use super::{Asked, Site, conflict, is_active, owner, settle};
use crate::{Error, Result, events};
use std::os::unix::net::UnixStream;
use store::{Record, Root, State, Status};

/// Removes a container; one that runs only with `force`, which kills it first.
pub fn remove(site: Site<'_>, record: &Record, force: bool) -> Result<()> {
    let id = &record.id;
    let mut refused = None;
    let mut before = State::default();
    let update = |state: &mut State| {
        identity::complete(state);
        before = state.clone();
        if is_being_removed(state) {
            refused = Some(conflict(format!("removal of container {} is already in progress", record.name)));
        } else if !force && is_live(state) && state.status != Status::Removing {
            refused = Some(in_use(record, state));
        } else {
            mark(state);
        }
    };
    match site.root.update_container(id, update) {
        Err(damaged) if damaged.kind == store::Kind::Damaged => return remove_unread(site, record, force, damaged),
        other => other.map_err(crate::error::store)?,
    };
    if let Some(error) = refused {
        return Err(error);
    }
    end(site, record, &before)?;
    finish(site.root, record)
}

/// Removes a container whose state is damaged; with `force` alone where it has a folder for run state, since it may live then.
fn remove_unread(site: Site<'_>, record: &Record, force: bool, damaged: store::Error) -> Result<()> {
    let run = site.place.of(&record.id);
    if run.exists() {
        if !force {
            return Err(crate::error::store(damaged));
        }
        // Who its supervisor is nobody knows, but it listens, and lets go when it ends.
        let supervisor = UnixStream::connect(run.join("attach"));
        settle::release(site, record, &Asked::of(record)?);
        if let Ok(mut supervisor) = supervisor {
            let _ = supervisor.set_read_timeout(Some(owner::PATIENCE));
            let _ = std::io::copy(&mut supervisor, &mut std::io::sink());
        }
        settle::clear(site, record)?;
    }
    finish(site.root, record)
}

/// docker's words for a container that has to be stopped first.
fn in_use(record: &Record, state: &State) -> Error {
    let id = &record.id;
    match state.status {
        Status::Paused => conflict(format!(
            "You cannot remove a paused container {id}. Unpause and then stop the container before attempting removal \
             or force remove"
        )),
        Status::Restarting => conflict(format!(
            "You cannot remove a restarting container {id}. Stop the container before attempting removal or force remove"
        )),
        _ => conflict(format!(
            "You cannot remove a running container {id}. Stop the container before attempting removal or force remove"
        )),
    }
    .hint(format!("ctr stop {name}, or ctr rm -f {name}", name = record.name))
}

/// Writes us down as the one who removes it.
pub(super) fn mark(state: &mut State) {
    state.status = Status::Removing;
    state.stopped_by_hand = true;
    state.remover = own_process();
    state.boot = boot_id();
}

/// Finishes a removal whose remover died.
pub(super) fn resume(site: Site<'_>, record: &Record) -> Result<()> {
    remove(site, record, true)
}

/// Ends whatever lives of a container that is marked.
fn end(site: Site<'_>, record: &Record, before: &State) -> Result<()> {
    let Some(now) = owner::until_process(site, record, before.clone())? else { return Ok(()) };
    if !is_live(&now) {
        return match before.supervisor.is_some() || is_active(before.status) {
            true => settle::clear(site, record),
            false => Ok(()),
        };
    }
    let supervisor = now.supervisor.and_then(|id| Some((id, handle(id)?)));
    let process = now.process.and_then(handle);
    if process.is_some() {
        events::container(site.root, record, "kill", &[("signal", "9")]);
        let killed = super::signal::send(site, record, "KILL");
        if before.status == Status::Paused {
            let _ = super::signal::thaw(site, record);
        }
        // It may have ended by itself meanwhile.
        if !process.as_ref().is_none_or(|process| wait(process, Some(owner::PATIENCE))) {
            return killed.and(Err(conflict(format!("could not kill container {}: it does not end", record.id))));
        }
    }
    // A supervisor that died before it: nobody else clears away what lies outside its mount namespace.
    let put_away = supervisor.is_some_and(|(id, supervisor)| owner::until_put_away(site, record, id, &supervisor));
    if put_away { Ok(()) } else { settle::clear(site, record) }
}

/// Removes what is marked and has no process.
pub(super) fn finish(root: &Root, record: &Record) -> Result<()> {
    // Its tree may be mounted for the machine: what is removed must not be reached through that.
    let _ = crate::mounted::release(root, record)?;
    match root.remove_container(&record.id) {
        Ok(()) => {
            events::container(root, record, "destroy", &[]);
            Ok(())
        }
        Err(e) => {
            let dead = |state: &mut State| {
                (state.status, state.remover) = (Status::Dead, None);
                state.error = e.to_string();
            };
            let _ = root.update_container(&record.id, dead);
            Err(crate::error::store(e))
        }
    }
}
