//! Our parts in others' engines. Here podman with ovl-mount as its mount program, as root and without, beside the same with
//! fuse-overlayfs: the images that come out are the same to the last extended attribute. In [`engines`] podman, Docker and
//! containerd with nsrun as their runtime; in [`cni`] podman with netwire as its CNI plugins.

mod cni;
mod engines;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use testkit::{fixture, need, user};

const OVL_MOUNT: &str = env!("CARGO_BIN_EXE_ovl-mount");

/// A script of `tests/lab`.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name)
}

/// A root file system as a tar that everybody can read.
fn base(folder: &Path) -> PathBuf {
    let (rootfs, tar) = (fixture::busybox_rootfs(&folder.join("rootfs")), folder.join("base.tar"));
    let done = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(&tar).arg(".").status().expect("tar runs");
    assert!(done.success());
    tar
}

/// What podman makes of the base on this mount program, in a folder of its own that is empty of mounts and servers at the end.
fn built(mut command: Command, program: &Path, base: &Path, folder: &Path) -> String {
    command.arg(script("podman-build.sh")).arg(program).arg(base).arg(folder).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("podman-build.sh runs");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{}: {said}", program.display());
    let left = left_in(folder);
    assert!(left.is_empty(), "{}: left: {left:?}", program.display());
    String::from_utf8(stdout).expect("text")
}

/// Servers that were started for this folder.
fn left_in(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let servers = || {
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let line = |process: std::fs::DirEntry| std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let lines = processes.map(|p| String::from_utf8_lossy(&line(p)).replace('\0', " "));
        lines.filter(|line| line.contains(&needle) && line.contains("lowerdir=")).collect::<Vec<_>>()
    };
    for _ in 0..1200 {
        if servers().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    servers()
}

/// The first line in which they differ, to be read.
#[track_caller]
fn same(ours: &str, theirs: &str) {
    let differ = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b);
    assert_eq!(differ, None, "ovl-mount's, then fuse-overlayfs'");
    assert_eq!(ours.lines().count(), theirs.lines().count());
    // It is about something: layers with whiteouts, opaque folders, links, owners.
    assert!(ours.matches("layer\n").count() > 10 && ours.contains(".wh.") && ours.contains(" 5/6 "), "{ours}");
}

/// On both mount programs at once.
fn on_both(run: impl Fn(&Path, &Path) -> String + Sync) -> (String, String) {
    let folder = user::scratch();
    let base = base(folder.path());
    let theirs = testkit::gate::find_program("fuse-overlayfs").expect("fuse-overlayfs");
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&theirs, &base));
        let ours = run(Path::new(OVL_MOUNT), &base);
        (ours, theirs.join().expect("it ends well"))
    })
}

#[test]
fn podman_as_root_builds_runs_and_commits_the_same() {
    need!(root, fuse, user, "podman", "crun", "fuse-overlayfs", "busybox");
    let (ours, theirs) = on_both(|program, base| {
        let folder = user::scratch();
        built(Command::new("bash"), program, base, folder.path())
    });
    same(&ours, &theirs);
}

#[test]
fn podman_without_root_builds_runs_and_commits_the_same() {
    need!(root, fuse, user, userns, "podman", "crun", "fuse-overlayfs", "busybox");
    let (ours, theirs) = on_both(|program, base| {
        let folder = user::scratch();
        built(user::command("bash"), program, base, folder.path())
    });
    same(&ours, &theirs);
}
