//! Typing into the caller's terminal (TIOCSTI, CVE-2016-2568 and CVE-2017-5226): what is put there is read by the caller's shell when the container
//! has ended. Where dev.tty.legacy_tiocsti is 0 the kernel itself refuses, and nothing can be shown.

use crate::lab::{Build, Tried, WAIT, bundle, container, exec_command, give_attacker, run_command, stopped_by, text};
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::need;

const ATTACK: &str = "attacker type 'harmed by it'";

/// Runs `command` on a terminal, and then has the caller's shell read a line.
fn on_a_terminal(command: &Command) -> Tried {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().expect("text").replace('\'', "'\\''"));
    let words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let line = format!("{}; echo got: $(timeout --foreground 1 head -n1)", words.join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut script = script.spawn().expect("starts");
    let typing = script.stdin.take();
    let output = script.wait_with_output().expect("ends");
    drop(typing);
    let said = text(&output.stdout);
    Tried { escaped: said.contains("got: harmed by it"), said }
}

/// Whether the kernel lets anybody do it.
fn possible() -> bool {
    std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").map_or(true, |text| text.trim() == "1")
}

fn stopped(defence: &str, attack: impl Fn(&Build) -> Tried) {
    if possible() {
        stopped_by(defence, attack);
    } else {
        assert!(!attack(&crate::lab::nsrun()).escaped);
    }
}

#[test]
fn escape_tiocsti_run() {
    need!(root, "busybox", "cc", "script");
    stopped("Session", |build| {
        let bundle = bundle(ATTACK, |folder, _| give_attacker(&folder.join("rootfs")));
        on_a_terminal(&run_command(&container(build, &bundle)))
    });
}

#[test]
fn escape_tiocsti_exec() {
    need!(root, "busybox", "cc", "script");
    stopped("Session", |build| {
        let bundle = bundle(WAIT, |folder, _| give_attacker(&folder.join("rootfs")));
        let container = container(build, &bundle);
        container.start();
        on_a_terminal(&exec_command::<&str>(&container, &[], ATTACK))
    });
}

/// A sandbox from a folder stays in the caller's session, so that a shell in it has its jobs: there the filter refuses.
#[test]
fn escape_tiocsti_sandbox() {
    need!(root, "busybox", "cc", "script");
    stopped("Seccomp", |build| {
        let bundle = bundle("", |folder, _| give_attacker(&folder.join("rootfs")));
        on_a_terminal(&sandbox(build, &bundle.path().join("rootfs")))
    });
}

fn sandbox(build: &Build, rootfs: &Path) -> Command {
    let mut sandbox = build.command();
    sandbox.args(["--unshare-all", "--rootfs"]).arg(rootfs).args(["--", "/bin/sh", "-c", ATTACK]);
    sandbox
}
