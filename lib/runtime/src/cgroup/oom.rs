//! Being told that the kernel killed something in a container for want of memory.
//!
//! v1: an eventfd hung on `memory.oom_control` through `cgroup.event_control`; it also fires when the group is removed. v2: the
//! counter `oom_kill` in `memory.events`, a file that polls as exceptional whenever it changes.

use super::Cgroup;
use super::group::{Group, write_file};
use crate::error::{Error, Kind, Result, failed};
use rustix::event::{EventfdFlags, PollFlags};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A watch on one container.
#[derive(Debug)]
pub(crate) struct OomWatch {
    group: Group,
    /// The eventfd, or the counter's file.
    source: OwnedFd,
    kills: u64,
}

impl Cgroup {
    /// Begins to watch.
    pub(crate) fn watch_oom(&self) -> Result<OomWatch> {
        let group = self.group_of("memory").cloned().ok_or_else(|| {
            Error::new(Kind::Failed, "watch memory", "").because("the container has no memory cgroup".to_owned())
        })?;
        let say = |e: io::Error| failed("watch memory of", group.path.display(), e);
        let open = |name: &str| {
            let opened = rustix::fs::open(group.path.join(name), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            opened.map_err(|e| say(e.into()))
        };
        let source = if group.v2 {
            open("memory.events")?
        } else {
            let control = open("memory.oom_control")?;
            let event =
                rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| say(e.into()))?;
            let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
            write_file(&group.path.join("cgroup.event_control"), &line).map_err(say)?;
            event
        };
        let mut watch = OomWatch { group, source, kills: 0 };
        watch.kills = watch.count();
        Ok(watch)
    }
}

impl OomWatch {
    /// What to poll for.
    pub(crate) fn events(&self) -> PollFlags {
        if self.group.v2 { PollFlags::PRI } else { PollFlags::IN }
    }

    fn count(&self) -> u64 {
        let file = if self.group.v2 { "memory.events" } else { "memory.oom_control" };
        let text = self.group.read(file).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    }

    /// Whether something was killed, or stands still for want of memory, since last asked.
    pub(crate) fn happened(&mut self) -> bool {
        // Reading takes the event off; v2 wants the very descriptor that is polled to be read.
        let mut buffer = [0_u8; 512];
        let fired = if self.group.v2 {
            let _ = rustix::io::pread(&self.source, &mut buffer, 0);
            false
        } else {
            rustix::io::read(&self.source, &mut buffer[..8]).is_ok()
                && rustix::fs::stat(self.group.path.join("cgroup.event_control")).is_ok()
        };
        let kills = self.count();
        let more = kills > self.kills;
        self.kills = kills.max(self.kills);
        more || fired
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}
