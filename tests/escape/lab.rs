//! Where an attack is tried: the three builds, a bundle, a sandbox from a folder, and programs of the attacker's.

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;
use testkit::container::{Container, Runtime};

/// `nsrun` with some of its defences switched off, or none.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// The program.
    pub(crate) program: PathBuf,
    /// What is off, as `VENEER_WEAK` wants it.
    off: String,
}

impl Build {
    /// The words that start it.
    pub(crate) fn words(&self) -> Vec<String> {
        let program = self.program.display().to_string();
        vec!["env".to_owned(), format!("VENEER_WEAK={}", self.off), program]
    }

    /// A command line of it.
    pub(crate) fn command(&self) -> Command {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command
    }

    /// As a runtime.
    pub(crate) fn runtime(&self) -> Runtime {
        Runtime::new("nsrun", self.words())
    }

    /// The same build as a file of its own in `folder`.
    pub(crate) fn copied_to(&self, folder: &Path) -> Self {
        let program = folder.join("nsrun");
        testkit::program_of(&self.program, &program);
        Self { program, off: self.off.clone() }
    }
}

/// The program that is shipped.
pub(crate) fn nsrun() -> Build {
    Build { program: env!("CARGO_BIN_EXE_nsrun").into(), off: String::new() }
}

/// What an attack came to.
#[derive(Debug)]
pub(crate) struct Tried {
    /// The decoy was harmed.
    pub(crate) escaped: bool,
    /// What was said meanwhile.
    pub(crate) said: String,
}

impl Tried {
    /// An attack that says `word` when it has succeeded.
    pub(crate) fn by_word(output: &Output, word: &str) -> Self {
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        Self { escaped: said.contains(word), said }
    }
}

/// Tries `attack` where it must fail, and with `defences` off, where it must succeed.
#[track_caller]
pub(crate) fn stopped_by(defences: &str, attack: impl Fn(&Build) -> Tried) {
    let strong = Build { off: defences.to_owned(), ..nsrun() };
    let idle = Build { program: weak_program(), off: String::new() };
    let weak = Build { program: weak_program(), off: defences.to_owned() };
    // A program that is shipped does not know the variable.
    let tried = attack(&strong);
    assert!(!tried.escaped, "nsrun was escaped from: {}", tried.said);
    let tried = attack(&idle);
    assert!(!tried.escaped, "escaped from with all defences on: {}", tried.said);
    let tried = attack(&weak);
    assert!(tried.escaped, "without {defences} the attack should succeed, so it shows nothing: {}", tried.said);
}

/// The build in `weak/`, made once a run. It shares cargo's target folder, so that only our own crates are compiled again, and
/// the product's lock file, so that it is the same program.
fn weak_program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let project = Path::new(env!("CARGO_MANIFEST_DIR"));
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
            let folder = project.join("tests/escape/weak");
            let _ = std::fs::copy(project.join("Cargo.lock"), folder.join("Cargo.lock"));
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
            let built = build.arg("--target-dir").arg(target).output().expect("cargo runs");
            assert!(built.status.success(), "{}", text(&built.stderr));
            target.join("debug/nsrun-weak")
        })
        .clone()
}

/// A folder with `rootfs` (busybox) and a `config.json` for `sh -c script`.
pub(crate) fn bundle(script: &str, change: impl FnOnce(&Path, &mut Value)) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    testkit::fixture::busybox_rootfs(&folder.path().join("rootfs"));
    let mut config = config(script);
    change(folder.path(), &mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).expect("config.json");
    folder
}

/// A container of `bundle`.
pub(crate) fn container(build: &Build, bundle: &TempDir) -> Container {
    Container::new(&build.runtime(), bundle.path())
}

/// A container that only waits, for [`Container::exec`].
pub(crate) const WAIT: &str = "while :; do sleep 1; done";

/// `folder` open as descriptor 7 of whoever starts `command`.
pub(crate) fn with_descriptor(folder: &Path, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 7<\"$0\"; exec \"$@\""]).arg(folder).arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::null());
    shell
}

/// Runs it to its end.
pub(crate) fn done(mut command: Command) -> Output {
    command.output().expect("starts")
}

/// `RUNTIME run` of a container, to be completed by nobody.
pub(crate) fn run_command(container: &Container) -> Command {
    let mut run = container.command("run");
    run.arg("--bundle").arg(container.bundle()).arg(container.id());
    run
}

/// `RUNTIME exec options ID sh -c script`.
pub(crate) fn exec_command<S: AsRef<OsStr>>(container: &Container, options: &[S], script: &str) -> Command {
    let mut exec = container.command("exec");
    exec.args(options).arg(container.id()).args(["/bin/sh", "-c", script]);
    exec
}

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn config(script: &str) -> Value {
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin:/sbin:/usr/bin"],
            "cwd": "/",
            "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
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

/// Takes the namespace `kind` out of a configuration.
pub(crate) fn share(config: &mut Value, kind: &str) {
    config["linux"]["namespaces"].as_array_mut().expect("namespaces").retain(|n| n["type"] != kind);
}

/// Puts the attacker's program (`attacker.c`) into `rootfs`, as /bin/attacker. The test starts with `need!("cc")`.
pub(crate) fn give_attacker(rootfs: &Path) {
    // in the folder of this build, for all tests and the next run
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attacker");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/attacker.c");
        let built = Command::new("cc").args(["-static", "-O1", "-o"]).arg(&file).arg(source).status().expect("cc");
        assert!(built.success());
        file
    });
    testkit::program_of(program, &rootfs.join("bin/attacker"));
}
