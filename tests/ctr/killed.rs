//! `kill -9` of supervisor and container: nothing of theirs is left, and the next command tidies up.

use crate::lab::{Lab, SOON, kill};
use testkit::need;

fn kill_both(driver: &str) {
    let lab = Lab::new();
    lab.ok(["run", "-d", "--name", "doomed", "--driver", driver, "host", "sleep", "1000"]);
    assert!(!lab.mounts().is_empty(), "the root file system is mounted somewhere");
    let pids = ["{{.State.SupervisorPid}}", "{{.State.Pid}}"];
    pids.map(|field| lab.field("doomed", field).parse().expect("a pid")).into_iter().for_each(kill);
    let gone =
        Lab::within(SOON, || lab.mounts().is_empty() && lab.processes().is_empty() && open_files(&lab).is_empty());
    assert!(gone, "mounts {:?}, processes {:?}, files {:?}", lab.mounts(), lab.processes(), open_files(&lab));
    let state = || lab.field("doomed", "{{.State.Status}} {{.State.ExitCode}}");
    assert!(Lab::within(SOON, || state() == "exited 137"), "{}", state());
    assert_eq!(lab.ok(["rm", "doomed"]), "doomed\n");
    nothing_is_kept(&lab);
}

/// There is no run state of any container.
#[track_caller]
fn nothing_is_kept(lab: &Lab) {
    let names = |folder: std::path::PathBuf| -> Vec<_> {
        std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.file_name()).collect()
    };
    let (run, states) = (names(lab.run_folder()), names(lab.run_folder().join("runtime")));
    assert!(run.iter().all(|name| name == "runtime") && states.is_empty(), "{run:?} {states:?}");
}

/// Descriptors of any process that lie in the lab.
fn open_files(lab: &Lab) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
        if process.file_name().to_str() == Some(&own) {
            continue;
        }
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let target = std::fs::read_link(descriptor.path()).unwrap_or_default();
            if target.starts_with(lab.path()) {
                found.push(format!("{} {}", process.path().display(), target.display()));
            }
        }
    }
    found
}

/// The container `doomed`, whose supervisor is killed by its runtime before it has heard that the process runs; that process.
fn begun(lab: &Lab) -> i32 {
    let runtime = lab.runtime("run", "", "kill -9 $PPID");
    let run = ["run", "-d", "--name", "doomed", "--network", "none", "--runtime", &runtime];
    let said = lab.said([&run[..], &["host", "sleep", "1000"]].concat());
    assert_ne!(said.code, 0, "{said:?}");
    // The supervisor's socket closes a moment before it is gone.
    assert!(Lab::within(SOON, || lab.field("doomed", "{{.State.Status}}") == "running"), "as it is");
    let pid: i32 = lab.field("doomed", "{{.State.Pid}}").parse().expect("a pid");
    assert_eq!(name(pid), "sleep\n");
    pid
}

/// The program that a process executes.
fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

#[test]
fn a_supervisor_killed_before_it_knows_that_the_container_runs() {
    need!(root, overlay);
    let lab = Lab::new();
    let pid = begun(&lab);
    assert_eq!(lab.ok(["ps", "--format", "{{.Names}}"]), "doomed\n");
    // What was not begun whole the next command that changes something ends.
    lab.ok(["create", "--name", "other", "--network", "none", "host", "true"]);
    assert!(Lab::within(SOON, || name(pid).is_empty()), "it runs on");
    assert_eq!(lab.field("doomed", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    lab.ok(["rm", "doomed", "other"]);
}

#[test]
fn one_that_was_begun_and_not_told_of_is_stopped_and_removed() {
    need!(root, overlay);
    for end in [&["stop", "-t", "0", "doomed"][..], &["rm", "-f", "doomed"]] {
        let lab = Lab::new();
        let pid = begun(&lab);
        lab.ok(end);
        assert!(Lab::within(SOON, || name(pid).is_empty()), "{end:?}: it runs on");
        nothing_is_kept(&lab);
        if end[0] == "stop" {
            assert_eq!(lab.field("doomed", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
            assert_eq!(lab.ok(["wait", "doomed"]), "137\n");
        }
    }
}

#[test]
fn one_that_was_begun_and_not_told_of_is_waited_for_and_mounted_to_be_read() {
    need!(root, overlay);
    let lab = Lab::new();
    begun(&lab);
    let at = lab.ok(["mount", "doomed"]);
    let written = std::fs::write(std::path::Path::new(at.trim()).join("etc/written"), "x");
    assert!(written.is_err(), "its upper is in two mounts that write");
    lab.ok(["umount", "doomed"]);
    let waits = lab.ctr(["wait", "doomed"]).stdout(std::process::Stdio::piped()).spawn().expect("ctr runs");
    lab.ok(["kill", "doomed"]);
    let waited = waits.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&waited.stdout), "137\n");
    lab.ok(["rm", "doomed"]);
    nothing_is_kept(&lab);
}

/// A state that somebody was killed over while he wrote it.
#[test]
fn a_container_whose_state_is_damaged_can_be_removed() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["create", "--name", "made", "--network", "none", "host", "true"]);
    lab.ok(["run", "-d", "--name", "box", "--network", "none", "host", "sleep", "1000"]);
    let pid: i32 = lab.field("box", "{{.State.Pid}}").parse().expect("a pid");
    for name in ["made", "box"] {
        let id = lab.field(name, "{{.Id}}");
        std::fs::write(lab.root().join("containers").join(id).join("state"), "{").expect("written");
    }
    assert_eq!(lab.ok(["ps"]).lines().count(), 1, "nobody knows whether they run");
    assert_eq!(lab.ok(["ps", "-a", "--format", "{{.Names}} {{.Status}}"]), "box Dead\nmade Dead\n");
    assert_eq!(lab.ok(["rm", "made"]), "made\n");
    let refused = lab.said(["rm", "box"]);
    assert!(refused.code == 1 && refused.err.contains("container state"), "{refused:?}");
    assert!(refused.err.contains("ctr rm -f") && name(pid) == "sleep\n", "it may live: {refused:?}");
    assert_eq!(lab.ok(["rm", "-f", "box"]), "box\n");
    assert!(Lab::within(SOON, || name(pid).is_empty()), "it runs on");
    nothing_is_kept(&lab);
    let left = std::fs::read_dir(lab.root().join("containers")).expect("a folder").count();
    assert_eq!(left, 0);
}

/// Whoever ends a container waits for its supervisor, which is killed before it has put anything away.
#[test]
fn a_supervisor_killed_while_somebody_ends_its_container() {
    need!(root, overlay);
    for end in [&["rm", "-f", "doomed"][..], &["stop", "-t", "0", "doomed"]] {
        let lab = Lab::new();
        let file = lab.path().join("supervisor");
        let runtime = lab.runtime("kill", &format!("kill -9 $(cat {})", file.display()), "");
        let run = ["run", "-d", "--name", "doomed", "--network", "none", "--runtime", &runtime];
        lab.ok([&run[..], &["host", "sleep", "1000"]].concat());
        std::fs::write(&file, lab.supervisor("doomed").to_string()).expect("written");
        lab.ok(end);
        nothing_is_kept(&lab);
        if end[0] == "stop" {
            assert_eq!(lab.field("doomed", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
            lab.ok(["rm", "doomed"]);
        }
        assert_eq!(lab.ok(["ps", "-aq"]), "");
    }
}

#[test]
fn nothing_is_left_of_a_killed_container_on_the_kernels_overlay() {
    need!(root, overlay);
    kill_both("kernel");
}

#[test]
fn nothing_is_left_of_a_killed_container_on_fuse() {
    need!(root, fuse);
    kill_both("fuse");
}

#[test]
fn a_supervisor_that_dies_alone_leaves_a_container_that_can_be_removed() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["run", "-d", "--name", "orphan", "host", "sleep", "1000"]);
    lab.kill_supervisor("orphan");
    assert_eq!(lab.field("orphan", "{{.State.Status}}"), "running");
    lab.ok(["rm", "-f", "orphan"]);
    assert_eq!(lab.ok(["ps", "-aq"]), "");
}

#[test]
fn what_a_dead_supervisor_leaves_running_can_be_read_entered_stopped_and_started_again() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok([
        "run",
        "-d",
        "--name",
        "orphan",
        "host",
        "sh",
        "-c",
        "echo one; trap 'exit 3' TERM; while :; do sleep 0.1; done",
    ]);
    assert!(Lab::within(SOON, || lab.ok(["logs", "orphan"]) == "one\n"));
    lab.kill_supervisor("orphan");
    assert_eq!(lab.field("orphan", "{{.State.Status}}"), "running", "its process is");
    assert_eq!(lab.ok(["logs", "orphan"]), "one\n");
    assert_eq!(lab.ok(["exec", "orphan", "echo", "inside"]), "inside\n");
    let said = lab.said(["attach", "--no-stdin", "orphan"]);
    assert!(said.code != 0 && !said.err.is_empty(), "{said:?}");
    lab.ok(["stop", "-t", "5", "orphan"]);
    assert_eq!(lab.field("orphan", "{{.State.Status}}"), "exited");
    lab.ok(["start", "orphan"]);
    assert!(Lab::within(SOON, || lab.ok(["logs", "orphan"]) == "one\none\n"));
    lab.ok(["rm", "-f", "orphan"]);
}
