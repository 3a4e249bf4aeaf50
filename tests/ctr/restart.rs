//! Restart policies, and what ends a container for good.

use crate::lab::{Lab, SOON, kill};
use serde_json::Value;
use std::time::Duration;
use testkit::need;

const QUIET: [&str; 4] = ["--network", "none", "--name", "box"];

/// What the store says of the container `box`.
pub(crate) fn state(lab: &Lab) -> Value {
    let id = lab.field("box", "{{.Id}}");
    let path = lab.root().join("containers").join(id).join("state");
    serde_json::from_slice(&std::fs::read(path).expect("a state")).expect("JSON")
}

fn run(lab: &Lab, options: &[&str], script: &str) -> crate::lab::Said {
    lab.said([&["run"], &QUIET[..], options, &["host", "sh", "-c", script]].concat())
}

#[test]
fn failures_are_counted_and_it_is_one_container_over_all_of_them() {
    need!(root, overlay);
    let lab = Lab::new();
    let said = run(&lab, &["--restart", "on-failure:2"], "echo run >>/runs; cat /runs; exit 3");
    assert_eq!((said.out.as_str(), said.code), ("run\n", 3), "the client goes at the first end: {said:?}");
    assert!(Lab::within(SOON, || state(&lab)["status"] == "exited"), "{}", state(&lab));
    let now = state(&lab);
    assert_eq!((&now["restart_count"], &now["exit_code"]), (&2.into(), &3.into()), "{now}");
    let each = lab.ok(["logs", "box"]);
    assert_eq!(each, "run\nrun\nrun\nrun\nrun\nrun\n", "its files and its log go on");
    assert!(Lab::within(SOON, || lab.processes().is_empty() && lab.mounts().is_empty()));
    // by hand it starts from nothing again, and what does not fail is left alone
    lab.ok(["start", "box"]);
    assert!(Lab::within(SOON, || state(&lab)["restart_count"] == 2 && state(&lab)["status"] == "exited"));
    lab.ok(["rm", "box"]);
    run(&lab, &["--restart", "on-failure"], "exit 0");
    assert!(Lab::within(SOON, || state(&lab)["status"] == "exited"));
    assert_eq!(state(&lab)["restart_count"], 0);
}

#[test]
fn who_is_attached_goes_at_the_first_end_also_where_there_is_no_last() {
    need!(root, overlay);
    let lab = Lab::new();
    let said = attached(&lab, &[&["run"], &QUIET[..], &["--restart", "always", "host", "sh", "-c", "exit 3"]].concat());
    assert_eq!(said, Some(3));
    assert!(Lab::within(SOON, || state(&lab)["restart_count"].as_u64() > Some(1)), "{}", state(&lab));
    lab.ok(["stop", "box"]);
    assert_eq!(attached(&lab, &["start", "-a", "box"]), Some(3));
    lab.ok(["rm", "-f", "box"]);
}

/// How a command ends that should end soon; nothing where it has to be killed.
fn attached(lab: &Lab, args: &[&str]) -> Option<i32> {
    let mut child = lab.ctr(args).spawn().expect("ctr runs");
    let ended = Lab::within(SOON, || child.try_wait().expect("a child").is_some());
    let _ = child.kill();
    child.wait().expect("a child").code().filter(|_| ended)
}

#[test]
fn what_is_stopped_stays_down_also_while_it_waits() {
    need!(root, overlay);
    let lab = Lab::new();
    run(&lab, &["-d", "--restart", "always"], "echo x; exit 1");
    assert!(Lab::within(SOON, || state(&lab)["restart_count"].as_u64() > Some(2)), "{}", state(&lab));
    let first = state(&lab)["supervisor"]["pid"].clone();
    // the waits are docker's: after six of them the next is six seconds long
    assert!(Lab::within(SOON, || state(&lab)["restart_count"].as_u64() > Some(6)), "{}", state(&lab));
    let waiting = || Some(state(&lab)).filter(|now| now["status"] == "restarting");
    let mut waits = None;
    assert!(Lab::within(SOON, || {
        waits = waiting();
        waits.is_some()
    }));
    assert_eq!(waits.expect("it was seen")["supervisor"]["pid"], first, "one process over all runs");
    lab.ok(["stop", "box"]);
    let now = state(&lab);
    assert_eq!((&now["status"], &now["exit_code"], &now["supervisor"]), (&"exited".into(), &1.into(), &Value::Null));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(state(&lab)["restart_count"], now["restart_count"], "it stays down");
    let left: Vec<_> = std::fs::read_dir(lab.run_folder()).expect("run").flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| name == "runtime"), "{left:?}");
    lab.ok(["rm", "box"]);

    run(&lab, &["-d", "--restart", "unless-stopped"], "sleep 1000");
    lab.ok(["kill", "box"]);
    assert!(Lab::within(SOON, || state(&lab)["status"] == "exited"));
    assert_eq!((&state(&lab)["exit_code"], &state(&lab)["restart_count"]), (&137.into(), &0.into()));
    // killed by somebody else it comes again
    lab.ok(["start", "box"]);
    let first = state(&lab)["process"]["pid"].as_i64().expect("a pid") as i32;
    kill(first);
    let again = || state(&lab)["restart_count"] == 1 && state(&lab)["status"] == "running";
    assert!(Lab::within(SOON, again), "{}", state(&lab));
    assert_ne!(state(&lab)["process"]["pid"], first);
    lab.ok(["rm", "-f", "box"]);
}

#[test]
fn a_supervisor_that_waits_hears_signals_and_keeps_who_waits_for_its_container() {
    need!(root, overlay);
    let lab = Lab::new();
    run(&lab, &["-d", "--restart", "always"], "exit 5");
    // from here on the waits are of three seconds and more
    let rests = |count| {
        let now = state(&lab);
        Some(now).filter(|now| now["restart_count"].as_u64() > Some(count) && now["status"] == "restarting")
    };
    assert!(Lab::within(SOON, || rests(5).is_some()), "{}", state(&lab));
    let waits = lab.ctr(["wait", "box"]).stdout(std::process::Stdio::piped()).spawn().expect("ctr runs");
    std::thread::sleep(Duration::from_secs(1));
    let status = std::fs::read_to_string(format!("/proc/{}/status", waits.id())).expect("a process");
    let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a count");
    assert!(sleeps.trim().parse::<u32>().expect("a number") < 50, "it looks again and again: {status}");
    let waits = waits.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&waits.stdout), "5\n", "{waits:?}");

    let mut before = None;
    assert!(
        Lab::within(SOON, || {
            before = rests(6);
            before.is_some()
        }),
        "{}",
        state(&lab)
    );
    let before = before.expect("it was seen");
    let supervisor = before["supervisor"]["pid"].as_i64().expect("a pid") as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), nix::sys::signal::Signal::SIGTERM).expect("told");
    assert!(Lab::within(SOON, || state(&lab)["status"] == "exited"), "{}", state(&lab));
    assert_eq!(state(&lab)["started"], before["started"], "not started once more for that");
}

#[test]
fn a_supervisor_killed_while_it_waits_is_told_truly_and_the_next_command_repairs() {
    need!(root, overlay);
    let lab = Lab::new();
    run(&lab, &["-d", "--restart", "always"], "exit 7");
    assert!(Lab::within(SOON, || state(&lab)["restart_count"].as_u64() > Some(4)));
    assert!(Lab::within(SOON, || state(&lab)["status"] == "restarting"));
    lab.kill_supervisor("box");
    assert!(Lab::within(SOON, || lab.field("box", "{{.State.Status}}") == "exited"));
    lab.ok(["stop", "box"]);
    lab.ok(["start", "box"]);
    assert!(Lab::within(SOON, || state(&lab)["restart_count"].as_u64() > Some(0)));
    lab.ok(["rm", "-f", "box"]);
    assert!(Lab::within(SOON, || lab.processes().is_empty() && lab.mounts().is_empty()));
}

#[test]
fn signals_and_times_to_end_by() {
    need!(root, overlay);
    let lab = Lab::new();
    let ear = "trap 'exit 4' USR1; trap '' TERM; echo up; while :; do sleep 0.1; done";
    run(&lab, &["-d", "--stop-signal", "USR1"], ear);
    assert!(Lab::within(SOON, || lab.ok(["logs", "box"]) == "up\n"));
    lab.ok(["stop", "box"]);
    assert_eq!(state(&lab)["exit_code"], 4);
    lab.ok(["rm", "box"]);
    run(&lab, &["-d", "--stop-timeout", "1"], ear);
    lab.ok(["stop", "box"]);
    assert_eq!(
        (state(&lab)["exit_code"].as_u64(), lab.field("box", "{{.Config.StopTimeout}}").as_str()),
        (Some(137), "1")
    );
    lab.ok(["rm", "box"]);
    assert_eq!(run(&lab, &["--timeout", "1"], "sleep 1000").code, 255);
    lab.ok(["rm", "box"]);
    // whoever ends the supervisor ends the container
    run(&lab, &["-d", "--restart", "always"], "trap 'exit 6' TERM; echo up; while :; do sleep 0.1; done");
    assert!(Lab::within(SOON, || lab.ok(["logs", "box"]) == "up\n"));
    let supervisor = state(&lab)["supervisor"]["pid"].as_i64().expect("a pid") as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), nix::sys::signal::Signal::SIGTERM).expect("told");
    assert!(Lab::within(SOON, || state(&lab)["status"] == "exited"), "{}", state(&lab));
    assert_eq!(state(&lab)["exit_code"], 6);
}

#[test]
fn memory_that_ran_out_is_told() {
    need!(root, overlay, cgroup1);
    let lab = Lab::new();
    let said = run(&lab, &["-m", "30m"], "x=a; while :; do x=$x$x; done");
    assert_eq!(said.code, 137, "{said:?}");
    assert_eq!(state(&lab)["oom_killed"], true);
    assert!(std::fs::read_to_string(lab.root().join("events.json")).expect("events").contains("\"oom\""));
    lab.ok(["rm", "box"]);
    // told also where PID 1 lives on
    run(&lab, &["-d", "-m", "30m"], "sh -c 'x=a; while :; do x=$x$x; done'; sleep 1000");
    assert!(Lab::within(SOON, || state(&lab)["oom_killed"] == true), "{}", state(&lab));
    assert_eq!(state(&lab)["status"], "running");
    lab.ok(["rm", "-f", "box"]);
    run(&lab, &["-m", "30m"], "exit 137");
    assert_eq!(state(&lab)["oom_killed"], false);
}

#[test]
fn what_contradicts_itself_is_refused_in_dockers_words() {
    need!(root, overlay);
    let lab = Lab::new();
    let cases: &[(&[&str], &str)] = &[
        (&["--restart", "foo"], "invalid restart policy 'foo'"),
        (&["--restart", "always:3"], "maximum retry count cannot be used with restart policy 'always'"),
        (&["--restart", "always", "--rm"], "conflicting options: cannot specify both --restart and --rm"),
        (
            &["--health-interval", "1"],
            "invalid argument \"1\" for \"--health-interval\" flag: time: missing unit in duration \"1\"",
        ),
        (&["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"),
        (&["--health-cmd", "x", "--health-retries", "-1"], "--health-retries cannot be negative"),
        (&["--health-cmd", "x", "--health-timeout", "1us"], "Timeout in Healthcheck cannot be less than 1ms"),
        (&["--log-opt", "foo=bar"], "unknown log opt 'foo' for json-file log driver"),
        (&["--log-driver", "none", "--log-opt", "max-size=1m"], "invalid logging opts for driver none"),
        (&["--stop-signal", "XX"], "Invalid signal: XX"),
    ];
    for (options, words) in cases {
        let said = run(&lab, options, "true");
        assert_eq!(said.code, 125, "{said:?}");
        let line = said.err.lines().find(|line| line.contains(words));
        assert!(line.is_some(), "{options:?}: {said:?}");
    }
    assert_eq!(lab.ok(["ps", "-aq"]), "", "nothing half made");
}
