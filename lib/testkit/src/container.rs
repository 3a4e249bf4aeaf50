//! OCI containers of tests, and that nothing of them outlives the test: not when it fails half-way, and not when it is killed.
//!
//! [`Container`] is one container of one runtime: with a name, a state folder and a cgroup (below `/veneer-test-…`) of its own; when
//! it is dropped the runtime deletes it by force, and what that leaves behind is ended and removed here ([`Remains`]). Since a test
//! that is killed drops nothing, the first of them starts a watcher, a shell that waits for the test's end and then does the same.

use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// An OCI runtime, as it is called.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Its name, for messages.
    pub name: &'static str,
    call: Vec<OsString>,
}

impl Runtime {
    /// The runtime `name` is started by these words.
    pub fn new<S: Into<OsString>>(name: &'static str, call: impl IntoIterator<Item = S>) -> Self {
        Self { name, call: call.into_iter().map(Into::into).collect() }
    }

    /// Debian's runc.
    pub fn runc() -> Self {
        Self::new("runc", ["runc"])
    }

    /// Debian's crun. It refuses a cgroup v2 tree with controllers beside v1, so it is shown none.
    pub fn crun() -> Self {
        let hide = "umount /sys/fs/cgroup/unified 2>/dev/null; exec crun \"$@\"";
        Self::new("crun", ["unshare", "-m", "sh", "-c", hide, "crun"])
    }

    /// A command line of it; words are to be added.
    pub fn command(&self) -> Command {
        let mut words = self.call.iter();
        let mut command = Command::new(words.next().expect("a runtime has a program"));
        command.args(words).stdin(Stdio::null());
        command
    }
}

/// A name for a container that no other test has, in this process or another.
pub fn new_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("veneer-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One container, deleted when dropped.
#[derive(Debug)]
pub struct Container {
    runtime: Runtime,
    bundle: PathBuf,
    id: String,
    // behind all else: dropped last
    _remains: Remains,
}

impl Container {
    /// A container of `bundle`, which is not made yet. Its state is kept in `bundle/state`; a `config.json` that names no cgroup is
    /// given one below `/veneer-test-…`.
    pub fn new(runtime: &Runtime, bundle: impl Into<PathBuf>) -> Self {
        let (bundle, id) = (bundle.into(), new_id());
        let file = bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&file).expect("config.json")).expect("JSON");
        if config["linux"]["cgroupsPath"].is_null() {
            config["linux"]["cgroupsPath"] = json!(format!("/{id}/{id}"));
            std::fs::write(&file, config.to_string()).expect("config.json");
        }
        let remains = Remains::of(&id);
        Self { runtime: runtime.clone(), bundle, id, _remains: remains }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The runtime's name, for messages.
    pub fn runtime(&self) -> &'static str {
        self.runtime.name
    }

    /// The folder of `config.json`.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// `RUNTIME --root … verb`, words to be added; the container's name is none of them yet.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = self.runtime.command();
        command.arg("--root").arg(self.bundle.join("state")).arg(verb);
        command
    }

    /// `RUNTIME verb ID words`, to its end.
    pub fn verb<S: AsRef<OsStr>>(&self, verb: &str, words: impl IntoIterator<Item = S>) -> Output {
        self.command(verb).arg(&self.id).args(words).output().expect("the runtime starts")
    }

    /// The same, which has to succeed; what it prints.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, verb: &str, words: impl IntoIterator<Item = S>) -> String {
        let output = self.verb(verb, words);
        assert!(output.status.success(), "{} {verb}: {}", self.runtime.name, String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `RUNTIME exec ID words`, to its end.
    pub fn exec<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Output {
        self.verb("exec", words)
    }

    /// `RUNTIME run`, to its end.
    pub fn run(&self) -> Output {
        self.command("run").arg("--bundle").arg(&self.bundle).arg(&self.id).output().expect("the runtime starts")
    }

    /// `RUNTIME create`, what the program says being written to `bundle/out`; that it succeeds is for the caller to look at.
    pub fn create(&self) -> Output {
        self.output_in_file("create", &[])
    }

    /// `RUNTIME run --detach`, what the program says being written to `bundle/out`; it has to succeed.
    #[track_caller]
    pub fn start(&self) {
        let output = self.output_in_file("run", &["--detach"]);
        assert!(output.status.success(), "{} run --detach: {}", self.runtime.name, self.said());
    }

    /// What the program of [`create`](Self::create) or [`start`](Self::start) has said so far, and the runtime before it.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.bundle.join("out")).unwrap_or_default()
    }

    /// What `RUNTIME state` prints, which has to succeed.
    #[track_caller]
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.ok("state", [""; 0])).expect("state is JSON")
    }

    // A pipe would be kept open by the container.
    fn output_in_file(&self, verb: &str, options: &[&str]) -> Output {
        let out = File::create(self.bundle.join("out")).expect("a file for output");
        let mut command = self.command(verb);
        command.args(options).arg("--bundle").arg(&self.bundle).arg(&self.id);
        command.stdout(out.try_clone().expect("copy")).stderr(out).output().expect("the runtime starts")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.bundle.join("state").join(&self.id).exists() {
            let _ =
                self.command("delete").args(["--force", &self.id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// What a container's runtime may have left: when this is dropped, every process in the cgroups called `/ID…` is killed and the
/// groups are removed, in all hierarchies.
#[derive(Debug)]
pub struct Remains {
    id: String,
}

impl Remains {
    /// Of the container called `id`, which [`new_id`] gave.
    pub fn of(id: &str) -> Self {
        watch();
        Self { id: id.to_owned() }
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        let there = |hierarchy: &Path| hierarchy.join(&self.id).exists();
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|h| h.path());
        if hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).any(|h| there(&h)) {
            let _ = Command::new("sh").args(["-c", SWEEP, "sh", &self.id]).stdin(Stdio::null()).status();
        }
    }
}

/// Ends what is in the groups whose names match the pattern `$1`, and removes them. A frozen process ends when it is thawed.
const SWEEP: &str = r#"
for group in /sys/fs/cgroup/$1 /sys/fs/cgroup/*/$1; do
  [ -d "$group" ] || continue
  find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null | while read -r pid; do kill -9 "$pid" 2>/dev/null; done
  find "$group" -name freezer.state | while read -r file; do echo THAWED >"$file"; done 2>/dev/null
  find "$group" -name cgroup.freeze | while read -r file; do echo 0 >"$file"; done 2>/dev/null
  for try in 1 2 3 4 5 6 7 8 9 10; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$group" ] || break
    sleep 0.1
  done
done
"#;

/// Starts, once a process, the shell that sweeps when this process has gone without doing so itself.
fn watch() {
    static WATCHER: OnceLock<Option<Child>> = OnceLock::new();
    WATCHER.get_or_init(|| {
        let mine = format!("veneer-test-{}-*", std::process::id());
        // Its standard input ends with us. In a session of its own, so that an interrupt typed at the tests does not end it.
        let script = format!("while read -r _; do :; done\n{SWEEP}");
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", &script, "sh", &mine]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    });
}

#[cfg(test)]
mod tests {
    use super::{Remains, new_id};

    #[test]
    fn names_differ_and_nothing_left_is_nothing_to_do() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        drop(Remains::of(&one));
    }
}
