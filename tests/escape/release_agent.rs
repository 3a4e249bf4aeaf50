//! The program that cgroup v1 starts, outside, when a group is empty (CVE-2022-0492): a container that can mount a hierarchy names
//! it. The hierarchy is one that the attack makes, with no controllers; what is asked is whether the name could be written.

use crate::lab::{Tried, WAIT, bundle, container, done, exec_command, run_command, stopped_by};
use serde_json::json;
use testkit::need;

fn attack(how: &str) -> String {
    let name = format!("veneer{}", std::process::id());
    format!(
        "mkdir -p /tmp/h; {how} sh -c 'mount -t cgroup -o none,name={name} none /tmp/h && echo /nothing >/tmp/h/release_agent && \
         echo agent $(cat /tmp/h/release_agent); echo >/tmp/h/release_agent; umount /tmp/h'; echo end"
    )
}

const WORD: &str = "agent /nothing";

fn profile() -> serde_json::Value {
    let native = spec::syscall::Abi::native(std::env::consts::ARCH).expect("a known machine");
    let profile = spec::seccomp::default_profile(&spec::capability::DEFAULT, native, (6, 1));
    serde_json::to_value(profile).expect("serialises")
}

#[test]
fn cve_2022_0492_release_agent_run() {
    need!(root, "busybox", "cgroup1");
    for (off, filtered) in [("Capabilities", false), ("Capabilities,Seccomp", true)] {
        stopped_by(off, |build| {
            let bundle = bundle(&attack(""), |_, config| {
                if filtered {
                    config["linux"]["seccomp"] = profile();
                }
            });
            Tried::by_word(&done(run_command(&container(build, &bundle))), WORD)
        });
    }
}

#[test]
fn cve_2022_0492_release_agent_exec() {
    need!(root, "busybox", "cgroup1");
    stopped_by("Capabilities", |build| {
        let bundle = bundle(WAIT, |_, _| {});
        let container = container(build, &bundle);
        container.start();
        Tried::by_word(&done(exec_command::<&str>(&container, &[], &attack(""))), WORD)
    });
}

#[test]
fn cve_2022_0492_release_agent_sandbox() {
    need!(root, "busybox", "cgroup1");
    stopped_by("Capabilities,Seccomp", |build| {
        let bundle = bundle("", |_, _| {});
        let mut sandbox = build.command();
        sandbox.args(["--mount", "--pid", "--fork", "--rootfs"]).arg(bundle.path().join("rootfs"));
        sandbox.args(["--", "/bin/sh", "-c", &attack("")]);
        Tried::by_word(&done(sandbox), WORD)
    });
}

/// As it was: the capability is got from a user namespace of the container's making. The filter refuses that.
#[test]
fn cve_2022_0492_release_agent_by_a_user_namespace() {
    need!(root, "busybox", "cgroup1", "userns");
    stopped_by("Seccomp", |build| {
        // A kernel with the fix refuses the write itself; so what counts is to have got there.
        let script = "unshare -U -r -m sh -c 'mkdir -p /tmp/h; mount -t tmpfs none /tmp/h && echo mounted by itself'";
        let bundle = bundle(script, |_, config| {
            let caps = json!(spec::capability::DEFAULT);
            config["process"]["capabilities"] = json!({ "bounding": caps, "effective": caps, "permitted": caps });
            config["linux"]["seccomp"] = profile();
        });
        Tried::by_word(&done(run_command(&container(build, &bundle))), "mounted by itself")
    });
}
