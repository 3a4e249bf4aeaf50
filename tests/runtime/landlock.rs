//! Path lists of landlock, as root and as an ordinary user; nothing else of the sandbox is needed for them.

use crate::bundle::told;
use std::process::{Command, Stdio};
use testkit::{need, user};

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

const SCRIPT: &str = "cat ro/file; echo x >>ro/file; true >ro/new; echo y >rw/new; cat rw/new; mv rw/new ro/; cat secret; truncate -s 0 ro/file; \
                      grep NoNewPrivs /proc/self/status";
const SAID: &str = "kept\ny\nNoNewPrivs:\t1\n";

fn room(dir: &std::path::Path) {
    for name in ["ro", "rw"] {
        std::fs::create_dir(dir.join(name)).expect("folder");
    }
    std::fs::write(dir.join("ro/file"), "kept\n").expect("file");
    std::fs::write(dir.join("secret"), "secret\n").expect("file");
}

fn assert_kept(dir: &std::path::Path, err: &str) {
    assert_eq!(std::fs::read_to_string(dir.join("ro/file")).expect("file"), "kept\n");
    assert!(!dir.join("ro/new").exists());
    assert_eq!(std::fs::read_to_string(dir.join("rw/new")).expect("file"), "y\n");
    // > >, mv (another folder with fewer rights), cat, truncate
    assert!(err.matches("denied").count() + err.matches("cross-device").count() >= 5, "{err}");
}

#[test]
fn only_the_paths_given_can_be_used() {
    need!(root);
    let dir = tempfile::tempdir().expect("dir");
    room(dir.path());
    let lists = [
        "--landlock-ro",
        "/usr",
        "--landlock-ro",
        "/lib",
        "--landlock-ro",
        "/lib64",
        "--landlock-ro",
        "/bin",
        "--landlock-ro",
        "/proc",
    ];
    let own = ["--landlock-ro", "ro", "--landlock-rw", "rw", "--landlock-rw", "/dev/null"];
    let mut ran = Command::new(NSRUN);
    ran.args(lists).args(own).args(["sh", "-c", SCRIPT]).current_dir(dir.path());
    let (out, err, _) = told(&ran.stdin(Stdio::null()).output().expect("starts"));
    assert_eq!(out, SAID, "{err}");
    assert_kept(dir.path(), &err);
}

#[test]
fn an_ordinary_user_can_do_it_too_and_inside_a_sandbox() {
    need!(user);
    for sandbox in ["", "--unshare-all --bind / / "] {
        let dir = user::scratch();
        room(dir.path());
        let done = Command::new("chown").args(["-R", user::NAME]).arg(dir.path()).status().expect("chown");
        assert!(done.success());
        let d = dir.path().display();
        let lists = "--landlock-ro /usr --landlock-ro /lib --landlock-ro /lib64 --landlock-ro /bin --landlock-ro /proc --landlock-rw /dev/null";
        let line =
            format!("cd {d} && {NSRUN} {sandbox}{lists} --landlock-ro {d}/ro --landlock-rw {d}/rw sh -c '{SCRIPT}'");
        let (out, err, _) = told(&user::command("sh").args(["-c", &line]).output().expect("starts"));
        assert_eq!(out, SAID, "{sandbox}: {err}");
        assert_kept(dir.path(), &err);
    }
}

#[test]
fn what_cannot_be_is_said() {
    need!(root);
    let say = |line: &[&str]| told(&Command::new(NSRUN).args(line).arg("true").output().expect("starts"));
    let (_, err, code) = say(&["--landlock-ro", "/no/such"]);
    assert!(err.starts_with("nsrun: landlock /no/such: ") && err.contains("hint: a path must be there"), "{err}");
    assert_eq!(code, Some(125));
    let (_, err, code) = say(&["--landlock-ro", "/etc"]);
    assert_eq!(
        (code, err.contains("permission denied")),
        (Some(126), true),
        "the loader of programs is not listed: {err}"
    );
}
