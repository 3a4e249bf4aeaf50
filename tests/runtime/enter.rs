//! The enterer beside nsenter(1).

use crate::bundle::told;
use std::process::{Child, Command, Stdio};
use testkit::need;

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// A process in namespaces of its own; ended with the guard.
struct Target(Child, i32);

impl Target {
    fn new() -> Self {
        let script = "hostname inside; echo $$; exec sleep 1000";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "-u", "-i", "-n", "-C", "-r", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("stdout");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("its pid");
        let pid = line.trim().parse().expect("a number");
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
    let lines: [&[&str]; 7] = [
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

#[test]
fn what_is_missing_is_named() {
    let ran = Command::new(NSRUN).args(["enter", "-m", "true"]).output().expect("starts");
    let (_, err, code) = told(&ran);
    let wanted = "nsrun: enter namespaces: needs a target\nhint: say which process with --target PID\n";
    assert_eq!((err.as_str(), code), (wanted, Some(125)));
    let ran = Command::new(NSRUN).args(["enter", "-t", "999999999", "-m", "true"]).output().expect("starts");
    assert_eq!(told(&ran).1, "nsrun: open process 999999999: no such process\n");
}
