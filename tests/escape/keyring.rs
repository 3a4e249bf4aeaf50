//! The caller's session keyring: keys in it would be the container's too (keyrings belong to no namespace but that of the user).

use crate::lab::{Tried, WAIT, bundle, container, done, exec_command, give_attacker, run_command, stopped_by};
use std::process::{Command, Output};
use testkit::need;

const ATTACK: &str = "attacker keyring";
const NAME: &str = "veneer-decoy";

/// Runs `command` in a session with a keyring of that name. A keyring is a thread's, so that no other test has it.
fn with_keyring(command: Command) -> Output {
    std::thread::spawn(move || {
        sys::spawn::join_session_keyring(Some(c"veneer-decoy")).expect("a session keyring");
        done(command)
    })
    .join()
    .expect("ends")
}

#[test]
fn escape_keyring_run() {
    need!(root, "busybox", "cc");
    stopped_by("Keyring", |build| {
        let bundle = bundle(ATTACK, |folder, _| give_attacker(&folder.join("rootfs")));
        Tried::by_word(&with_keyring(run_command(&container(build, &bundle))), NAME)
    });
}

#[test]
fn escape_keyring_exec() {
    need!(root, "busybox", "cc");
    stopped_by("Keyring", |build| {
        let bundle = bundle(WAIT, |folder, _| give_attacker(&folder.join("rootfs")));
        let container = container(build, &bundle);
        container.start();
        Tried::by_word(&with_keyring(exec_command::<&str>(&container, &[], ATTACK)), NAME)
    });
}

/// Two defences: a keyring of its own, and the filter that refuses keyctl.
#[test]
fn escape_keyring_sandbox() {
    need!(root, "busybox", "cc");
    stopped_by("Keyring,Seccomp", |build| {
        let bundle = bundle("", |folder, _| give_attacker(&folder.join("rootfs")));
        let mut sandbox = build.command();
        sandbox.args(["--unshare-all", "--rootfs"]).arg(bundle.path().join("rootfs"));
        sandbox.args(["--", "/bin/sh", "-c", ATTACK]);
        Tried::by_word(&with_keyring(sandbox), NAME)
    });
}
