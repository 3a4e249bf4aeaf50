//! Whether the kernel killed something of the container because memory ran out.
//!
//! cgroup v1 tells by an eventfd that is registered with `memory.oom_control` (Documentation/admin-guide/cgroup-v1/memory.rst, 10),
//! v2 by `memory.events` becoming ready with POLLPRI. Both count kills as `oom_kill`, which is read once more at the end.

use crate::limits::document::parent;
use crate::request::limits::Limits;
use rustix::event::{EventfdFlags, PollFlags, eventfd};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// cgroup v1's tree of memory groups.
const TREE: &str = "/sys/fs/cgroup/memory";

/// A container's memory group.
#[derive(Debug)]
pub(super) struct Memory {
    /// `memory.oom_control` or `memory.events`.
    counts: File,
    /// cgroup v1's.
    event: Option<OwnedFd>,
    seen: u64,
}

impl Memory {
    /// The memory group of the process `pid`, where that is one of the container `id`'s own.
    pub(super) fn of(pid: i32, id: &str, limits: &Limits) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        // A process that has ended is in no group of v1 any more; the group is there yet.
        let usual = || Path::new(TREE).join(parent(limits)).join(id);
        let folder = text.lines().find_map(|line| folder(line, id)).unwrap_or_else(usual);
        match File::open(folder.join("memory.oom_control")) {
            Ok(counts) => Some(Self { event: register(&folder, &counts), counts, seen: 0 }),
            Err(_) => Some(Self { counts: File::open(folder.join("memory.events")).ok()?, event: None, seen: 0 }),
        }
    }

    /// What to poll for.
    pub(super) fn descriptor(&self) -> (BorrowedFd<'_>, PollFlags) {
        match &self.event {
            Some(event) => (event.as_fd(), PollFlags::IN),
            None => (self.counts.as_fd(), PollFlags::PRI),
        }
    }

    /// Whether there was a kill since the last time.
    pub(super) fn has_killed(&mut self, told: bool) -> bool {
        let mut announced = false;
        if let Some(event) = self.event.as_ref().filter(|_| told) {
            // v1 tells before it kills.
            announced = rustix::io::read(event, &mut [0; 8]).is_ok() && self.is_there();
        }
        let count = self.count().unwrap_or(self.seen);
        let more = count > self.seen;
        self.seen = count;
        more || announced
    }

    /// A group that is removed tells as if it were out of memory.
    fn is_there(&self) -> bool {
        self.counts.read_at(&mut [0; 1], 0).is_ok()
    }

    fn count(&self) -> Option<u64> {
        let mut bytes = [0; 4096];
        let length = self.counts.read_at(&mut bytes, 0).ok()?;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

fn folder(line: &str, id: &str) -> Option<PathBuf> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if !path.contains(id) {
        return None;
    }
    let tree = if controllers.split(',').any(|c| c == "memory") {
        Path::new(TREE)
    } else if number == "0" && Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        Path::new("/sys/fs/cgroup")
    } else {
        return None;
    };
    Some(tree.join(path.trim_start_matches('/')))
}

fn register(folder: &Path, counts: &File) -> Option<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    let words = format!("{} {}", event.as_raw_fd(), counts.as_raw_fd());
    std::fs::write(folder.join("cgroup.event_control"), words).ok()?;
    // Reading is what arms v2; here it costs nothing.
    let _ = (&*counts).read(&mut [0; 1]);
    Some(event)
}
