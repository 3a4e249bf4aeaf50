//! A store and run state of its own for each test; when dropped, its containers are removed and nothing may be left.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long something may take that takes no time, on two loaded cores.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// A place to work in.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
}

/// What `script` prints in a busybox without a network and with these options.
#[track_caller]
pub(crate) fn sees(lab: &Lab, options: &[&str], script: &str) -> String {
    lab.ok([&["run", "--rm", "--network", "none"], options, &["busybox", "sh", "-c", script]].concat())
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("veneer-ctr.").tempdir_in("/tmp").expect("a temporary folder") }
    }

    /// One that has the image `busybox`.
    pub(crate) fn with_busybox() -> Self {
        let lab = Self::new();
        lab.load(&testkit::fixture::busybox_oci());
        lab
    }

    /// A folder of the test's own.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    pub(crate) fn run_folder(&self) -> PathBuf {
        self.path().join("run")
    }

    /// `ctr ARGS`, not started yet; nothing of the machine's environment stands in for our tools.
    pub(crate) fn ctr<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctr"));
        command.args(args).stdin(Stdio::null());
        self.environment(&mut command);
        command
    }

    /// Tells `command` where the store is.
    pub(crate) fn environment(&self, command: &mut Command) {
        command.env("VENEER_ROOT", self.root()).env("VENEER_RUN", self.run_folder());
        for name in ["VENEER_RUNTIME", "VENEER_MOUNT_PROGRAM", "VENEER_NETWIRE"] {
            command.env_remove(name);
        }
    }

    /// What `ctr ARGS` does.
    #[track_caller]
    pub(crate) fn said<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        self.ctr(args).output().expect("ctr runs").into()
    }

    /// What `ctr ARGS` prints; fails with its complaint.
    #[track_caller]
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let said = self.said(args);
        assert_eq!(said.code, 0, "{said:?}");
        said.out
    }

    /// What `ctr ARGS` prints when `input` is on its standard input.
    #[track_caller]
    pub(crate) fn fed(&self, input: &[u8], args: &[&str]) -> Said {
        let mut command = self.ctr(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ctr runs");
        match child.stdin.take().expect("a pipe").write_all(input) {
            // it may end without reading
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => panic!("{e}"),
            _ => {}
        }
        child.wait_with_output().expect("it ends").into()
    }

    /// Loads an image.
    #[track_caller]
    pub(crate) fn load(&self, path: &Path) {
        self.ok([OsStr::new("load"), OsStr::new("-q"), OsStr::new("-i"), path.as_os_str()]);
    }

    /// One field of a container.
    #[track_caller]
    pub(crate) fn field(&self, container: &str, field: &str) -> String {
        self.ok(["inspect", "-f", field, container]).trim().to_owned()
    }

    /// The pid of a container's supervisor.
    #[track_caller]
    pub(crate) fn supervisor(&self, container: &str) -> i32 {
        self.field(container, "{{.State.SupervisorPid}}").parse().expect("a pid")
    }

    /// Kills a container's supervisor, and it alone.
    #[track_caller]
    pub(crate) fn kill_supervisor(&self, container: &str) {
        kill(self.supervisor(container));
    }

    /// Waits until so many are connected to a container's supervisor: it has a socket for each, and the one it listens on.
    #[track_caller]
    pub(crate) fn is_visited_by(&self, container: &str, clients: usize) {
        let folder = format!("/proc/{}/fd", self.supervisor(container));
        let sockets = || {
            let all = std::fs::read_dir(&folder).expect("descriptors").flatten();
            let targets = all.filter_map(|fd| std::fs::read_link(fd.path()).ok());
            targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
        };
        assert!(Self::within(SOON, || sockets() == clients + 1), "{clients} and not {}", sockets());
    }

    /// `nsrun` as an OCI runtime, with something done `before` and `after` its verb `verb`; its path.
    pub(crate) fn runtime(&self, verb: &str, before: &str, after: &str) -> String {
        let (path, nsrun) = (self.path().join("oci"), env!("CARGO_BIN_EXE_nsrun"));
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' {verb} '*) {before}\n{nsrun} \"$@\"; code=$?\n{after}\nexit $code;; esac\nexec {nsrun} \"$@\"\n"
        );
        testkit::program(&path, &script);
        path.display().to_string()
    }

    /// Processes that have this lab's folder in their command line, but for this test's own.
    pub(crate) fn processes(&self) -> Vec<String> {
        let own = std::process::id();
        let needle = self.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if pid != own && line.contains(&needle) {
                found.push(format!("{pid} {line}"));
            }
        }
        found
    }

    /// Mounts of this lab's in any mount namespace of the machine.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let needle = self.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let text = std::fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            found.extend(text.lines().filter(|l| l.contains(&needle)).map(str::to_owned));
        }
        found
    }

    /// Waits until `done`, at most `limit`; whether it came.
    pub(crate) fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + limit;
        while !done() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

/// A program that is killed with the test that started it.
pub(crate) struct Running(pub(crate) std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills a process.
#[track_caller]
pub(crate) fn kill(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("killed");
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ids = self.said(["ps", "-aq"]).out;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.said([&["rm", "-f"], &*ids].concat());
        }
        if std::thread::panicking() {
            return;
        }
        let gone = Self::within(SOON, || self.processes().is_empty() && self.mounts().is_empty());
        assert!(gone, "left behind: {:?} {:?}", self.processes(), self.mounts());
    }
}
