//! Leaked descriptors, and a working directory through /proc/self/fd (CVE-2024-21626).
//!
//! A folder of the machine is open in the runtime while it starts a container: one of its own (runc's was /sys/fs/cgroup),
//! or one of its caller's. The container takes `/proc/self/fd/N` as its working directory, or just finds it open, and
//! walks up from there. The decoy is a file in a temporary folder.

use crate::lab::{
    Tried, WAIT, bundle, container, done, exec_command, nsrun, run_command, stopped_by, text, with_descriptor,
};
use serde_json::json;
use std::path::Path;
use tempfile::TempDir;
use testkit::need;

const SECRET: &str = "the machine's own";

/// A folder of the machine with something in it that the container is not to see.
fn machine() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir(folder.path().join("open")).expect("folder");
    std::fs::write(folder.path().join("secret"), SECRET).expect("secret");
    folder
}

fn open(machine: &TempDir) -> std::path::PathBuf {
    machine.path().join("open")
}

const BY_DESCRIPTOR: &str = "cat /proc/self/fd/7/../secret";
const BY_DIRECTORY: &str = "cat ../secret";
const DIRECTORY: &str = "/proc/self/fd/7";

#[test]
fn cve_2024_21626_descriptors_run() {
    need!(root, "busybox");
    let machine = machine();
    stopped_by("Descriptors", |build| {
        let bundle = bundle(BY_DESCRIPTOR, |_, _| {});
        let container = container(build, &bundle);
        Tried::by_word(&done(with_descriptor(&open(&machine), &run_command(&container))), SECRET)
    });
}

#[test]
fn cve_2024_21626_descriptors_exec() {
    need!(root, "busybox");
    let machine = machine();
    stopped_by("Descriptors", |build| {
        let bundle = bundle(WAIT, |_, _| {});
        let container = container(build, &bundle);
        container.start();
        let exec = exec_command::<&str>(&container, &[], BY_DESCRIPTOR);
        Tried::by_word(&done(with_descriptor(&open(&machine), &exec)), SECRET)
    });
}

#[test]
fn cve_2024_21626_descriptors_sandbox() {
    need!(root, "busybox");
    let machine = machine();
    stopped_by("Descriptors", |build| {
        let bundle = bundle("", |_, _| {});
        let mut sandbox = build.command();
        sandbox.args(["--unshare-all", "--rootfs"]).arg(bundle.path().join("rootfs"));
        sandbox.args(["--", "/bin/sh", "-c", BY_DESCRIPTOR]);
        Tried::by_word(&done(with_descriptor(&open(&machine), &sandbox)), SECRET)
    });
}

#[test]
fn cve_2024_21626_working_directory_run() {
    need!(root, "busybox");
    let machine = machine();
    stopped_by("WorkingDirectory", |build| {
        let bundle = bundle(BY_DIRECTORY, |_, config| config["process"]["cwd"] = json!(DIRECTORY));
        let container = container(build, &bundle);
        Tried::by_word(&done(with_descriptor(&open(&machine), &run_command(&container))), SECRET)
    });
}

#[test]
fn cve_2024_21626_working_directory_exec() {
    need!(root, "busybox");
    let machine = machine();
    stopped_by("WorkingDirectory", |build| {
        let bundle = bundle(WAIT, |_, _| {});
        let container = container(build, &bundle);
        container.start();
        let exec = exec_command(&container, &["--cwd", DIRECTORY], BY_DIRECTORY);
        Tried::by_word(&done(with_descriptor(&open(&machine), &exec)), SECRET)
    });
}

#[test]
fn cve_2024_21626_working_directory_sandbox() {
    need!(root, "busybox");
    let machine = machine();
    stopped_by("WorkingDirectory", |build| {
        let bundle = bundle("", |_, _| {});
        let mut sandbox = build.command();
        sandbox.args(["--unshare-all", "--wd", DIRECTORY, "--rootfs"]).arg(bundle.path().join("rootfs"));
        sandbox.args(["--", "/bin/sh", "-c", BY_DIRECTORY]);
        Tried::by_word(&done(with_descriptor(&open(&machine), &sandbox)), SECRET)
    });
}

/// As it was: the folder is one that the runtime itself has open.
#[test]
fn cve_2024_21626_the_runtimes_own_descriptors() {
    need!(root, "busybox");
    let own = std::process::id();
    // The machine's /proc shows this test; the container's does not.
    let script = format!("cat ./{own}/comm ../{own}/comm ../proc/{own}/comm 2>/dev/null && echo; echo end");
    let name = text(&std::fs::read(format!("/proc/{own}/comm")).expect("comm"));
    stopped_by("WorkingDirectory", |build| {
        let mut said = String::new();
        for number in 3..16 {
            let bundle = bundle(&script, |_, config| {
                config["process"]["cwd"] = json!(Path::new("/proc/self/fd").join(number.to_string()));
            });
            let tried = Tried::by_word(&done(run_command(&container(build, &bundle))), name.trim());
            if tried.escaped {
                return tried;
            }
            said = tried.said;
        }
        Tried { escaped: false, said }
    });
}

/// Nothing is open but stdio, whatever the caller had open; 3 is the folder that ls itself reads.
#[test]
fn escape_nothing_is_open_but_stdio() {
    need!(root, "busybox");
    let list = "ls /proc/self/fd | tr '\\n' ' '";
    let machine = machine();
    let build = nsrun();
    let ran = bundle(list, |_, _| {});
    let container = container(&build, &ran);
    assert_eq!(text(&done(with_descriptor(&open(&machine), &run_command(&container))).stdout), "0 1 2 3 ");
    let ran = bundle(WAIT, |_, _| {});
    let container = self::container(&build, &ran);
    container.start();
    let exec = exec_command::<&str>(&container, &[], list);
    assert_eq!(text(&done(with_descriptor(&open(&machine), &exec)).stdout), "0 1 2 3 ");
}
