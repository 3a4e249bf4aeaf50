//! What the runtime writes below /proc is led elsewhere by the image, or by a racing container that shares a volume
//! (CVE-2019-16884, CVE-2025-52881), and what a container itself may write there. The decoys are parameters of a network
//! namespace; of core_pattern it is only asked whether it could be opened for writing.

use crate::lab::{Tried, WAIT, bundle, container, done, exec_command, nsrun, run_command, stopped_by, text};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use testkit::need;

/// The image has a /proc of its own making, in which what the runtime writes is linked to a parameter of the real one.
fn own_proc(folder: &Path, config: &mut Value, file: &str) {
    let rootfs = folder.join("rootfs");
    let place = rootfs.join("proc").join(file);
    std::fs::create_dir_all(place.parent().expect("a folder")).expect("folders");
    std::fs::create_dir_all(rootfs.join("real")).expect("folder");
    symlink("/real/sys/net/ipv4/ip_default_ttl", place).expect("link");
    config["mounts"][0]["destination"] = json!("/real");
}

const READ: &str = "echo parameter $(cat /real/sys/net/ipv4/ip_default_ttl)";

#[test]
fn cve_2025_52881_an_attribute_becomes_a_sysctl_in_run() {
    need!(root, "busybox");
    stopped_by("Proc", |build| {
        let bundle = bundle(READ, |folder, config| {
            own_proc(folder, config, "self/oom_score_adj");
            config["process"]["oomScoreAdj"] = json!(77);
        });
        Tried::by_word(&done(run_command(&container(build, &bundle))), "parameter 77")
    });
}

#[test]
fn cve_2025_52881_an_attribute_becomes_a_sysctl_in_exec() {
    need!(root, "busybox");
    stopped_by("Proc", |build| {
        let script = format!("echo 64 >/real/sys/net/ipv4/ip_default_ttl; echo set; {WAIT}");
        let bundle = bundle(&script, |folder, config| {
            own_proc(folder, config, "self/oom_score_adj");
            config["process"]["oomScoreAdj"] = json!(77);
        });
        let container = container(build, &bundle);
        container.start();
        while !container.said().contains("set") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Tried::by_word(&done(exec_command::<&str>(&container, &[], READ)), "parameter 77")
    });
}

#[test]
fn cve_2025_52881_a_sysctl_becomes_another() {
    need!(root, "busybox");
    stopped_by("Proc", |build| {
        let bundle = bundle(READ, |folder, config| {
            own_proc(folder, config, "sys/net/ipv4/ip_forward");
            config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        });
        Tried::by_word(&done(run_command(&container(build, &bundle))), "parameter 1")
    });
}

/// The "machine" is a network namespace that the test makes and the container shares.
#[test]
fn escape_a_sysctl_of_the_machine_is_set_by_config() {
    need!(root, "busybox");
    stopped_by("Sysctl", |build| {
        let bundle = bundle("true", |_, config| {
            crate::lab::share(config, "network");
            config["linux"]["sysctl"] = json!({ "net.ipv4.ip_default_ttl": "77" });
        });
        let container = container(build, &bundle);
        let run = run_command(&container);
        let mut outer = Command::new("unshare");
        let line = "\"$@\"; echo parameter $(cat /proc/sys/net/ipv4/ip_default_ttl)";
        outer.args(["-n", "sh", "-c", line, "sh"]).arg(run.get_program()).args(run.get_args());
        Tried::by_word(&done(outer), "parameter 77")
    });
}

const WRITABLE: &str = "for f in kernel/core_pattern kernel/modprobe vm/panic_on_oom; do
    (exec 9>>/proc/sys/$f) 2>/dev/null && echo $f could be written; done; (exec 9>>/proc/sysrq-trigger) 2>/dev/null && echo sysrq could be written; echo end";

#[test]
fn escape_core_pattern_is_written_in_run() {
    need!(root, "busybox");
    stopped_by("ReadOnly", |build| {
        let bundle = bundle(WRITABLE, |_, config| {
            config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/proc/sysrq-trigger"])
        });
        Tried::by_word(&done(run_command(&container(build, &bundle))), "could be written")
    });
}

#[test]
fn escape_core_pattern_is_written_in_exec() {
    need!(root, "busybox");
    stopped_by("ReadOnly", |build| {
        let bundle =
            bundle(WAIT, |_, config| config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/proc/sysrq-trigger"]));
        let container = container(build, &bundle);
        container.start();
        Tried::by_word(&done(exec_command::<&str>(&container, &[], WRITABLE)), "could be written")
    });
}

#[test]
fn escape_core_pattern_is_written_in_a_sandbox() {
    need!(root, "busybox");
    stopped_by("ReadOnly", |build| {
        let bundle = bundle("", |_, _| {});
        let mut sandbox = build.command();
        sandbox.args(["--unshare-all", "--rootfs"]).arg(bundle.path().join("rootfs"));
        sandbox.args(["--", "/bin/sh", "-c", WRITABLE]);
        Tried::by_word(&done(sandbox), "could be written")
    });
}

/// Without any build that lets it happen: that would be the real one.
#[test]
fn escape_core_pattern_is_no_sysctl_of_a_container() {
    need!(root, "busybox");
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    for name in [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "net/../kernel/core_pattern",
        "net.ipv4/../../kernel/core_pattern",
    ] {
        let bundle = bundle("true", |_, config| config["linux"]["sysctl"] = json!({ name: "|/bin/false" }));
        let container = container(&nsrun(), &bundle);
        let output = container.run();
        assert!(!output.status.success(), "{name}");
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern"), before, "{name}");
    }
}

/// What the runtime sets by way of /proc is set though the image has none.
#[test]
fn escape_nothing_is_left_out_where_the_image_has_no_proc() {
    need!(root, "busybox");
    let bundle = bundle("ulimit -n; cat /real/self/oom_score_adj /real/sys/net/ipv4/ip_forward", |_, config| {
        config["mounts"][0]["destination"] = json!("/real");
        config["process"]["oomScoreAdj"] = json!(500);
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 64 }]);
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    });
    let output = done(run_command(&container(&nsrun(), &bundle)));
    assert_eq!(text(&output.stdout), "64\n500\n1\n", "{}", text(&output.stderr));
}
