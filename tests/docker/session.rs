//! A section, executed: its set-up and its lines in one shell, in which `docker` and `podman` are the program under test.

use crate::lines::{Effect, Part, Section};
use crate::normal::Ids;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{fixture, user};

/// Who answers to `docker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The real one: lines are recorded.
    Reference,
    /// `ctr` as root.
    Root,
    /// `ctr` as an ordinary user.
    Rootless,
    /// `ctr` as root, with the FUSE driver.
    Fuse,
}

impl Mode {
    /// As known differences name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Root => "root",
            Self::Rootless => "rootless",
            Self::Fuse => "fuse",
        }
    }
}

/// What the shell knows besides `docker`.
const PRELUDE: &str = r#"
until_() { # COMMAND...: waits until it succeeds
  for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  echo "never: $*" >&2; return 1
}
until_says() { # TEXT COMMAND...: waits until what it prints has TEXT in it
  local text=$1; shift
  for _ in $(seq 300); do "$@" 2>&1 | grep -q -e "$text" && return 0; sleep 0.1; done
  echo "never says $text: $*" >&2; return 1
}
"#;

/// The section as a shell script, for a folder of its own.
fn script(section: &Section, mode: Mode, lab: &Path) -> String {
    let mut text = String::from("cd \"$1\" || exit 98\n");
    text += PRELUDE;
    text += &format!("tty() {{ '{}' \"$@\"; }}\n", lab.join("terminal.py").display());
    if mode != Mode::Reference {
        let image = fixture::busybox_docker_archive();
        text += &format!("docker load -qi '{}' >/dev/null || exit 97\n", image.display());
    }
    let mut number = 0;
    for part in &section.parts {
        match part {
            Part::Setup(setup) => {
                text += &format!(
                    "{{ {setup}\n}} </dev/null >.setup 2>&1 || {{ echo '$' {}; cat .setup; }} >>.broken\n",
                    quoted(setup)
                );
            }
            Part::Line(line) => {
                text += &format!(
                    "{{ {}\n}} </dev/null >.out.{number} 2>.err.{number}\necho $? >.code.{number}\n",
                    line.text
                );
                number += 1;
            }
            Part::Prose(_) | Part::Attribute(_) => {}
        }
    }
    text += "docker unpause $(docker ps -q --filter status=paused) >/dev/null 2>&1\n";
    text += "docker ps -aq | xargs -r docker rm -fv >/dev/null 2>.left\n";
    if mode == Mode::Reference {
        text += "docker images -a --format '{{.Repository}}:{{.Tag}} {{.ID}}' | grep -v 'busybox:latest ' | sed 's/^<none>:<none> //; s/ .*//' | xargs -r docker rmi -f >/dev/null 2>&1\n";
        text += "docker tag \"$BUSYBOX\" docker.io/library/busybox:latest; [ \"$DOCKER_RECORD\" = docker ] || docker secret rm -a; docker volume prune -f >/dev/null 2>&1\n";
    }
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The program under test as `docker` and `podman` in a folder for PATH.
fn programs(folder: &Path, mode: Mode) -> PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("a folder for programs");
    let ctr = env!("CARGO_BIN_EXE_ctr");
    let text = match mode {
        Mode::Fuse => format!(
            "#!/bin/sh\ncase $1 in\n  run|create) verb=$1; shift; exec '{ctr}' $verb --driver fuse \"$@\";;\n  container) case $2 in run|create) verb=$2; shift 2; exec '{ctr}' container $verb --driver fuse \"$@\";; esac;;\nesac\nexec '{ctr}' \"$@\"\n"
        ),
        _ => format!("#!/bin/sh\nexec '{ctr}' \"$@\"\n"),
    };
    for name in ["docker", "podman"] {
        testkit::program(&bin.join(name), &text);
    }
    bin
}

/// The command that runs a script in this mode: whatever becomes of it, nothing of it is left running or mounted.
fn shell(mode: Mode) -> Command {
    if mode == Mode::Reference {
        return Command::new("bash");
    }
    let mut command = Command::new("unshare");
    command.args(["-n", "-m", "-p", "-f", "--mount-proc", "--kill-child", "--propagation", "private"]);
    command.args(["sh", "-c", "ip link set lo up; exec \"$@\"", "sh"]);
    if mode == Mode::Rootless {
        let inner = user::command("bash");
        command.arg(inner.get_program()).args(inner.get_args());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    } else {
        command.arg("bash");
    }
    command
}

/// Runs the section: what each of its lines did, or why it could not be run.
pub(crate) fn run(section: &Section, mode: Mode) -> Result<Vec<Effect>, String> {
    let folder = user::scratch();
    let here = folder.path().join("here");
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    std::fs::create_dir(&here).expect("a folder");
    std::fs::write(folder.path().join("script"), script(section, mode, &lab)).expect("a script");
    let mut command = shell(mode);
    let script = folder.path().join("script");
    let mut path = std::env::var("RECORD_PATH").map_or_else(|_| String::new(), |p| p + ":");
    path += "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if mode != Mode::Reference {
        path = format!("{}:{path}", programs(folder.path(), mode).display());
        // `su` sets PATH anew, so it travels under another name
        command.args(["-c", &format!("PATH={path} exec bash '{}' '{}'", script.display(), here.display())]);
        command.env("VENEER_ROOT", folder.path().join("root")).env("VENEER_RUN", folder.path().join("run"));
        for name in ["VENEER_RUNTIME", "VENEER_MOUNT_PROGRAM", "VENEER_NETWIRE"] {
            command.env_remove(name);
        }
    } else {
        command.arg(&script).arg(&here).env("PATH", path);
    }
    if mode == Mode::Rootless {
        let chown = Command::new("chown").args(["-R", user::NAME]).arg(folder.path()).status().expect("chown runs");
        assert!(chown.success());
    }
    for name in ["COLUMNS", "LINES", "TERM", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let end = Instant::now() + Duration::from_secs(400);
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return Err("took more than six minutes".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let read = |name: String| std::fs::read(here.join(name)).map(|b| String::from_utf8_lossy(&b).into_owned());
    if let Ok(broken) = read(".broken".into()) {
        return Err(format!("set-up failed: {broken}"));
    }
    if let Some(left) = read(".left".into()).ok().filter(|left| mode != Mode::Reference && !left.is_empty()) {
        return Err(format!("containers could not be removed: {left}"));
    }
    let mut ids = Ids::default();
    let place = here.to_string_lossy().into_owned();
    let mut effects = Vec::new();
    for number in 0..section.lines().count() {
        let code = read(format!(".code.{number}")).map_err(|_| format!("line {} was not reached", number + 1))?;
        let mut stream = |name: &str| ids.normal(&read(format!(".{name}.{number}")).unwrap_or_default(), &place);
        let (out, err) = (stream("out"), stream("err"));
        effects.push(Effect { code: code.trim().parse().unwrap_or(-1), out, err });
    }
    Ok(effects)
}
