//! A bundle and the container made of it: the operations of runtime.md on it, and its end, also after a failure.

use crate::case::Bench;
use crate::ground::{Ground, remove};
use crate::runtime::{Ran, Runtime, until};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A container of one case.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    /// Who makes it.
    pub(crate) runtime: &'a Runtime,
    /// What will stand in config.json.
    pub(crate) config: Value,
    /// Its name.
    pub(crate) id: String,
    /// Its group, from the mount point on.
    pub(crate) group: String,
    folder: PathBuf,
    own_group: PathBuf,
    /// Where what the program says goes, once it is created.
    output: RefCell<PathBuf>,
}

impl<'a> Container<'a> {
    /// A bundle for `sh -c script`, nothing made of it yet.
    pub(crate) fn new(bench: Bench<'a>, script: &str) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("c{}-{}", NEXT.fetch_add(1, Ordering::Relaxed), bench.runtime.name);
        let folder = bench.ground.folder().join(&id);
        bench.ground.rootfs(&folder.join("rootfs")).map_err(|e| format!("a root file system: {e}"))?;
        let own_group = PathBuf::from(bench.ground.group()).join(&id);
        let group = format!("/{}", own_group.display());
        let config = config(script, &group);
        Ok(Self { runtime: bench.runtime, config, id, group, folder, own_group, output: RefCell::default() })
    }

    /// The same with a changed configuration.
    pub(crate) fn with(bench: Bench<'a>, script: &str, change: impl FnOnce(&mut Value)) -> Result<Self, String> {
        let mut container = Self::new(bench, script)?;
        change(&mut container.config);
        Ok(container)
    }

    /// The bundle.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path in its root file system, as seen from outside.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        self.folder.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// Writes config.json.
    pub(crate) fn write(&self) -> Result<(), String> {
        let path = self.folder.join("config.json");
        std::fs::write(path, self.config.to_string()).map_err(|e| format!("config.json: {e}"))
    }

    /// `RUNTIME --root STATE words`.
    pub(crate) fn call(&self, words: &[&str]) -> Result<Ran, String> {
        let mut command = self.command();
        command.args(words);
        self.runtime.run(&self.folder, command)
    }

    /// `RUNTIME --root STATE`, to be completed and given to [`Runtime::run`].
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.runtime.program());
        command.arg("--root").arg(self.folder.join("state")).current_dir(&self.folder);
        command
    }

    /// Writes config.json, then `create`.
    pub(crate) fn create(&self) -> Result<Ran, String> {
        self.write()?;
        self.create_as_is(&[])
    }

    /// `create` of what stands in the bundle. What the program says goes to [`Self::output`].
    pub(crate) fn create_as_is(&self, options: &[&str]) -> Result<Ran, String> {
        let mut command = self.command();
        command.arg("create").args(options).arg("--bundle").arg(&self.folder).arg(&self.id);
        let ran = self.runtime.run(&self.folder, command)?;
        self.output.replace(ran.output.clone());
        Ok(ran)
    }

    /// What the program has said since `create`.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&*self.output.borrow()).unwrap_or_default()
    }

    /// Waits until the program has said `text`.
    pub(crate) fn until_it_says(&self, text: &str) -> Result<(), String> {
        let mut looks = 0;
        until(&format!("the program says {text:?}"), || {
            looks += 1;
            // One that has ended, by an error of the runtime's too, will say no more.
            self.output().contains(text)
                || (looks % 100 == 0 && !matches!(self.status().as_deref(), Ok("running" | "created")))
        })?;
        if self.output().contains(text) { Ok(()) } else { Err(format!("the program ended before it said {text:?}")) }
    }

    /// `create` and `start`, which have to succeed.
    pub(crate) fn launch(&self) -> Result<(), String> {
        self.create()?.ok()?;
        self.start()?.ok()?;
        Ok(())
    }

    /// `start`.
    pub(crate) fn start(&self) -> Result<Ran, String> {
        self.call(&["start", &self.id])
    }

    /// `kill ID SIGNAL`.
    pub(crate) fn kill(&self, signal: &str) -> Result<Ran, String> {
        self.call(&["kill", &self.id, signal])
    }

    /// `delete`.
    pub(crate) fn delete(&self) -> Result<Ran, String> {
        self.call(&["delete", &self.id])
    }

    /// `state`, which has to succeed.
    pub(crate) fn state(&self) -> Result<Value, String> {
        let said = self.call(&["state", &self.id])?.ok()?;
        serde_json::from_str(&said).map_err(|e| format!("state is not JSON: {e}: {said}"))
    }

    /// Its status.
    pub(crate) fn status(&self) -> Result<String, String> {
        Ok(self.state()?["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Its first process.
    pub(crate) fn pid(&self) -> Result<i32, String> {
        let pid = self.state()?["pid"].as_i64().ok_or("the state has no pid")?;
        i32::try_from(pid).map_err(|e| e.to_string())
    }

    /// Waits for its end.
    pub(crate) fn stopped(&self) -> Result<(), String> {
        let mut last = Ok(String::new());
        until("the program ends", || {
            last = self.status();
            !matches!(last.as_deref(), Ok("running" | "created" | "creating"))
        })?;
        last.map(|_| ())
    }

    /// Writes config.json, then `run` to its end.
    pub(crate) fn run(&self) -> Result<Ran, String> {
        self.write()?;
        self.call(&["run", "--bundle", &self.folder.to_string_lossy(), &self.id])
    }

    /// Runs it, which has to succeed; gives what the program said.
    pub(crate) fn says(&self) -> Result<String, String> {
        self.run()?.ok()
    }

    /// What stands in a file of the bundle, by its path from there; nothing if there is none.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.join(path)).unwrap_or_default()
    }

    /// Writes a file of the bundle.
    pub(crate) fn put(&self, path: &str, content: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(path);
        std::fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// A script of the bundle as a program, by its absolute path.
    pub(crate) fn program(&self, path: &str, script: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        testkit::program(&path, &format!("#!/bin/sh\n{script}\n"));
        Ok(path.to_string_lossy().into_owned())
    }

    /// The folders of its group that there are.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        Ground::groups(&self.group)
    }

    /// What stands in the file `name` of its group; the name begins with the controller's.
    pub(crate) fn limit(&self, name: &str) -> Result<String, String> {
        let found = self.groups().into_iter().map(|group| group.join(name)).find(|file| file.exists());
        let file = found.ok_or_else(|| format!("no file {name} in a group of the container"))?;
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(text.trim_end().to_owned())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.folder.join("state").join(&self.id).exists() {
            let _ = self.call(&["delete", "--force", &self.id]);
        }
        // Not every runtime removes what it made after a failure, or above a container's own folder.
        for group in Ground::groups(&self.own_group.to_string_lossy()) {
            remove(&group);
        }
    }
}

fn config(script: &str, group: &str) -> Value {
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
        },
        "root": { "path": "rootfs" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }],
            "cgroupsPath": group,
        },
    })
}
