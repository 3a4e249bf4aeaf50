//! The chain loader beside unshare(1).

use crate::bundle::told;
use std::process::{Command, Output, Stdio};
use testkit::need;

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

fn run(program: &str, line: &[&str]) -> Output {
    Command::new(program).args(line).stdin(Stdio::null()).output().expect("starts")
}

#[test]
fn options_mean_what_they_mean_to_unshare() {
    need!(root, "unshare");
    let map = "cat /proc/self/uid_map | tr -s ' '; cat /proc/self/setgroups; id -u";
    let lines: [&[&str]; 9] = [
        &["--mount", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-c", "echo $$; ps -e | wc -l"],
        &["-r", "sh", "-c", map],
        &["--user", "--map-user=5", "--map-group=6", "sh", "-c", "id -u; id -g"],
        &["-mn", "sh", "-c", "ls /sys/class/net >/dev/null; wc -l </proc/net/dev"],
        &["-U", "sh", "-c", "id -u"],
        &["-m", "--propagation", "slave", "sh", "-c", "grep -c master: /proc/self/mountinfo | grep -q ^0 || echo some"],
        &["--fork", "-i", "--kill-child", "sh", "-c", "exit 23"],
        &["-u", "--wd", "/etc", "pwd"],
        &["--time", "--boottime", "100000", "sh", "-c", "cut -c1-6 /proc/self/timens_offsets | head -1; exit 4"],
    ];
    for line in lines {
        let (theirs, ours) = (told(&run("unshare", line)), told(&run(NSRUN, line)));
        assert_eq!((&theirs.0, theirs.2), (&ours.0, ours.2), "{line:?}: {} {}", theirs.1, ours.1);
    }
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    need!(root);
    let cases: [(&[&str], i32, &str); 6] = [
        (&["sh", "-c", "exit 5"], 5, ""),
        (&["--fork", "sh", "-c", "kill -9 $$"], 137, ""),
        (&["no-such-program"], 127, "nsrun: exec \"no-such-program\": executable file not found in $PATH\n"),
        (&["/no/such"], 127, "nsrun: exec \"/no/such\": no such file or directory\n"),
        (&["/etc/passwd"], 126, "nsrun: exec \"/etc/passwd\": permission denied\n"),
        (&["--bogus", "sh"], 125, "nsrun: unknown option --bogus\nhint: nsrun --help\n"),
    ];
    for (line, code, message) in cases {
        let (_, err, ended) = told(&run(NSRUN, line));
        assert_eq!((err.as_str(), ended), (message, Some(code)), "{line:?}");
    }
}

#[test]
fn a_namespace_can_be_kept_in_a_file() {
    need!(root, "nsenter");
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("uts");
    std::fs::write(&file, "").expect("file");
    let script = format!(
        "{NSRUN} --uts={0} hostname kept && {NSRUN} enter --uts={0} hostname && nsenter --uts={0} hostname",
        file.display()
    );
    // In a mount namespace of its own, which takes the binding with it.
    let (out, err, _) = told(&run("unshare", &["-m", "sh", "-c", &script]));
    assert_eq!(out, "kept\nkept\n", "{err}");
}

#[test]
fn a_folder_becomes_a_sandbox() {
    need!(root, "busybox");
    let dir = tempfile::tempdir().expect("dir");
    testkit::fixture::busybox_rootfs(dir.path());
    let root = dir.path().to_str().expect("text");
    let script = "echo $$; hostname; grep -E '^(CapEff|Seccomp):' /proc/self/status; ls /; ls /dev | grep -c .; \
                  touch /proc/sys/x 2>/dev/null || echo refused; unshare -U true 2>/dev/null || echo refused; exit 3";
    let line = ["--unshare-all", "--rootfs", root, "--hostname", "box", "--", "sh", "-c", script];
    let (out, err, code) = told(&run(NSRUN, &line));
    assert_eq!(code, Some(3), "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["1", "box"], "{out}");
    // Docker's fourteen without mknod: no device list is in force here.
    assert_eq!(lines[2..4], ["CapEff:\t00000000a00425fb", "Seccomp:\t2"], "{out}");
    assert!(out.ends_with("refused\nrefused\n"), "{out}");
    let plain = told(&run(
        NSRUN,
        &["--unshare-all", "--rootfs", root, "--init", "sh", "-c", "echo $$; sh -c 'sleep 0.1 & exit'; exit 8"],
    ));
    assert_eq!((plain.0.as_str(), plain.2), ("2\n", Some(8)), "{}", plain.1);
}
