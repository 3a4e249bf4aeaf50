//! Stores of ordinary users: in a user namespace with ranges of ids, and with one id alone.

use crate::layout::{Layout, Tar};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use testkit::{need, user};

/// `ctr ARGS` as the user, root of a user namespace made with `unshare MAP`.
fn ctr(map: &[&str], root: &Path, args: &[&OsStr]) -> Output {
    let mut command: Command = user::command("unshare");
    command.args(map).args(["env".as_ref(), format!("VENEER_ROOT={}", root.display()).as_ref() as &OsStr]);
    command.arg(format!("VENEER_RUN={}/run", root.display()));
    command.arg(env!("CARGO_BIN_EXE_ctr")).args(args).output().expect("unshare runs")
}

fn said(out: &Output) -> (String, String) {
    (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn owners_come_from_the_users_ranges() {
    need!(user, userns);
    let home = user::scratch();
    let mut layout = Layout::new(home.path().join("layout"));
    let lower = Tar::default().owned(0, 42).file("etc/gshadow", b"x").file("gone", b"x").finish();
    layout.image(
        "debian:12",
        &[lower, Tar::default().file(".wh.gone", b"").device("dev/null").device("srv/null").finish()],
    );
    let root = home.path().join("store");
    let load = ["load".as_ref(), "-i".as_ref(), layout.path.as_os_str()];

    let alone = ctr(&["-Ur"], &root, &load);
    let (_, complaint) = said(&alone);
    assert!(
        complaint.contains("etc/gshadow: chown 0:42: invalid argument\nhint: its files belong to ids"),
        "{complaint}"
    );
    assert!(complaint.contains("/etc/subuid and /etc/subgid"), "{complaint}");
    assert_eq!(std::fs::read_dir(root.join("overlay2")).unwrap().count(), 1, "only l/");
    assert_eq!(std::fs::read_dir(root.join("image/blobs/sha256")).unwrap().count(), 0);

    let mapped = ctr(&["-Ur", "--map-auto"], &root, &load);
    let (printed, complaint) = said(&mapped);
    assert_eq!(printed, "Loaded image: debian:12\n", "{complaint}");
    assert!(complaint.starts_with("ctr: left out: srv/null") && complaint.lines().count() == 1, "{complaint}");
    let removed = ctr(&["-Ur", "--map-auto"], &root, &["rmi".as_ref(), "debian:12".as_ref()]);
    assert!(removed.status.success(), "{:?}", said(&removed));
    assert_eq!(std::fs::read_dir(root.join("overlay2")).unwrap().count(), 1);
}
