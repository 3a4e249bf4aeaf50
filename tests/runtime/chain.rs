//! The chain loader beside unshare(1).

use crate::bundle::told;
use crate::tree::until;
use std::io::{BufRead, BufReader};
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
    let dir = tempfile::tempdir().expect("dir");
    testkit::fixture::busybox_rootfs(dir.path());
    let root = dir.path().to_str().expect("text");
    let lines: [&[&str]; 18] = [
        &["-S5", "-G6", "sh", "-c", "id -u; id -g; id -G"],
        &["-R", root, "-w", "/bin", "/bin/sh", "-c", "pwd; ls / | grep -c bin"],
        &[&format!("-R{root}"), "/bin/pwd"],
        &["-c", "--keep-caps", "sh", "-c", "grep -E '^Cap(Amb|Eff)' /proc/self/status; id -u"],
        &[
            "-m",
            "--propagation",
            "shared",
            "--mount-proc",
            "sh",
            "-c",
            "grep ' /proc ' /proc/self/mountinfo | tail -n 1 | grep -c shared:",
        ],
        &["-m", "--propagation", "unchanged", "true"],
        &["-fmpT", "--monotonic", "1000", "--boottime=-5", "sh", "-c", "tr -s ' ' </proc/self/timens_offsets; echo $$"],
        &["-Cfun", "--kill-child=SIGTERM", "sh", "-c", "cat /proc/self/cgroup | cut -d: -f3 | sort -u; exit 9"],
        &["--setgroups", "deny", "-U", "cat", "/proc/self/setgroups"],
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

/// What unshare 2.38 has not: by its manual.
#[test]
fn newer_options_do_what_the_manual_says() {
    need!(root, "bash");
    let say = |line: &[&str]| told(&run(NSRUN, line));
    let maps = "tr -s ' ' </proc/self/uid_map; id -u";
    let (out, err, _) = say(&["--map-users=all", "--map-groups=all", "sh", "-c", maps]);
    assert_eq!(out, " 0 0 4294967295\n0\n", "{err}");
    // Before 2.39 root's ranges had to be in /etc/subuid as well.
    let both = "sort /proc/self/uid_map | tr -s ' '; sort /proc/self/gid_map | tr -s ' '";
    let cases: [(&[&str], &str); 3] = [
        (&["--map-users=0:100000:1000", "--map-groups=0:200000:10"], " 0 100000 1000\n 0 200000 10\n"),
        (&["--map-users=100000,0,1000", "--map-user=7"], " 0 100000 7\n 7 0 1\n 8 100007 992\n"),
        (&["--map-users=0,0,65536", "--map-groups=0:0:10", "-r"], " 0 0 1\n 1 1 65535\n 0 0 1\n 1 1 9\n"),
    ];
    for (line, wanted) in cases {
        let (out, err, _) = say(&[line, &["sh", "-c", both]].concat());
        assert_eq!(out, wanted, "{line:?}: {err}");
    }
    for fork in ["-f", "--forward-signals", "--user"] {
        // The kernel tells whom a user namespace belongs to (NS_GET_OWNER_UID, 0xb704).
        let owner = "perl -e 'open F, \"</proc/self/ns/user\"; my $u = pack \"L\", 0; ioctl F, 0xb704, $u; print unpack(\"L\", $u), \"\\n\"'";
        let (out, err, _) = say(&[
            "--owner",
            "1234:1235",
            fork,
            "--map-users=0:1234:1",
            "--map-groups=0:1235:1",
            "sh",
            "-c",
            &format!("id -u; id -g; {owner}"),
        ]);
        assert_eq!(out, "0\n0\n0\n", "seen from inside, where 1234 is 0: {fork}: {err}");
    }
    let (out, err, _) = say(&["--clear-env", "/usr/bin/env"]);
    assert_eq!(out, "", "{err}");
    let file = tempfile::Builder::new().prefix("face").tempfile().expect("file").into_temp_path();
    std::fs::write(&file, "FACE and more\n").expect("written");
    let path = file.to_str().expect("text");
    let script = format!("chmod +x {path}; {path}; ls /proc/sys/fs/binfmt_misc");
    let (out, err, _) = say(&["-fp", "-r", "--load-interp", ":face:M::FACE::/bin/cat:", "sh", "-c", &script]);
    assert_eq!(out, "FACE and more\nface\nregister\nstatus\n", "{err}");
    let root = ["-R", "/", "--load-interp=:face:M::FACE::/bin/cat:F"];
    let (out, err, _) = say(&[&["-fp", "-r"], &root[..], &["sh", "-c", &script]].concat());
    assert!(out.starts_with("FACE and more\n"), "{out} {err}");
}

#[test]
fn ranges_of_the_callers_own_are_mapped() {
    need!(user, "unshare");
    for line in ["--map-auto", "--map-root-user --map-auto", "--map-auto --map-current-user", "--map-users auto"] {
        let script = format!(
            "{line} sh -c 'sort /proc/self/uid_map | tr -s \" \" | cut -d\" \" -f2,3; sort /proc/self/gid_map | tr -s \" \" | cut -d\" \" -f2,3; cat /proc/self/setgroups'"
        );
        let say = |program: &str| {
            told(&testkit::user::command("sh").args(["-c", &format!("{program} {script}")]).output().expect("starts"))
        };
        let (theirs, ours) = (say("unshare"), say(NSRUN));
        assert_eq!((&theirs.0, theirs.2), (&ours.0, ours.2), "{line}: {} {}", theirs.1, ours.1);
    }
    let (out, err, _) = told(
        &testkit::user::command("sh")
            .args(["-c", &format!("{NSRUN} --map-subids sh -c 'tr -s \" \" </proc/self/uid_map'")])
            .output()
            .expect("starts"),
    );
    let numbers: Vec<&str> = out.split_whitespace().collect();
    assert!(numbers.len() == 3 && numbers[0] == numbers[1], "{out} {err}");
}

#[test]
fn a_shell_without_a_name_is_a_login_shell() {
    need!(root, "unshare", "bash");
    for shell in ["/bin/bash", "/bin/sh"] {
        let say = |program: &str| {
            let mut command = Command::new(program);
            let mut child = command
                .arg("-u")
                .env("SHELL", shell)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), b"echo $0\n").expect("typed");
            told(&child.wait_with_output().expect("ends"))
        };
        let (theirs, ours) = (say("unshare"), say(NSRUN));
        assert_eq!(theirs.0, ours.0, "{shell}: {}", ours.1);
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
    // The pid namespace lives on by its first process; the mount namespace needs a file on a private mount.
    let more = format!(
        "mount -t tmpfs none {0} && touch {0}/pid {0}/mnt {0}/time && {{ {NSRUN} --fork --pid={0}/pid --time={0}/time --boottime 100000 sleep 20 & sleep 1; }} && nsenter --pid={0}/pid sh -c 'echo $PPID' && {NSRUN} enter --time={0}/time head -n 2 /proc/self/timens_offsets | tail -n 1 | tr -s ' ' && {NSRUN} --mount={0}/mnt sh -c 'mount -t tmpfs inside /mnt' && {NSRUN} enter --mount={0}/mnt grep -c inside /proc/mounts; kill $!",
        dir.path().display()
    );
    let (out, err, _) = told(&run("unshare", &["-m", "sh", "-c", &more]));
    assert_eq!(out, "0\nboottime 100000 0\n1\n", "{err}");
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

/// PID 1 is a process of ours: what it was called with, and its environment, are the machine's affair.
#[test]
fn of_our_init_nothing_is_seen_but_what_it_runs() {
    need!(root, busybox);
    let dir = tempfile::tempdir().expect("folder");
    let root = testkit::fixture::busybox_rootfs(&dir.path().join("rootfs"));
    let script = "tr '\\0' ' ' </proc/1/cmdline; echo; tr '\\0' '\\n' </proc/1/environ | grep -c .";
    let mut line = Command::new(NSRUN);
    line.args(["--unshare-all", "--init", "--rootfs"]).arg(root).args(["--", "sh", "-c", script]);
    let (out, err, _) = told(&line.env("VENEER_SECRET", "x").output().expect("starts"));
    assert!(out.starts_with("nsrun-init -- sh -c tr") && out.ends_with("\n0\n"), "{out}{err}");
    assert!(!out.contains("rootfs"), "{out}");
}

#[test]
fn real_time_signals_are_passed_on_too() {
    need!(root, busybox);
    for init in [&[][..], &["--init"]] {
        let script = "trap 'echo got; exit 5' 37; echo up; while :; do sleep 0.05; done";
        let mut line = Command::new(NSRUN);
        line.args(["--fork", "--pid", "--kill-child"]).args(init).args(["--", "sh", "-c", script]);
        let mut nsrun = line.stdout(Stdio::piped()).spawn().expect("nsrun runs");
        let mut said = BufReader::new(nsrun.stdout.take().expect("a pipe")).lines();
        assert_eq!(said.next().expect("a line").expect("text"), "up");
        let sent = Command::new("kill").args(["-37", &nsrun.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let code = nsrun.wait().expect("it ends").code();
        assert_eq!((said.next().map(Result::unwrap), code), (Some("got".to_owned()), Some(5)), "{init:?}");
    }
}

#[test]
fn a_command_waits_for_the_word_and_is_ended_before_it() {
    need!(root);
    let folder = tempfile::tempdir().expect("folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    let sh = |line: &str| {
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("exec {NSRUN} {line} 5<>{}", fifo.display())]).stdin(Stdio::null());
        sh
    };
    for more in ["--fork", "--fork --pid", "--tty", "--tty --pid"] {
        let mut line = sh(&format!("{more} --info-fd 1 --block-fd 5 true"));
        let mut nsrun = line.stdout(Stdio::piped()).spawn().expect("nsrun runs");
        let mut said = BufReader::new(nsrun.stdout.take().expect("a pipe")).lines();
        assert!(said.any(|line| line.expect("text").contains("child-pid")), "{more}");
        let sent = Command::new("kill").arg(nsrun.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
        until("nsrun ends", || nsrun.try_wait().expect("waits").is_some());
        assert_eq!(nsrun.wait().expect("it ends").code(), Some(143), "{more}");
    }
    let ready = folder.path().join("ready");
    for more in ["", "--fork --pid", "--ro-bind / /"] {
        let _ = std::fs::remove_file(&ready);
        let waits = sh(&format!("{more} --block-fd 5 cat {}", ready.display())).stdout(Stdio::piped()).spawn();
        let waits = waits.expect("nsrun runs");
        std::thread::sleep(std::time::Duration::from_millis(300));
        std::fs::write(&ready, "ready").expect("written");
        std::fs::write(&fifo, "x").expect("the word");
        let (out, err, code) = told(&waits.wait_with_output().expect("it ends"));
        assert_eq!((out.as_str(), code), ("ready", Some(0)), "{more:?}: {err}");
    }
}
