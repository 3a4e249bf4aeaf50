//! Without root: the chain loader makes the user namespace, the runtime works inside it or makes its own.

use crate::bundle::told;
use serde_json::{Value, json};
use testkit::{need, user};

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// A bundle that belongs to the test user.
fn bundle(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = user::scratch();
    testkit::fixture::busybox_rootfs(&dir.path().join("rootfs"));
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": { "args": ["/bin/sh", "-c", "id -u; touch /x && stat -c %u /x; echo hi >/dev/null && echo null; ls /sys/class/net; echo $$"],
            "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 }, "oomScoreAdj": -100 },
        "root": { "path": "rootfs" }, "hostname": "boxed",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "gid=5"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue" },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] },
        ],
        "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "network" }, { "type": "cgroup" }],
            "maskedPaths": ["/proc/keys", "/sys/firmware"], "readonlyPaths": ["/proc/sys"] },
    });
    change(&mut config);
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("config.json");
    let done = std::process::Command::new("chown").args(["-R", user::NAME]).arg(dir.path()).status().expect("chown");
    assert!(done.success());
    dir
}

fn inside(dir: &tempfile::TempDir, prefix: &str) -> (String, String, Option<i32>) {
    let d = dir.path().display();
    let line = format!("{prefix}{NSRUN} --root {d}/state run --bundle {d} c");
    told(&user::command("sh").args(["-c", &line]).output().expect("starts"))
}

const WANTED: &str = "0\n0\nnull\nlo\n1\n";

#[test]
fn inside_a_user_namespace_with_ranges_and_with_one_id() {
    need!(user, "busybox");
    for maps in ["--map-root-user --map-auto", "--map-root-user"] {
        let dir = bundle(|_| {});
        let (out, err, code) = inside(&dir, &format!("{NSRUN} --user {maps} --mount -- "));
        assert_eq!((out.as_str(), code), (WANTED, Some(0)), "{maps}: {err}");
    }
}

#[test]
fn with_the_machines_network_sys_is_bound() {
    need!(user, "busybox");
    let dir = bundle(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").retain(|n| n["type"] != "network");
        config["process"]["args"] =
            json!(["/bin/sh", "-c", "ls /sys/class/net | grep -c lo; touch /sys/x 2>/dev/null || echo read-only"]);
    });
    let (out, err, code) = inside(&dir, &format!("{NSRUN} --user --map-root-user --mount -- "));
    assert_eq!((out.as_str(), code), ("1\nread-only\n", Some(0)), "{err}");
}

#[test]
fn with_a_user_namespace_in_its_configuration() {
    need!(user, "busybox");
    let id = told(&user::command("sh").args(["-c", "id -u; id -g"]).output().expect("starts")).0;
    let ids: Vec<u32> = id.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    let dir = bundle(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
        config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": ids[0], "size": 1 }]);
        config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": ids[1], "size": 1 }]);
    });
    let (out, err, code) = inside(&dir, "");
    assert_eq!((out.as_str(), code), (WANTED, Some(0)), "{err}");
}

#[test]
fn a_sandbox_from_a_folder() {
    need!(user, "busybox");
    let dir = bundle(|_| {});
    let line = format!(
        "{NSRUN} --unshare-all --rootfs {}/rootfs -- sh -c 'id -u; echo $$; echo x >/dev/null && echo null'",
        dir.path().display()
    );
    let (out, err, code) = told(&user::command("sh").args(["-c", &line]).output().expect("starts"));
    assert_eq!((out.as_str(), code), ("0\n1\nnull\n", Some(0)), "{err}");
}

#[test]
fn what_needs_root_says_so() {
    need!(user);
    let (_, err, code) = told(&user::command(NSRUN).args(["--mount", "true"]).output().expect("starts"));
    let wanted = "nsrun: make namespaces mnt: operation not permitted\nhint: be root, or make a user namespace too (--user --map-root-user)\n";
    assert_eq!((err.as_str(), code), (wanted, Some(125)));
}

/// A group of version 2 that root has given to the user, as systemd does it, with the user's processes in one below.
struct Delegated(String);

impl Delegated {
    fn new() -> Self {
        let group = Self(testkit::container::new_id());
        let script =
            "cd /sys/fs/cgroup && echo '+cpu +memory +pids' >cgroup.subtree_control && mkdir \"$1\" && cd \"$1\" &&
            mkdir own && echo '+cpu +memory +pids' >cgroup.subtree_control &&
            chown \"$2\" . own cgroup.procs cgroup.subtree_control cgroup.threads own/cgroup.procs";
        let done = std::process::Command::new("sh").args(["-ec", script, "sh", &group.0, user::NAME]).status();
        assert!(done.expect("sh").success());
        group
    }

    /// What the user's shell says to `line` in the group.
    fn sh(&self, line: &str) -> (String, String, Option<i32>) {
        let enter = "echo $$ >\"/sys/fs/cgroup/$0/own/cgroup.procs\" && exec \"$@\"";
        let command = user::command("sh");
        let mut entered = std::process::Command::new("sh");
        entered.args(["-c", enter, &self.0]).arg(command.get_program()).args(command.get_args()).args(["-c", line]);
        entered.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        told(&entered.stdin(std::process::Stdio::null()).output().expect("starts"))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let script =
            "cd /sys/fs/cgroup && echo 1 >\"$1/cgroup.kill\"; sleep 0.2; find \"$1\" -depth -type d -exec rmdir {} +";
        let _ = std::process::Command::new("sh").args(["-c", script, "sh", &self.0]).status();
    }
}

#[test]
fn limits_hold_in_a_group_that_was_delegated() {
    need!(root, user, cgroup2, "crun", "busybox");
    let group = Delegated::new();
    let ids = told(&user::command("sh").args(["-c", "id -u; id -g"]).output().expect("starts")).0;
    let ids: Vec<u32> = ids.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    for (runtime, path) in [("crun", "absolute"), (NSRUN, "absolute"), (NSRUN, "relative")] {
        let dir = bundle(|config| {
            config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
            config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": ids[0], "size": 1 }]);
            config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": ids[1], "size": 1 }]);
            config["linux"]["cgroupsPath"] =
                if path == "absolute" { json!(format!("/{}/box", group.0)) } else { json!("box") };
            config["linux"]["resources"] =
                json!({ "pids": { "limit": 20 }, "memory": { "limit": 64 << 20 }, "cpu": { "shares": 512 } });
            config["process"]["args"] = json!(["/bin/sleep", "1000"]);
            config["process"]["oomScoreAdj"] = json!(0);
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["destination"] != "/dev/pts");
        });
        let line = format!(
            "cd {d} && r='{runtime} --root {d}/state' && $r run --detach --bundle {d} c </dev/null >out 2>&1 || {{ cat out; exit 1; }}
             g=/sys/fs/cgroup/{group}/box
             cat $g/pids.max $g/memory.max; $r exec c cat /sys/fs/cgroup/pids.max /proc/self/cgroup
             $r update --pids-limit 30 c && cat $g/pids.max
             $r pause c && cat $g/cgroup.freeze && $r resume c && cat $g/cgroup.freeze
             $r ps c | grep -c '[0-9]'
             $r kill c KILL; while [ -s $g/cgroup.procs ]; do sleep 0.05; done; $r delete c && ls -d $g 2>/dev/null; cat /proc/self/cgroup",
            d = dir.path().display(),
            group = group.0,
        );
        let (out, err, _) = group.sh(&line);
        let wanted = format!("20\n67108864\n20\n0::/\n30\n1\n0\n1\n0::/{}/own\n", group.0);
        assert_eq!(out, wanted, "{runtime} {path}: {err}");
    }
}
