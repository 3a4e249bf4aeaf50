//! The verbs of a container's life one by one: what each does, and that it did it.

use crate::lab::{Lab, Running, SOON};
use std::path::Path;
use std::time::Duration;
use testkit::need;

fn lab() -> Lab {
    Lab::with_busybox()
}

#[track_caller]
fn line(said: &crate::lab::Said) -> String {
    said.err.lines().next().unwrap_or_default().trim_start_matches("ctr: ").to_owned()
}

#[test]
fn created_started_again_and_restarted() {
    need!(root, overlay, images);
    let lab = lab();
    let id_file = lab.path().join("id");
    let script = "echo run >>/runs; wc -l </runs; exit 3";
    let create =
        ["create", "--name", "box", "--network", "none", "-l", "a=b", "--cidfile", id_file.to_str().expect("text")];
    let id = lab.ok([&create[..], &["busybox", "sh", "-c", script]].concat());
    assert_eq!(std::fs::read_to_string(&id_file).expect("a file"), id.trim());
    let again = lab.said([&create[..], &["busybox"]].concat());
    assert_eq!(again.code, 1);
    assert!(
        line(&again).starts_with("container ID file found, make sure the other container isn't running"),
        "{again:?}"
    );
    assert_eq!(lab.ok(["ps", "-a", "--format", "{{.Names}} {{.Status}} {{.Label \"a\"}}"]), "box Created b\n");
    assert!(!lab.root().join("containers").join(id.trim()).join("supervisor.log").exists(), "nothing was started");

    let said = lab.said(["start", "-a", "box"]);
    assert_eq!((said.out.as_str(), said.code), ("1\n", 3), "{said:?}");
    assert_eq!(lab.ok(["start", "box"]), "box\n");
    assert_eq!(lab.ok(["wait", "box"]), "3\n");
    let said = lab.said(["start", "-a", &id[..12]]);
    assert_eq!((said.out.as_str(), said.code), ("3\n", 3), "what it wrote is kept: {said:?}");
    let said = lab.said(["start", "box", "nobody"]);
    assert_eq!((said.out.as_str(), said.code), ("box\n", 1));
    assert!(said.err.contains("No such container: nobody") && said.err.contains("failed to start containers: nobody"));

    lab.ok(["run", "-d", "--rm", "--name", "short", "--network", "none", "busybox", "sleep", "1000"]);
    let pid = lab.field("short", "{{.State.Pid}}");
    assert_eq!(lab.ok(["restart", "-t", "0", "short"]), "short\n");
    let now = lab.field("short", "{{.State.Pid}}");
    assert!(pid != now && !Path::new("/proc").join(&pid).exists() && Path::new("/proc").join(&now).exists());
    lab.ok(["stop", "-t", "0", "short"]);
    assert_eq!(lab.said(["rm", "short"]).code, 1, "--rm holds after a restart");
}

#[test]
fn a_runtime_named_from_here_is_the_same_one_from_elsewhere() {
    need!(root, overlay, images);
    let lab = lab();
    lab.runtime("run", &format!("echo called >>{}", lab.path().join("calls").display()), "");
    let run = ["run", "--name", "box", "--network", "none", "--runtime", "./oci", "busybox", "echo", "it runs"];
    let said: crate::lab::Said = lab.ctr(run).current_dir(lab.path()).output().expect("ctr runs").into();
    assert_eq!((said.out.as_str(), said.code), ("it runs\n", 0), "{said:?}");
    assert_eq!(lab.ok(["start", "-a", "box"]), "it runs\n");
    assert_eq!(std::fs::read_to_string(lab.path().join("calls")).expect("a file"), "called\ncalled\n");
}

#[test]
fn one_that_cannot_start_says_why_each_time() {
    need!(root, overlay, images);
    let lab = lab();
    lab.ok(["create", "--name", "lost", "--network", "none", "busybox", "no-such-program"]);
    lab.ok(["create", "--name", "who", "--network", "none", "-u", "nobody-here", "busybox"]);
    for _ in 0..2 {
        let said = lab.said(["start", "lost"]);
        assert_eq!(said.code, 1);
        assert!(line(&said).contains("\"no-such-program\": executable file not found in $PATH"), "{said:?}");
        let said = lab.said(["start", "who"]);
        assert!(said.err.contains("unable to find user nobody-here"), "{said:?}");
    }
    assert_eq!(lab.field("lost", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
    assert_eq!(lab.ok(["ps", "-a", "--filter", "name=lost", "--format", "{{.Status}}"]), "Created\n");
}

#[test]
fn frozen_and_let_go_on() {
    need!(root, overlay, images);
    let lab = lab();
    lab.ok([
        "run",
        "-d",
        "--name",
        "tick",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "while :; do echo x; sleep 0.02; done",
    ]);
    let lines = || lab.ok(["logs", "tick"]).lines().count();
    assert!(Lab::within(SOON, || lines() > 2));
    assert_eq!(lab.ok(["pause", "tick"]), "tick\n");
    // what it had written may still be on its way into the log
    let still = || {
        let before = lines();
        std::thread::sleep(Duration::from_millis(500));
        lines() == before
    };
    assert!(Lab::within(SOON, still), "nothing runs in it");
    let before = lines();
    let id = lab.field("tick", "{{.Id}}");
    for (args, words) in [
        (&["pause", "tick"][..], format!("Container {id} is already paused")),
        (&["start", "tick"], "cannot start a paused container, try unpause instead".into()),
        (
            &["rm", "tick"],
            format!(
                "You cannot remove a paused container {id}. Unpause and then stop the container before attempting removal or force remove"
            ),
        ),
    ] {
        let said = lab.said(args);
        assert_eq!((line(&said), said.code), (words, 1), "{args:?}");
    }
    assert!(lab.ok(["ps"]).contains(" (Paused) "));
    lab.ok(["unpause", "tick"]);
    assert!(Lab::within(SOON, || lines() > before));
    let said = lab.said(["unpause", "tick"]);
    assert_eq!(line(&said), format!("Container {id} is not paused"));
    // what ends one that is frozen
    lab.ok(["pause", "tick"]);
    lab.ok(["stop", "-t", "1", "tick"]);
    assert_eq!(lab.field("tick", "{{.State.Status}}"), "exited");
    for end in [&["kill", "tick"][..], &["rm", "-f", "tick"]] {
        lab.ok(["start", "tick"]);
        lab.ok(["pause", "tick"]);
        lab.ok(end);
        assert!(Lab::within(SOON, || !lab.ok(["ps", "-q"]).contains(&id[..12])), "{end:?}");
    }
}

#[test]
fn called_otherwise_waited_for_and_looked_into() {
    need!(root, overlay, images);
    let lab = lab();
    lab.ok(["run", "-d", "--rm", "--name", "old", "--network", "none", "busybox", "sh", "-c", "sleep 1000 & wait"]);
    lab.ok(["create", "--name", "other", "--network", "none", "busybox"]);
    lab.ok(["rename", "old", "new"]);
    assert_eq!(lab.said(["inspect", "old"]).code, 1);
    let taken = lab.said(["rename", "new", "other"]);
    assert!(
        line(&taken)
            .starts_with("Error when allocating new name: Conflict. The container name \"/other\" is already in use"),
        "{taken:?}"
    );
    let listing = lab.ok(["top", "new", "-o", "pid,args"]);
    assert!(listing.starts_with("PID                 COMMAND\n"), "{listing}");
    assert_eq!(listing.lines().filter(|line| line.contains("sleep 1000")).count(), 2, "{listing}");
    assert_eq!(line(&lab.said(["top", "new", "-o", "args"])), "Couldn't find PID field in ps output");
    lab.is_visited_by("new", 0);
    let waiting = lab.ctr(["wait", "new", "other"]).stdout(std::process::Stdio::piped()).spawn().expect("ctr runs");
    lab.is_visited_by("new", 1);
    lab.ok(["kill", "new"]);
    let said = waiting.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "137\n0\n", "also with --rm");
}

#[test]
fn what_does_not_run_is_pruned_and_all_of_it_is_told() {
    need!(root, overlay, images);
    let lab = lab();
    lab.ok(["run", "--name", "wrote", "--network", "none", "busybox", "sh", "-c", "head -c 2000 /dev/zero >/x"]);
    lab.ok(["create", "--name", "kept", "-l", "keep", "--network", "none", "busybox"]);
    lab.ok(["run", "-d", "--name", "runs", "--network", "none", "busybox", "sleep", "1000"]);
    let id = lab.field("wrote", "{{.Id}}");
    let asked = lab.fed(b"n\n", &["container", "prune"]);
    assert_eq!(
        asked.out,
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "
    );
    let out = lab.ok(["container", "prune", "-f", "--filter", "label!=keep"]);
    assert_eq!(out, format!("Deleted Containers:\n{id}\n\nTotal reclaimed space: 2kB\n"));
    assert_eq!(lab.ok(["ps", "-a", "--format", "{{.Names}}"]), "runs\nkept\n");
    lab.ok(["rm", "-f", "runs"]);
    let told = lab.ok(["events", "--until", "0s", "--filter", "container=runs", "--format", "{{.Action}}"]);
    assert_eq!(told, "create\nstart\nkill\ndie\ndestroy\n");
    let told = lab.ok(["events", "--until", "0s", "--filter", "event=die", "--filter", "container=wrote"]);
    let want = format!(" container die {id} (exitCode=0, image=busybox, ");
    assert!(told.contains(&want) && told.ends_with("name=wrote)\n"), "{told}");
    // those that come are followed
    let follower = lab.ctr(["events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"]);
    let mut follower = Running({ follower }.stdout(std::process::Stdio::piped()).spawn().expect("ctr runs"));
    let mut reader = std::io::BufReader::new(follower.0.stdout.take().expect("a pipe"));
    let first = std::thread::spawn(move || {
        let mut first = String::new();
        std::io::BufRead::read_line(&mut reader, &mut first).map(|_| first)
    });
    // nobody knows when it has begun to look
    let mut names = ["kept", "late"];
    let told = || {
        lab.ok(["rename", names[0], names[1]]);
        names.reverse();
        first.is_finished()
    };
    assert!(Lab::within(SOON, told), "nothing is told");
    let first = first.join().expect("joined").expect("a line");
    drop(follower);
    assert!(["rename late\n", "rename kept\n"].contains(&&*first), "{first}");
}
