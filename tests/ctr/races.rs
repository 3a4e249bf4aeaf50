//! Verbs that meet: started twice, stopped twice, removed while it starts, clients that are killed. Whatever comes of it, the state is
//! told truly afterwards and nothing is left.

use crate::lab::{Lab, SOON, Said};
use std::process::Stdio;
use std::time::Duration;
use testkit::{fixture, need};

/// Runs the same several times at once, and gives what each said.
fn at_once(lab: &Lab, times: usize, args: &[&str]) -> Vec<Said> {
    let children: Vec<_> = (0..times)
        .map(|_| {
            let mut command = lab.ctr(args);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctr runs")
        })
        .collect();
    children.into_iter().map(|child| child.wait_with_output().expect("it ends").into()).collect()
}

fn made(name: &str) -> Lab {
    let lab = Lab::new();
    lab.load(&fixture::busybox_oci());
    lab.ok(["create", "--name", name, "--network", "none", "busybox", "sleep", "1000"]);
    lab
}

#[test]
fn started_by_several_it_runs_once() {
    need!(root, overlay, images);
    let lab = made("web");
    for said in at_once(&lab, 5, &["start", "web"]) {
        assert_eq!((said.out.as_str(), said.code), ("web\n", 0), "{said:?}");
    }
    assert_eq!(lab.ok(["ps", "-q"]).lines().count(), 1);
    let supervisors = lab.processes().iter().filter(|line| line.contains(" supervise ")).count();
    assert!(
        Lab::within(SOON, || { lab.processes().iter().filter(|line| line.contains(" supervise ")).count() == 1 }),
        "{supervisors}"
    );
    let starts = lab.ok(["events", "--until", "0s", "--filter", "event=start"]);
    assert_eq!(starts.lines().count(), 1, "{starts}");
}

#[test]
fn stopped_killed_and_removed_by_several() {
    need!(root, overlay, images);
    let lab = made("web");
    lab.ok(["start", "web"]);
    for said in at_once(&lab, 4, &["stop", "-t", "0", "web"]) {
        assert_eq!(said.out, "web\n", "{said:?}");
    }
    assert_eq!(lab.field("web", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    lab.ok(["start", "web"]);
    let said = at_once(&lab, 4, &["rm", "-f", "web"]);
    assert!(said.iter().any(|said| said.code == 0), "{said:?}");
    for said in said.iter().filter(|said| said.code != 0) {
        let known = ["is already in progress", "No such container"];
        assert!(known.iter().any(|words| said.err.contains(words)), "{said:?}");
    }
    assert_eq!(lab.ok(["ps", "-aq"]), "");
    let destroyed = lab.ok(["events", "--until", "0s", "--filter", "event=destroy"]);
    assert_eq!(destroyed.lines().count(), 1, "{destroyed}");
}

#[test]
fn removed_and_stopped_while_it_starts() {
    need!(root, overlay, images);
    let lab = made("web");
    for round in 0..6_u64 {
        let mut start = lab.ctr(["start", "web"]);
        let start = start.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctr runs");
        std::thread::sleep(Duration::from_millis(round * 25));
        if round % 2 == 0 {
            lab.ok(["rm", "-f", "web"]);
        } else {
            lab.ok(["stop", "-t", "0", "web"]);
        }
        let said: Said = start.wait_with_output().expect("it ends").into();
        assert!(!said.err.contains("panicked"), "{said:?}");
        if round % 2 == 0 {
            assert_eq!(lab.ok(["ps", "-aq"]), "", "round {round}: {said:?}");
            lab.ok(["create", "--name", "web", "--network", "none", "busybox", "sleep", "1000"]);
        } else {
            lab.ok(["rm", "-f", "web"]);
            lab.ok(["create", "--name", "web", "--network", "none", "busybox", "sleep", "1000"]);
        }
    }
}

#[test]
fn a_client_that_is_killed_leaves_a_container_that_is_told_truly() {
    need!(root, overlay, images);
    let lab = made("web");
    for verb in
        [&["start", "web"][..], &["stop", "-t", "1", "web"], &["restart", "-t", "0", "web"], &["rm", "-f", "web"]]
    {
        for after in [1, 8, 30] {
            let mut client = lab.ctr(verb);
            let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ctr runs");
            std::thread::sleep(Duration::from_millis(after));
            client.kill().expect("killed");
            client.wait().expect("reaped");
            // whatever was half done: the next verbs work
            if lab.said(["start", "web"]).code != 0 {
                lab.said(["rm", "-f", "web"]);
                lab.ok(["create", "--name", "web", "--network", "none", "busybox", "sleep", "1000"]);
                lab.ok(["start", "web"]);
            }
            assert_eq!(lab.field("web", "{{.State.Status}}"), "running", "{verb:?} {after}");
        }
    }
}

#[test]
fn a_removal_that_was_killed_is_finished_by_the_next_command() {
    need!(root, overlay, images);
    let lab = made("web");
    let state = lab.root().join("containers").join(lab.field("web", "{{.Id}}")).join("state");
    let text = std::fs::read_to_string(&state).expect("a state");
    let marked = text.replace("\"created\"", "\"removing\"");
    assert_ne!(text, marked);
    std::fs::write(&state, marked).expect("written");
    let _ = std::fs::remove_file(lab.root().join("settled"));
    assert!(lab.ok(["ps", "-a"]).contains("Removal In Progress"));
    let said = lab.said(["start", "web"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(lab.ok(["ps", "-aq"]), "", "the next command that starts something finishes it");
}
