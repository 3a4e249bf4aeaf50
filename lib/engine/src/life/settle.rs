//! What crashes left: run state, network endpoints and cgroups of containers whose supervisor died, and removals half done.

use super::identity::is_live;
use super::{Asked, Site, claim, is_active};
use crate::place::Place;
use crate::tools::Tools;
use crate::{Result, execute};
use std::path::Path;
use store::{Record, Root, Status};

/// Clears away what containers whose supervisor died left, with `--rm` themselves, and finishes removals.
pub fn settle(root: &Root, place: &Place, own: &Path) -> Result<()> {
    let site = Site { root, place, own };
    for record in root.containers().map_err(crate::error::store)? {
        let Ok(stored) = root.container_state(&record.id) else { continue };
        if stored.status == Status::Removing && !claim::is_being_removed(&stored) {
            // Not worth an error: whoever wants it gone says so again.
            let _ = super::remove::resume(site, &record);
            continue;
        }
        let abandoned = is_active(stored.status) || stored.supervisor.is_some();
        if abandoned && !is_live(&stored) {
            repair(site, &record)?;
        }
    }
    Ok(())
}

/// Brings one container whose supervisor died in order.
fn repair(site: Site<'_>, record: &Record) -> Result<()> {
    clear(site, record)?;
    let asked = Asked::of(record)?;
    let mut dead = false;
    let update = |state: &mut store::State| {
        // Another command may have been quicker.
        if is_live(state) || state.status == Status::Removing {
            return;
        }
        if is_active(state.status) {
            (state.status, state.exit_code) = (Status::Exited, 137);
            state.finished = Some(jiff::Timestamp::now().to_string());
            dead = true;
        }
        state.error = "its supervisor is gone".into();
        (state.process, state.supervisor, state.root) = (None, None, None);
        if asked.request.remove && !state.kept {
            super::remove::mark(state);
        }
    };
    let state = site.root.update_container(&record.id, update).map_err(crate::error::store)?;
    if dead {
        claim::tell_end(site.root, record, state.exit_code);
    }
    if state.status == Status::Removing && state.remover == super::own_process() {
        super::remove::finish(site.root, record)?;
    }
    Ok(())
}

/// Takes back what lies outside the supervisor's mount namespace; each part may be gone already.
pub(super) fn clear(site: Site<'_>, record: &Record) -> Result<()> {
    let Site { root, place, own } = site;
    let asked = Asked::of(record)?;
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
    let run = place.of(&record.id);
    store::remove::tree(&run).map_err(|e| crate::error::system("remove", run.display(), e))
}
