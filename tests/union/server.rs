//! An `ovl-mount -f` that a test stops or kills: it is two processes, the one in front that waits and the server.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Goes on and ends with the test.
pub(crate) struct Server {
    front: Child,
    pid: Pid,
}

impl Server {
    /// Mounts at `m` in `dir`; returns when `seen` is there.
    pub(crate) fn start(dir: &Path, options: &str, seen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ovl-mount"));
        command.args(["--driver", "fuse", "-f", "-o", options, "m"]).current_dir(dir).stdin(Stdio::null());
        let mut server = Self { front: command.spawn().expect("ovl-mount runs"), pid: Pid::from_raw(0) };
        until("it is mounted", || dir.join("m").join(seen).symlink_metadata().is_ok());
        let children = format!("/proc/{0}/task/{0}/children", server.front.id());
        let children = std::fs::read_to_string(children).expect("/proc shows children");
        let pid = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        server.pid = Pid::from_raw(pid.expect("the server is a child of the one in front"));
        server
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("a signal to our own server");
    }

    /// By SIGKILL; returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.front.wait().expect("the one in front ends with it");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not of a server that is gone: its number may be another's.
        if self.front.try_wait().is_ok_and(|ended| ended.is_none()) && self.pid.as_raw() != 0 {
            let _ = kill(self.pid, Signal::SIGCONT);
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        let _ = self.front.kill();
        let _ = self.front.wait();
    }
}

/// Waits until `done` is true, for at most a minute.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
