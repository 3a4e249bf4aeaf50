//! What crashes left: run state, network endpoints and cgroups of containers whose supervisor died, and removals half done.

use super::identity::{self, is_live};
use super::{Asked, Site, claim, is_active};
use crate::place::Place;
use crate::tools::Tools;
use crate::{Result, execute};
use spec::ContainerId;
use std::collections::HashSet;
use std::path::Path;
use store::{Record, Root, State, Status};

/// Clears away what containers whose supervisor died left, with `--rm` themselves, and finishes removals. The first call after a
/// boot looks at all containers, later ones at those that have a folder for run state: all that live, and all that died
/// without somebody to clear up behind them.
pub fn settle(root: &Root, place: &Place, own: &Path) -> Result<()> {
    let site = Site { root, place, own };
    let marker = root.path().join("settled");
    let mark = format!("{}\n{}\n", super::boot_id(), place.path().display());
    let settled = std::fs::read_to_string(&marker).is_ok_and(|text| text == mark);
    let folders = run_folders(place);
    if settled && folders.is_empty() {
        return Ok(());
    }
    let mut ids = root.container_ids().map_err(crate::error::store)?;
    ids.retain(|id| !settled || folders.contains(id.short()));
    for id in &ids {
        // One that is being removed right now is gone between two looks.
        let Ok(stored) = root.container_state(id) else { continue };
        let whole = stored.status != Status::Removing && !is_abandoned(&stored);
        if whole {
            continue;
        }
        let record = match root.container(id) {
            Ok(record) => record,
            Err(e) => {
                // A power cut came while it was being made: nobody was told of it.
                if !settled && e.kind == store::Kind::NotFound {
                    let _ = root.remove_container(id);
                }
                continue;
            }
        };
        if stored.status == Status::Removing && !claim::is_being_removed(&stored) {
            // Not worth an error: whoever wants it gone says so again.
            let _ = super::remove::resume(site, &record);
            continue;
        }
        let had = is_active(stored.status) || stored.supervisor.is_some();
        if had && is_abandoned(&stored) {
            repair(site, &record)?;
        } else if folders.contains(id.short()) {
            clear_folder(site, id);
        }
    }
    if !settled {
        // Who cannot write it looks at all of them again.
        let _ = std::fs::write(&marker, mark);
    }
    Ok(())
}

/// The short ids of containers with run state.
fn run_folders(place: &Place) -> HashSet<String> {
    let entries = std::fs::read_dir(place.path()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit())).collect()
}

/// Whether nobody has the container: it does not live, or its start was never told of and nobody is left to do so.
fn is_abandoned(state: &State) -> bool {
    !is_live(state) || identity::begun(state).is_some()
}

/// Removes the run folder of a container that nobody has: its supervisor gave it back and could not do so.
fn clear_folder(site: Site<'_>, id: &ContainerId) {
    let Ok(_alone) = site.root.lock_container(id) else { return };
    if site.root.container_state(id).is_ok_and(|state| !is_live(&state)) {
        let _ = store::remove::tree(&site.place.of(id));
    }
}

/// Brings one container whose supervisor died in order.
fn repair(site: Site<'_>, record: &Record) -> Result<()> {
    let asked = Asked::of(record)?;
    let me = super::own_process();
    let mut ours = false;
    // As if we were its supervisor, so that nobody starts it while we clear away what was there.
    let take = |state: &mut State| {
        ours = is_abandoned(state) && state.status != Status::Removing;
        if ours {
            identity::complete(state);
            (state.supervisor, state.boot) = (me, super::boot_id());
        }
    };
    site.root.update_container(&record.id, take).map_err(crate::error::store)?;
    if !ours {
        return Ok(());
    }
    release(site, record, &asked);
    let mut died = false;
    let update = |state: &mut State| {
        if is_active(state.status) {
            (state.status, state.exit_code) = (Status::Exited, 137);
            state.finished = Some(jiff::Timestamp::now().to_string());
            died = true;
        }
        if state.supervisor == me {
            state.error = "its supervisor is gone".into();
            state.disown();
        }
        ours = state.status != Status::Removing;
        if ours && asked.request.remove && !state.kept {
            super::remove::mark(state);
        }
    };
    let run = site.place.of(&record.id);
    let state = claim::give_back(site.root, record, &run, update).map_err(crate::error::store)?;
    if died {
        claim::tell_end(site.root, record, state.exit_code);
    }
    if ours && state.status == Status::Removing {
        super::remove::finish(site.root, record)?;
    }
    Ok(())
}

/// Takes back what lies outside the supervisor's mount namespace; each part may be gone already.
pub(super) fn clear(site: Site<'_>, record: &Record) -> Result<()> {
    release(site, record, &Asked::of(record)?);
    let run = site.place.of(&record.id);
    store::remove::tree(&run).map_err(|e| crate::error::system("remove", run.display(), e))
}

/// The same but for the run folder.
pub(super) fn release(site: Site<'_>, record: &Record, asked: &Asked) {
    let Site { root, place, own } = site;
    let tools = Tools::new(&asked.request.programs, own.to_owned());
    let mut delete = execute::runtime(&tools, &place.runtime());
    delete.args(["delete", "--force", record.id.as_str()]);
    let _ = execute::run(delete, "runtime delete");
    for endpoint in crate::wiring::endpoints(&asked.request) {
        let mut detach = tools.command(crate::tools::Tool::Netwire);
        detach.args(["detach", "--network", &endpoint.network, "--id", record.id.as_str()]);
        detach.env("VENEER_ROOT", root.path()).env("VENEER_RUN", place.path());
        detach.envs(crate::wiring::environment(&asked.request));
        let _ = execute::run(detach, "netwire");
    }
}
