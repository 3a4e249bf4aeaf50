//! `hooks`: order, environment, arguments, the state they are given, where they run, and what becomes of a container whose hook fails.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use crate::tree::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use testkit::need;

const STAGES: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

fn nsrun() -> Runtime {
    let [.., nsrun] = runtimes();
    nsrun
}

/// A hook that runs `script` by the shell there is inside and outside.
fn hook(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin", "TOLD=me"] })
}

/// Where hooks write, seen by the same name from the machine and the container.
fn with_notes(stages: &[&str], script: impl Fn(&str) -> String, more: impl Fn(&mut Value)) -> (Bundle, PathBuf) {
    let mut notes = PathBuf::new();
    let bundle = Bundle::new("true", |_| {});
    notes.push(bundle.folder());
    notes.push("notes");
    std::fs::create_dir(&notes).expect("notes");
    std::fs::create_dir_all(bundle.folder().join("rootfs").join(notes.strip_prefix("/").expect("absolute")))
        .expect("place");
    let file = bundle.folder().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).expect("config")).expect("JSON");
    let mount = json!({ "destination": notes, "type": "bind", "source": notes, "options": ["rbind"] });
    config["mounts"].as_array_mut().expect("mounts").push(mount);
    for stage in stages {
        let path = notes.display().to_string();
        config["hooks"][stage] = json!([hook(&script(stage).replace("NOTES", &path))]);
    }
    more(&mut config);
    std::fs::write(&file, config.to_string()).expect("config");
    (bundle, notes)
}

fn notes_of(notes: &std::path::Path, name: &str) -> String {
    std::fs::read_to_string(notes.join(name)).unwrap_or_default()
}

#[test]
fn all_six_run_in_order_where_they_belong_with_the_state() {
    need!(root, "runc", "busybox");
    // crun 1.8 gives createContainer and startContainer the state of a container that runs.
    let script = |stage: &str| {
        format!(
            "cat >NOTES/{stage}.json; echo {stage} $TOLD >>NOTES/order; readlink /proc/self/ns/mnt >NOTES/{stage}.ns; \
             test -d /proc/1/root/usr && test -e /var/lib/dpkg && echo machine >NOTES/{stage}.root; true"
        )
    };
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let (bundle, notes) = with_notes(&STAGES, script, |config| config["annotations"] = json!({ "a.b": "c" }));
        let (_, err, code) = told(&bundle.run(&runtime));
        assert_eq!(code, Some(0), "{}: {err}", runtime.name);
        let order: Vec<String> = STAGES.iter().map(|stage| format!("{stage} me")).collect();
        let ran = notes_of(&notes, "order");
        let mut ran: Vec<&str> = ran.lines().collect();
        if runtime.name == "runc" {
            // It does not wait for startContainer before poststart.
            ran.sort_by_key(|line| order.iter().position(|o| o == line));
        }
        assert_eq!(ran, order, "{}", runtime.name);
        let ours = std::fs::read_link("/proc/self/ns/mnt").expect("link").display().to_string();
        for stage in STAGES {
            let state: Value = serde_json::from_str(&notes_of(&notes, &format!("{stage}.json"))).expect("state");
            assert_eq!(state["id"], bundle.id(), "{} {stage}", runtime.name);
            assert_eq!(state["annotations"]["a.b"], "c", "{} {stage}", runtime.name);
            assert_eq!(state["bundle"], bundle.folder().to_str().expect("text"), "{} {stage}", runtime.name);
            let wanted = match stage {
                "poststart" => "running",
                "poststop" => "stopped",
                "startContainer" => "created",
                _ => "creating",
            };
            if runtime.name == "nsrun" {
                assert_eq!(state["status"], wanted, "{stage}");
                assert_eq!(state["pid"].as_i64().is_some_and(|pid| pid > 0), stage != "poststop", "{stage}: {state}");
            }
            let inside = ["createContainer", "startContainer"].contains(&stage);
            assert_eq!(notes_of(&notes, &format!("{stage}.ns")).trim() != ours, inside, "{} {stage}", runtime.name);
        }
    }
}

#[test]
fn a_hook_that_fails_ends_it_with_its_words() {
    need!(root, "busybox");
    for stage in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let script =
            |at: &str| if at == stage { "echo why >&2; exit 3".to_owned() } else { "touch NOTES/stopped".to_owned() };
        let (bundle, notes) = with_notes(&[stage, "poststop"], script, |_| {});
        let (_, err, code) = told(&bundle.run(&nsrun()));
        assert_eq!(
            (err.as_str(), code),
            (format!("nsrun: {stage} hook /bin/sh: exit status: 3: why\n").as_str(), Some(1))
        );
        assert!(notes.join("stopped").exists(), "{stage}: poststop runs all the same");
        assert!(!bundle.folder().join("state").join(bundle.id()).exists(), "{stage}: left");
    }
}

#[test]
fn a_hook_behind_the_start_warns_until_1_2_and_ends_it_from_1_3() {
    need!(root, "busybox");
    for (version, wanted) in [("1.2.0", Some(0)), ("1.3.0", Some(1))] {
        let script = |_: &str| "exit 5".to_owned();
        let (bundle, _) = with_notes(&["poststart"], script, |config| {
            config["ociVersion"] = json!(version);
            config["process"]["args"] = json!(["sleep", "0.5"]);
        });
        let (_, err, code) = told(&bundle.run(&nsrun()));
        assert_eq!(code, wanted, "{version}: {err}");
        assert!(err.ends_with("poststart hook /bin/sh: exit status: 5\n"), "{err}");
        assert_eq!(err.contains("warning"), wanted == Some(0), "{err}");
    }
}

#[test]
fn a_hook_has_no_longer_than_its_timeout_and_need_not_read() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let (bundle, _) = with_notes(
            &[],
            |_| String::new(),
            |config| {
                config["hooks"]["createRuntime"] =
                    json!([{ "path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1 }]);
            },
        );
        let begin = std::time::Instant::now();
        let (_, err, code) = told(&bundle.run(&runtime));
        assert!(code != Some(0) && begin.elapsed().as_secs() < 30, "{}: {err}", runtime.name);
        if runtime.name == "nsrun" {
            assert_eq!(err, "nsrun: createRuntime hook /bin/sleep: did not end within 1 s\n");
        }
    }
    // More state than a pipe holds, to one that does not look at it, and one without arguments or environment.
    let (bundle, _) = with_notes(
        &[],
        |_| String::new(),
        |config| {
            config["annotations"] = json!({ "long": "x".repeat(200_000) });
            config["hooks"]["createRuntime"] = json!([{ "path": "/bin/true", "timeout": 20 }, { "path": "/bin/sh", "args": ["sh", "-c", "test $(wc -c) -gt 200000"] }]);
        },
    );
    let (_, err, code) = told(&bundle.run(&nsrun()));
    assert_eq!((err.as_str(), code), ("", Some(0)));
}

#[test]
fn hooks_have_the_callers_signals() {
    need!(root, "runc", "busybox");
    let mask = |status: &str| status.lines().find_map(|l| l.strip_prefix("SigBlk:")).map(|m| m.trim().to_owned());
    let ours = mask(&std::fs::read_to_string("/proc/thread-self/status").expect("status")).expect("a mask");
    // By the shell alone: what that starts has no signals blocked, whatever it has itself.
    let script = |stage: &str| format!("while read -r line; do echo \"$line\"; done </proc/self/status >NOTES/{stage}");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let (bundle, notes) = with_notes(&STAGES, script, |_| {});
        let (_, err, code) = told(&bundle.run(&runtime));
        assert_eq!(code, Some(0), "{}: {err}", runtime.name);
        for stage in STAGES {
            let has = mask(&notes_of(&notes, stage));
            assert_eq!(has.as_deref(), Some(ours.as_str()), "{} {stage}", runtime.name);
        }
    }
}

#[test]
fn a_signal_while_a_hook_hangs_is_for_the_program_or_behind_its_end_for_us() {
    need!(root, "busybox");
    let hang = "echo $$ >NOTES/hangs; while [ ! -e NOTES/go ]; do sleep 0.02; done";
    let send = |bundle: &Bundle, notes: &std::path::Path| {
        let mut run = bundle.command(&nsrun(), "run");
        let mut run = run.arg("--bundle").arg(bundle.folder()).arg(bundle.id()).spawn().expect("starts");
        until("the hook runs", || !notes_of(notes, "hangs").is_empty());
        signal(run.id() as i32, Signal::SIGTERM);
        move || {
            let mut ended = None;
            until("nsrun ends", || {
                ended = run.try_wait().expect("waits");
                ended.is_some()
            });
            ended.expect("ended")
        }
    };
    let (bundle, notes) = with_notes(
        &["poststart"],
        |_| hang.to_owned(),
        |config| {
            let script = "trap 'exit 7' TERM; while :; do sleep 0.02; done";
            config["process"]["args"] = json!(["sh", "-c", script]);
        },
    );
    let mut end = send(&bundle, &notes);
    std::fs::write(notes.join("go"), "").expect("go");
    assert_eq!(end().code(), Some(7));
    let (bundle, notes) = with_notes(&["poststop"], |_| hang.to_owned(), |_| {});
    let status = send(&bundle, &notes)();
    std::fs::write(notes.join("go"), "").expect("go");
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    assert!(!bundle.folder().join("state").join(bundle.id()).exists(), "it was removed before");
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("sent");
}
