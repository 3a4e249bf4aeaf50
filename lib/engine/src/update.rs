//! `ctr update`: other limits, and another restart policy, for a container that is there already.
//!
//! What changes is kept in the record, so that `inspect` tells it and a later start has it; where the container runs, the OCI
//! runtime's `update` is told too, before anything is written: what the kernel refuses changes nothing. All of it happens under
//! the container's lock, so that two changes do not mix. Words and rules are docker's (moby, `container/container_unix.go`,
//! `UpdateContainer`).

use crate::life::{self, Asked, Site, is_active};
use crate::limits::{document, refused};
use crate::request::limits::Limits;
use crate::request::restart::{Policy, Restart};
use crate::tools::Tools;
use crate::{Error, Kind, Result, events, execute, stats};
use serde_json::{Map, Value, json};
use std::io::{Seek, Write};
use store::{Record, State, Status};

/// What is to be otherwise; zero and none leave what there is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Limits that were named.
    pub limits: Limits,
    /// `--restart`
    pub restart: Option<Restart>,
}

/// Examines a change on this machine, once for all containers it is for.
pub fn examine(limits: &mut Limits, machine: &crate::machine::Machine) -> Result<crate::limits::Advice> {
    crate::limits::examine(limits, &crate::limits::Offers::probe(machine), false)
}

/// Changes one container.
pub fn update(site: Site<'_>, record: &Record, change: &Change) -> Result<()> {
    let id = &record.id;
    let cannot = |e: Error| {
        let error = Error::new(e.kind, "", format!("Cannot update container {id}: {e}"));
        match e.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    };
    let guard = site.root.lock_container(id).map_err(crate::error::store)?;
    // As it is now, not as it was when somebody looked for it.
    let mut record = site.root.container(id).map_err(crate::error::store)?;
    let state = life::state(site.root, id)?;
    if matches!(state.status, Status::Removing | Status::Dead) {
        return Err(cannot(refused("container is marked for removal and cannot be \"update\"")));
    }
    let mut asked = Asked::of(&record)?;
    let before = asked.request.limits.clone();
    merge(&mut asked.request.limits, &change.limits).map_err(cannot)?;
    if let Some(restart) = &change.restart {
        if asked.request.remove && restart.policy != Policy::No {
            let sentence = "Restart policy cannot be updated because AutoRemove is enabled for the container";
            return Err(cannot(refused(sentence)));
        }
        asked.request.restart = restart.clone();
    }
    let after = &asked.request.limits;
    if *after != before && is_active(state.status) && state.process.is_some() {
        fits(site, &record, &asked, &state, &before, after).map_err(cannot)?;
        apply(site, &record, &asked, &before, after).map_err(cannot)?;
    }
    record.asked = serde_json::to_value(&asked).map_err(|e| Error::new(Kind::Failed, "write", "record").because(e))?;
    site.root.rewrite_container(&record).map_err(crate::error::store)?;
    drop(guard);
    events::container(site.root, &record, "update", &[]);
    Ok(())
}

/// Puts what `new` names into `old`, refusing what contradicts what is there.
fn merge(old: &mut Limits, new: &Limits) -> Result<()> {
    let conflict = |sentence: &str| Err(refused(sentence));
    match () {
        () if new.nano_cpus > 0 && old.cpu_period > 0 => {
            return conflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set");
        }
        () if new.nano_cpus > 0 && old.cpu_quota > 0 => {
            return conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set");
        }
        () if new.cpu_period > 0 && old.nano_cpus > 0 => {
            return conflict("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
        }
        () if new.cpu_quota > 0 && old.nano_cpus > 0 => {
            return conflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
        }
        () if new.memory != 0 && new.memory > old.memory_swap && new.memory_swap == 0 => {
            let sentence = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
            return Err(refused(sentence).hint("--memory-swap -1 sets no limit to swap"));
        }
        () => {}
    }
    let set = |old: &mut i64, new: i64| {
        if new != 0 {
            *old = new;
        }
    };
    set(&mut old.memory, new.memory);
    set(&mut old.memory_swap, new.memory_swap);
    set(&mut old.memory_reservation, new.memory_reservation);
    set(&mut old.nano_cpus, new.nano_cpus);
    set(&mut old.cpu_period, new.cpu_period);
    set(&mut old.cpu_quota, new.cpu_quota);
    set(&mut old.cpu_shares, new.cpu_shares);
    set(&mut old.cpu_rt_period, new.cpu_rt_period);
    set(&mut old.cpu_rt_runtime, new.cpu_rt_runtime);
    if !new.cpuset_cpus.is_empty() {
        old.cpuset_cpus.clone_from(&new.cpuset_cpus);
    }
    if !new.cpuset_mems.is_empty() {
        old.cpuset_mems.clone_from(&new.cpuset_mems);
    }
    if new.blkio_weight != 0 {
        old.blkio_weight = new.blkio_weight;
    }
    old.pids = new.pids.or(old.pids);
    Ok(())
}

/// A memory limit below what cannot be freed is refused before anything is touched: v1's kernel would refuse it, v2's would kill.
fn fits(site: Site<'_>, record: &Record, asked: &Asked, state: &State, old: &Limits, new: &Limits) -> Result<()> {
    let limit = new.memory.unsigned_abs();
    if new.memory <= 0 || (old.memory > 0 && new.memory >= old.memory) {
        return Ok(());
    }
    // Who cannot tell may still be able to change.
    let Ok(sample) = stats::sample(site, record, asked, state) else { return Ok(()) };
    if sample.unreclaimable > limit {
        let used = sample.unreclaimable;
        return Err(refused(format!("unable to set memory limit to {limit} (current usage: {used})"))
            .hint("more than that is in use and cannot be freed"));
    }
    Ok(())
}

/// Tells the runtime; what it could not do it is told to take back.
fn apply(site: Site<'_>, record: &Record, asked: &Asked, old: &Limits, new: &Limits) -> Result<()> {
    let (old, new) = (document::resources(old), document::resources(new));
    // Whole parts: cgroup v2 writes memory and swap, quota and period by what belongs together.
    let part = |of: &Value, name: &str| of.get(name).cloned();
    let changed: Vec<&str> = ["memory", "cpu", "pids", "blockIO"]
        .into_iter()
        .filter(|name| part(&new, name).is_some() && part(&old, name) != part(&new, name))
        .collect();
    let pick = |of: &Value| -> Map<String, Value> {
        changed.iter().filter_map(|name| Some(((*name).to_owned(), part(of, name)?))).collect()
    };
    if changed.is_empty() {
        return Ok(());
    }
    let tools = Tools::new(&asked.request.programs, site.own.to_owned());
    let tell = |document: Value| -> Result<()> {
        let file = memory_file_of(document.to_string().as_bytes())?;
        let mut command = execute::runtime(&tools, &site.place.runtime());
        command.args(["update", "--resources", "-", record.id.as_str()]).stdin(file);
        execute::run(command, "runtime update").map(drop)
    };
    let done = tell(Value::Object(pick(&new)));
    if done.is_err() {
        let _ = tell(json!(pick(&old)));
    }
    done
}

/// A file without a name that holds `bytes`, to be read from its beginning.
fn memory_file_of(bytes: &[u8]) -> Result<std::fs::File> {
    let fail = |e: std::io::Error| crate::error::system("write", "limits for the runtime", e);
    let mut file = execute::memory_file()?;
    file.write_all(bytes).and_then(|()| file.rewind()).map_err(fail)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_changes_and_nothing_else() {
        let mut old = Limits { memory: 8, memory_swap: 16, cpu_shares: 5, pids: Some(3), ..Limits::default() };
        let new = Limits { memory: 12, cpuset_cpus: "0".into(), ..Limits::default() };
        merge(&mut old, &new).unwrap();
        let want = Limits {
            memory: 12,
            memory_swap: 16,
            cpu_shares: 5,
            pids: Some(3),
            cpuset_cpus: "0".into(),
            ..Limits::default()
        };
        assert_eq!(old, want);
    }

    #[test]
    fn contradictions_in_dockers_words() {
        let of = Limits::default;
        for (mut old, new, sentence) in [
            (
                of(),
                Limits { memory: 9, ..of() },
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            ),
            (
                Limits { cpu_period: 1, ..of() },
                Limits { nano_cpus: 1, ..of() },
                "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
            ),
            (
                Limits { cpu_quota: 1, ..of() },
                Limits { nano_cpus: 1, ..of() },
                "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
            ),
            (
                Limits { nano_cpus: 1, ..of() },
                Limits { cpu_quota: 1, ..of() },
                "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
            ),
            (
                Limits { nano_cpus: 1, ..of() },
                Limits { cpu_period: 1, ..of() },
                "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
            ),
        ] {
            assert_eq!(merge(&mut old, &new).unwrap_err().to_string(), sentence);
        }
    }
}
