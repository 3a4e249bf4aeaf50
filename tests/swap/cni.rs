//! netwire as the CNI plugins of Debian's podman: a script of `tests/lab` runs, publishes, connects, isolates and removes, once
//! on the plugins podman comes with and once on links to netwire, and the two protocols are the same.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use testkit::container::{Remains, new_id};
use testkit::{need, user};

const REFERENCE: &str = "/usr/lib/cni";
const TYPES: [&str; 6] = ["bridge", "host-local", "portmap", "firewall", "tuning", "loopback"];

fn protocol(plugins: &Path, image: &Path) -> String {
    let (folder, group) = (user::scratch(), new_id());
    let _remains = Remains::of(&group);
    let mut command = Command::new(crate::script("podman-cni.sh"));
    command.arg(plugins).arg(image).arg(folder.path()).env("LAB_CGROUP", &group);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the script runs");
    let complaints = std::fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{}: {said}\n{complaints}", plugins.display());
    // Where a step differs, what the engine complained of helps whoever reads it.
    let text = String::from_utf8(stdout).expect("text");
    assert!(text.matches("\n## ").count() > 40, "{text}\n{complaints}");
    text
}

#[test]
fn podman_does_the_same_on_netwire() {
    need!(root, cgroup1, overlay, "podman", "crun", "conmon", "python3", "busybox", "curl", "iptables", "nft");
    if !Path::new(REFERENCE).join("bridge").exists() {
        let required = std::env::var("VENEER_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|r| r == "cni" || r == "all"), "no CNI plugins in {REFERENCE}");
        return;
    }
    let (base, links) = (user::scratch(), tempfile::tempdir().expect("a folder"));
    crate::base(base.path());
    for name in TYPES {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_netwire"), links.path().join(name)).expect("a link");
    }
    let image = base.path().join("base.tar");
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| protocol(Path::new(REFERENCE), &image));
        let ours = protocol(links.path(), &image);
        (theirs.join(), ours)
    });
    let theirs = theirs.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for (theirs, ours) in theirs.split("\n## ").zip(ours.split("\n## ")) {
        assert_eq!(theirs, ours, "the reference's, then ours");
    }
    assert_eq!(theirs.lines().count(), ours.lines().count());
}
