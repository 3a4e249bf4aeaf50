//! Work for a process of its own: this very test program once more, told in its environment which task to do.
//!
//! A test may not fork, and one that unmounts, gets killed or joins a user namespace cannot be a thread beside others. A
//! task is a test that returns at once unless [`task`] says that it is meant.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TASK: &str = "VENEER_DRILL_TASK";

/// A command that runs the test `name` (its path in this program) as a task with `words`.
pub(crate) fn command(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    give(&mut command, name, words);
    command
}

/// The same in a user namespace of its own in which the caller is root, with mounts of its own.
pub(crate) fn rootless(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "-m"]).arg(std::env::current_exe().expect("the path of this program"));
    give(&mut command, name, words);
    command
}

fn give(command: &mut Command, name: &str, words: &[&str]) {
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).stdin(Stdio::null());
    command.env(TASK, format!("{name} {}", words.join(" ")));
}

/// The words for the test `name`, if this process is to do it as a task. No word may have a space in it.
pub(crate) fn task(name: &str) -> Option<Vec<String>> {
    let said = std::env::var(TASK).ok()?;
    let mut words = said.split_whitespace().map(str::to_owned);
    (words.next()? == name).then(|| words.collect())
}

/// A child that is killed and collected when dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }

    /// Whether it ended within `limit`, and then how.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("wait") {
                return Some(status);
            }
            if start.elapsed() > limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Where it stands in the kernel, for the report on one that hangs.
    pub(crate) fn stuck_at(&self) -> String {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap_or_default();
        format!("{} in {}\n{}", self.0.id(), read("wchan"), read("stack"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Fails with all that it said unless it ended well.
#[track_caller]
pub(crate) fn well(output: &Output, what: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
}
