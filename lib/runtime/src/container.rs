//! What can be done with a container there is: start, state, kill, delete (runtime-spec "Operations").

use crate::channel::{Channel, Message};
use crate::create::state_of;
use crate::error::{Error, Kind, Result, failed};
use crate::held::Held;
use crate::hooks;
use crate::listener;
use crate::namespace::Namespace;
use crate::state::{Entry, Record, Status, is_alive};
use rustix::process::{Pid, PidfdFlags};
use serde::Serialize;
use spec::runtime::{ContainerState, Spec};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What `state` and `list` print.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Of the configuration.
    pub oci_version: String,
    /// Its name.
    pub id: String,
    /// Its first process; 0 when stopped.
    pub pid: i32,
    /// creating, created, running, paused or stopped.
    pub status: &'static str,
    /// The bundle.
    pub bundle: PathBuf,
    /// The root file system.
    pub rootfs: PathBuf,
    /// RFC 3339.
    pub created: String,
    /// Name of the user it belongs to.
    pub owner: String,
    /// Of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<HashMap<String, String>>,
}

fn show(entry: &Entry, record: Option<Record>) -> Shown {
    let status = status_of(entry, record.as_ref());
    let record = record.unwrap_or_else(|| Record {
        oci_version: "1.0.2".into(),
        id: entry.id().to_owned(),
        pid: 0,
        start_time: 0,
        started: false,
        bundle: PathBuf::new(),
        rootfs: PathBuf::new(),
        created: 0,
        annotations: None,
        cgroup: None,
        devices_listed: false,
    });
    Shown {
        pid: if status == Status::Stopped { 0 } else { record.pid },
        oci_version: record.oci_version,
        id: record.id,
        status: status.word(),
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: date(record.created),
        owner: owner_of(entry),
        annotations: record.annotations,
    }
}

/// Freezing counts as a status of its own.
pub(crate) fn status_of(entry: &Entry, record: Option<&Record>) -> Status {
    match entry.status(record) {
        Status::Running if record.is_some_and(|r| crate::confinement::is_frozen(r.cgroup.as_ref())) => Status::Paused,
        status => status,
    }
}

fn owner_of(entry: &Entry) -> String {
    let uid = rustix::fs::fstat(entry).map_or(0, |s| s.st_uid);
    if uid == 0 { "root".into() } else { crate::idmap::user_name(uid).unwrap_or_else(|| uid.to_string()) }
}

/// A moment as RFC 3339 in UTC, in whole seconds.
pub fn rfc3339(at: std::time::SystemTime) -> String {
    date(at.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

/// Seconds since the epoch as RFC 3339 (days to civil date after Howard Hinnant's algorithm).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let z = days + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest % 3600 / 60, rest % 60)
}

/// The state of container `id`.
pub fn state(root: &Path, id: &str) -> Result<Shown> {
    let entry = Entry::open(root, id)?;
    let record = entry.load()?;
    Ok(show(&entry, record))
}

/// The state of every container; those that vanish meanwhile are left out.
pub fn list(root: &Path) -> Result<Vec<Shown>> {
    let mut all = Vec::new();
    for id in crate::state::list(root)? {
        match state(root, &id) {
            Ok(shown) => all.push(shown),
            Err(e) if e.kind == Kind::NoContainer => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// What a state forbids, in runc's words: engines look for them.
pub(crate) fn wrong_state(op: &'static str, id: &str, status: Status) -> Error {
    let why = match (op, status) {
        ("start", Status::Stopped) => "cannot start a container that has stopped".to_owned(),
        ("start", Status::Running | Status::Paused) => "cannot start an already running container".to_owned(),
        ("exec", Status::Stopped) => "cannot exec in a stopped container".to_owned(),
        ("exec", Status::Paused) => "cannot exec in a paused container (use --ignore-paused to override)".to_owned(),
        ("delete", _) => format!("cannot delete container {id} that is not stopped: {}", status.word()),
        ("pause", Status::Stopped | Status::Paused) => "container not running".to_owned(),
        ("resume", Status::Stopped | Status::Running | Status::Created) => "container not paused".to_owned(),
        _ => format!("the container is {}", status.word()),
    };
    Error::new(Kind::WrongState, op, id).because(why)
}

/// Starts a container that was created.
pub fn start(root: &Path, id: &str) -> Result<Vec<Error>> {
    let entry = Entry::open(root, id)?;
    entry.lock()?;
    let mut record = entry.load_made()?;
    match entry.status(Some(&record)) {
        Status::Created => {}
        status => return Err(wrong_state("start", id, status)),
    }
    let spec = entry.load_config()?;
    let Some(socket) = entry.connect()? else { return Err(wrong_state("start", id, Status::Running)) };
    let channel = Channel::from_socket(socket);
    channel.send(&Message::Start)?;
    let mut warnings = attend(&channel, &spec, &record)?;
    entry.remove_socket();
    record.started = true;
    entry.save(&record)?;
    match poststart(&spec, &record, None) {
        Ok(more) => warnings.extend(more),
        Err(error) => {
            let _ = remove(&entry, &record, Some(&spec), None);
            return Err(error);
        }
    }
    Ok(warnings)
}

/// Hears the first process out until it has become its program; what it could not do.
pub(crate) fn attend(channel: &Channel, spec: &Spec, record: &Record) -> Result<Vec<Error>> {
    let mut warnings = Vec::new();
    while let Some((message, fd)) = channel.receive()? {
        match (message, fd) {
            (Message::Listener, Some(fd)) => listener::forward(channel, spec, record, fd)?,
            (Message::Warning(warning), _) => warnings.push(warning.into()),
            _ => {}
        }
    }
    Ok(warnings)
}

/// Runs the hooks behind the start. What fails is a warning to the specification until 1.2, and the container's end from 1.3 on.
pub(crate) fn poststart(spec: &Spec, record: &Record, held: Option<&Held>) -> Result<Vec<Error>> {
    let Some(hooks) = spec.hooks().as_ref().and_then(|h| h.poststart().as_ref()) else { return Ok(Vec::new()) };
    let state = serde_json::to_vec(&state_of(record, ContainerState::Running)).unwrap_or_default();
    // What comes for the program meanwhile waits; what comes for the hook, from the terminal say, does not.
    let mask = held.map(Held::before);
    let minor = spec.version().split(['.', '-', '+']).nth(1).and_then(|n| n.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < 3) {
        return Ok(hooks::run_all("poststart hook", Some(hooks), &state, mask));
    }
    hooks::run("poststart hook", Some(hooks), &state, mask).inspect_err(|_| drop(end(record)))?;
    Ok(Vec::new())
}

/// The first process by descriptor, made sure to be the one that was written down.
pub(crate) fn open_process(record: &Record) -> Option<OwnedFd> {
    let pidfd = rustix::process::pidfd_open(Pid::from_raw(record.pid)?, PidfdFlags::empty()).ok()?;
    is_alive(record.pid, record.start_time).then_some(pidfd)
}

/// Sends `signal` to the first process, or to every process of the container.
pub fn kill(root: &Path, id: &str, signal: i32, all: bool) -> Result<()> {
    let entry = Entry::open(root, id)?;
    let record = entry.load_made()?;
    let status = status_of(&entry, Some(&record));
    if all && crate::confinement::signal_all(record.cgroup.as_ref(), signal)? {
        return Ok(());
    }
    let pidfd = open_process(&record).filter(|_| status != Status::Stopped);
    let Some(pidfd) = pidfd else {
        return if all { Ok(()) } else { Err(not_running(id)) };
    };
    match sys::spawn::send_signal(pidfd.as_fd(), signal) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Err(not_running(id)),
        Err(e) => return Err(failed("kill", id, e)),
    }
    if signal == libc::SIGKILL && status == Status::Paused {
        // A frozen process dies only when it is thawed.
        record.cgroup.as_ref().map_or(Ok(()), crate::cgroup::Cgroup::thaw)?;
    }
    Ok(())
}

/// runc's words: engines look for them.
fn not_running(id: &str) -> Error {
    Error::new(Kind::WrongState, "kill", id).because("container not running".to_owned())
}

/// Freezes (`true`) or thaws a container.
pub fn pause(root: &Path, id: &str, frozen: bool) -> Result<()> {
    let entry = Entry::open(root, id)?;
    entry.lock()?;
    let record = entry.load_made()?;
    let op = if frozen { "pause" } else { "resume" };
    let cgroup = record.cgroup.as_ref().filter(|c| !c.is_none());
    match (status_of(&entry, Some(&record)), frozen) {
        (Status::Running | Status::Created, true) | (Status::Paused, false) => {}
        (status, _) => return Err(wrong_state(op, id, status)),
    }
    let cgroup = cgroup.ok_or_else(|| {
        Error::new(Kind::Failed, op, id)
            .because("the container has no cgroup".to_owned())
            .hint("be root, or have a cgroup delegated")
    })?;
    if frozen { cgroup.freeze() } else { cgroup.thaw() }
}

/// The pids of all processes of a container.
pub fn processes(root: &Path, id: &str) -> Result<Vec<i32>> {
    let entry = Entry::open(root, id)?;
    let record = entry.load_made()?;
    match record.cgroup.as_ref().filter(|c| !c.is_none()) {
        Some(cgroup) => cgroup.processes(),
        None if is_alive(record.pid, record.start_time) => {
            let apart = entry.load_config().is_ok_and(|spec| crate::bundle::makes(&spec, Namespace::Pid));
            crate::kin::of(record.pid, apart)
        }
        None => Ok(Vec::new()),
    }
}

/// Removes a container that has stopped; with `force` ends it first, and one that does not exist is no error.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<Vec<Error>> {
    let entry = match Entry::open(root, id) {
        Err(e) if force && e.kind == Kind::NoContainer => return Ok(Vec::new()),
        done => done?,
    };
    match entry.lock() {
        Err(e) if force && e.kind == Kind::NoContainer => return Ok(Vec::new()),
        done => done?,
    }
    let record = entry.load()?;
    if record.as_ref().is_none_or(|r| r.pid == 0)
        && let Ok(spec) = entry.load_config()
    {
        crate::confinement::remove_leftover(&spec, id)?;
    }
    let Some(record) = record else {
        entry.remove()?;
        return Ok(Vec::new());
    };
    match status_of(&entry, Some(&record)) {
        Status::Stopped | Status::Creating => {}
        // Nothing of the user's runs yet in a created one.
        Status::Created => end(&record)?,
        _ if force => end(&record)?,
        status => {
            return Err(wrong_state("delete", id, status)
                .hint(format!("nsrun kill {id} KILL first, or nsrun delete --force {id}")));
        }
    }
    let spec = entry.load_config().ok();
    remove(&entry, &record, spec.as_ref(), None)
}

/// Removes cgroup and state, then runs the hooks behind the end. These can be interrupted, with us, as what goes before them cannot where
/// signals are held.
pub(crate) fn remove(entry: &Entry, record: &Record, spec: Option<&Spec>, held: Option<Held>) -> Result<Vec<Error>> {
    crate::confinement::remove(record.cgroup.as_ref())?;
    entry.remove()?;
    let Some(hooks) = spec.and_then(|s| s.hooks().as_ref()).and_then(|h| h.poststop().as_ref()) else {
        return Ok(Vec::new());
    };
    if let Some(held) = held {
        held.forget();
    }
    let state = serde_json::to_vec(&state_of(record, ContainerState::Stopped)).unwrap_or_default();
    Ok(hooks::run_all("poststop hook", Some(hooks), &state, None))
}

/// Kills the first process and waits until it is gone.
fn end(record: &Record) -> Result<()> {
    let Some(pidfd) = open_process(record) else { return Ok(()) };
    let _ = sys::spawn::send_signal(pidfd.as_fd(), libc::SIGKILL);
    if let Some(cgroup) = record.cgroup.as_ref().filter(|c| c.is_frozen()) {
        let _ = cgroup.thaw();
    }
    // A zombie polls readable too, so an end that nobody reaps does not keep us.
    let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    match rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&limit))) {
        Ok(0) => {
            Err(Error::new(Kind::Failed, "delete", &record.id).because("the first process does not end".to_owned()))
        }
        Ok(_) => Ok(()),
        Err(e) => Err(failed("wait for", record.pid, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_written() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(date(1_795_266_000), "2026-11-21T13:00:00Z");
    }
}
