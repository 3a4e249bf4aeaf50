//! `events`: numbers in runc's form, and word of what the kernel killed for want of memory.

use crate::bundle::{Bundle, runtimes};
use crate::tree::{call, exec, limited, ok, start, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use testkit::need;

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The paths of all members.
fn members(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                members(value, &format!("{path}/{name}"), all);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, &format!("{path}[]"), all)),
        _ => drop(all.insert(path.to_owned())),
    }
}

#[test]
fn numbers_have_runcs_names() {
    need!(root, "runc", "busybox");
    let mut shown: Vec<(&str, Value)> = Vec::new();
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("exec sleep 1000", |config| {
            let memory = json!({ "limit": 67_108_864, "swap": 67_108_864 });
            limited(config, &json!({ "memory": memory, "pids": { "limit": 20 }, "cpu": { "quota": 50_000 } }));
        });
        start(&bundle, &runtime);
        // From the first asking on all is counted; a program that joins makes the counters move.
        ok(&bundle, &runtime, "events", &["--stats"]);
        exec(&bundle, &runtime, &["sh", "-c", "i=0; while [ $i -lt 100 ]; do i=$((i+1)); done"]);
        let line = ok(&bundle, &runtime, "events", &["--stats"]);
        let event: Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(bundle.id())), "{}", runtime.name);
        let data = &event["data"];
        assert_eq!(data["pids"], json!({ "current": 1, "limit": 20 }), "{}", runtime.name);
        assert_eq!(data["memory"]["usage"]["limit"], 67_108_864, "{}", runtime.name);
        assert!(data["memory"]["usage"]["usage"].as_u64().expect("usage") > 0, "{}", runtime.name);
        shown.push((runtime.name, data.clone()));
    }
    let [(_, theirs), (_, ours)] = shown.as_slice() else { panic!("two") };
    let all = |value: &Value| {
        let mut found = BTreeSet::new();
        members(value, "", &mut found);
        // What is zero is left out, and what newer ones of runc tell is in ours already.
        let sure = |path: &String| !path.contains("throttl") && !path.contains("psi") && !path.contains("blkio");
        found.retain(sure);
        found
    };
    let missing: Vec<String> = all(theirs).difference(&all(ours)).cloned().collect();
    assert!(missing.is_empty(), "runc tells, we do not: {missing:?}");
}

#[test]
fn a_container_without_limits_is_counted_when_asked() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("while :; do :; done", |_| {});
    start(&bundle, &nsrun);
    let total = || {
        let event: Value = serde_json::from_str(&ok(&bundle, &nsrun, "events", &["--stats"])).expect("JSON");
        event["data"]["cpu"]["usage"]["total"].as_u64().unwrap_or(0)
    };
    let first = total();
    until("it computes", || total() > first);
}

#[test]
fn want_of_memory_is_told_and_numbers_come_at_the_interval() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("exec sleep 1000", |config| {
            limited(config, &json!({ "memory": { "limit": 33_554_432, "swap": 33_554_432 } }));
        });
        start(&bundle, &runtime);
        let mut command = bundle.command(&runtime, "events");
        command.args(["--interval", "200ms", bundle.id()]).stdout(Stdio::piped());
        let mut events = Running(command.spawn().expect("starts"));
        let mut lines = BufReader::new(events.0.stdout.take().expect("stdout")).lines();
        let mut next = |kind: &str| {
            for line in lines.by_ref() {
                let event: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
                assert_eq!(event["id"], bundle.id());
                if event["type"] == kind {
                    return true;
                }
            }
            false
        };
        assert!(next("stats"), "{}", runtime.name);
        exec(&bundle, &runtime, &["sh", "-c", "head -c 100m /dev/zero | tail -c 100m >/dev/null"]);
        assert!(next("oom"), "{}", runtime.name);
        if runtime.name == "nsrun" {
            ok(&bundle, &runtime, "delete", &["--force"]);
            while next("stats") {}
            assert!(events.0.wait().expect("ends").success());
        }
    }
}

#[test]
fn one_that_does_not_run_has_none() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = Bundle::new("true", |_| {});
    let (_, err, code) = call(&bundle, &nsrun, "events", &["--stats"]);
    assert!(err.contains("container does not exist") && code == Some(1), "{err}");
    let (_, err, code) = call(&bundle, &nsrun, "events", &["--interval", "0s"]);
    assert!(err.contains("interval") && code == Some(1), "{err}");
}
