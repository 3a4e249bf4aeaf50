//! Looking into the runtime while it enters (CVE-2016-9962): it is visible in the container's pid namespace before it has become the
//! program, with descriptors of the machine still open. With CAP_SYS_PTRACE over the container's user namespace a process there
//! may look into all that are dumpable; what is not, only who has that capability over the machine.

use crate::lab::{Build, Tried, bundle, container, done, exec_command, give_attacker, stopped_by};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use testkit::container::Container;
use testkit::need;

const ROUNDS: usize = 40;

fn attacker() -> String {
    format!("attacker trace {}; while :; do sleep 1; done", std::process::id())
}

/// A container in a user namespace whose root may trace.
fn traceable(script: &str, more: impl FnOnce(&mut Value)) -> TempDir {
    bundle(script, |folder, config| {
        give_attacker(&folder.join("rootfs"));
        let caps = json!(["CAP_SYS_PTRACE", "CAP_KILL"]);
        config["process"]["capabilities"] = json!({ "bounding": caps, "effective": caps, "permitted": caps });
        config["linux"]["resources"] = json!({});
        config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
        more(config);
    })
}

/// What the attacker of `container` has seen after `visits`.
fn seen(container: &Container, mut visit: impl FnMut()) -> Tried {
    for _ in 0..ROUNDS {
        if container.said().contains("saw") {
            break;
        }
        visit();
    }
    std::fs::write(container.bundle().join("rootfs/stop"), "").expect("the sign to stop");
    while !container.said().contains("saw") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let said = container.said();
    Tried { escaped: !said.contains("saw nothing"), said }
}

#[test]
fn cve_2016_9962_exec_is_looked_into() {
    need!(root, "busybox", "cc");
    stopped_by("NotDumpable", |build| {
        let attacked = traceable(&attacker(), |_| {});
        let container = container(build, &attacked);
        container.start();
        seen(&container, || drop(done(exec_command::<&str>(&container, &[], "true"))))
    });
}

/// A second container joins the pid and user namespaces of the first, as those of a pod do.
#[test]
fn cve_2016_9962_a_container_that_joins_is_looked_into() {
    need!(root, "busybox", "cc");
    stopped_by("NotDumpable", |build| {
        let attacked = traceable(&attacker(), |_| {});
        let container = container(build, &attacked);
        container.start();
        let pid = container.state()["pid"].to_string();
        let joining = joining(&pid);
        seen(&container, || drop(run(build, &joining)))
    });
}

fn joining(pid: &str) -> TempDir {
    traceable("true", |config| {
        let linux = config["linux"].as_object_mut().expect("linux");
        linux.remove("uidMappings");
        linux.remove("gidMappings");
        for namespace in linux["namespaces"].as_array_mut().expect("namespaces") {
            let kind = namespace["type"].as_str().expect("a type").to_owned();
            if ["pid", "user"].contains(&kind.as_str()) {
                namespace["path"] = json!(Path::new("/proc").join(pid).join("ns").join(kind));
            }
        }
    })
}

fn run(build: &Build, bundle: &TempDir) -> std::process::Output {
    container(build, bundle).run()
}

#[test]
fn cve_2016_9962_the_enterer_is_looked_into() {
    need!(root, "busybox", "cc");
    stopped_by("NotDumpable", |build| {
        let attacked = traceable(&attacker(), |_| {});
        let container = container(build, &attacked);
        container.start();
        let pid = container.state()["pid"].to_string();
        seen(&container, || {
            let mut enter = build.command();
            // The root is opened before, and is the machine's for whoever looks.
            enter.args(["enter", "-t", &pid, "-U", "-p", "--wd=/proc", "--", "/bin/true"]);
            drop(done(enter));
        })
    });
}
