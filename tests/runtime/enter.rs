//! The enterer beside nsenter(1).

use crate::bundle::told;
use crate::pty::Pty;
use std::process::{Child, Command, Stdio};
use testkit::need;

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// A process in namespaces of its own; ended with the guard.
struct Target(Child, i32);

impl Target {
    fn new() -> Self {
        Self::with(&["-m", "-u", "-i", "-n", "-C", "-r"])
    }

    /// In these namespaces (by unshare's options).
    fn with(options: &[&str]) -> Self {
        let script = "hostname inside; cut -d' ' -f1 /proc/self/stat >/dev/null; echo $$; exec sleep 1000";
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", script]);
        command.env("VENEER", "target's").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("stdout");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("its pid");
        // In a pid namespace of its own it calls itself 1; it is the child of who forked it.
        let parent = child.id();
        let below = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        let pid = below.split_whitespace().next().unwrap_or(line.trim()).parse().expect("a number");
        Self(child, pid)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn options_mean_what_they_mean_to_nsenter() {
    need!(root, "nsenter", "unshare");
    let target = Target::new();
    let pid = target.1.to_string();
    let spaces = "for n in mnt uts ipc net cgroup user pid; do readlink /proc/self/ns/$n; done; id -u";
    let lines: [&[&str]; 15] = [
        &["-m", "-W/etc", "pwd"],
        &["-m", "--wdns=/etc", "pwd"],
        &["-m", "-w/etc", "sh", "-c", "ls hosts"],
        &["-m", "-r", "pwd"],
        &["-U", "sh", "-c", "id -u; id -g; grep ^CapEff /proc/self/status"],
        &["-U", "-S0", "-G0", "id", "-u"],
        &[&format!("-n/proc/{pid}/ns/net"), &format!("--uts=/proc/{pid}/ns/uts"), "sh", "-c", spaces],
        &["-a", "-F", "hostname"],
        &["-a", "sh", "-c", spaces],
        &["-u", "hostname"],
        &["-m", "-u", "-n", "-i", "sh", "-c", spaces],
        &["-U", "--preserve-credentials", "sh", "-c", "readlink /proc/self/ns/user"],
        &["-n", "-S", "5", "-G", "6", "sh", "-c", "id -u; id -g"],
        &["-m", "-r", "-w", "pwd"],
        &["-u", "sh", "-c", "exit 6"],
    ];
    for line in lines {
        let theirs = Command::new("nsenter").args(["-t", &pid]).args(line).output().expect("starts");
        let ours = Command::new(NSRUN).args(["enter", "-t", &pid]).args(line).output().expect("starts");
        let (theirs, ours) = (told(&theirs), told(&ours));
        assert_eq!((&theirs.0, theirs.2), (&ours.0, ours.2), "{line:?}: {} {}", theirs.1, ours.1);
    }
}

/// What nsenter 2.38 has not: by its manual.
#[test]
fn newer_options_do_what_the_manual_says() {
    need!(root, "unshare", "perl");
    let target = Target::new();
    let pid = target.1.to_string();
    let enter = |line: &[&str]| {
        told(&Command::new(NSRUN).args(["enter", "-t", &pid]).args(line).stdin(Stdio::null()).output().expect("starts"))
    };
    let (out, err, _) = enter(&["-u", "-e", "sh", "-c", "echo $VENEER; hostname"]);
    assert_eq!(out, "target's\ninside\n", "{err}");
    let (out, err, _) = enter(&["-u", "-S", "follow", "-G", "follow", "sh", "-c", "id -u; id -g"]);
    assert_eq!(out, "0\n0\n", "{err}");
    let (out, err, _) = enter(&["-U", "--keep-caps", "-S0", "grep", "^CapAmb", "/proc/self/status"]);
    assert!(out.trim_end().len() > 10 && !out.contains("CapAmb:\t0000000000000000"), "{out} {err}");
    let own = std::fs::read_link("/proc/self/ns/user").expect("link").display().to_string();
    let (out, err, code) = enter(&["--user-parent", "-u", "readlink", "/proc/self/ns/user"]);
    // Its parent is our own, which setns(2) refuses, as nsenter's is; deeper ones are entered.
    assert!(out.trim() == own || (code == Some(125) && err.contains("hint: ")), "{out} {err}");
    let (inode, err, _) =
        told(&Command::new(NSRUN).args(["enter", "-t", &format!("{pid}:5"), "-u", "true"]).output().expect("starts"));
    assert!(inode.is_empty() && err.contains("is another process by now"), "{err}");

    // A socket of a network namespace that no process is in any more but for it.
    let script = "socket S, 2, 1, 0; print fileno(S), qq(\n); $| = 1; system q(readlink /proc/self/ns/net); print qq(.\n); sleep 1000";
    let mut child =
        Command::new("unshare").args(["-n", "perl", "-e", script]).stdout(Stdio::piped()).spawn().expect("starts");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
        line.trim().to_owned()
    };
    let (first, second) = (line(), line());
    let (number, space) = if first.starts_with("net:") { (second, first) } else { (first, second) };
    let mut ran = Command::new(NSRUN);
    ran.args(["enter", "-t", &child.id().to_string(), "-N", &number, "readlink", "/proc/self/ns/net"]);
    let said = told(&ran.output().expect("starts"));
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(said.0.trim(), space, "{}", said.1);
}

#[test]
fn it_joins_the_targets_cgroups() {
    need!(root, cgroup1);
    let path = format!("/veneer-test-enter-{}", std::process::id());
    let mut sandbox = Command::new(NSRUN);
    sandbox.args(["--pids-limit", "9", "--memory", "99m", "--cgroup-path", &path, "sh", "-c", "echo up; read stop"]);
    let mut child = sandbox.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("stdout")), &mut line)
        .expect("a line");
    let parent = child.id();
    let below = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("children");
    let theirs = std::fs::read_to_string(format!("/proc/{}/cgroup", below.trim())).expect("its groups");
    let mut ran = Command::new(NSRUN);
    ran.args(["enter", "-t", below.trim(), "--join-cgroup", "cat", "/proc/self/cgroup"]);
    let (out, err, _) = told(&ran.output().expect("starts"));
    drop(child.stdin.take());
    let _ = child.wait();
    assert!(theirs.contains(&path), "{theirs}");
    assert_eq!(out, theirs, "{err}");
}

#[test]
fn a_shell_in_a_pid_namespace_has_the_terminal_and_stops_with_us() {
    need!(root, "unshare", "setsid", "dash", "bash");
    let target = Target::with(&["-f", "-p", "-m", "-u", "--mount-proc", "--kill-child"]);
    let pid = target.1.to_string();
    // As typed for nsenter, which leaves dash complaining at its end.
    let mut pty = Pty::new(&[NSRUN, "enter", "-m", "-u", "-n", "-p", "-i", "-t", &pid, "dash"]);
    pty.expect("P> ");
    pty.type_in("hostname; sleep 1000\n");
    pty.expect("\ninside\r");
    std::thread::sleep(std::time::Duration::from_millis(500));
    pty.type_in("\x03");
    pty.expect("P> ");
    pty.type_in("exit 6\n");
    let (said, code) = pty.end();
    assert!(code == Some(6) && !said.contains("annot"), "{said}");

    let mut pty = Pty::new(&["bash", "--norc", "-i"]);
    pty.expect("P> ");
    pty.type_in(&format!("{NSRUN} enter -p -m -t {pid} sh -c 'echo up; exec sleep 1000'\n"));
    pty.expect("\nup\r");
    std::thread::sleep(std::time::Duration::from_millis(300));
    pty.type_in("\x1a");
    pty.expect("Stopped");
    pty.type_in("echo outer; fg\n");
    pty.expect("\nouter\r");
    pty.expect("sleep 1000");
    std::thread::sleep(std::time::Duration::from_millis(500));
    pty.type_in("\x03");
    pty.expect("P> ");
    pty.type_in("echo code $?; exit 2\n");
    pty.expect("\ncode 130\r");
    assert_eq!(pty.end().1, Some(2));

    let mut pty = Pty::new(&[NSRUN, "enter", "-a", "--tty", "-t", &pid, "dash"]);
    pty.expect("P> ");
    pty.type_in("stty size; exit 5\n");
    pty.expect("\n33 77\r");
    assert_eq!(pty.end().1, Some(5));
}

#[test]
fn what_is_missing_is_named() {
    let ran = Command::new(NSRUN).args(["enter", "-t", "1", "true"]).output().expect("starts");
    let (_, err, code) = told(&ran);
    assert!(
        err.starts_with("nsrun: enter: nothing to enter\nhint: say which namespaces") && code == Some(125),
        "{err}"
    );
    let ran = Command::new(NSRUN).args(["enter", "-n/etc/passwd", "true"]).output().expect("starts");
    assert!(told(&ran).1.contains("hint: the file is no namespace"), "{}", told(&ran).1);
    let ran = Command::new(NSRUN).args(["enter", "-m", "true"]).output().expect("starts");
    let (_, err, code) = told(&ran);
    let wanted = "nsrun: enter namespaces: needs a target\nhint: say which process with --target PID\n";
    assert_eq!((err.as_str(), code), (wanted, Some(125)));
    let ran = Command::new(NSRUN).args(["enter", "-t", "999999999", "-m", "true"]).output().expect("starts");
    assert_eq!(told(&ran).1, "nsrun: open process 999999999: no such process\n");
}

#[test]
fn a_namespace_is_named_by_its_id() {
    need!(root, "unshare", "python3");
    let target = Target::new();
    // NS_GET_ID of <linux/nsfs.h>; Linux 6.18.
    let script = "import fcntl,struct,sys\nfor kind in ('uts','net'):\n  with open(f'/proc/{sys.argv[1]}/ns/{kind}') as f:\n    \
                  print(struct.unpack('Q', fcntl.ioctl(f, 0x8008b70d, bytes(8)))[0])";
    let pid = target.1.to_string();
    let out = Command::new("python3").args(["-c", script, &pid]).output().expect("python3 runs");
    if !out.status.success() {
        let (_, err, code) = told(&Command::new(NSRUN).args(["enter", "-u=:1", "true"]).output().expect("starts"));
        assert!(code == Some(125) && err.contains("Linux 6.18"), "{err}");
        return;
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let ids: Vec<&str> = text.lines().collect();
    let enter = |words: &[&str]| told(&Command::new(NSRUN).arg("enter").args(words).output().expect("starts"));
    let (uts, net) = (format!("-u=:{}", ids[0]), format!("--net=:{}", ids[1]));
    let (out, err, code) = enter(&[&uts, &net, "sh", "-c", "hostname; readlink /proc/self/ns/net"]);
    let wanted = std::fs::read_link(format!("/proc/{pid}/ns/net")).expect("the namespace");
    assert_eq!((out, code), (format!("inside\n{}\n", wanted.display()), Some(0)), "{err}");
    let (_, err, code) = enter(&["-u=:18446744073709551615", "true"]);
    assert!(code == Some(125) && err.contains("no uts namespace of that id"), "{err}");
    assert_eq!(enter(&["-u=:x", "true"]).1, "nsrun: namespace :x: is no id of a namespace\n");
    assert_eq!(enter(&[&format!("-u=:{}", ids[1]), "true"]).2, Some(125), "a namespace of another kind");
}
