//! The operations of the runtime specification: create, state, start, kill, delete; hooks; exit codes; errors by their words.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::need;

/// Runs `verb ID words`, which has to succeed.
fn verb(bundle: &Bundle, runtime: &Runtime, verb: &str, words: &[&str]) -> String {
    let (out, err, code) = told(&bundle.command(runtime, verb).arg(bundle.id()).args(words).output().expect("starts"));
    assert_eq!(code, Some(0), "{} {verb}: {err}", runtime.name);
    out
}

/// `create`, with the program's output in a file.
fn create(bundle: &Bundle, runtime: &Runtime) {
    let out = File::create(bundle.folder().join("out")).expect("out");
    let mut command = bundle.command(runtime, "create");
    command.arg("--bundle").arg(bundle.folder()).arg("--pid-file").arg(bundle.folder().join("pid")).arg(bundle.id());
    let status = command.stdout(out.try_clone().expect("copy")).stderr(out).status().expect("starts");
    assert!(status.success(), "{}: {}", runtime.name, said(bundle));
}

fn said(bundle: &Bundle) -> String {
    std::fs::read_to_string(bundle.folder().join("out")).unwrap_or_default()
}

fn state(bundle: &Bundle, runtime: &Runtime) -> Value {
    serde_json::from_str(&verb(bundle, runtime, "state", &[])).expect("state is JSON")
}

/// Waits until `reached`, as long as a slow machine may take.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("trap 'exit 0' TERM; echo started; while :; do sleep 0.1; done", |_| {});
        create(&bundle, &runtime);
        let created = state(&bundle, &runtime);
        assert_eq!(created["status"], "created", "{}", runtime.name);
        assert_eq!(created["id"], bundle.id());
        assert_eq!(created["bundle"], bundle.folder().to_str().expect("text"));
        let pid = std::fs::read_to_string(bundle.folder().join("pid")).expect("pid file");
        assert_eq!(created["pid"].to_string(), pid.trim(), "{}", runtime.name);
        assert_eq!(said(&bundle), "", "{}: nothing of the user's runs before start", runtime.name);

        verb(&bundle, &runtime, "start", &[]);
        until("it starts", || said(&bundle) == "started\n");
        assert_eq!(state(&bundle, &runtime)["status"], "running", "{}", runtime.name);
        let again = bundle.command(&runtime, "start").arg(bundle.id()).output().expect("starts");
        assert!(!again.status.success(), "{}: started twice", runtime.name);
        let early = bundle.command(&runtime, "delete").arg(bundle.id()).output().expect("starts");
        assert!(!early.status.success(), "{}: deleted while running", runtime.name);

        verb(&bundle, &runtime, "kill", &["TERM"]);
        until("it ends", || state(&bundle, &runtime)["status"] == "stopped");
        let late = bundle.command(&runtime, "kill").args([bundle.id(), "KILL"]).output().expect("starts");
        assert!(!late.status.success(), "{}: killed twice", runtime.name);
        verb(&bundle, &runtime, "delete", &[]);
        let gone = bundle.command(&runtime, "state").arg(bundle.id()).output().expect("starts");
        assert!(!gone.status.success(), "{}: still there", runtime.name);
        assert!(!bundle.folder().join("state").join(bundle.id()).exists(), "{}", runtime.name);
    }
}

#[test]
fn force_deletes_what_runs_and_what_is_not_there() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("sleep 1000", |_| {});
        create(&bundle, &runtime);
        verb(&bundle, &runtime, "start", &[]);
        let pid = state(&bundle, &runtime)["pid"].to_string();
        let forced = bundle.command(&runtime, "delete").args(["--force", bundle.id()]).output().expect("starts");
        assert!(forced.status.success(), "{}: {forced:?}", runtime.name);
        until("it ends", || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
        let none = bundle.command(&runtime, "delete").args(["--force", "no-such-container"]).output().expect("starts");
        assert!(none.status.success() || runtime.name == "crun", "{}", runtime.name);
    }
}

#[test]
fn run_ends_with_the_programs_code() {
    need!(root, "runc", "crun", "busybox");
    for (script, code) in [("exit 7", 7), ("sh -c 'kill -9 $$'; exit $?", 137), ("true", 0)] {
        for runtime in runtimes() {
            let output = Bundle::new(script, |_| {}).run(&runtime);
            assert_eq!(told(&output).2, Some(code), "{} {script}: {output:?}", runtime.name);
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_named_in_the_words_engines_look_for() {
    need!(root, "runc", "busybox");
    let words = [
        ("no-such-program", "executable file not found in $PATH"),
        ("/no/such/program", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
    ];
    for (program, word) in words {
        for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
            let bundle = Bundle::new("", |config| config["process"]["args"] = json!([program]));
            std::fs::write(bundle.folder().join("rootfs/etc/passwd"), "root:x:0:0::/root:/bin/sh\n").expect("passwd");
            let (_, err, code) = told(&bundle.run(&runtime));
            assert!(err.contains(word), "{} {program}: {err}", runtime.name);
            assert_eq!(code, Some(1), "{} {program}", runtime.name);
            assert!(!bundle.folder().join("state").join(bundle.id()).exists(), "{}: left", runtime.name);
        }
    }
}

#[test]
fn errors_are_written_to_the_log_as_engines_read_it() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("", |config| config["process"]["args"] = json!(["no-such-program"]));
        let log = bundle.folder().join("log");
        let mut command = bundle.command(&runtime, "--log");
        command.arg(&log).args(["--log-format", "json", "run", "--bundle"]).arg(bundle.folder()).arg(bundle.id());
        assert!(!command.output().expect("starts").status.success());
        let text = std::fs::read_to_string(&log).expect("log");
        let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["level"], "error", "{}", runtime.name);
        assert!(last["msg"].as_str().expect("text").contains("executable file not found in $PATH"), "{text}");
    }
}

#[test]
fn hooks_run_in_order_with_the_state_on_stdin() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("echo program >>/shared/order", |_| {});
        let shared = bundle.folder().join("shared");
        std::fs::create_dir(&shared).expect("shared");
        let hook = |name: &str, order: &Path| {
            let script = format!("cat >{0}.{name}; echo {name} >>{0}", order.display());
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
        };
        let file = bundle.folder().join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&file).expect("config")).expect("JSON");
        config["mounts"]
            .as_array_mut()
            .expect("mounts")
            .push(json!({ "destination": "/shared", "type": "bind", "source": shared, "options": ["rbind", "rw"] }));
        let outside = shared.join("order");
        config["hooks"] = json!({
            "prestart": hook("prestart", &outside),
            "createRuntime": hook("createRuntime", &outside),
            "createContainer": hook("createContainer", &outside),
            "startContainer": hook("startContainer", Path::new("/shared/order")),
            "poststart": hook("poststart", &outside),
            "poststop": hook("poststop", &outside),
        });
        std::fs::write(&file, config.to_string()).expect("config");
        let output = bundle.run(&runtime);
        assert_eq!(told(&output).2, Some(0), "{}: {output:?}", runtime.name);
        let order = std::fs::read_to_string(&outside).expect("order");
        // The program and the hooks behind its start run at the same time.
        let mut order: Vec<&str> = order.lines().collect();
        order.retain(|name| *name != "poststart");
        let wanted = ["prestart", "createRuntime", "createContainer", "startContainer", "program", "poststop"];
        assert_eq!(order, wanted, "{}", runtime.name);
        for (name, status) in [("createRuntime", "creat"), ("poststop", "stopped")] {
            let text = std::fs::read_to_string(shared.join(format!("order.{name}"))).expect("state");
            let state: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(state["id"], bundle.id(), "{}", runtime.name);
            assert!(state["status"].as_str().expect("text").starts_with(status), "{} {name}: {text}", runtime.name);
        }
    }
}

#[test]
fn a_hook_that_fails_ends_it_and_nothing_is_left() {
    need!(root, "runc", "busybox");
    for stage in ["createRuntime", "createContainer", "startContainer"] {
        // One reference, since each start of one takes its time.
        for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
            let bundle = Bundle::new("echo ran", |config| {
                config["hooks"] =
                    json!({ stage: [{ "path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"] }] });
            });
            let (out, err, code) = told(&bundle.run(&runtime));
            assert_ne!(code, Some(0), "{} {stage}", runtime.name);
            assert_eq!(out, "", "{} {stage}", runtime.name);
            if runtime.name == "nsrun" {
                assert!(err.contains(&format!("{stage} hook /bin/sh: exit status: 3: why")), "{err}");
                assert!(!bundle.folder().join("state").join(bundle.id()).exists());
            }
        }
    }
}

#[test]
fn killed_at_any_moment_it_leaves_what_delete_can_remove() {
    need!(root, "busybox");
    let [.., nsrun] = runtimes();
    for delay_ms in [2, 6, 12, 25] {
        let bundle = Bundle::new("sleep 1000", |_| {});
        let mut command = bundle.command(&nsrun, "create");
        let mut child = command.arg("--bundle").arg(bundle.folder()).arg(bundle.id()).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis(delay_ms));
        let _ = child.kill();
        let _ = child.wait();
        until("the half-made one dies or stands", || {
            let output = bundle.command(&nsrun, "delete").args(["--force", bundle.id()]).output().expect("starts");
            output.status.success()
        });
        assert!(!bundle.folder().join("state").join(bundle.id()).exists());
        let again = Bundle::new("echo fine", |_| {}).run(&nsrun);
        assert_eq!(told(&again).0, "fine\n");
    }
}
