//! What this machine forbids an ordinary user is said in words that name the switch or the file, and the remedy.

use std::process::Command;
use testkit::container::Runtime;
use testkit::{need, user};

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

fn said(mut command: Command) -> (String, Option<i32>) {
    let output = command.output().expect("starts");
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[test]
fn no_user_namespaces_at_all() {
    need!(root, "unshare");
    // The limit is one of each user namespace, so that one of the test's own can have it.
    let mut outer = Command::new("unshare");
    let line = "echo 0 >/proc/sys/user/max_user_namespaces; exec \"$0\" --user --map-root-user true";
    outer.args(["--user", "--map-root-user", "sh", "-c", line, NSRUN]);
    let (err, code) = said(outer);
    let words = "nsrun: make namespaces user: no space left on device\nhint: user namespaces are switched off: \
                 /proc/sys/user/max_user_namespaces is 0; sysctl user.max_user_namespaces=10000 as root allows them\n";
    assert_eq!((err.as_str(), code), (words, Some(125)));
}

#[test]
fn no_newuidmap() {
    need!(user);
    let line = format!("PATH=/nonexistent {NSRUN} --user --map-auto --map-root-user /bin/true");
    let mut command = user::command("sh");
    command.args(["-c", &line]);
    let (err, code) = said(command);
    let words = "nsrun: execute newuidmap: no such file or directory\n\
                 hint: install the package uidmap, or map only your own id (--map-root-user)\n";
    assert_eq!((err.as_str(), code), (words, Some(125)));
}

#[test]
fn no_subordinate_ids() {
    need!(user);
    let mut command = user::command(NSRUN);
    command.args(["--user", "--map-auto", "--map-root-user", "/bin/true"]);
    let alone =
        Runtime::new("without", ["unshare", "-m", "sh", "-c", "mount --bind /dev/null /etc/subuid; exec \"$@\"", "sh"]);
    let mut outer = alone.command();
    outer.arg(command.get_program()).args(command.get_args());
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (err, code) = said(outer);
    assert!(err.starts_with("nsrun: subordinate ids /etc/subuid: has no line for veneer-test ("), "{err}");
    assert!(err.contains("\nhint: usermod --add-subuids ") && code == Some(125), "{err}");
}
