//! A bundle with busybox in it, and the runtimes a test body runs on.

use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::Mutex;
pub(crate) use testkit::container::Runtime;
use testkit::container::{self, Remains};

/// The references first: what fails there is a wrong test.
pub(crate) fn runtimes() -> [Runtime; 3] {
    [Runtime::runc(), Runtime::crun(), Runtime::new("nsrun", [env!("CARGO_BIN_EXE_nsrun")])]
}

/// A folder with `config.json` and `rootfs`, and a state folder beside it.
#[derive(Debug)]
pub(crate) struct Bundle {
    folder: tempfile::TempDir,
    id: String,
    /// The runtime that was called last.
    last: Mutex<Option<&'static str>>,
    // behind all else: dropped last
    _remains: Remains,
}

impl Bundle {
    /// A bundle for `sh -c script`; `change` may change its configuration.
    pub(crate) fn new(script: &str, change: impl FnOnce(&mut Value)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        testkit::fixture::busybox_rootfs(&folder.path().join("rootfs"));
        let id = container::new_id();
        let mut config = config(script);
        config["linux"]["cgroupsPath"] = json!(format!("/{id}/{id}"));
        change(&mut config);
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("config.json");
        let remains = Remains::of(&id);
        Self { folder, id, last: Mutex::new(None), _remains: remains }
    }

    /// `RUNTIME run`, to its end.
    pub(crate) fn run(&self, runtime: &Runtime) -> Output {
        let output = self.command(runtime, "run").arg("--bundle").arg(self.folder.path()).arg(&self.id).output();
        let output = output.expect("starts");
        // crun 1.8 leaves groups behind when making a container fails.
        if runtime.name == "nsrun" {
            self.assert_nothing_left();
        }
        output
    }

    /// The container's name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// `RUNTIME verb`, to be completed.
    pub(crate) fn command(&self, runtime: &Runtime, verb: &str) -> Command {
        *self.last.lock().expect("no panic") = Some(runtime.name);
        let mut command = runtime.command();
        command.arg("--root").arg(self.folder.path().join("state")).arg(verb);
        command
    }

    pub(crate) fn assert_nothing_left(&self) {
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("hierarchies") {
            let below = hierarchy.expect("entry").path().join(&self.id).join(&self.id);
            assert!(!below.exists(), "{} is left", below.display());
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // By the runtime that made it: another one would take the folder for a broken one of its own, and remove just that.
        let last = self.last.lock().ok().and_then(|last| *last);
        for runtime in runtimes().into_iter().filter(|r| last == Some(r.name)) {
            if self.folder.path().join("state").join(&self.id).exists() {
                let _ = self.command(&runtime, "delete").args(["--force", &self.id]).output();
            }
        }
    }
}

fn config(script: &str) -> Value {
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin:/sbin:/usr/bin"],
            "cwd": "/",
            "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "noNewPrivileges": false,
        },
        "root": { "path": "rootfs" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"] },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "network" }],
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
        },
    })
}

/// What a program said and how it ended, for comparing and for telling.
pub(crate) fn told(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}
