//! `linux.namespaces` made, joined and inherited, `timeOffsets`, and parameters of the kernel that belong to them.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::{Value, json};
use testkit::need;

fn nsrun() -> Runtime {
    let [.., nsrun] = runtimes();
    nsrun
}

fn namespaces(config: &mut Value) -> &mut Vec<Value> {
    config["linux"]["namespaces"].as_array_mut().expect("namespaces")
}

#[test]
fn each_kind_is_made_joined_or_inherited() {
    need!(root, "runc", "crun", "busybox");
    let link = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("link").display().to_string();
    let script = "for n in cgroup ipc net pid uts; do readlink /proc/self/ns/$n; done";
    for runtime in runtimes() {
        let made = Bundle::new(script, |config| namespaces(config).push(json!({ "type": "cgroup" })));
        let (out, err, _) = told(&made.run(&runtime));
        let ours: Vec<String> = ["cgroup", "ipc", "net", "pid", "uts"].map(link).into();
        assert_eq!(out.lines().count(), 5, "{}: {err}", runtime.name);
        assert!(out.lines().all(|l| !ours.iter().any(|o| o == l)), "{}: {out}", runtime.name);
        let inherited = Bundle::new(script, |config| namespaces(config).retain(|n| n["type"] == "mount"));
        let (out, err, _) = told(&inherited.run(&runtime));
        assert_eq!(out.lines().collect::<Vec<_>>(), ours, "{}: {err}", runtime.name);
    }
    let other = std::process::Command::new("unshare")
        .args(["--ipc", "--uts", "--net", "sh", "-c", "echo; exec sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut other = other.expect("unshare");
    std::io::Read::read_exact(other.stdout.as_mut().expect("stdout"), &mut [0]).expect("it is there");
    let at = |kind: &str| format!("/proc/{}/ns/{kind}", other.id());
    let theirs = ["ipc", "net", "uts"].map(|kind| std::fs::read_link(at(kind)).expect("link").display().to_string());
    let said: Vec<_> = runtimes()
        .iter()
        .map(|runtime| {
            let bundle = Bundle::new("for n in ipc net uts; do readlink /proc/self/ns/$n; done", |config| {
                for n in namespaces(config) {
                    match n["type"].as_str() {
                        Some("network") => n["path"] = json!(at("net")),
                        Some(kind @ ("ipc" | "uts")) => n["path"] = json!(at(kind)),
                        _ => {}
                    }
                }
            });
            (runtime.name, told(&bundle.run(runtime)))
        })
        .collect();
    let wrong = Bundle::new("echo ran", |config| {
        let paths = namespaces(config).iter_mut().filter(|n| n["type"] == "ipc");
        paths.for_each(|n| n["path"] = json!(at("uts")));
    });
    let refused = told(&wrong.run(&nsrun()));
    let _ = other.kill();
    let _ = other.wait();
    for (name, (out, err, _)) in said {
        assert_eq!(out.lines().collect::<Vec<_>>(), theirs, "{name}: {err}");
    }
    assert!(
        refused.0.is_empty() && refused.1.contains("setns") && refused.1.contains("invalid argument"),
        "{refused:?}"
    );
}

#[test]
fn clocks_are_off_by_what_the_time_namespace_says() {
    need!(root, "busybox");
    // crun 1.8 and runc 1.1 have no time namespaces.
    let bundle = Bundle::new("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime", |config| {
        namespaces(config).push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] =
            json!({ "monotonic": { "secs": 1000, "nanosecs": 5 }, "boottime": { "secs": 1_000_000 } });
    });
    let (out, err, _) = told(&bundle.run(&nsrun()));
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words[..6], ["monotonic", "1000", "5", "boottime", "1000000", "0"], "{out}{err}");
    assert!(words[6].parse::<u64>().expect("seconds") >= 1_000_000, "{out}");
    let bundle = Bundle::new("echo ran", |config| {
        namespaces(config).push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "sundial": { "secs": 1 } });
    });
    let (out, err, code) = told(&bundle.run(&nsrun()));
    assert_eq!((out.as_str(), code), ("", Some(1)));
    assert!(err.starts_with("nsrun: set clock offset sundial: "), "{err}");
}

#[test]
fn parameters_are_the_containers_own_or_refused() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        for name in ["kernel.core_pattern", "vm.swappiness", "fs.file-max", "kernel/core_pattern"] {
            let bundle = Bundle::new("echo ran", |config| config["linux"]["sysctl"] = json!({ name: "1" }));
            let (out, _, code) = told(&bundle.run(&runtime));
            assert!(out.is_empty() && code != Some(0), "{} {name}", runtime.name);
        }
    }
    // Joined by a path that leads back to the caller's.
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("echo ran", |config| {
            let own = namespaces(config).iter_mut().filter(|n| n["type"] == "network");
            own.for_each(|n| n["path"] = json!("/proc/self/ns/net"));
            config["linux"]["sysctl"] = json!({ "net.ipv4.ip_default_ttl": "65" });
        });
        let (out, _, code) = told(&bundle.run(&runtime));
        assert!(out.is_empty() && code != Some(0), "{}", runtime.name);
    }
    assert_ne!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").expect("ttl").trim(), "65");
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    let bundle = Bundle::new("cat /proc/sys/user/max_time_namespaces /proc/sys/fs/mqueue/msg_max", |config| {
        namespaces(config).push(json!({ "type": "user" }));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map.clone();
        config["linux"]["sysctl"] = json!({ "user.max_time_namespaces": "3", "fs.mqueue.msg_max": "7" });
    });
    let (out, err, _) = told(&bundle.run(&nsrun()));
    assert_eq!(out, "3\n7\n", "{err}");
}

/// Whatever nsrun does wrong here it does in namespaces of the test's own.
fn apart(command: &std::process::Command, script: &str) -> (String, String, Option<i32>) {
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "--propagation", "shared", "--uts", "sh", "-c", script, "sh"]);
    unshare.arg(command.get_program()).args(command.get_args());
    told(&unshare.output().expect("starts"))
}

#[test]
fn what_leads_back_to_the_callers_own_namespace_is_not_the_containers() {
    need!(root, "busybox", "unshare");
    let own = |config: &mut Value, kind: &str, file: &str| {
        let listed = namespaces(config).iter_mut().filter(|n| n["type"] == kind);
        listed.for_each(|n| n["path"] = json!(format!("/proc/self/ns/{file}")));
    };
    let same = "cat /proc/self/mountinfo >before; hostname >>before; \"$@\"; code=$?
        cat /proc/self/mountinfo >after; hostname >>after; cmp before after || echo changed; exit $code";
    let run = |bundle: &Bundle| {
        let mut run = bundle.command(&nsrun(), "run");
        run.arg("--bundle").arg(bundle.folder()).arg(bundle.id());
        let (out, err, code) = apart(&run, &format!("cd {}; {same}", bundle.folder().display()));
        (out, err.replace(&bundle.folder().display().to_string(), "BUNDLE"), code)
    };
    let refused = run(&Bundle::new("echo ran", |config| own(config, "mount", "mnt")));
    let why = "nsrun: read BUNDLE/config.json: mounts: needs a mount namespace of the container's own in linux.namespaces: \
               without one it would be the machine's\n";
    assert_eq!((refused.0.as_str(), refused.1.as_str(), refused.2), ("", why, Some(1)));
    let refused = run(&Bundle::new("echo ran", |config| {
        own(config, "uts", "uts");
        config["hostname"] = json!("veneer-test-other");
    }));
    let why = "nsrun: config hostname: needs a uts namespace of the container's own\n";
    assert_eq!((refused.0.as_str(), refused.1.as_str(), refused.2), ("", why, Some(1)));
    // What takes no mount has a root by chroot(2), and so has who comes after it.
    let plain = |script: &str| {
        let bundle = Bundle::new(script, |config| {
            own(config, "mount", "mnt");
            config["mounts"] = json!([]);
        });
        std::fs::write(bundle.folder().join("rootfs/inside"), "").expect("written");
        bundle
    };
    let (out, err, code) = run(&plain("ls -d /inside /proc/self"));
    assert_eq!((out.as_str(), code), ("/inside\n", Some(1)), "{err}");
    let bundle = plain("exec sleep 1000");
    let mut detached = bundle.command(&nsrun(), "run");
    detached.arg("--detach").arg("--bundle").arg(bundle.folder()).arg(bundle.id());
    let state = bundle.folder().join("state");
    let exec = format!(
        "\"$@\" >/dev/null 2>&1; $1 --root {} exec {} ls -d /inside {}; $1 --root {} delete --force {}",
        state.display(),
        bundle.id(),
        bundle.folder().display(),
        state.display(),
        bundle.id()
    );
    let (out, err, _) = apart(&detached, &exec);
    assert_eq!(out, "/inside\n", "{err}");
}
