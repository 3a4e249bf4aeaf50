//! The verbs as engines call them: the documents and words of runc, which is asked first.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use crate::tree::until;
use serde_json::{Value, json};
use std::process::Stdio;
use testkit::need;

/// runc, then nsrun: what is said here is said by both.
fn both() -> [Runtime; 2] {
    let [runc, _, nsrun] = runtimes();
    [runc, nsrun]
}

/// What `verb words` says and how it ends.
fn say(bundle: &Bundle, runtime: &Runtime, verb: &str, words: &[&str]) -> (String, String, Option<i32>) {
    told(&bundle.command(runtime, verb).args(words).output().expect("starts"))
}

/// A container that runs `script`.
fn running(runtime: &Runtime, script: &str, change: impl FnOnce(&mut Value)) -> Bundle {
    let bundle = Bundle::new(script, change);
    let mut run = bundle.command(runtime, "run");
    run.arg("--detach").arg("--bundle").arg(bundle.folder()).arg(bundle.id());
    let status = run.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("starts");
    assert!(status.success(), "{}", runtime.name);
    bundle
}

#[test]
fn refusals_have_the_words_and_codes_of_runc() {
    need!(root, "runc", "busybox");
    for runtime in both() {
        let name = runtime.name;
        let refused = |bundle: &Bundle, verb: &str, words: &[&str], wanted: &str, code: i32| {
            let (out, err, got) = say(bundle, &runtime, verb, words);
            // runc's log escapes quotation marks
            let err = err.replace("\\\"", "\"");
            assert!(err.contains(wanted), "{name} {verb} {words:?}: {err}");
            assert_eq!((out.as_str(), got), ("", Some(code)), "{name} {verb} {words:?}: {err}");
        };
        let bundle = running(&runtime, "while :; do sleep 0.2; done", |_| {});
        let id = bundle.id().to_owned();
        let folder = bundle.folder().to_str().expect("text").to_owned();
        for verb in ["state", "start", "kill", "delete", "pause", "resume", "ps", "update"] {
            refused(&bundle, verb, &["veneer-test-none"], "container does not exist", 1);
        }
        refused(&bundle, "exec", &["veneer-test-none", "true"], "container does not exist", 255);
        refused(&bundle, "create", &["--bundle", &folder, &id], "container with given ID already exists", 1);
        refused(&bundle, "start", &[&id], "cannot start an already running container", 1);
        let words = format!("cannot delete container {id} that is not stopped: running");
        refused(&bundle, "delete", &[&id], &words, 1);
        refused(&bundle, "resume", &[&id], "container not paused", 1);
        refused(&bundle, "kill", &[&id, "NONE"], "unknown signal \"NONE\"", 1);
        refused(&bundle, "exec", &[&id, "no-such"], "exec: \"no-such\": executable file not found in $PATH", 255);
        refused(
            &bundle,
            "exec",
            &["--cwd", "/none", &id, "true"],
            "chdir to cwd (\"/none\") set in config.json failed",
            255,
        );
        assert_eq!(say(&bundle, &runtime, "pause", &[&id]).2, Some(0));
        refused(
            &bundle,
            "exec",
            &[&id, "true"],
            "cannot exec in a paused container (use --ignore-paused to override)",
            255,
        );
        refused(&bundle, "pause", &[&id], "container not running", 1);
        assert_eq!(say(&bundle, &runtime, "resume", &[&id]).2, Some(0));
        assert_eq!(say(&bundle, &runtime, "kill", &[&id, "KILL"]).2, Some(0));
        for _ in 0..200 {
            if say(&bundle, &runtime, "state", &[&id]).0.contains("\"stopped\"") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        refused(&bundle, "kill", &[&id, "TERM"], "container not running", 1);
        refused(&bundle, "exec", &[&id, "true"], "cannot exec in a stopped container", 255);
        refused(&bundle, "start", &[&id], "cannot start a container that has stopped", 1);
        for (verb, words) in [("state", vec![]), ("state", vec!["a", "b"]), ("no-such-option", vec!["--none"])] {
            assert_ne!(say(&bundle, &runtime, verb, &words).2, Some(0), "{name} {verb} {words:?}");
        }
    }
}

#[test]
fn documents_have_the_members_of_runc() {
    need!(root, "runc", "busybox");
    let mut seen: Vec<Vec<String>> = Vec::new();
    for runtime in both() {
        let name = runtime.name;
        let bundle = running(&runtime, "sleep 1000", |config| config["annotations"] = json!({ "a.b": "c" }));
        let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        let state: Value = serde_json::from_str(&say(&bundle, &runtime, "state", &[bundle.id()]).0).expect("JSON");
        let list: Value = serde_json::from_str(&say(&bundle, &runtime, "list", &["-f", "json"]).0).expect("JSON");
        // runc's `state` leaves root's name out.
        assert_eq!((&state["status"], &list[0]["owner"]), (&json!("running"), &json!("root")), "{name}");
        assert_eq!(state["annotations"]["a.b"], "c", "{name}");
        assert_eq!(state["rootfs"], bundle.folder().join("rootfs").to_str().expect("text"), "{name}");
        for key in ["id", "pid", "status", "bundle", "rootfs", "ociVersion"] {
            assert_eq!(list[0][key], state[key], "{name} {key}");
        }
        seen.push(members(&state));
        assert_eq!(say(&bundle, &runtime, "list", &["-q"]).0, format!("{}\n", bundle.id()), "{name}");
        let table = say(&bundle, &runtime, "list", &[]).0;
        let head: Vec<&str> = table.lines().next().expect("a head").split_whitespace().collect();
        assert_eq!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], "{name}");
        let pids: Vec<i64> =
            serde_json::from_str(&say(&bundle, &runtime, "ps", &["-f", "json", bundle.id()]).0).expect("JSON");
        assert!(pids.contains(&state["pid"].as_i64().expect("a number")), "{name}: {pids:?}");
        let ps = say(&bundle, &runtime, "ps", &[bundle.id(), "-o", "pid,comm"]).0;
        assert!(ps.trim_start().starts_with("PID COMMAND\n") && ps.contains("sleep"), "{name}: {ps}");
        assert_eq!(say(&bundle, &runtime, "delete", &["--force", bundle.id()]).2, Some(0), "{name}");
    }
    let [theirs, ours] = seen.as_slice() else { unreachable!() };
    assert_eq!(theirs, ours);
}

#[test]
fn signals_have_names_numbers_and_reach_all() {
    need!(root, "runc", "busybox");
    for runtime in both() {
        for (signal, number) in [("USR1", 10), ("SIGUSR2", 12), ("10", 10), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)] {
            let script =
                format!("trap 'echo got >/tmp/got' {number}; echo ready >/tmp/ready; while :; do sleep 0.05; done");
            // runc's table of signals ends before the real-time ones
            if runtime.name == "runc" && signal.contains("RT") {
                continue;
            }
            let bundle = running(&runtime, &script, |_| {});
            let there = |file: &str| {
                (0..200).any(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                    say(&bundle, &runtime, "exec", &[bundle.id(), "test", "-e", file]).2 == Some(0)
                })
            };
            assert!(there("/tmp/ready"), "{}", runtime.name);
            assert_eq!(say(&bundle, &runtime, "kill", &[bundle.id(), signal]).2, Some(0), "{} {signal}", runtime.name);
            assert!(there("/tmp/got"), "{} {signal}", runtime.name);
        }
        let bundle = running(&runtime, "sleep 1000 & sleep 1001 & wait; wait", |config| {
            let list = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            list.retain(|namespace| namespace["type"] != "pid");
        });
        let pids = || -> Vec<i64> {
            let told = say(&bundle, &runtime, "ps", &["-f", "json", bundle.id()]).0;
            serde_json::from_str(told.trim()).unwrap_or_default()
        };
        assert!((0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            pids().len() == 3
        }));
        assert_eq!(say(&bundle, &runtime, "kill", &["--all", bundle.id(), "KILL"]).2, Some(0), "{}", runtime.name);
        assert!((0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            pids().is_empty()
        }));
    }
}

#[test]
fn versions_are_printed_as_engines_read_them() {
    need!(root, "runc");
    for runtime in both() {
        for option in ["--version", "-v"] {
            let (out, err, code) = told(&runtime.command().arg(option).output().expect("starts"));
            assert_eq!((err.as_str(), code), ("", Some(0)), "{}", runtime.name);
            let mut lines = out.lines();
            let first = lines.next().expect("a line");
            assert!(first.starts_with(&format!("{} version ", runtime.name)), "{first}");
            assert!(lines.any(|line| line.starts_with("spec: 1.")), "{out}");
        }
    }
}

#[test]
fn what_a_log_level_leaves_out_is_not_in_the_log() {
    need!(root, "busybox");
    let [_, nsrun] = both();
    let bundle = Bundle::new("true", |_| {});
    for (options, lines) in [(["--log-level", "error"].as_slice(), 1), (&["--debug"], 2), (&["--log-level=panic"], 0)] {
        let log = bundle.folder().join("log");
        let mut command = nsrun.command();
        command.arg("--log").arg(&log).args(["--log-format", "json"]).args(options).args(["state", "veneer-test-none"]);
        assert_eq!(command.output().expect("starts").status.code(), Some(1));
        let text = std::fs::read_to_string(&log).expect("a log");
        let lines_of_log: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines_of_log.len(), lines, "{options:?}: {text}");
        for line in &lines_of_log {
            let members: Vec<&String> = line.as_object().expect("an object").keys().collect();
            assert_eq!(members, ["level", "msg", "time"], "{line}");
        }
        std::fs::remove_file(&log).expect("removed");
    }
}

#[test]
fn saving_processes_is_refused_by_name() {
    need!(root);
    let [_, nsrun] = both();
    let bundle = Bundle::new("true", |_| {});
    for verb in ["checkpoint", "restore"] {
        let (out, err, code) = say(&bundle, &nsrun, verb, &["--image-path", "/tmp/none", "c"]);
        assert_eq!((out.as_str(), code), ("", Some(1)));
        assert!(err.contains(&format!("{verb}: not done by this runtime")) && err.contains("hint: "), "{err}");
    }
}

#[test]
fn options_stand_behind_the_name_too() {
    need!(root, "runc", "busybox");
    for runtime in both() {
        let bundle = running(&runtime, "sleep 1000", |_| {});
        // Of these some callers put the option last; what runc's own parser then takes for an operand is left out here.
        if runtime.name == "nsrun" {
            assert_eq!(say(&bundle, &runtime, "kill", &[bundle.id(), "0", "--all"]).2, Some(0));
            let (out, err, code) = say(&bundle, &runtime, "delete", &[bundle.id(), "--force"]);
            assert_eq!((out.as_str(), err.as_str(), code), ("", "", Some(0)));
        } else {
            assert_eq!(say(&bundle, &runtime, "kill", &["--all", bundle.id(), "9"]).2, Some(0));
        }
    }
}

#[test]
fn whom_a_container_shares_its_pids_with_are_not_its_processes() {
    need!(root, "busybox", "unshare");
    let nsrun = Runtime::new("nsrun", [env!("CARGO_BIN_EXE_nsrun"), "--cgroup-manager", "disabled"]);
    let mut pod = std::process::Command::new("unshare");
    pod.args(["--pid", "--fork", "--kill-child", "sh", "-c", "echo; sleep 1000; :"]).stdout(Stdio::piped());
    let mut pod = pod.spawn().expect("unshare");
    std::io::Read::read_exact(pod.stdout.as_mut().expect("stdout"), &mut [0]).expect("it is there");
    let path = format!("/proc/{}/ns/pid_for_children", pod.id());
    let counted: Vec<usize> = [None, Some(path)]
        .into_iter()
        .map(|path| {
            let bundle = running(&nsrun, "sleep 1000 & exec sleep 1001", |config| {
                let listed = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
                let pid = listed.iter_mut().find(|namespace| namespace["type"] == "pid").expect("one");
                path.iter().for_each(|path| pid["path"] = json!(path));
            });
            let mut count = 0;
            until("both are there", || {
                let (out, err, _) = say(&bundle, &nsrun, "ps", &["-f", "json", bundle.id()]);
                let pids: Vec<i64> = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
                count = pids.len();
                count >= 2
            });
            count
        })
        .collect();
    let _ = pod.kill();
    let _ = pod.wait();
    assert_eq!(counted, [2, 2]);
}
