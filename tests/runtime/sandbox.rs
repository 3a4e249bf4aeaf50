//! A root put together by mount options, beside bwrap(1): the same command line on both.

use crate::bundle::told;
use std::process::{Command, Stdio};
use testkit::{need, user};

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

fn run(program: &str, line: &[&str]) -> (String, String, Option<i32>) {
    told(&Command::new(program).args(line).stdin(Stdio::null()).output().expect("starts"))
}

/// Both say the same, and end the same.
#[track_caller]
fn same(line: &[&str]) -> String {
    let (theirs, ours) = (run("bwrap", line), run(NSRUN, line));
    assert_eq!((&theirs.0, theirs.2), (&ours.0, ours.2), "{line:?}: {} {}", theirs.1, ours.1);
    ours.0
}

#[test]
fn mounts_are_made_in_the_order_given() {
    need!(root, "bwrap");
    same(&[
        "--ro-bind",
        "/",
        "/",
        "--tmpfs",
        "/tmp",
        "--dir",
        "/tmp/a",
        "--tmpfs",
        "/tmp/a",
        "ls",
        "-A",
        "/tmp",
        "/tmp/a",
    ]);
    same(&[
        "--ro-bind",
        "/",
        "/",
        "--tmpfs",
        "/mnt",
        "--ro-bind",
        "/etc",
        "/mnt/etc",
        "--tmpfs",
        "/mnt",
        "ls",
        "-A",
        "/mnt",
    ]);
    let small = [
        "--bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/bin",
        "/bin",
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
    ];
    let with = |rest: &[&'static str]| small.iter().copied().chain(rest.iter().copied()).collect::<Vec<_>>();
    same(&with(&["sh", "-c", "ls /; readlink /bin; pwd"]));
    same(&with(&["--dir", "/a/b/c", "--chmod", "700", "/a", "sh", "-c", "stat -c '%a %n' / /a /a/b /a/b/c"]));
    same(&with(&[
        "--perms",
        "700",
        "--size",
        "65536",
        "--tmpfs",
        "/t",
        "--tmpfs",
        "/u",
        "sh",
        "-c",
        "stat -c %a /t /u; head -c 99999 /dev/zero >/t/x; wc -c /t/x",
    ]));
    same(&with(&["--ro-bind-try", "/no/such", "/x", "--bind-try", "/etc", "/e", "sh", "-c", "ls /; ls -d /e/passwd"]));
}

#[test]
fn binds_have_the_attributes_of_their_kind() {
    need!(root, "bwrap");
    let script = "while read -r a b c root point options rest; do case $point in /ro|/rw|/dv) echo $point ${options%,relatime};; esac; done </proc/self/mountinfo";
    let dir = tempfile::tempdir().expect("dir");
    let d = dir.path().to_str().expect("text");
    let line = [
        "--ro-bind",
        "/",
        "/",
        "--tmpfs",
        "/mnt",
        "--proc",
        "/proc",
        "--tmpfs",
        "/run",
        "--ro-bind",
        d,
        "/run/ro",
        "--bind",
        d,
        "/run/rw",
        "--dev-bind",
        d,
        "/run/dv",
    ];
    let script = script.replace("/ro|/rw|/dv", "/run/ro|/run/rw|/run/dv");
    let said = same(&[&line[..], &["sh", "-c", &script]].concat());
    assert_eq!(said, "/run/ro ro,nosuid,nodev\n/run/rw rw,nosuid,nodev\n/run/dv rw,nosuid\n");
    same(&[&line[..], &["sh", "-c", "echo x >/run/ro/x; echo y >/run/rw/y; cat /run/ro/y"]].concat());
    same(&[&line[..], &["--remount-ro", "/run/rw", "sh", "-c", "echo z >/run/rw/z; ls /run/rw"]].concat());
}

#[test]
fn proc_and_dev_are_the_sandboxs_own() {
    need!(root, "bwrap");
    let line = ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"];
    same(
        &[
            &line[..],
            &[
                "sh",
                "-c",
                "ls /dev; readlink /dev/ptmx /dev/fd; echo x >/dev/null && head -c 4 /dev/zero | wc -c; ls /dev/pts",
            ],
        ]
        .concat(),
    );
    same(
        &[
            &line[..],
            &["sh", "-c", "wc -l </proc/net/dev; ls /proc | grep -c '^[0-9]*$' | grep -q '^[1-9]$' && echo few"],
        ]
        .concat(),
    );
    let (out, err, _) = run(
        NSRUN,
        &[
            &line[..],
            &["sh", "-c", "cat /proc/timer_list; echo x >/proc/sys/kernel/hostname || echo refused; ls /sys/firmware"],
        ]
        .concat(),
    );
    assert_eq!(out, "refused\n", "masked as in a container: {err}");
}

#[test]
fn files_come_from_descriptors() {
    need!(root, "bwrap");
    let script = "exec 5<<X 6<<Y 7<<Z\nfive\nX\nsix\nY\nseven\nZ\nexec \"$@\"";
    let inside = "cat /tmp/f /tmp/g /tmp/h; stat -c '%a %n' /tmp/g; echo n >>/tmp/g && echo changed; echo n >>/tmp/h || echo kept; ls -A /tmp";
    let line = [
        "--ro-bind",
        "/",
        "/",
        "--tmpfs",
        "/tmp",
        "--file",
        "5",
        "/tmp/f",
        "--perms",
        "640",
        "--bind-data",
        "6",
        "/tmp/g",
        "--ro-bind-data",
        "7",
        "/tmp/h",
        "sh",
        "-c",
        inside,
    ];
    let mut said = Vec::new();
    for program in ["bwrap", NSRUN] {
        let ran = Command::new("sh").args(["-c", script, "sh", program]).args(line).output().expect("starts");
        said.push(told(&ran));
    }
    assert_eq!((&said[0].0, said[0].2), (&said[1].0, said[1].2), "{} {}", said[0].1, said[1].1);
    assert!(said[1].0.contains("five\nsix\nseven\n640 /tmp/g\nchanged\nkept\n"), "{}", said[1].0);
}

#[test]
fn the_environment_is_changed_in_order() {
    need!(root, "bwrap");
    let base = ["--ro-bind", "/", "/", "--chdir", "/usr"];
    let lines: [&[&str]; 3] = [
        &["--clearenv", "--setenv", "A", "-x", "--setenv", "B", "b", "--unsetenv", "B"],
        &["--setenv", "A", "gone", "--clearenv", "--setenv", "PATH", "/usr/bin"],
        &["--setenv", "A", "1", "--setenv", "A", "2"],
    ];
    for line in lines {
        same(&[&base[..], line, &["/bin/sh", "-c", "env | grep -v -e ^_= -e ^SHLVL= | sort; pwd"]].concat());
    }
    let (out, err, _) = run(
        NSRUN,
        &[
            "--whitelist-env",
            "HOME",
            "--setenv",
            "B",
            "b",
            "--argv0",
            "me",
            "/bin/sh",
            "-c",
            "env | grep -c ^PATH=; echo $B $0",
        ],
    );
    assert_eq!(out, "0\nb me\n", "{err}");
}

#[test]
fn who_watches_learns_of_the_child_and_its_end() {
    need!(root, "bwrap");
    let mut told_lines = Vec::new();
    for program in ["bwrap", NSRUN] {
        let line = format!(
            "{program} --unshare-pid --unshare-net --ro-bind / / --json-status-fd 3 --info-fd 4 sh -c 'exit 3' 3>&1 4>&2 >/dev/null"
        );
        let (out, info, code) = run("sh", &["-c", &line]);
        assert_eq!(code, Some(3), "{info}");
        let first: serde_json::Value = serde_json::from_str(&info).expect("a document");
        let lines: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(first, lines[0], "{program}");
        assert_eq!(lines[1]["exit-code"], 3, "{program}");
        let names: Vec<String> = lines[0].as_object().expect("an object").keys().cloned().collect();
        told_lines.push(names);
    }
    assert_eq!(told_lines[0], told_lines[1]);
}

#[test]
fn the_end_of_the_parent_is_the_sandboxs_end() {
    need!(root, "bwrap");
    for program in ["bwrap", NSRUN] {
        // bwrap's forgets it with a change of ids.
        for more in ["", "--uid 5 --gid 5"].into_iter().filter(|m| m.is_empty() || program == NSRUN) {
            let dir = tempfile::tempdir().expect("dir");
            let path = dir.path().join("pid");
            // The shell is the parent; what is inside is told by the status line.
            let line = format!(
                "{program} --die-with-parent --unshare-pid {more} --ro-bind / / --json-status-fd 3 sleep 1000 3>{} & wait",
                path.display()
            );
            let mut parent = Command::new("sh").args(["-c", &line]).stdout(Stdio::null()).spawn().expect("starts");
            let pid = wait_for(|| {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let line: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
                line["child-pid"].as_i64()
            });
            // Of one that has ended and that nobody has asked after this link is gone.
            let running = || std::path::Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok();
            wait_for(|| {
                std::fs::read_to_string(format!("/proc/{pid}/comm"))
                    .ok()
                    .filter(|c| c.starts_with("sleep") || program == "bwrap")
            });
            if program != NSRUN {
                // bwrap asks to die with its parent only after it has told of its child.
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            assert!(running());
            parent.kill().expect("ends");
            parent.wait().expect("ended");
            wait_for(|| (!running()).then_some(()));
        }
    }
}

#[track_caller]
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "in 20 seconds it did not come");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn overlays_lie_over_each_other_lowest_first() {
    need!(root, overlay);
    let dir = tempfile::tempdir().expect("dir");
    for name in ["lo", "hi", "up", "work"] {
        std::fs::create_dir(dir.path().join(name)).expect("folder");
    }
    std::fs::write(dir.path().join("lo/both"), "lo\n").expect("file");
    std::fs::write(dir.path().join("hi/both"), "hi\n").expect("file");
    let at = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    let (lo, hi, up, work) = (at("lo"), at("hi"), at("up"), at("work"));
    let both = ["--ro-bind", "/", "/", "--tmpfs", "/mnt", "--overlay-src", &lo, "--overlay-src", &hi];
    let script = "cat /mnt/o/both; echo new >/mnt/o/new && cat /mnt/o/new";
    let (out, err, _) = run(NSRUN, &[&both[..], &["--tmp-overlay", "/mnt/o", "sh", "-c", script]].concat());
    assert_eq!(out, "hi\nnew\n", "{err}");
    let (out, err, code) = run(NSRUN, &[&both[..], &["--ro-overlay", "/mnt/o", "sh", "-c", script]].concat());
    assert_eq!((out.as_str(), code), ("hi\n", Some(2)), "{err}");
    let (out, err, _) = run(NSRUN, &[&both[..], &["--overlay", &up, &work, "/mnt/o", "sh", "-c", script]].concat());
    assert_eq!(out, "hi\nnew\n", "{err}");
    assert_eq!(std::fs::read_to_string(dir.path().join("up/new")).expect("the change"), "new\n");
    assert!(!dir.path().join("hi/new").exists() && !dir.path().join("lo/new").exists());
}

#[test]
fn an_ordinary_user_stays_who_it_is() {
    need!(user, "bwrap");
    let as_user = |program: &str, line: &str| {
        told(&user::command("sh").args(["-c", &format!("{program} {line}")]).output().expect("starts"))
    };
    for line in [
        "--ro-bind / / sh -c 'id -u; id -g; touch /x || echo refused; grep CapEff /proc/self/status'",
        "--unshare-all --ro-bind / / --proc /proc --dev /dev sh -c 'id -u; echo x >/dev/null && echo null; ls /proc/1 >/dev/null && echo proc'",
        "--unshare-user --uid 7 --gid 8 --ro-bind / / sh -c 'id -u; id -g'",
    ] {
        let (theirs, ours) = (as_user("bwrap", line), as_user(NSRUN, line));
        assert_eq!((&theirs.0, theirs.2), (&ours.0, ours.2), "{line}: {} {}", theirs.1, ours.1);
    }
    let (out, err, _) = as_user(
        NSRUN,
        "--ro-bind / / --tmpfs /mnt --overlay-src /etc --tmp-overlay /mnt/o sh -c 'echo x >/mnt/o/x; cat /mnt/o/x; ls /mnt/o/passwd'",
    );
    assert_eq!(out, "x\n/mnt/o/passwd\n", "{err}");
}

#[test]
fn rights_are_dockers_unless_told_otherwise() {
    need!(root);
    let script = "grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status";
    let say = |more: &[&str]| run(NSRUN, &[&["--ro-bind", "/", "/"], more, &["sh", "-c", script]].concat()).0;
    assert_eq!(say(&[]), "CapEff:\t00000000a00425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n");
    assert_eq!(say(&["--seccomp", "unconfined"]), "CapEff:\t00000000a00425fb\nNoNewPrivs:\t1\nSeccomp:\t0\n");
    assert!(say(&["--cap-drop", "ALL", "--cap-add", "KILL"]).starts_with("CapEff:\t0000000000000020\n"));
    assert!(say(&["--cap-add", "KILL", "--cap-drop", "ALL"]).starts_with("CapEff:\t0000000000000000\n"));
    assert!(say(&["--cap-add", "NET_ADMIN,sys_admin"]).starts_with("CapEff:\t00000000a02435fb\n"));
}

#[test]
fn seccomp_comes_from_a_profile_or_compiled() {
    need!(root, "bwrap");
    let dir = tempfile::tempdir().expect("dir");
    let profile = dir.path().join("profile.json");
    let text = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": [] },
        { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": [] }],
        "syscalls": [ { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "comment": "", "excludes": { "caps": ["CAP_SYS_ADMIN"] } } ] }"#;
    std::fs::write(&profile, text).expect("profile");
    let p = profile.to_str().expect("text");
    for base in [&["--ro-bind", "/", "/", "--tmpfs", "/tmp"][..], &[]] {
        let line = [base, &["--seccomp", p, "mkdir", "/tmp/veneer-no-such/x"]].concat();
        let (_, err, _) = run(NSRUN, &line);
        // Without a sandbox there is CAP_SYS_ADMIN, and the rule is not for who has it.
        assert_eq!(err.contains("No space left"), !base.is_empty(), "{base:?}: {err}");
    }
    // getpid answers 7 (ERRNO has no such range): load nr; if 39 (x86_64) or 172 (aarch64) return ERRNO|7; allow.
    let number: u32 = if cfg!(target_arch = "aarch64") { 172 } else { 39 };
    let instruction = |code: u16, jt: u8, jf: u8, k: u32| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([jt, jf]);
        bytes.extend(k.to_ne_bytes());
        bytes
    };
    let program = [
        instruction(0x20, 0, 0, 0),
        instruction(0x15, 0, 1, number),
        instruction(0x06, 0, 0, 0x0005_0007),
        instruction(0x06, 0, 0, 0x7fff_0000),
    ];
    let file = dir.path().join("program");
    std::fs::write(&file, program.concat()).expect("program");
    let mut said = Vec::new();
    for runner in ["bwrap", NSRUN] {
        let line = format!(
            "{runner} --ro-bind / / --seccomp 5 sh -c 'grep Seccomp: /proc/self/status; ls -d /' 5<{}",
            file.display()
        );
        said.push(run("sh", &["-c", &line]));
    }
    assert_eq!((&said[0].0, said[0].2), (&said[1].0, said[1].2), "{} {}", said[0].1, said[1].1);
    assert!(said[1].0.starts_with("Seccomp:\t2\n"), "{}", said[1].0);
}

#[test]
fn descriptors_stay_outside_unless_let_in() {
    need!(root);
    let say = |more: &str| {
        let line = format!(
            "{NSRUN} {more} --ro-bind / / --proc /proc sh -c 'ls /proc/self/fd | grep -cx [34]' 3</dev/null 4</dev/null"
        );
        run("sh", &["-c", &line]).0
    };
    // ls(1) has the folder itself open as 3.
    assert_eq!((say("").as_str(), say("--preserve-fds 2").as_str()), ("1\n", "2\n"));
}

/// Whoever may look through a mount namespace of its own finds nothing there but the sandbox: neither over its root nor below it.
#[test]
fn of_the_callers_root_nothing_is_left_in_the_mount_namespace() {
    need!(root, "bwrap", "nsenter", "unshare");
    let inside = "grep -c ' / / ' /proc/self/mountinfo; nsenter --mount=/proc/self/ns/mnt sh -c 'ls /marked'; unshare -U echo may";
    let dir = tempfile::tempdir().expect("dir");
    let script =
        |more: &str| format!("exec 5<<X\nfive\nX\nexec \"$P\" {more} --proc /proc --dev /dev sh -c \"{inside}\"");
    let roots = [
        "--ro-bind / / --tmpfs /tmp",
        "--tmpfs / --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64",
        "--tmpfs / --dir /x --ro-bind / / --tmpfs /tmp",
        "--ro-bind / / --tmpfs /tmp --bind-data 5 /tmp/x",
    ];
    for (root, ours) in roots.iter().flat_map(|root| [(root, false), (root, true)]) {
        let more = if ours { "--cap-add ALL --seccomp unconfined" } else { "--cap-add ALL" };
        let mut command = Command::new("sh");
        command.args(["-c", &script(&format!("{more} {root}"))]).env("P", if ours { NSRUN } else { "bwrap" });
        let (out, err, _) = told(&command.stdin(Stdio::null()).current_dir(dir.path()).output().expect("starts"));
        assert_eq!(out, "1\nmay\n", "{more} {root}: {err}");
    }
}

#[test]
fn limits_hold_and_nothing_is_left() {
    need!(root, cgroup1);
    let path = format!("/veneer-test-limits-{}", std::process::id());
    let script = "cat /proc/self/cgroup | grep -c veneer-test-limits; for n in 1 2 3 4 5 6; do sleep 1 & done; wait";
    let (out, err, code) =
        run(NSRUN, &["--memory", "64m", "--pids-limit", "4", "--cgroup-path", &path, "sh", "-c", script]);
    assert!(out.lines().next().is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n >= 2)), "{out} {err}");
    assert!(err.to_lowercase().contains("fork") && code != Some(0), "{err}");
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("hierarchies").flatten() {
        assert!(!hierarchy.path().join(path.trim_start_matches('/')).exists());
    }
    // Seen as the root of its own cgroup namespace.
    let (out, err, _) = run(NSRUN, &["--cgroup", "--pids", "9", "grep", ":pids:", "/proc/self/cgroup"]);
    assert!(out.ends_with(":pids:/\n"), "{out} {err}");
}

#[test]
fn what_cannot_be_is_said_with_a_remedy() {
    need!(root);
    let cases: [(&[&str], i32, &str); 9] = [
        (
            &["--tmpfs", "/tmp", "true"],
            127,
            "nsrun: exec \"true\": executable file not found in $PATH\nhint: the sandbox holds only",
        ),
        (
            &["--ro-bind", "/no/such", "/x", "true"],
            125,
            "nsrun: bind /no/such: no such file or directory\nhint: or leave it out",
        ),
        (
            &["--ro-bind", "/", "/", "--dir", "/no-such-folder", "true"],
            125,
            "nsrun: make folder /no-such-folder: read-only file system\nhint: ",
        ),
        (
            &["--ro-bind", "/", "/", "--chdir", "/no/such", "true"],
            125,
            "nsrun: enter /no/such: no such file or directory\nhint: ",
        ),
        (&["--rootfs", "/no/such", "true"], 125, "nsrun: open root /no/such: no such file or directory"),
        (
            &["--ro-bind", "/", "/", "--propagation", "shared", "true"],
            125,
            "nsrun: --propagation shared: is neither slave nor private",
        ),
        (&["--ro-bind", "/", "/", "--seccomp", "/etc/passwd", "true"], 125, "nsrun: --seccomp /etc/passwd: "),
        (&["--json-status-fd", "77", "true"], 125, "nsrun: --json-status-fd 77: bad file descriptor\nhint: "),
        (&["--bind", "a"], 125, "nsrun: "),
    ];
    for (line, code, message) in cases {
        let (_, err, ended) = run(NSRUN, line);
        assert!(err.starts_with(message), "{line:?}: {err}");
        assert_eq!(ended, Some(code), "{line:?}: {err}");
    }
}
