//! Another process in a container that runs: whose streams it has, who it is, and what becomes of it.

use crate::lab::{Lab, SOON};
use crate::person::Person;
use nix::sys::signal::Signal;
use std::process::Stdio;
use std::time::Duration;
use testkit::need;

fn sleeper(lab: &Lab, name: &str) {
    lab.ok(["run", "-d", "--name", name, "-e", "A=1", "-h", "boxed", "host", "sleep", "1000"]);
}

#[test]
fn it_is_as_the_containers_process_but_for_what_is_said() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    let said = lab.said(["exec", "one", "sh", "-c", "echo out; echo err >&2; exit 6"]);
    assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("out\n", "err\n", 6));
    let script = "id -u; id -g; pwd; echo $X $A $HOSTNAME; hostname; readlink /proc/self/fd/0";
    let said = lab.fed(b"", &["exec", "-u", "5:6", "-w", "/tmp", "-e", "X=y", "one", "sh", "-c", script]);
    assert_eq!(said.out, "5\n6\n/tmp\ny 1 boxed\nboxed\n/dev/null\n", "{said:?}");
    assert_eq!(lab.ok(["exec", "-u", "daemon", "one", "sh", "-c", "echo $HOME; id -G"]), "/usr/sbin\n1\n");
    assert_eq!(lab.ok(["exec", "one", "sh", "-c", "echo $HOME [$TERM]"]), "/root []\n");
    std::fs::write(lab.path().join("env"), "# none\nC=file\nUNSET_HERE\n").expect("written");
    let file = lab.path().join("env").display().to_string();
    let out =
        lab.ok(["exec", "--env-file", &file, "-e", "C", "-e", "PATH", "one", "sh", "-c", "echo $C ${UNSET_HERE-none}"]);
    assert_eq!(out, "file none\n");
    assert_eq!(lab.fed(b"typed", &["exec", "-i", "one", "cat"]).out, "typed");
    assert_eq!(lab.fed(b"typed", &["exec", "one", "cat"]).out, "");
    assert_eq!(lab.said(["exec", "one", "sh", "-c", "kill -9 $$"]).code, 137);
    // privileged: all that this machine has, more than a container's
    let caps = |args: &[&str]| lab.ok([&["exec"], args, &["one", "grep", "CapEff", "/proc/self/status"]].concat());
    assert!(caps(&[]).contains("a80425fb"));
    let all =
        u64::from_str_radix(caps(&["--privileged"]).trim().trim_start_matches("CapEff:").trim(), 16).expect("hex");
    assert_eq!(all & 0xa804_25fb, 0xa804_25fb);
    assert!(all.count_ones() > 30, "{all:x}");
    // nothing of it is left
    assert_eq!(lab.field("one", "{{json .ExecIDs}}"), "null");
}

#[test]
fn what_cannot_be_run_has_dockers_code_and_words() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    for (args, code, words) in [
        (&["one", "no-such-program"][..], 127, "executable file not found in $PATH"),
        (&["one", "/no/such/program"], 127, "no such file or directory"),
        (&["one", "/etc/passwd"], 126, "permission denied"),
        (&["-w", "rel", "one", "true"], 126, "ctr: Cwd must be an absolute path"),
        (&["-u", "nosuch", "one", "true"], 126, "ctr: unable to find user nosuch: no matching entries in"),
        (&["-t", "one", "no-such-program"], 127, "executable file not found in $PATH"),
        (&["-d", "one", "no-such-program"], 1, "executable file not found in $PATH"),
        (&["-it", "one", "true"], 1, "ctr: the input device is not a TTY"),
        (&["-e", "=x", "one", "true"], 125, "invalid environment variable: =x"),
        (&["--env-file", "/no/such", "one", "true"], 1, "ctr: open /no/such: no such file or directory"),
        (&["--detach-keys", "nonsense", "-i", "one", "true"], 1, "ctr: Invalid escape keys (nonsense) provided"),
        (&["nobody", "true"], 1, "nobody"),
    ] {
        let said = lab.said([&["exec"], args].concat());
        assert_eq!(said.code, code, "{args:?} {said:?}");
        assert!(said.err.contains(words), "{args:?} {said:?}");
    }
    lab.ok(["pause", "one"]);
    let said = lab.said(["exec", "one", "true"]);
    assert_eq!(
        (said.code, said.err.lines().next()),
        (1, Some("ctr: Container one is paused, unpause the container before exec"))
    );
    lab.ok(["unpause", "one"]);
    let id = lab.field("one", "{{.Id}}");
    lab.ok(["kill", "one"]);
    assert!(Lab::within(SOON, || lab.field("one", "{{.State.Status}}") == "exited"));
    let said = lab.said(["exec", "one", "true"]);
    assert_eq!((said.code, said.err.lines().next()), (1, Some(&*format!("ctr: Container {id} is not running"))));
}

#[test]
fn a_terminal_in_a_container_that_has_none() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    let mut person = Person::new(&lab, &["exec", "-it", "-e", "PS1=ready> ", "one", "bash", "--norc"]);
    person.sees("ready> ");
    person.types("tty; stty size; echo $TERM\n");
    person.sees("/dev/pts/");
    person.sees("24 80");
    person.sees("xterm");
    person.resizes(31, 101);
    person.types_until("stty size\n", "31 101");
    // keys mean what is inside
    person.types("sleep 500\n");
    // the line is taken: what is typed before that goes with a key that is a signal
    person.sees("sleep 500");
    person.sees("\n");
    person.types_until("\x03", "ready> ");
    person.types("exit 5\n");
    assert_eq!(person.ends(), 5);
    // lots of output at the end is not cut off
    let mut person = Person::new(&lab, &["exec", "-t", "one", "sh", "-c", "seq 30000; echo the end; exit 3"]);
    person.sees("\n30000\r");
    person.sees("the end");
    assert_eq!(person.ends(), 3);
    // and not into a pipe either
    let said = lab.said(["exec", "-t", "one", "seq", "100000"]);
    assert_eq!((said.out.lines().count(), said.code), (100_000, 0));
}

#[test]
fn each_of_many_at_once_has_its_own_exit_code() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    let wrong = std::thread::scope(|scope| {
        let loops: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    (0..12).map(|_| lab.said(["exec", "-t", "one", "sh", "-c", "exit 3"])).find(|s| s.code != 3)
                })
            })
            .collect();
        loops.into_iter().find_map(|each| each.join().expect("it ends"))
    });
    assert!(wrong.is_none(), "{wrong:?}");
}

#[test]
fn it_goes_on_when_its_terminal_is_left_or_lost() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    let loud = "echo up; trap '' HUP; while :; do echo loud; sleep 0.01; done";
    let mut person = Person::new(&lab, &["exec", "-it", "one", "sh", "-c", loud]);
    person.sees("up");
    person.types("\x10\x11");
    person.sees("read escape sequence");
    assert!(person.terminal_is_sane());
    assert_eq!(person.ends(), 1);
    let mut person = Person::new(&lab, &["exec", "-it", "--detach-keys", "ctrl-x", "one", "sh", "-c", loud]);
    person.sees("up");
    person.signals(Signal::SIGKILL);
    assert_eq!(person.ends(), -9);
    let count = || lab.field("one", "{{len .ExecIDs}}");
    assert_eq!(count(), "2");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(), "2", "they still write, and somebody reads it");
    // and none of them keeps the container from ending, or is left
    lab.ok(["stop", "-t", "0", "one"]);
    assert_eq!(lab.field("one", "{{json .ExecIDs}} {{.State.Status}}"), "null exited");
}

#[test]
fn in_the_background_it_is_listed_while_it_runs() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    for more in [&["-d"][..], &["-dt"], &["-di"], &["-dit"]] {
        assert_eq!(lab.ok([&["exec"], more, &["one", "sh", "-c", "echo x >>/there; sleep 1000"]].concat()), "");
    }
    assert!(Lab::within(SOON, || lab.ok(["exec", "one", "cat", "/there"]) == "x\nx\nx\nx\n"));
    let ids = lab.field("one", "{{range .ExecIDs}}{{.}} {{end}}");
    let ids: Vec<&str> = ids.split_whitespace().collect();
    assert!(ids.len() == 4 && ids.iter().all(|id| id.len() == 64), "{ids:?}");
    lab.ok(["exec", "one", "pkill", "-f", "there"]);
    assert!(Lab::within(SOON, || lab.field("one", "{{json .ExecIDs}}") == "null"));
}

#[test]
fn it_ends_with_the_container() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    let mut piped = lab.ctr(["exec", "one", "sh", "-c", "echo up; sleep 1000"]);
    let mut piped = piped.stdout(Stdio::piped()).spawn().expect("ctr runs");
    let mut person = Person::new(&lab, &["exec", "-it", "one", "sh", "-c", "echo up; sleep 1000"]);
    person.sees("up");
    assert!(Lab::within(SOON, || lab.field("one", "{{len .ExecIDs}}") == "2"));
    lab.ok(["kill", "one"]);
    assert_eq!(person.ends(), 137);
    assert_eq!(piped.wait().expect("ends").code(), Some(137));
}

#[test]
fn without_a_supervisor_it_still_runs_in_the_foreground() {
    need!(root, overlay);
    let lab = Lab::new();
    sleeper(&lab, "one");
    lab.kill_supervisor("one");
    let said = lab.said(["exec", "one", "echo", "here"]);
    assert_eq!((said.out.as_str(), said.code), ("here\n", 0), "{said:?}");
    let said = lab.said(["exec", "-d", "one", "true"]);
    assert_eq!((said.code, said.err.lines().count()), (1, 2), "{said:?}");
}

#[test]
fn another_user_keeps_the_groups_and_the_umask_that_were_asked_for() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok([
        "run",
        "-d",
        "--name",
        "one",
        "--network",
        "none",
        "--group-add",
        "55",
        "--umask",
        "0077",
        "host",
        "sleep",
        "1000",
    ]);
    assert_eq!(lab.ok(["exec", "-u", "7:8", "one", "sh", "-c", "id -G; umask"]), "8 55\n0077\n");
    assert_eq!(lab.ok(["exec", "one", "sh", "-c", "id -G; umask"]), "0 55\n0077\n");
}
