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
