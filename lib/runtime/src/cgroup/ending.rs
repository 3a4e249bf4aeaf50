//! Who is in a container's groups, signals to all of them, and the end of both.

use super::layout::Layout;
use super::{Cgroup, PATIENCE};
use crate::error::{Result, failed};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

impl Cgroup {
    /// Ids of all processes in it, as this pid namespace sees them.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        for group in &self.groups {
            pids.extend(group.processes().map_err(|e| failed("list processes of", group.path.display(), e))?);
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Sends a signal, by its number, to every process in it. One that kills reaches frozen ones too.
    pub fn signal(&self, signal: i32) -> Result<()> {
        if signal == libc::SIGKILL && !self.needs_entering() && self.kill_at_once() {
            return Ok(());
        }
        // 0 stands for a process of another pid namespace.
        for pid in self.processes()?.into_iter().filter(|pid| *pid > 0).filter_map(Pid::from_raw) {
            let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { continue };
            match sys::spawn::send_signal(pidfd.as_fd(), signal) {
                Ok(()) => {}
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                Err(e) => return Err(failed("kill", pid.as_raw_nonzero(), e)),
            }
        }
        if signal == libc::SIGKILL {
            self.thaw_for_end();
        }
        Ok(())
    }

    /// v2 kills a whole group in one go (kernel 5.14).
    fn kill_at_once(&self) -> bool {
        self.groups.iter().any(|g| g.v2 && g.write("cgroup.kill", "1").is_ok())
    }

    /// v1 delivers no signal to what is frozen, also by a group inside the container's own.
    fn thaw_for_end(&self) {
        let Ok(freezer) = self.freezer() else { return };
        if freezer.v2 {
            let _ = self.thaw();
            return;
        }
        for folder in super::group::folders_below(&freezer.path).unwrap_or_default() {
            let _ = super::group::write_file(&folder.join("freezer.state"), "THAWED");
        }
    }

    /// Ends every process in it, also of a frozen one, and removes the groups; what is gone already is no error.
    pub fn kill_and_remove(&self) -> Result<()> {
        // Nearly always the first process was the last one: an empty group goes at once, one that is not says EBUSY.
        if self.groups.iter().all(|group| group.remove_empty().is_ok()) {
            return Ok(());
        }
        self.kill()?;
        self.remove()
    }

    /// The groups there are at `path` (as of [`Cgroup::create`]), for a container whose maker was killed before it wrote down which.
    pub fn leftover(path: &str) -> Result<Self> {
        Ok(Self::found(&Layout::detect()?, Path::new(path)))
    }

    fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(100);
        let mut first = true;
        while !self.processes()?.is_empty() {
            let at_once = self.kill_at_once();
            if self.needs_entering() || !at_once {
                // Frozen ones fork no more: the first round gets all. It takes effect with the thaw.
                if first && let Ok(freezer) = self.freezer() {
                    let _ = freezer.set_frozen(true);
                }
                self.signal(Signal::KILL.as_raw())?;
            }
            // Also where it was frozen before.
            self.thaw_for_end();
            if Instant::now() > deadline {
                let folder = self.groups.first().map(|g| g.path.display().to_string()).unwrap_or_default();
                return Err(failed("end processes of", folder, io::Error::from_raw_os_error(libc::ETIMEDOUT)));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
            first = false;
        }
        Ok(())
    }

    /// Removes the groups of a container whose processes have ended. The last of them may still be letting go.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for group in &self.groups {
            let mut pause = Duration::from_micros(100);
            while let Err(e) = group.remove() {
                if e.raw_os_error() != Some(libc::EBUSY) || Instant::now() > deadline {
                    return Err(failed("remove group", group.path.display(), e));
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}
