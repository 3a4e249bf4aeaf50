//! `update`: limits of a container that runs, by every option and as a document; what it does is seen inside.

use crate::bundle::{Bundle, Runtime, runtimes};
use crate::tree::{call, exec, is_v2, limited, ok, on_each, read, start};
use serde_json::json;
use std::io::Write;
use std::process::Stdio;
use testkit::need;

/// Forks in the container until it cannot.
fn forks(bundle: &Bundle, runtime: &Runtime) -> bool {
    let script = "for n in 1 2 3 4 5 6 7 8; do sleep 1 & done 2>/dev/null; wait; echo all";
    exec(bundle, runtime, &["sh", "-c", script]).0 == "all\n"
}

#[test]
fn a_limit_of_processes_goes_down_and_up() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("exec sleep 1000", |_| {});
        start(&bundle, &runtime);
        assert!(forks(&bundle, &runtime), "{}", runtime.name);
        ok(&bundle, &runtime, "update", &["--pids-limit", "5"]);
        assert!(!forks(&bundle, &runtime), "{}", runtime.name);
        ok(&bundle, &runtime, "update", &["--pids-limit", "50"]);
        assert!(forks(&bundle, &runtime), "{}", runtime.name);
    }
}

#[test]
fn memory_goes_both_ways_whatever_the_order_of_its_two_limits() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("exec sleep 1000", |config| {
            limited(config, &json!({ "memory": { "limit": 67_108_864, "swap": 67_108_864 } }));
        });
        let pid = start(&bundle, &runtime);
        for (size, bytes) in [("128m", "134217728"), ("32m", "33554432"), ("67108864", "67108864")] {
            // crun reads bytes alone.
            let size = if runtime.name == "crun" { bytes } else { size };
            ok(&bundle, &runtime, "update", &["--memory", size, "--memory-swap", size]);
            assert_eq!(read(pid, "memory", "memory.limit_in_bytes", "memory.max"), bytes, "{}", runtime.name);
        }
        let hog = "head -c 200m /dev/zero | tail -c 200m | wc -c";
        let (out, err, _) = exec(&bundle, &runtime, &["sh", "-c", hog]);
        assert_eq!(out.trim(), "0", "{}: {err}", runtime.name);
        if runtime.name != "crun" {
            ok(&bundle, &runtime, "update", &["--memory", "-1"]);
            let limit = read(pid, "memory", "memory.limit_in_bytes", "memory.max");
            assert_eq!(limit, if is_v2() { "max" } else { "9223372036854771712" }, "{}", runtime.name);
        }
    }
}

#[test]
fn period_and_quota_keep_each_other() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("exec sleep 1000", |config| {
            limited(config, &json!({ "cpu": { "quota": 50_000, "period": 100_000 } }));
        });
        let pid = start(&bundle, &runtime);
        let shown = || {
            if is_v2() {
                return read(pid, "cpu", "", "cpu.max");
            }
            format!("{} {}", read(pid, "cpu", "cpu.cfs_quota_us", ""), read(pid, "cpu", "cpu.cfs_period_us", ""))
        };
        assert_eq!(shown(), "50000 100000", "{}", runtime.name);
        ok(&bundle, &runtime, "update", &["--cpu-period", "200000"]);
        assert_eq!(shown(), "50000 200000", "{}", runtime.name);
        ok(&bundle, &runtime, "update", &["--cpu-quota", "20000"]);
        assert_eq!(shown(), "20000 200000", "{}", runtime.name);
        ok(&bundle, &runtime, "update", &["--cpu-quota", "-1"]);
        assert_eq!(shown(), if is_v2() { "max 200000" } else { "-1 200000" }, "{}", runtime.name);
    }
}

#[test]
fn processors_change_under_a_running_program() {
    need!(root, "runc", "crun", "busybox");
    for runtime in on_each() {
        let bundle = Bundle::new("exec sleep 1000", |config| limited(config, &json!({ "cpu": { "cpus": "0-1" } })));
        let pid = start(&bundle, &runtime);
        let allowed = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
            status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:\t")).expect("a list").to_owned()
        };
        assert_eq!(allowed(), "0-1", "{}", runtime.name);
        ok(&bundle, &runtime, "update", &["--cpuset-cpus", "1", "--cpuset-mems", "0"]);
        assert_eq!(allowed(), "1", "{}", runtime.name);
        ok(&bundle, &runtime, "update", &["--cpu-share", "256"]);
        let weight = read(pid, "cpu", "cpu.shares", "cpu.weight");
        assert!(weight == if is_v2() { "35" } else { "256" } || runtime.name != "nsrun", "{weight}");
    }
}

#[test]
fn a_document_from_a_file_and_from_stdin() {
    need!(root, "runc", "crun", "busybox");
    let document = json!({ "pids": { "limit": 17 }, "cpu": { "shares": 512 } }).to_string();
    for runtime in on_each() {
        let bundle = Bundle::new("exec sleep 1000", |_| {});
        let pid = start(&bundle, &runtime);
        let file = bundle.folder().join("resources.json");
        std::fs::write(&file, &document).expect("written");
        ok(&bundle, &runtime, "update", &["--resources", file.to_str().expect("text")]);
        assert_eq!(read(pid, "pids", "pids.max", "pids.max"), "17", "{}", runtime.name);
        let mut command = bundle.command(&runtime, "update");
        let mut child = command.args(["-r", "-", bundle.id()]).stdin(Stdio::piped()).spawn().expect("starts");
        let other = document.replace("17", "18");
        child.stdin.take().expect("stdin").write_all(other.as_bytes()).expect("written");
        assert!(child.wait().expect("ends").success(), "{}", runtime.name);
        assert_eq!(read(pid, "pids", "pids.max", "pids.max"), "18", "{}", runtime.name);
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("exec sleep 1000", |_| {});
    start(&bundle, &nsrun);
    for (words, said) in [
        (["--l3-cache-schema", "L3:0=f"], "l3 cache schema is not enabled"),
        (["--mem-bw-schema", "MB:0=50"], "memory bandwidth schema is not enabled"),
        (["--memory", "plenty"], "not a size"),
        (["--cpuset-cpus", "4000"], "set limit 4000 in"),
        (["--blkio-weight", "3"], "weight 3 is not between 10 and 1000"),
        (["--resources", "/no/such/file"], "/no/such/file"),
    ] {
        let (_, err, code) = call(&bundle, &nsrun, "update", &words);
        assert!(err.contains(said) && code == Some(1), "{words:?}: {err}");
    }
    ok(&bundle, &nsrun, "update", &["--kernel-memory", "1m", "--kernel-memory-tcp", "1m"]);
    ok(&bundle, &nsrun, "kill", &[]);
}

#[test]
fn a_container_that_has_ended_cannot_be_changed() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("true", |_| {});
        let pid = start(&bundle, &runtime);
        crate::tree::until("it ends", || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
        let (_, err, code) = call(&bundle, &runtime, "update", &["--pids-limit", "5"]);
        assert!(err.contains("container not running") && code == Some(1), "{}: {err}", runtime.name);
    }
}
