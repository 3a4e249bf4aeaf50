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

/// A runtime that does its work and kills the supervisor before that has heard of it.
#[test]
fn a_supervisor_killed_before_it_knows_that_the_container_runs() {
    need!(root, overlay);
    let lab = Lab::new();
    let runtime = lab.runtime("run", "", "kill -9 $PPID");
    let run = ["run", "-d", "--name", "doomed", "--network", "none", "--runtime", &runtime];
    let said = lab.said([&run[..], &["host", "sleep", "1000"]].concat());
    assert_ne!(said.code, 0, "{said:?}");
    assert_eq!(lab.field("doomed", "{{.State.Status}}"), "running", "as it is");
    let pid: i32 = lab.field("doomed", "{{.State.Pid}}").parse().expect("a pid");
    let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert_eq!(name(), "sleep\n");
    assert_eq!(lab.ok(["ps", "--format", "{{.Names}}"]), "doomed\n");
    // What was not begun whole the next command that changes something ends.
    lab.ok(["create", "--name", "other", "--network", "none", "host", "true"]);
    assert!(Lab::within(SOON, || name().is_empty()), "it runs on");
    assert_ne!(lab.field("doomed", "{{.State.Status}}"), "running");
    lab.ok(["rm", "doomed", "other"]);
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
