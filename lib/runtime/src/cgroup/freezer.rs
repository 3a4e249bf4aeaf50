//! Stopping and letting go: the freezer of v1, `cgroup.freeze` of v2.
//!
//! Freezing is asked for and then waited for: a process in the middle of a system call that cannot be interrupted comes to a
//! stand only behind it. In v1 a process that forks while its group is being frozen can keep the state at FREEZING; asking
//! again takes the new one too (kernel/cgroup/legacy_freezer.c).

use super::group::Group;
use super::{Cgroup, PATIENCE};
use crate::error::{Error, Kind, Result, failed};
use std::io;
use std::time::{Duration, Instant};

impl Group {
    /// Asks for it; [`Cgroup::is_frozen`] tells when it is so.
    pub(super) fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        match (self.v2, frozen) {
            (true, true) => self.write("cgroup.freeze", "1"),
            (true, false) => self.write("cgroup.freeze", "0"),
            (false, true) => self.write("freezer.state", "FROZEN"),
            (false, false) => self.write("freezer.state", "THAWED"),
        }
    }
}

impl Cgroup {
    /// Stops all of it, returning when it stands still.
    pub fn freeze(&self) -> Result<()> {
        let group = self.freezer()?;
        let op = |e: io::Error| failed("freeze", group.path.display(), e);
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(50);
        loop {
            group.set_frozen(true).map_err(op)?;
            if self.is_frozen() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let _ = self.thaw();
                return Err(op(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        let group = self.freezer()?;
        group.set_frozen(false).map_err(|e| failed("thaw", group.path.display(), e))
    }

    /// Whether all of it stands still; false where that cannot be told.
    pub fn is_frozen(&self) -> bool {
        let Ok(group) = self.freezer() else { return false };
        if group.v2 {
            group.read("cgroup.events").is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
        } else {
            group.read("freezer.state").is_ok_and(|state| state.trim_end() == "FROZEN")
        }
    }

    pub(super) fn freezer(&self) -> Result<&Group> {
        let v1 = self.groups.iter().find(|g| !g.v2 && g.has("freezer"));
        v1.or_else(|| self.groups.iter().find(|g| g.v2)).ok_or_else(|| {
            Error::new(Kind::Failed, "freeze", "")
                .because("the container has no cgroup")
                .hint("pause needs root or a delegated cgroup")
        })
    }
}
