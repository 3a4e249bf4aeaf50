//! The machine's cgroup tree, v1 or v2, as a test looks at it from outside.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whether v2 has the controllers.
pub(crate) fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The runtimes a test body runs on, ours behind the references; on v2, where all is slow in a virtual machine, one of them.
pub(crate) fn on_each() -> impl Iterator<Item = Runtime> {
    runtimes().into_iter().filter(|runtime| runtime.name != "runc" || !is_v2())
}

/// The folder of the group that a process is in.
pub(crate) fn folder(pid: i64, controller: &str) -> PathBuf {
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let this = if is_v2() { controllers.is_empty() } else { controllers.split(',').any(|c| c == controller) };
        this.then(|| path.trim_start_matches('/').to_owned())
    });
    let root = if is_v2() { PathBuf::from("/sys/fs/cgroup") } else { Path::new("/sys/fs/cgroup").join(controller) };
    root.join(path.unwrap_or_else(|| panic!("{controller} in {own}")))
}

/// A file of that group: the name in v1, the name in v2.
pub(crate) fn read(pid: i64, controller: &str, v1: &str, v2: &str) -> String {
    let file = folder(pid, controller).join(if is_v2() { v2 } else { v1 });
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).trim().to_owned()
}

/// A container that runs in the background, its output in the bundle's `out`, and its first process.
pub(crate) fn start(bundle: &Bundle, runtime: &Runtime) -> i64 {
    let out = File::create(bundle.folder().join("out")).expect("out");
    let mut command = bundle.command(runtime, "run");
    command.arg("--detach").arg("--bundle").arg(bundle.folder()).arg(bundle.id());
    let status = command.stdout(out.try_clone().expect("copy")).stderr(out).status().expect("starts");
    assert!(status.success(), "{}: {}", runtime.name, said(bundle));
    state(bundle, runtime)["pid"].as_i64().expect("a pid")
}

/// What the container has said.
pub(crate) fn said(bundle: &Bundle) -> String {
    std::fs::read_to_string(bundle.folder().join("out")).unwrap_or_default()
}

/// What `state` prints.
pub(crate) fn state(bundle: &Bundle, runtime: &Runtime) -> Value {
    serde_json::from_str(&ok(bundle, runtime, "state", &[])).expect("state is JSON")
}

/// `RUNTIME verb words ID`, which has to succeed; what it prints.
#[track_caller]
pub(crate) fn ok(bundle: &Bundle, runtime: &Runtime, verb: &str, words: &[&str]) -> String {
    let (out, err, code) = call(bundle, runtime, verb, words);
    assert_eq!(code, Some(0), "{} {verb} {words:?}: {err}", runtime.name);
    out
}

/// The same, however it ends.
pub(crate) fn call(bundle: &Bundle, runtime: &Runtime, verb: &str, words: &[&str]) -> (String, String, Option<i32>) {
    told(&bundle.command(runtime, verb).args(words).arg(bundle.id()).output().expect("starts"))
}

/// `RUNTIME exec ID words`.
pub(crate) fn exec(bundle: &Bundle, runtime: &Runtime, words: &[&str]) -> (String, String, Option<i32>) {
    told(&bundle.command(runtime, "exec").arg(bundle.id()).args(words).output().expect("starts"))
}

/// Waits until `holds`, as long as a slow machine may take.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Resources beside the default device list.
pub(crate) fn limited(config: &mut Value, resources: &Value) {
    for (name, value) in resources.as_object().expect("resources") {
        config["linux"]["resources"][name] = value.clone();
    }
}

/// Shows the container its groups, writable, as the root of what it sees.
pub(crate) fn with_own_tree(config: &mut Value) {
    config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "cgroup" }));
    config["mounts"].as_array_mut().expect("mounts").extend([
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"] }),
    ]);
}
