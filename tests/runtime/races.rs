//! Two at once, and the runtime killed at any point: one of two wins, state tells the truth, and `delete --force` always cleans up.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::Value;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use testkit::need;

fn nsrun() -> Runtime {
    let [.., nsrun] = runtimes();
    nsrun
}

/// `verb` twice at the same time: how often it went well.
fn twice(bundle: &Bundle, verb: &str, words: &[&str]) -> usize {
    // A pipe would be kept open by what is created.
    let said = bundle.folder().join("said");
    let once = |file: &Path| {
        let mut command = bundle.command(&nsrun(), verb);
        command.args(words).stdout(Stdio::null()).stderr(File::create(file).expect("a file"));
        command.spawn().expect("starts")
    };
    let files = [said.with_extension("1"), said.with_extension("2")];
    let both = files.each_ref().map(|file| once(file));
    let both = both.map(|mut child| child.wait().expect("ends").success());
    for (file, _) in files.iter().zip(both).filter(|(_, success)| !success) {
        let said = std::fs::read_to_string(file).expect("what it said");
        let known = ["already exists", "already running", "does not exist", "is not fully made", "not running"];
        assert!(known.iter().any(|words| said.contains(words)), "{verb}: {said}");
    }
    both.iter().filter(|success| **success).count()
}

#[test]
fn of_two_that_create_start_and_delete_one_wins() {
    need!(root, "busybox");
    for _ in 0..3 {
        let bundle = Bundle::new("while :; do sleep 1; done", |_| {});
        let folder = bundle.folder().to_str().expect("text");
        assert_eq!(twice(&bundle, "create", &["--bundle", folder, bundle.id()]), 1);
        assert_eq!(twice(&bundle, "start", &[bundle.id()]), 1);
        assert_eq!(twice(&bundle, "delete", &["--force", bundle.id()]), 2, "what is gone already is no error");
        let (_, err, code) = told(&bundle.command(&nsrun(), "state").arg(bundle.id()).output().expect("starts"));
        assert!(code == Some(1) && err.contains("container does not exist"), "{err}");
    }
}

#[test]
fn of_two_that_delete_what_has_stopped_one_wins() {
    need!(root, "busybox");
    let bundle = Bundle::new("true", |_| {});
    let mut run = bundle.command(&nsrun(), "run");
    run.args(["--keep", "--bundle"]).arg(bundle.folder()).arg(bundle.id());
    assert!(run.status().expect("starts").success());
    assert_eq!(twice(&bundle, "delete", &[bundle.id()]), 1);
}

#[test]
fn signals_while_it_is_deleted_do_no_harm() {
    need!(root, "busybox");
    let bundle = Bundle::new("while :; do sleep 1; done", |_| {});
    let mut run = bundle.command(&nsrun(), "run");
    run.arg("--detach").arg("--bundle").arg(bundle.folder()).arg(bundle.id());
    assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("starts").success());
    let kill = |signal: &str| bundle.command(&nsrun(), "kill").args([bundle.id(), signal]).output().expect("starts");
    let deleted = std::thread::scope(|scope| {
        let deleting = scope.spawn(|| delete(&bundle));
        for signal in ["TERM", "KILL", "0", "USR1"] {
            let (_, err, _) = told(&kill(signal));
            let known = err.is_empty() || err.contains("not running") || err.contains("does not exist");
            assert!(known || err.contains("is not fully made"), "{err}");
        }
        deleting.join().expect("no panic")
    });
    assert!(deleted.status.success(), "{deleted:?}");
}

fn delete(bundle: &Bundle) -> Output {
    bundle.command(&nsrun(), "delete").args(["--force", bundle.id()]).output().expect("starts")
}

/// The processes that have the bundle's folder in their command line.
fn processes_of(bundle: &Bundle) -> Vec<String> {
    let needle = bundle.folder().display().to_string();
    let lines = std::fs::read_dir("/proc").expect("/proc").flatten().map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        format!("{} {}", process.file_name().display(), String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(&needle)).collect()
}

#[test]
fn killed_in_any_step_of_create_it_leaves_what_delete_removes() {
    need!(root, "busybox", "strace");
    // What changes something outside of the process, or tells another one: between any two of these lies a step.
    let calls = "mkdir,mkdirat,openat,rename,renameat,renameat2,clone3,sendmsg,recvmsg,bind,listen,write";
    let mut reached_the_end = false;
    let mut when = 1;
    while !reached_the_end {
        let bundle = Bundle::new("sleep 1000", |_| {});
        let plain = bundle.command(&nsrun(), "create");
        let mut traced = Command::new("strace");
        let inject = format!("inject={calls}:signal=SIGKILL:when={when}");
        traced.args(["-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject]);
        traced.arg(plain.get_program()).args(plain.get_args()).arg("--bundle").arg(bundle.folder()).arg(bundle.id());
        let status = traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace");
        reached_the_end = status.success();
        assert!(reached_the_end || status.signal() == Some(9) || status.code() == Some(137), "{when}: {status}");

        // For a moment it is still being made, by a first process that is about to die.
        let state = || told(&bundle.command(&nsrun(), "state").arg(bundle.id()).output().expect("starts"));
        let (out, err, code) =
            (0..100).map(|_| state()).find(|(out, ..)| !out.contains("\"creating\"")).expect("an end");
        if code == Some(0) {
            let state: Value = serde_json::from_str(&out).expect("JSON");
            let wanted = if reached_the_end { ["created"].as_slice() } else { &["stopped", "created"] };
            assert!(wanted.contains(&state["status"].as_str().expect("a word")), "{when}: {out}");
            if state["status"] == "stopped" {
                assert_eq!(state["pid"], 0, "{when}");
            }
        } else {
            assert!(err.contains("container does not exist"), "{when}: {err}");
        }
        let (_, err, code) = told(&delete(&bundle));
        assert_eq!((err.as_str(), code), ("", Some(0)), "{when}");
        assert!(!bundle.folder().join("state").join(bundle.id()).exists(), "{when}");
        bundle.assert_nothing_left();
        for _ in 0..100 {
            if processes_of(&bundle).is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(processes_of(&bundle), [""; 0], "{when}");
        when += if when < 8 { 1 } else { 3 };
    }
    assert!(when > 20, "it ended after {when} calls");
}
