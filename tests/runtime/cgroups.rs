//! A container's groups: where they are, stopping and ending what is in them, groups that a container makes of its own.

use crate::bundle::{Bundle, Runtime, runtimes};
use crate::tree::{call, exec, folder, is_v2, ok, on_each, read, said, start, state, until, with_own_tree};
use serde_json::json;
use std::path::{Path, PathBuf};
use testkit::need;

const CONTROLLER: &str = "freezer";

/// The path of the container's group as `/proc` tells it.
fn place(pid: i64) -> PathBuf {
    let root = if is_v2() { Path::new("/sys/fs/cgroup").into() } else { Path::new("/sys/fs/cgroup").join(CONTROLLER) };
    Path::new("/").join(folder(pid, CONTROLLER).strip_prefix(root).expect("below"))
}

fn own_place() -> PathBuf {
    place(i64::from(std::process::id()))
}

fn letter(pid: i64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next()
}

fn is_over(pid: i64) -> bool {
    matches!(letter(pid), None | Some('Z'))
}

#[test]
fn paused_nothing_moves_and_resumed_all_goes_on() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("while :; do echo tick; sleep 0.02; done", |_| {});
        start(&bundle, &runtime);
        until("it ticks", || !said(&bundle).is_empty());
        ok(&bundle, &runtime, "pause", &[]);
        assert_eq!(state(&bundle, &runtime)["status"], "paused", "{}", runtime.name);
        let before = said(&bundle).len();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(said(&bundle).len(), before, "{}: it went on", runtime.name);
        let (_, _, code) = exec(&bundle, &runtime, &["true"]);
        assert_ne!(code, Some(0), "{}: a program started in a paused container", runtime.name);
        ok(&bundle, &runtime, "resume", &[]);
        until("it ticks again", || said(&bundle).len() > before);
        assert_eq!(state(&bundle, &runtime)["status"], "running", "{}", runtime.name);
    }
}

#[test]
fn killing_a_paused_one_ends_it() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("sleep 1000 & sleep 1000", |_| {});
        let pid = start(&bundle, &runtime);
        ok(&bundle, &runtime, "pause", &[]);
        let killed = bundle.command(&runtime, "kill").args([bundle.id(), "KILL"]).status().expect("starts");
        // crun 1.8 leaves it frozen in v1.
        if runtime.name != "crun" || is_v2() {
            assert!(killed.success(), "{}", runtime.name);
            until("it ends", || is_over(pid));
        } else {
            ok(&bundle, &runtime, "resume", &[]);
        }
    }
}

#[test]
fn every_process_gets_a_signal_for_all() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        // Without a pid namespace of its own nothing dies with the first process.
        let bundle = Bundle::new("sleep 1000 & sleep 1001 & echo up; wait", |config| {
            config["linux"]["namespaces"].as_array_mut().expect("namespaces").retain(|n| n["type"] != "pid");
        });
        let pid = start(&bundle, &runtime);
        until("it is up", || said(&bundle) == "up\n");
        let group = folder(pid, CONTROLLER);
        let pids = || -> Vec<i64> {
            let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            text.lines().map(|pid| pid.parse().expect("a pid")).collect()
        };
        until("three processes", || pids().len() == 3);
        let all = pids();
        let done = bundle.command(&runtime, "kill").args(["--all", bundle.id(), "KILL"]).status().expect("starts");
        assert!(done.success(), "{}", runtime.name);
        until("all end", || all.iter().all(|pid| is_over(*pid)));
    }
}

#[test]
fn deleting_takes_groups_below_and_processes_left_in_them() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    for frozen in [false, true] {
        // The references leave such ones: they name a failure, or the groups stay.
        let bundle = Bundle::new("sleep 1000 & sleep 1001 & echo up; wait", |config| {
            config["linux"]["namespaces"].as_array_mut().expect("namespaces").retain(|n| n["type"] != "pid");
        });
        let pid = start(&bundle, &nsrun);
        until("it is up", || said(&bundle) == "up\n");
        let group = folder(pid, CONTROLLER);
        let below = group.join("a/b");
        std::fs::create_dir_all(&below).expect("mkdir");
        let text = std::fs::read_to_string(group.join("cgroup.procs")).expect("processes");
        let others: Vec<i64> = text.lines().map(|p| p.parse().expect("a pid")).filter(|p| *p != pid).collect();
        for other in &others {
            std::fs::write(below.join("cgroup.procs"), other.to_string()).expect("moved");
        }
        if frozen {
            let (file, word) = if is_v2() { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
            std::fs::write(below.join(file), word).expect("frozen");
        }
        ok(&bundle, &nsrun, "delete", &["--force"]);
        until("all end", || others.iter().all(|pid| is_over(*pid)));
        assert!(!group.exists() && !group.parent().expect("a parent").exists(), "{} is left", group.display());
    }
}

#[test]
fn a_path_is_absolute_or_relative_or_as_systemd_has_it() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("exec sleep 1000", |_| {});
        let pid = start(&bundle, &runtime);
        assert_eq!(place(pid), Path::new("/").join(bundle.id()).join(bundle.id()), "{}", runtime.name);
    }
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("exec sleep 1000", |config| {
        let path = config["linux"]["cgroupsPath"].as_str().expect("a path").trim_start_matches('/').to_owned();
        config["linux"]["cgroupsPath"] = json!(path);
    });
    let own = own_place();
    let base = if is_v2() { own.parent().unwrap_or(&own).to_owned() } else { own };
    assert_eq!(place(start(&bundle, &nsrun)), base.join(bundle.id()).join(bundle.id()));

    let bundle = Bundle::new("exec sleep 1000", |_| {});
    let file = bundle.folder().join("config.json");
    let text = std::fs::read_to_string(&file)
        .expect("config")
        .replace(&format!("/{0}/{0}", bundle.id()), &format!("{}.slice:p:n", bundle.id()));
    std::fs::write(&file, text).expect("config");
    let mut command = bundle.command(&nsrun, "--systemd-cgroup");
    command.args(["run", "--detach", "--bundle"]).arg(bundle.folder()).arg(bundle.id());
    let status = command.stdout(std::process::Stdio::null()).status().expect("starts");
    assert!(status.success());
    let pid = state(&bundle, &nsrun)["pid"].as_i64().expect("a pid");
    let parts: Vec<&str> = bundle.id().split('-').collect();
    let mut slices = PathBuf::from("/");
    for end in 1..=parts.len() {
        slices.push(format!("{}.slice", parts[..end].join("-")));
    }
    assert_eq!(place(pid), slices.join("p-n.scope"));
    ok(&bundle, &nsrun, "delete", &["--force"]);
    assert!(!Path::new("/sys/fs/cgroup").join(if is_v2() { "veneer.slice" } else { "freezer/veneer.slice" }).exists());
}

/// Starts a container that passes controllers on to groups of its own; v2 then takes no process in the container's own group.
fn divided(runtime: &Runtime) -> (Bundle, i64) {
    let script = "mkdir /sys/fs/cgroup/init /sys/fs/cgroup/other && echo 1 >/sys/fs/cgroup/init/cgroup.procs &&
        echo +pids >/sys/fs/cgroup/cgroup.subtree_control && echo up; sleep 1000; echo over";
    let bundle = Bundle::new(script, |config| {
        with_own_tree(config);
        config["linux"]["resources"]["pids"] = json!({ "limit": 50 });
    });
    let pid = start(&bundle, runtime);
    until("it is up", || said(&bundle) == "up\n");
    (bundle, pid)
}

#[test]
fn a_program_joins_a_container_that_has_groups_of_its_own() {
    need!(root, cgroup2, "runc", "crun", "busybox");
    for runtime in on_each() {
        let (bundle, _) = divided(&runtime);
        let (out, err, code) = exec(&bundle, &runtime, &["grep", "^0::", "/proc/self/cgroup"]);
        assert_eq!((out.as_str(), code), ("0::/init\n", Some(0)), "{}: {err}", runtime.name);
    }
}

#[test]
fn a_program_joins_the_group_that_was_asked_for() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let (bundle, pid) = if is_v2() {
            divided(&runtime)
        } else {
            let bundle = Bundle::new("exec sleep 1000", |config| {
                config["linux"]["resources"]["pids"] = json!({ "limit": 50 });
            });
            let pid = start(&bundle, &runtime);
            std::fs::create_dir(folder(pid, "pids").join("other")).expect("mkdir");
            (bundle, pid)
        };
        let asked = if is_v2() { "other" } else { "pids:other" };
        let mut command = bundle.command(&runtime, "exec");
        command.args(["--cgroup", asked, bundle.id(), "cat", "/proc/self/cgroup"]);
        let (out, err, code) = crate::bundle::told(&command.output().expect("starts"));
        let line = out.lines().find(|l| l.starts_with("0::") == is_v2() && (is_v2() || l.contains(":pids:")));
        assert!(line.is_some_and(|l| l.ends_with("/other")) && code == Some(0), "{}: {out} {err}", runtime.name);
        let mut command = bundle.command(&runtime, "exec");
        command.args(["--cgroup", "nosuch", bundle.id(), "true"]);
        let (_, err, code) = crate::bundle::told(&command.output().expect("starts"));
        assert_ne!(code, Some(0), "{}: {err}", runtime.name);
        assert!(Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn what_engines_read_is_there_when_they_create() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("exec sleep 1000", |_| {});
    let mut command = bundle.command(&nsrun, "create");
    command.arg("--bundle").arg(bundle.folder()).arg(bundle.id()).stdout(std::process::Stdio::null());
    assert!(command.stderr(std::process::Stdio::null()).status().expect("starts").success());
    let pid = state(&bundle, &nsrun)["pid"].as_i64().expect("a pid");
    for (controller, v1, v2) in [
        ("memory", "memory.usage_in_bytes", "memory.current"),
        ("pids", "pids.current", "pids.current"),
        ("cpuacct", "cpuacct.usage", "cpu.stat"),
        ("blkio", "blkio.throttle.io_service_bytes", "io.stat"),
    ] {
        let path = folder(pid, controller);
        assert!(path.ends_with(bundle.id()), "{controller}: {}", path.display());
        read(pid, controller, v1, v2);
    }
    let (_, err, code) = call(&bundle, &nsrun, "delete", &["--force"]);
    assert_eq!(code, Some(0), "{err}");
}

/// The machine's root group has files that no other has.
#[test]
fn a_container_sees_no_group_but_its_own() {
    need!(root, "runc", "crun", "busybox");
    if is_v2() {
        return;
    }
    let script =
        "cd /sys/fs/cgroup && ls | sort | tr '\\n' ' '; ls */release_agent 2>/dev/null; cat */cgroup.procs | sort -u";
    let bundle = || {
        Bundle::new(script, |config| {
            let mount =
                json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] });
            config["mounts"].as_array_mut().expect("mounts").push(mount);
            config["linux"]["resources"]["pids"] = json!({ "limit": 50 });
        })
    };
    for runtime in on_each() {
        let bundle = bundle();
        let (out, err, _) = crate::bundle::told(&bundle.run(&runtime));
        assert!(out.contains("devices ") && out.contains("pids "), "{}: {out} {err}", runtime.name);
        assert!(!out.contains("release_agent"), "{}: {out}", runtime.name);
    }
    // Only what it needs: each group costs.
    let [.., nsrun] = runtimes();
    let (ran, err, _) = crate::bundle::told(&bundle().run(&nsrun));
    assert!(ran.starts_with("devices freezer pids 1\n"), "{ran} {err}");
    let created = bundle();
    let out = std::fs::File::create(created.folder().join("out")).expect("out");
    let mut command = created.command(&nsrun, "create");
    command.arg("--bundle").arg(created.folder()).arg(created.id());
    assert!(command.stdout(out.try_clone().expect("copy")).stderr(out).status().expect("starts").success());
    ok(&created, &nsrun, "start", &[]);
    until("it ends", || state(&created, &nsrun)["status"] == "stopped");
    // What engines make has a group everywhere, as with runc and crun.
    let top = std::fs::read_dir("/sys/fs/cgroup").expect("hierarchies").flatten().map(|entry| entry.path());
    let mut whole: Vec<String> = top
        .filter(|folder| folder.join("release_agent").exists())
        .filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()))
        .collect();
    whole.sort();
    assert!(said(&created).starts_with(&format!("{} 1\n", whole.join(" "))), "{whole:?}: {}", said(&created));
    ok(&created, &nsrun, "delete", &[]);
}

#[test]
fn the_groups_are_seen_in_a_mount_namespace_that_shows_none() {
    need!(root, "busybox", "unshare");
    let [.., nsrun] = runtimes();
    let script = "umount -lR /sys/fs/cgroup; echo; exec sleep 1000";
    let mut other = std::process::Command::new("unshare");
    other.args(["--mount", "--propagation", "private", "sh", "-c", script]).stdout(std::process::Stdio::piped());
    let mut other = other.spawn().expect("unshare");
    std::io::Read::read_exact(other.stdout.as_mut().expect("stdout"), &mut [0]).expect("it is there");
    let bundle = Bundle::new("find /sys/fs/cgroup -name cgroup.procs -exec cat {} + | sort -u", |config| {
        with_own_tree(config);
        let listed = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        let mounts = listed.iter_mut().filter(|n| n["type"] == "mount");
        mounts.for_each(|n| n["path"] = json!(format!("/proc/{}/ns/mnt", other.id())));
    });
    let (out, err, code) = crate::bundle::told(&bundle.run(&nsrun));
    let _ = other.kill();
    let _ = other.wait();
    // The shell, find and sort; nobody else is in the groups.
    assert_eq!((out.lines().next(), code), (Some("1"), Some(0)), "{out}{err}");
    assert!(out.lines().count() <= 4, "{out}");
}
