//! `exec`: a further program in a running container.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::json;
use testkit::need;

/// A container that sleeps.
fn sleeping(runtime: &Runtime) -> Bundle {
    let bundle = Bundle::new("while :; do sleep 1; done", |config| config["hostname"] = json!("boxed"));
    let mut run = bundle.command(runtime, "run");
    let status = run.arg("--detach").arg("--bundle").arg(bundle.folder()).arg(bundle.id());
    let status = status.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
    assert!(status.expect("starts").success(), "{}", runtime.name);
    bundle
}

fn exec(bundle: &Bundle, runtime: &Runtime, options: &[&str], command: &[&str]) -> (String, String, Option<i32>) {
    told(&bundle.command(runtime, "exec").args(options).arg(bundle.id()).args(command).output().expect("starts"))
}

#[test]
fn it_is_in_the_containers_namespaces_and_ends_with_its_own_code() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = sleeping(&runtime);
        let script = "hostname; for n in pid net uts ipc mnt; do \
                      [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo differs $n; done; exit 9";
        let (out, err, code) = exec(&bundle, &runtime, &[], &["sh", "-c", script]);
        assert_eq!((out.as_str(), code), ("boxed\n", Some(9)), "{}: {err}", runtime.name);
    }
}

#[test]
fn user_environment_and_directory_can_be_chosen() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = sleeping(&runtime);
        let options = ["--cwd", "/tmp", "--env", "A=b c", "--user", "5:6"];
        let (out, err, _) = exec(&bundle, &runtime, &options, &["/bin/sh", "-c", "pwd; echo $A; id -u; id -g"]);
        assert_eq!(out, "/tmp\nb c\n5\n6\n", "{}: {err}", runtime.name);
    }
}

#[test]
fn a_process_document_says_it_all() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = sleeping(&runtime);
        let process = json!({ "args": ["/bin/sh", "-c", "grep ^CapEff /proc/self/status; pwd"], "cwd": "/tmp",
            "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"],
            "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"] } });
        let file = bundle.folder().join("process.json");
        std::fs::write(&file, process.to_string()).expect("process.json");
        let (out, err, _) = exec(&bundle, &runtime, &["--process", file.to_str().expect("text")], &[]);
        assert_eq!(out, "CapEff:\t0000000000000020\n/tmp\n", "{}: {err}", runtime.name);
    }
}

#[test]
fn what_cannot_be_executed_is_named() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = sleeping(&runtime);
        let (_, err, code) = exec(&bundle, &runtime, &[], &["no-such-program"]);
        assert!(err.contains("executable file not found in $PATH"), "{}: {err}", runtime.name);
        assert_eq!(code, Some(255), "{}", runtime.name);
    }
}

#[test]
fn detached_its_pid_is_written_down() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = sleeping(&runtime);
        let file = bundle.folder().join("exec.pid");
        let mut command = bundle.command(&runtime, "exec");
        command.args(["--detach", "--pid-file"]).arg(&file).arg(bundle.id()).args(["sleep", "77"]);
        let status = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
        assert!(status.expect("starts").success(), "{}", runtime.name);
        let pid = std::fs::read_to_string(&file).expect("pid");
        // runc comes back before the program has taken its process
        let line = || std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while line() != b"sleep\x0077\0" && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(line(), b"sleep\x0077\0", "{}", runtime.name);
    }
}

/// Also one that comes as soon as the program runs, before whoever stands in front has settled down.
#[test]
fn a_signal_at_once_is_the_programs() {
    use std::io::{BufRead, BufReader};
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = sleeping(&nsrun);
    for round in 0..10 {
        let mut command = bundle.command(&nsrun, "exec");
        command.arg(bundle.id()).args(["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"]);
        let mut front = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
        let mut said = String::new();
        BufReader::new(front.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
        assert_eq!(said, "up\n");
        let pid = nix::unistd::Pid::from_raw(front.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("sent");
        assert_eq!(front.wait().expect("it ends").code(), Some(7), "round {round}");
    }
}

#[test]
fn ps_lists_it_and_pause_stops_it() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    let bundle = sleeping(&nsrun);
    let verb = |verb: &str| told(&bundle.command(&nsrun, verb).arg(bundle.id()).output().expect("starts"));
    assert!(verb("ps").0.contains("while :; do sleep 1; done"));
    assert_eq!(verb("pause").2, Some(0));
    assert!(verb("state").0.contains("\"status\": \"paused\""));
    let (_, err, code) = exec(&bundle, &nsrun, &[], &["true"]);
    assert_eq!(
        (err, code),
        (
            format!(
                "nsrun: exec {}: cannot exec in a paused container (use --ignore-paused to override)\n",
                bundle.id()
            ),
            Some(255)
        )
    );
    assert_eq!(verb("resume").2, Some(0));
    assert_eq!(exec(&bundle, &nsrun, &[], &["true"]).2, Some(0));
}
