//! `events`: what a container uses, and when the kernel killed something in it for want of memory.
//!
//! Statistics need groups that a container without limits may not have been given (`run` makes only those it needs): they are
//! made at the first asking, and count from then on.

use crate::cgroup::Cgroup;
use crate::cgroup::statistics::Statistics;
use crate::container::{open_process, status_of};
use crate::error::{Error, Kind, Result, failed};
use crate::state::{Entry, Record, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The time for numbers has come.
    Statistics(Box<Statistics>),
    /// Memory ran out.
    Oom,
}

/// What container `id` has used up to now.
pub fn statistics(root: &Path, id: &str) -> Result<Statistics> {
    let (_, cgroup) = open(root, id)?;
    Ok(cgroup.statistics())
}

/// Tells `hear` of everything that happens, with numbers at each `interval`, until the container ends or `hear` breaks off.
pub fn watch(root: &Path, id: &str, interval: Duration, mut hear: impl FnMut(Event) -> ControlFlow<()>) -> Result<()> {
    let (record, cgroup) = open(root, id)?;
    let Some(first) = open_process(&record) else { return Err(not_running(id)) };
    let mut memory = cgroup.watch_oom()?;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&memory, memory.events()), PollFd::new(&first, PollFlags::IN)];
        let woken = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&left)));
        woken.map_err(|e| failed("wait for events of", id, e))?;
        let ended = !fds[1].revents().is_empty();
        if (ended || !fds[0].revents().is_empty()) && memory.happened() && hear(Event::Oom).is_break() {
            return Ok(());
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            next += interval;
            if hear(Event::Statistics(Box::new(cgroup.statistics()))).is_break() {
                return Ok(());
            }
        }
    }
}

fn not_running(id: &str) -> Error {
    // runc's words.
    Error::new(Kind::WrongState, "events", id).because(format!("container with id {id} is not running"))
}

/// A container that lives, and its groups, complete for counting.
fn open(root: &Path, id: &str) -> Result<(Record, Cgroup)> {
    let entry = Entry::open(root, id)?;
    let mut record = entry.load_made()?;
    if status_of(&entry, Some(&record)) == Status::Stopped {
        return Err(not_running(id));
    }
    let none = || {
        Error::new(Kind::Failed, "events", id)
            .because("the container has no cgroup".to_owned())
            .hint("statistics need root, or a cgroup delegated to this user")
    };
    if !record.cgroup.as_ref().filter(|c| !c.is_none()).ok_or_else(none)?.accounts()? {
        entry.lock()?;
        record = entry.load_made()?;
        if let Some(cgroup) = record.cgroup.as_mut() {
            cgroup.account()?;
        }
        entry.save(&record)?;
    }
    let cgroup = record.cgroup.clone().ok_or_else(none)?;
    Ok((record, cgroup))
}
