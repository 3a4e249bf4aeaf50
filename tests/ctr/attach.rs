//! Being attached: several at once, detaching and coming back, signals, sizes, input that ends, readers that are slow.

use crate::lab::{Lab, SOON, Said};
use crate::person::Person;
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;
use testkit::need;

/// A shell that waits for somebody.
fn shell(lab: &Lab, name: &str) {
    lab.ok(["run", "-dit", "--name", name, "-e", "PS1=ready> ", "host", "bash", "--norc", "--noediting"]);
}

#[test]
fn several_at_once_see_the_same_and_each_may_type() {
    need!(root, overlay);
    let lab = Lab::new();
    shell(&lab, "shared");
    let mut one = Person::new(&lab, &["attach", "shared"]);
    one.types_until("\n", "ready> ");
    let mut two = Person::new(&lab, &["attach", "shared"]);
    two.types_until("\n", "ready> ");
    one.types("echo from-$((40+1))\n");
    one.sees("from-41");
    two.sees("from-41");
    two.types("echo from-$((40+2))\n");
    one.sees("from-42");
    two.sees("from-42");
    // the last one whose window changes decides
    two.resizes(40, 120);
    two.types_until("stty size\n", "40 120");
    one.sees("40 120");
    one.resizes(33, 99);
    one.types_until("stty size\n", "33 99");
    // one leaves, the other stays; when the shell ends, so does he, with its code
    one.types("\x10\x11");
    one.sees("read escape sequence");
    assert_eq!(one.ends(), 1);
    two.types("echo still $((50+1)); exit 7\n");
    two.sees("still 51");
    assert_eq!(two.ends(), 7);
    assert_eq!(lab.field("shared", "{{.State.ExitCode}}"), "7");
}

#[test]
fn what_is_on_the_screen_is_drawn_again_for_who_comes() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "trap 'stty size' WINCH; echo begun; while :; do sleep 0.1; done";
    lab.ok(["run", "-dit", "--name", "screen", "host", "bash", "-c", script]);
    assert!(Lab::within(SOON, || lab.ok(["logs", "screen"]).contains("begun")));
    let mut person = Person::new(&lab, &["attach", "screen"]);
    person.sees("24 80");
    person.types("\x10\x11");
    assert_eq!(person.ends(), 1);
    // the same size again: a program still hears of it
    let mut person = Person::new(&lab, &["attach", "screen"]);
    person.sees("24 80");
    assert!(lab.ok(["logs", "screen"]).starts_with("begun"), "and it is not begun again");
}

#[test]
fn keys_that_detach_are_the_users_choice() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut person = Person::new(
        &lab,
        &["run", "-it", "--name", "keys", "--detach-keys", "ctrl-a,x", "host", "sh", "-c", "echo up; cat"],
    );
    person.sees("up");
    // the usual ones mean nothing then, and what is not the whole sequence gets through (^A is shown so)
    person.types("\x10\x11");
    person.types("\x01y\n");
    person.sees("^A");
    person.sees("y");
    person.types("\x01x");
    assert_eq!(person.ends(), 0);
    assert_eq!(lab.field("keys", "{{.State.Status}}"), "running");

    // in the client's configuration, which an option overrides
    std::fs::write(lab.path().join("config.json"), r#"{"detachKeys": "ctrl-e,e"}"#).expect("written");
    let mut person = Person::new(&lab, &["attach", "keys"]);
    person.types("typed\n");
    person.sees("typed\r\ntyped");
    person.types("\x05e");
    person.sees("read escape sequence");
    assert!(person.terminal_is_sane());
    assert_eq!(person.ends(), 1);
    let mut person = Person::new(&lab, &["attach", "--detach-keys=DEL", "keys"]);
    person.types("again\n");
    person.sees("again\r\nagain");
    person.types("\x7f");
    assert_eq!(person.ends(), 1);

    for args in [
        &["run", "--name", "not-made", "--detach-keys", "ctrl-", "host", "true"][..],
        &["attach", "--detach-keys", "ctrl-", "--no-stdin", "keys"],
    ] {
        let said = lab.said(args);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.starts_with("ctr: Invalid detach keys (ctrl-) provided\nhint: "), "{said:?}");
    }
    assert!(!lab.ok(["ps", "-a"]).contains("not-made"));
}

#[test]
fn a_client_that_is_killed_leaves_terminal_and_container() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut person = Person::new(&lab, &["run", "-it", "--name", "kept", "host", "sh", "-c", "echo up; cat"]);
    person.sees("up");
    person.types("here\n");
    person.sees("here\r\nhere");
    assert!(!person.terminal_is_sane(), "raw while somebody is in it");
    person.signals(Signal::SIGTERM);
    assert!(Lab::within(SOON, || person.terminal_is_sane()));
    assert_eq!(person.ends(), 143);
    let mut person = Person::new(&lab, &["attach", "kept"]);
    person.types("back\n");
    person.sees("back\r\nback");
    person.signals(Signal::SIGKILL);
    assert_eq!(person.ends(), -9);
    assert_eq!(lab.field("kept", "{{.State.Status}}"), "running");
}

/// Counts and says so, until INT ends it with 5.
const LISTENS: &str = "trap 'exit 5' INT; trap 'echo usr' USR1; echo up; while :; do sleep 0.05; echo tick; done";

#[test]
fn signals_are_the_containers_unless_told_otherwise() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut person = Person::new(&lab, &["run", "--name", "hears", "host", "bash", "-c", LISTENS]);
    person.sees("up");
    person.signals(Signal::SIGUSR1);
    person.sees("usr");
    // a new window size is nobody's signal
    person.resizes(10, 10);
    person.types("\x03");
    assert_eq!(person.ends(), 5);

    let mut person =
        Person::new(&lab, &["run", "--name", "spared", "--sig-proxy=false", "host", "bash", "-c", LISTENS]);
    person.sees("up");
    person.types("\x03");
    assert_eq!(person.ends(), -2);
    assert_eq!(lab.field("spared", "{{.State.Status}}"), "running");
    let mut person = Person::new(&lab, &["attach", "spared"]);
    // before it is attached the key would end it by itself
    person.sees("tick");
    person.types("\x03");
    assert_eq!(person.ends(), 5);
}

#[test]
fn who_starts_one_that_runs_stays_with_it() {
    need!(root, overlay);
    let lab = Lab::new();
    let box_ = ["run", "-di", "--name", "box", "--network", "none", "host", "sh", "-c"];
    lab.ok([&box_[..], &["read a; echo got $a; exit 5"]].concat());
    let said = lab.fed(b"this\n", &["start", "-a", "-i", "box"]);
    assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("got this\n", "", 5));
    let told =
        lab.ok(["events", "--since", "1h", "--until", "0s", "--filter", "event=attach", "--format", "{{.Action}}"]);
    assert_eq!(told, "attach\n", "once, by whoever came");
    // frozen it is nobody's
    lab.ok(["run", "-d", "--name", "ice", "--network", "none", "host", "sleep", "1000"]);
    lab.ok(["pause", "ice"]);
    let said = lab.said(["start", "-a", "ice"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.starts_with("ctr: You cannot attach to a paused container, unpause it first\n"), "{said:?}");
    lab.ok(["unpause", "ice"]);
}

#[test]
fn who_starts_one_that_somebody_else_is_starting_stays_with_it() {
    need!(root, overlay);
    let lab = Lab::new();
    let (begun, go) = (lab.path().join("begun"), lab.path().join("go"));
    let wait = format!("touch {}; until [ -e {} ]; do sleep 0.05; done", begun.display(), go.display());
    let runtime = lab.runtime("run", &wait, "");
    let script = "echo up; read a; echo got $a; exit 5";
    let create = ["create", "-i", "--name", "box", "--network", "none", "--runtime", &runtime, "host", "sh", "-c"];
    lab.ok([&create[..], &[script]].concat());
    let first = lab.ctr(["start", "box"]).stdout(Stdio::null()).spawn().expect("ctr runs");
    assert!(Lab::within(SOON, || begun.exists()), "its runtime is asked");
    let mut second = lab.ctr(["start", "-a", "-i", "box"]);
    let mut second = second.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ctr runs");
    // its own supervisor comes second, and goes
    let alone = || lab.processes().iter().filter(|line| line.contains(" supervise ")).count() == 1;
    assert!(Lab::within(SOON, || second.try_wait().expect("a child").is_some() || alone()));
    std::fs::write(&go, "").expect("written");
    let said = {
        second.stdin.take().expect("a pipe").write_all(b"this\n").expect("it reads");
        Said::from(second.wait_with_output().expect("it ends"))
    };
    assert!(said.out.ends_with("got this\n"), "{said:?}");
    assert_eq!(said.code, 5);
    assert_eq!(Said::from(first.wait_with_output().expect("it ends")).code, 0);
}

/// A client that waits for its disk, in vain, while its container runs.
#[test]
fn a_signal_is_the_containers_as_soon_as_it_may_run_and_the_disk_is_nobodys_business() {
    need!(root, overlay, "strace");
    let lab = Lab::new();
    lab.ok(["run", "--rm", "--network", "none", "host", "true"]);
    let mut command = std::process::Command::new("strace");
    // The tracer is nobody's parent: whom we start is `ctr`. What it starts is not followed, but its threads are.
    command.args(["-D", "-f", "-b", "execve", "-qq", "-o"]).arg(lab.path().join("trace"));
    command.args(["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:delay_enter=4000000"]);
    command.arg(env!("CARGO_BIN_EXE_ctr")).args(["run", "--name", "box", "--network", "none", "host", "bash", "-c"]);
    command.arg("trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done");
    lab.environment(&mut command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace");
    assert!(Lab::within(SOON, || lab.said(["logs", "box"]).out == "up\n"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("signalled");
    let said = Said::from(child.wait_with_output().expect("it ends"));
    assert_eq!(said.code, 6, "{said:?}");
    assert!(said.err.contains("ctr: fsync ") && said.err.contains(": input/output error\n"), "{said:?}");
    assert_eq!(lab.field("box", "{{.State.Status}} {{.State.ExitCode}}"), "exited 6");
    assert!(std::fs::read_to_string(lab.path().join("trace")).expect("a trace").contains("EIO"));
}

/// The same of one that is there already: the client has said the first words, and has not come back from that.
#[test]
fn a_signal_is_the_containers_as_soon_as_it_is_told_to_start() {
    need!(root, overlay, "strace");
    let lab = Lab::new();
    let script = "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done";
    lab.ok(["create", "--name", "box", "--network", "none", "host", "bash", "-c", script]);
    let mut command = std::process::Command::new("strace");
    command.args(["-D", "-f", "-b", "execve", "-qq", "-o"]).arg(lab.path().join("trace"));
    command.args(["-e", "trace=sendmsg", "-e", "inject=sendmsg:delay_exit=4000000"]);
    command.arg(env!("CARGO_BIN_EXE_ctr")).args(["start", "-a", "box"]);
    lab.environment(&mut command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace");
    assert!(Lab::within(SOON, || lab.said(["logs", "box"]).out == "up\n"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("signalled");
    let said = Said::from(child.wait_with_output().expect("it ends"));
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (6, "up\n", ""));
    assert!(std::fs::read_to_string(lab.path().join("trace")).expect("a trace").contains("DELAYED"));
}

#[test]
fn who_insists_gets_out() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "trap 'echo no' INT; echo up; while :; do sleep 0.05; done";
    let mut person = Person::new(&lab, &["run", "--name", "deaf", "host", "bash", "-c", script]);
    person.sees("up");
    for _ in 0..2 {
        person.types("\x03");
        person.sees("no");
    }
    person.types("\x03");
    person.sees("got 3 SIGTERM/SIGINTs, forcefully exiting");
    assert_eq!(person.ends(), 1);
    assert_eq!(lab.field("deaf", "{{.State.Status}}"), "running");
}

#[test]
fn input_ends_once_with_its_client_and_else_stays_open() {
    need!(root, overlay);
    let lab = Lab::new();
    let said = lab.fed(b"one\ntwo\n", &["run", "--rm", "-i", "host", "cat"]);
    assert_eq!((said.out.as_str(), said.code), ("one\ntwo\n", 0), "{said:?}");
    // megabytes through both pipes
    let much = vec![b'x'; 3 << 20];
    let said = lab.fed(&much, &["run", "--rm", "-i", "host", "sh", "-c", "sleep 0.3; cat | wc -c"]);
    assert_eq!(said.out.trim(), much.len().to_string(), "{}", said.err);

    // a client that is killed has no more to say either
    let mut command = lab.ctr(["run", "--name", "once", "-i", "host", "sh", "-c", "echo up; cat; exit 4"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ctr runs");
    let mut up = [0; 3];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut up).expect("it is up");
    assert_eq!(lab.field("once", "{{.State.Status}}"), "running");
    child.kill().expect("killed");
    child.wait().expect("waited");
    assert!(Lab::within(SOON, || lab.field("once", "{{.State.Status}} {{.State.ExitCode}}") == "exited 4"));

    // in the background it is nobody's, and stays open
    lab.ok(["run", "-di", "--name", "open", "host", "sh", "-c", "read a; echo $a; read b; echo $a-$b; cat"]);
    for (text, wait_for) in
        [("first\n", "first\n"), ("second\n", "first-second\n"), ("third\n", "first-second\nthird\n")]
    {
        let mut command = lab.ctr(["attach", "open"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("ctr runs");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        assert!(Lab::within(SOON, || lab.ok(["logs", "open"]).ends_with(wait_for)), "{}", lab.ok(["logs", "open"]));
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().expect("waited").is_none(), "it still shows what comes");
        child.kill().expect("killed");
        child.wait().expect("waited");
    }
    assert_eq!(lab.field("open", "{{.State.Status}}"), "running");
    lab.ok(["kill", "open"]);
}

#[test]
fn who_does_not_read_its_input_still_gets_signals() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done";
    let mut command = lab.ctr(["run", "--name", "full", "-i", "host", "bash", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ctr runs");
    let mut input = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || input.write_all(&vec![0; 1 << 20]));
    let mut up = [0; 3];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut up).expect("it is up");
    std::thread::sleep(Duration::from_millis(300));
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, Signal::SIGTERM).expect("signalled");
    assert_eq!(child.wait().expect("ends").code(), Some(6));
    assert!(writer.join().expect("joined").is_err(), "nobody took a megabyte");
}

#[test]
fn a_slow_reader_loses_nothing_of_a_fast_writer() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut command = lab.ctr(["run", "--rm", "host", "seq", "400000"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("ctr runs");
    let mut out = child.stdout.take().expect("a pipe");
    let mut all = Vec::new();
    let mut bytes = vec![0; 64 << 10];
    loop {
        // slow at first, and asleep when the writer has long ended
        match all.len() {
            n if n < 200_000 => std::thread::sleep(Duration::from_millis(100)),
            n if n > 2_500_000 && n < 2_600_000 => std::thread::sleep(Duration::from_millis(2500)),
            _ => {}
        }
        let n = out.read(&mut bytes).expect("read");
        if n == 0 {
            break;
        }
        all.extend_from_slice(&bytes[..n]);
    }
    let want: String = (1..=400_000).map(|n| format!("{n}\n")).collect();
    assert!(all == want.as_bytes(), "{} bytes of {}", all.len(), want.len());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[test]
fn one_who_does_not_read_at_all_does_not_stop_the_others_for_ever() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["run", "-di", "--name", "flood", "host", "sh", "-c", "read go; seq 600000; echo done; exit 8"]);
    lab.is_visited_by("flood", 0);
    let mut stuck = lab.ctr(["attach", "--no-stdin", "flood"]);
    let mut stuck = stuck.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctr runs");
    let mut command = lab.ctr(["attach", "flood"]);
    let mut reads = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ctr runs");
    // before it begins
    lab.is_visited_by("flood", 2);
    reads.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("written");
    let mut all = String::new();
    reads.stdout.take().expect("a pipe").read_to_string(&mut all).expect("read");
    let want: String = (1..=600_000).map(|n| format!("{n}\n")).collect();
    assert!(all == want + "done\n", "{} bytes", all.len());
    assert_eq!(reads.wait().expect("ends").code(), Some(8));
    // the other gets what was kept for it, whole, and is told why there is no more
    let mut part = String::new();
    stuck.stdout.take().expect("a pipe").read_to_string(&mut part).expect("read");
    let said = Said::from(stuck.wait_with_output().expect("ends"));
    assert!(part.len() > 256 << 10 && all.starts_with(&part), "{} bytes", part.len());
    assert_eq!(said.code, 1);
    assert!(said.err.contains("others are attached"), "{said:?}");
}

#[test]
fn who_ran_it_does_not_wait_for_others_to_read() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "read go; seq 600000; exit 8";
    let mut command = lab.ctr(["run", "-i", "--name", "flood", "--network", "none", "host", "sh", "-c", script]);
    let mut ran = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ctr runs");
    assert!(Lab::within(SOON, || lab.ok(["ps", "-q"]).lines().count() == 1));
    let mut stuck = lab.ctr(["attach", "--no-stdin", "flood"]);
    let stuck = stuck.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctr runs");
    lab.is_visited_by("flood", 2);
    ran.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("written");
    let mut all = String::new();
    ran.stdout.take().expect("a pipe").read_to_string(&mut all).expect("read");
    assert!(all.ends_with("600000\n"));
    let mut code = None;
    assert!(Lab::within(SOON, || {
        code = ran.try_wait().expect("a child").and_then(|status| status.code());
        code.is_some()
    }));
    assert_eq!((code, lab.field("flood", "{{.State.Status}}").as_str()), (Some(8), "exited"));
    assert!(Said::from(stuck.wait_with_output().expect("ends")).out.starts_with("1\n2\n"));
}

#[test]
fn output_of_a_time_when_nobody_looked_is_in_the_log_and_is_not_shown_again() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "echo early; echo oops >&2; read go; echo late; echo late oops >&2; exit 3";
    lab.ok(["run", "-di", "--name", "quiet", "host", "sh", "-c", script]);
    assert!(Lab::within(SOON, || lab.said(["logs", "quiet"]).err == "oops\n"));
    // a container without a terminal: its two streams stay two
    let said = lab.fed(b"go\n", &["attach", "quiet"]);
    assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("late\n", "late oops\n", 3), "{said:?}");
    let said = lab.said(["logs", "quiet"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("early\nlate\n", "oops\nlate oops\n"));
}

#[test]
fn streams_that_are_not_attached_are_not_shown() {
    need!(root, overlay);
    let lab = Lab::new();
    let both = "echo out; echo err >&2";
    let said = lab.said(["run", "--rm", "-a", "stderr", "host", "sh", "-c", both]);
    assert_eq!((said.out.as_str(), said.err.lines().last(), said.code), ("", Some("err"), 0), "{said:?}");
    let said = lab.said(["run", "--name", "aa", "-a", "STDOUT", "host", "sh", "-c", both]);
    assert_eq!((said.out.as_str(), said.err.contains("err\n")), ("out\n", false), "{said:?}");
    assert_eq!(lab.said(["logs", "aa"]).err, "err\n");
    let said = lab.fed(b"typed", &["run", "--name", "bb", "-i", "-a", "stdin", "host", "cat"]);
    assert_eq!((said.out.as_str(), said.code), ("", 0), "{said:?}");
    assert_eq!(lab.ok(["logs", "bb"]), "typed");
    let said = lab.said(["run", "-a", "foo", "host", "true"]);
    assert_eq!(said.code, 125);
    assert!(
        said.err
            .contains("invalid argument \"foo\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR")
    );
    let said = lab.said(["run", "-d", "-a", "stdout", "host", "true"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("conflicting options: cannot specify both --attach and --detach"));
}

#[test]
fn what_cannot_be_attached_to_says_so() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["run", "--name", "over", "host", "true"]);
    shell(&lab, "shell");
    for (args, words) in [
        (&["attach", "over"][..], "You cannot attach to a stopped container, start it first"),
        (&["attach", "shell"], "the input device is not a TTY"),
        (&["run", "-it", "host", "true"], "the input device is not a TTY"),
    ] {
        let said = lab.said(args);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.starts_with(&format!("ctr: {words}\n")), "{said:?}");
    }
    assert_eq!(lab.said(["attach", "nobody"]).code, 1);
    assert_eq!(lab.said(["attach", "--no-such-option", "shell"]).code, 125);
}
