//! Containers in the background: from `run -d` to `rm`.

use crate::lab::{Lab, Running, SOON};
use std::time::Duration;
use testkit::need;

#[test]
fn a_container_in_the_background_from_start_to_end() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "trap 'exit 9' TERM; echo new >/etc/added; rm /etc/passwd; touch /etc/shadow; echo one; echo two >&2; while :; do sleep 0.1; done";
    let id = lab.ok(["run", "-d", "--name", "web", "host", "sh", "-c", script]);
    let id = id.trim();
    assert_eq!(id.len(), 64);
    assert_eq!(lab.ok(["ps", "-q"]).trim(), &id[..12]);
    let table = lab.ok(["ps"]);
    let (head, row) = table.split_once('\n').expect("two lines");
    let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
    assert_eq!(column(head, "NAMES"), column(row, "web"), "columns align:\n{table}");
    assert!(row.contains("\"sh -c 'trap 'exit 9…\"") && row.contains("Up "), "{table}");
    let both = || {
        let said = lab.said(["logs", "web"]);
        said.out == "one\n" && said.err == "two\n"
    };
    assert!(Lab::within(SOON, both));
    let stamped = lab.ok(["logs", "-t", "--tail", "2", "web"]);
    assert!(stamped.contains("Z one"), "{stamped}");

    let said = lab.said(["exec", "web", "sh", "-c", "cat /etc/added; exit 4"]);
    assert_eq!((said.out.as_str(), said.code), ("new\n", 4), "{said:?}");
    let said = lab.fed(
        b"typed",
        &["exec", "-i", "-e", "X=y", "-w", "/usr", "-u", "1", "web", "sh", "-c", "cat; pwd; id -u; echo $X"],
    );
    assert_eq!(said.out, "typed/usr\n1\ny\n", "{said:?}");
    assert_eq!(lab.said(["exec", "web", "no-such-program"]).code, 127);

    assert_eq!(lab.ok(["diff", "web"]), "C /etc\nA /etc/added\nD /etc/passwd\nC /etc/shadow\n");
    assert_eq!(lab.field("web", "{{.State.Status}} {{.Name}} {{.Config.Image}}"), "running /web host");
    let pid = lab.field("web", "{{.State.Pid}}");
    assert!(std::path::Path::new("/proc").join(&pid).exists());

    let refused = lab.said(["rm", "web"]);
    let words =
        format!("ctr: You cannot remove a running container {id}. Stop the container before attempting removal");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.starts_with(&words), "{refused:?}");
    let taken = lab.said(["run", "--name", "web", "host", "true"]);
    assert_eq!(taken.code, 125);
    assert!(
        taken.err.contains(&format!("The container name \"/web\" is already in use by container \"{id}\"")),
        "{taken:?}"
    );

    assert_eq!(lab.ok(["stop", "web"]), "web\n");
    let ended = lab.field("web", "{{.State.ExitCode}} {{.State.Status}} {{.State.Pid}}");
    assert_eq!(ended, "9 exited 0", "{}", lab.ok(["inspect", "web"]));
    assert_eq!(lab.ok(["ps", "-q"]), "");
    assert!(lab.ok(["ps", "-a"]).contains("Exited (9)"));
    assert_eq!(lab.said(["exec", "web", "true"]).code, 1);
    assert_eq!(lab.ok(["stop", "web"]), "web\n", "stopping twice is no error");
    assert_eq!(lab.ok(["logs", "web"]), "one\n", "logs outlive the process");
    assert_eq!(lab.ok(["rm", "web"]), "web\n");
    assert_eq!(lab.said(["rm", "web"]).err.lines().next(), Some("ctr: No such container: web"));
}

#[test]
fn stop_kills_what_does_not_listen_and_kill_sends_signals() {
    need!(root, overlay);
    let lab = Lab::new();
    // PID 1 without a handler does not get TERM
    lab.ok(["run", "-d", "--name", "deaf", "host", "sleep", "1000"]);
    lab.ok(["stop", "-t", "1", "deaf"]);
    assert_eq!(lab.field("deaf", "{{.State.ExitCode}}"), "137");
    lab.ok([
        "run",
        "-d",
        "--name",
        "ear",
        "host",
        "sh",
        "-c",
        "trap 'exit 3' USR1; echo up; while :; do sleep 0.1; done",
    ]);
    assert!(Lab::within(SOON, || lab.ok(["logs", "ear"]) == "up\n"));
    lab.ok(["kill", "-s", "USR1", "ear"]);
    assert!(Lab::within(SOON, || lab.field("ear", "{{.State.Status}}") == "exited"));
    assert_eq!(lab.field("ear", "{{.State.ExitCode}}"), "3");
    let said = lab.said(["kill", "ear"]);
    let id = lab.field("ear", "{{.Id}}");
    let words = format!("ctr: Cannot kill container: ear: Container {id} is not running");
    assert_eq!((said.code, said.err.lines().next()), (1, Some(words.as_str())));
    lab.ok(["run", "-d", "--rm", "--name", "gone", "host", "sleep", "1000"]);
    lab.ok(["kill", "gone"]);
    assert!(Lab::within(SOON, || !lab.ok(["ps", "-a"]).contains("gone")), "--rm");
}

#[test]
fn logs_are_followed_to_the_end() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["run", "-d", "--name", "writer", "host", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done"]);
    assert_eq!(lab.ok(["logs", "-f", "writer"]), "1\n2\n3\n4\n5\n");
    assert_eq!(lab.ok(["logs", "--tail", "2", "writer"]), "4\n5\n");
}

#[test]
fn containers_do_not_see_each_other() {
    need!(root, overlay);
    let lab = Lab::new();
    let children: Vec<_> = (0..8)
        .map(|n| {
            let script = format!("echo {n} >/etc/mine; sleep 0.3; cat /etc/mine; ls /proc | grep -c '^[0-9]'");
            let mut command = lab.ctr(["run", "--rm", "host", "sh", "-c", &script]);
            command.stdout(std::process::Stdio::piped()).spawn().expect("ctr runs")
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        let out = child.wait_with_output().expect("ends");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.starts_with(&format!("{n}\n")), "{n}: {text}");
        let processes: u32 = text.lines().nth(1).and_then(|l| l.parse().ok()).expect("a count");
        assert!(processes <= 4, "{text}");
    }
}

#[test]
fn who_reads_nothing_keeps_nobody_from_stopping_and_removing() {
    need!(root, overlay);
    let lab = Lab::new();
    for end in [&["stop", "-t", "0", "box"][..], &["rm", "-f", "box"]] {
        let mut command = lab.ctr(["run", "--network", "none", "--name", "box", "host", "yes"]);
        let mut reader = command.stdout(std::process::Stdio::piped()).spawn().expect("ctr runs");
        let runs = || lab.said(["inspect", "-f", "{{.State.Status}}", "box"]).out == "running\n";
        assert!(Lab::within(SOON, runs));
        // until all that is between them is full
        std::thread::sleep(Duration::from_secs(2));
        let begin = std::time::Instant::now();
        lab.ok(end);
        assert!(begin.elapsed() < SOON, "{end:?} {:?}", begin.elapsed());
        if end[0] == "stop" {
            assert_eq!(lab.field("box", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
            lab.ok(["rm", "box"]);
        }
        assert_eq!(lab.ok(["ps", "-aq"]), "");
        let _ = reader.kill();
        let _ = reader.wait();
    }
}

#[test]
fn what_cannot_be_cleared_away_changes_no_exit_code_and_is_not_emptied() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "trap 'exit 4' TERM; echo data >/etc/kept; echo up; while :; do sleep 0.1; done";
    lab.ok(["run", "-d", "--network", "none", "--name", "box", "host", "sh", "-c", script]);
    assert!(Lab::within(SOON, || lab.ok(["logs", "box"]) == "up\n"));
    // somebody is in its root file system, which can then not be unmounted
    let supervisor = lab.field("box", "{{.State.SupervisorPid}}");
    let root = crate::restart::state(&lab)["root"].as_str().expect("a path").to_owned();
    let mut inside = std::process::Command::new("nsenter");
    inside.args(["-m", "-t", &supervisor, "sh", "-c", "cd \"$0\" && echo in && exec sleep 1000", &root]);
    let mut holder = Running(inside.stdout(std::process::Stdio::piped()).spawn().expect("nsenter"));
    let mut word = [0; 3];
    let out = holder.0.stdout.as_mut().expect("a pipe");
    std::io::Read::read_exact(out, &mut word).expect("it is in");
    lab.ok(["stop", "-t", "30", "box"]);
    assert_eq!(lab.field("box", "{{.State.Status}} {{.State.ExitCode}}"), "exited 4");
    assert!(lab.field("box", "{{.State.Error}}").starts_with("umount "), "{}", lab.field("box", "{{.State.Error}}"));
    let id = lab.field("box", "{{.Id}}");
    let kept = lab.root().join("overlay2").join(id).join("diff/etc/kept");
    assert_eq!(std::fs::read_to_string(kept).expect("its file"), "data\n");
    drop(holder);
    lab.ok(["start", "box"]);
    lab.ok(["rm", "-f", "box"]);
}
