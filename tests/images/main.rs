//! What the other tests are fed with is what testkit says it is.

use std::path::Path;
use std::process::Command;
use testkit::{fixture, need, user};

/// What a command prints; fails with its complaint.
#[track_caller]
fn out(command: &mut Command) -> String {
    let out = command.output().expect("the command runs");
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn manifest_of(transport: &str, image: &Path) -> serde_json::Value {
    let manifest =
        out(Command::new("skopeo").args(["inspect", "--raw"]).arg(format!("{transport}:{}", image.display())));
    serde_json::from_str(&manifest).expect("a manifest")
}

#[test]
fn images_are_readable_by_skopeo() {
    need!(images, "skopeo");
    let compressed = |image: &Path| {
        let manifest = manifest_of("oci", image);
        let layers = manifest["layers"].as_array().expect("layers").clone();
        layers.iter().map(|l| l["mediaType"].as_str().expect("a media type").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(compressed(&fixture::busybox_oci()), ["application/vnd.oci.image.layer.v1.tar+gzip"]);
    assert_eq!(compressed(&fixture::busybox_oci_zstd()), ["application/vnd.oci.image.layer.v1.tar+zstd"]);
    assert_eq!(compressed(&fixture::debian_oci_gzip()), ["application/vnd.oci.image.layer.v1.tar+gzip"; 4]);
    assert_eq!(compressed(&fixture::debian_oci_zstd()), ["application/vnd.oci.image.layer.v1.tar+zstd"; 4]);
    for archive in [fixture::busybox_docker_archive(), fixture::debian_docker_archive()] {
        assert!(manifest_of("docker-archive", &archive)["layers"].is_array(), "{}", archive.display());
    }
}

#[test]
fn the_last_layer_of_debian_deletes_and_replaces() {
    need!(images);
    let facts = std::fs::read_to_string(fixture::debian_docker_archive().with_file_name("facts")).expect("facts");
    let last = facts.lines().nth(3).expect("four layers");
    assert!(!last.contains(" 0 whiteouts") && last.ends_with(", 1 opaque"), "{last}");
}

#[test]
fn the_root_file_system_runs_without_anything_else() {
    need!(root, "busybox");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = fixture::busybox_rootfs(&dir.path().join("rootfs"));
    assert_eq!(
        out(Command::new("chroot").arg(&root).args(["/bin/sh", "-c", "echo $(id -u) in $(cat /etc/passwd | wc -l)"])),
        "0 in 3"
    );
}

#[test]
fn the_package_has_what_packages_have() {
    need!("dpkg-deb");
    let contents = out(Command::new("dpkg-deb").arg("--contents").arg(fixture::deb()));
    for what in ["./usr/bin/veneer-hello", "./etc/veneer-hello.conf", "link -> ../../bin/veneer-hello"] {
        assert!(contents.contains(what), "{what} in {contents}");
    }
}

#[test]
fn the_ordinary_user_can_do_rootless_work() {
    need!(user, fuse, userns);
    let script = "id -un; test -r /dev/fuse && test -w /dev/fuse && echo fuse; unshare -Ur --map-auto id -u; stat -c %a $XDG_RUNTIME_DIR";
    assert_eq!(out(user::command("sh").args(["-c", script])), "veneer-test\nfuse\n0\n700");
    let reach =
        out(user::command("cat").arg(fixture::folder().parent().expect("the target folder").join("CACHEDIR.TAG")));
    assert!(reach.starts_with("Signature"), "{reach}");
}

#[test]
fn the_user_has_a_place_to_write() {
    need!(user);
    let dir = user::scratch();
    out(user::command("touch").arg(dir.path().join("mine")));
    assert!(dir.path().join("mine").exists());
}
