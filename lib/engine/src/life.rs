//! Containers after they were made: who lives, who has ended, stopping, killing, removing, and what a crash left behind.

use crate::place::Place;
use crate::plan::Shared;
use crate::process::Defaults;
use crate::request::{Network, Request};
use crate::tools::Tools;
use crate::{Error, Kind, Result, execute};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use spec::ContainerId;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use store::{ProcessId, Record, Root, State, Status};

/// What the engine keeps in a container's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// What the user asked for.
    pub request: Request,
    /// What the image says of its processes.
    pub defaults: Defaults,
}

impl Asked {
    /// Reads it back.
    pub fn of(record: &Record) -> Result<Self> {
        serde_json::from_value(record.asked.clone())
            .map_err(|e| Error::new(Kind::Failed, "read the record of container", record.id.short()).because(e))
    }
}

/// This boot of the machine: processes of another one are certainly gone.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The identity of the process `pid`, if it lives.
pub fn process(pid: i32) -> Option<ProcessId> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name, field 2, is in parentheses and may hold anything
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let dead = fields.next() == Some("Z");
    let start_ticks = fields.nth(18)?.parse().ok()?;
    (!dead).then_some(ProcessId { pid, start_ticks })
}

/// Our own identity.
pub fn own_process() -> Option<ProcessId> {
    process(rustix::process::getpid().as_raw_nonzero().get())
}

/// Whether the process still is what it was.
fn lives(process_id: ProcessId) -> bool {
    process(process_id.pid) == Some(process_id)
}

/// A handle to the process, made so that it cannot be another one's.
fn handle(process_id: ProcessId) -> Option<OwnedFd> {
    let fd = pidfd_open(Pid::from_raw(process_id.pid)?, PidfdFlags::empty()).ok()?;
    lives(process_id).then_some(fd)
}

/// A container's state as it really is: `running` only while supervisor or process live.
pub fn state(root: &Root, id: &ContainerId) -> Result<State> {
    let mut state = root.container_state(id).map_err(crate::error::store)?;
    if !is_live(&state) {
        if state.status == Status::Running {
            state.status = Status::Exited;
            state.exit_code = 137;
            state.error = "its supervisor is gone".into();
        }
        (state.process, state.supervisor) = (None, None);
    }
    Ok(state)
}

/// Whether a supervisor or a process of the container is there.
pub fn is_live(state: &State) -> bool {
    state.boot == boot_id() && [state.process, state.supervisor].into_iter().flatten().any(lives)
}

/// The container whose network `request` asks for, if it does: one that runs. Where that has another one's network itself, the
/// names are in the folder of the one whose network it was at first.
pub fn shared(root: &Root, place: &Place, request: &Request) -> Result<Option<Shared>> {
    let Network::Container(name) = &request.network else { return Ok(None) };
    let missing = |e: store::Error| {
        if e.kind == store::Kind::NotFound { no_such_container(name) } else { crate::error::store(e) }
    };
    let record = root.find_container(name).map_err(missing)?;
    let now = state(root, &record.id)?;
    let Some(process) = now.process.filter(|_| now.status == Status::Running) else {
        let what = "cannot join network of a non running container";
        return Err(Error::new(Kind::Conflict, "", format!("{what}: {}", record.id)));
    };
    let asked = Asked::of(&record)?;
    if let Some(first) = shared(root, place, &asked.request)? {
        return Ok(Some(Shared { pid: process.pid, ..first }));
    }
    let machine = crate::machine::Machine { hostname: crate::machine::hostname(), ..Default::default() };
    let hostname = crate::plan::hostname(&record.id, &asked.request, &machine, None);
    Ok(Some(Shared { pid: process.pid, folder: place.of(&record.id), hostname }))
}

/// docker's words.
fn no_such_container(name: &str) -> Error {
    Error::new(Kind::NotFound, "", format!("No such container: {name}")).hint("ctr ps lists those that run")
}

/// Clears away what containers whose supervisor died left: run state, network endpoints, cgroups, and with `--rm` themselves.
pub fn settle(root: &Root, place: &Place, own: &std::path::Path) -> Result<()> {
    for record in root.containers().map_err(crate::error::store)? {
        let Ok(stored) = root.container_state(&record.id) else { continue };
        let abandoned = stored.status == Status::Running || stored.supervisor.is_some();
        if !abandoned || is_live(&stored) {
            continue;
        }
        clear(root, place, own, &record)?;
        let asked = Asked::of(&record)?;
        if asked.request.remove {
            root.remove_container(&record.id).map_err(crate::error::store)?;
            continue;
        }
        root.update_container(&record.id, |state| {
            let was_started = state.status == Status::Running;
            if was_started {
                (state.status, state.exit_code) = (Status::Exited, 137);
                state.finished = Some(jiff::Timestamp::now().to_string());
            }
            state.error = "its supervisor is gone".into();
            (state.process, state.supervisor, state.root) = (None, None, None);
        })
        .map_err(crate::error::store)?;
    }
    Ok(())
}

/// Takes back what lies outside the supervisor's mount namespace; each part may be gone already.
fn clear(root: &Root, place: &Place, own: &std::path::Path, record: &Record) -> Result<()> {
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

/// Sends the container's process a signal.
pub fn kill(root: &Root, place: &Place, own: PathBuf, record: &Record, signal: &str) -> Result<()> {
    let now = state(root, &record.id)?;
    if now.status != Status::Running {
        return Err(Error::new(Kind::Conflict, "container", format!("{} is not running", record.name))
            .hint("ctr ps lists those that are"));
    }
    let tools = Tools::new(&Asked::of(record)?.request.programs, own);
    let mut command = execute::runtime(&tools, &place.runtime());
    command.args(["kill", record.id.as_str(), signal]);
    execute::run(command, "runtime kill").map(drop)
}

/// Asks the container's process to end, and ends it where it has not within `grace` (none: waits for ever). Returns when
/// everything of it is cleared away; one that is not running is no error, as in docker.
pub fn stop(
    root: &Root,
    place: &Place,
    own: PathBuf,
    record: &Record,
    signal: &str,
    grace: Option<Duration>,
) -> Result<()> {
    let now = state(root, &record.id)?;
    if now.status != Status::Running {
        return Ok(());
    }
    let ended = |fd: &Option<OwnedFd>, limit| fd.as_ref().is_none_or(|fd| wait(fd, limit));
    let process = now.process.and_then(handle);
    // It may end between the look and the signal.
    let sent = kill(root, place, own.clone(), record, signal);
    if sent.is_ok() && !ended(&process, grace) {
        let _ = kill(root, place, own, record, "KILL");
    }
    sent.or_else(|e| if process.is_none() { Ok(()) } else { Err(e) })?;
    wait_cleared(now.supervisor);
    Ok(())
}

/// Waits until the supervisor has put everything away.
fn wait_cleared(supervisor: Option<ProcessId>) {
    if let Some(fd) = supervisor.and_then(handle) {
        wait(&fd, Some(Duration::from_secs(30)));
    }
}

/// Waits for a process's end; whether it came in time.
fn wait(process: &OwnedFd, limit: Option<Duration>) -> bool {
    let end = limit.map(|l| Instant::now() + l);
    loop {
        let left = end.map(|e| e.saturating_duration_since(Instant::now()));
        let timeout = left.map(|l| Timespec { tv_sec: l.as_secs() as i64, tv_nsec: i64::from(l.subsec_nanos()) });
        let mut fds = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(n) if n > 0 => return true,
            Err(rustix::io::Errno::INTR) => {}
            _ if left.is_some_and(|l| l.is_zero()) => return false,
            _ => {}
        }
    }
}

/// Removes a container; one that runs only with `force`, which kills it first.
pub fn remove(root: &Root, place: &Place, own: PathBuf, record: &Record, force: bool) -> Result<()> {
    let now = state(root, &record.id)?;
    if now.status == Status::Running || now.supervisor.is_some() {
        if !force {
            return Err(Error::new(Kind::Conflict, "cannot remove container", &record.name)
                .because("it is running")
                .hint("stop it first, or force it with -f"));
        }
        let supervised = now.supervisor.is_some_and(lives);
        let process = now.process.and_then(handle);
        match kill(root, place, own.clone(), record, "KILL") {
            Ok(()) if supervised => wait_cleared(now.supervisor),
            // Its supervisor died before it: nobody else clears away what lies outside its mount namespace.
            Ok(()) => {
                let _ = process.is_none_or(|process| wait(&process, Some(Duration::from_secs(30))));
                clear(root, place, &own, record)?;
            }
            Err(e) if state(root, &record.id)?.status == Status::Running => return Err(e),
            Err(_) => {}
        }
    }
    root.remove_container(&record.id).map_err(crate::error::store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_only_with_its_start_time() {
        let me = own_process().unwrap();
        assert!(lives(me));
        assert!(!lives(ProcessId { start_ticks: me.start_ticks + 1, ..me }));
        assert!(handle(me).is_some());
        assert!(process(-1).is_none());
    }
}
