//! Others read our folder of images, and we read what others write.

use crate::layout::{Layout, many_files};
use crate::world::{World, succeed};
use std::path::Path;
use std::process::Command;
use testkit::{fixture, need};

#[test]
fn skopeo_copies_out_of_the_store_by_the_printed_name() {
    need!(root, "skopeo");
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let made = layout.image("debian:12", &[many_files("a", 20), many_files("b", 3)]);
    world.load(&layout.path);
    world.ok(["tag", "debian:12", "localhost:5000/me/app:v1.2_x"]);
    let image = world.root().join("image");
    for name in ["docker.io/library/debian:12", "localhost:5000/me/app:v1.2_x"] {
        let from = format!("oci:{}:{name}", image.display());
        let raw = succeed(Command::new("skopeo").args(["inspect", "--raw", &from]));
        assert_eq!(crate::layout::digest(raw.as_bytes()), made.manifest);
        let to = world.path("copy");
        succeed(Command::new("skopeo").args([
            "--insecure-policy",
            "copy",
            "-q",
            &from,
            &format!("oci:{}:x", to.display()),
        ]));
        assert!(to.join("blobs/sha256").join(made.id.trim_start_matches("sha256:")).exists());
        std::fs::remove_dir_all(to).unwrap();
    }
}

#[test]
fn umoci_lists_and_unpacks_the_store() {
    need!(root, "umoci");
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    layout.image("debian:12", &[many_files("a", 20), many_files("b", 3)]);
    world.load(&layout.path);
    let image = world.root().join("image");
    assert_eq!(succeed(Command::new("umoci").args(["ls", "--layout"]).arg(&image)), "docker.io/library/debian:12\n");
    let bundle = world.path("bundle");
    let name = format!("{}:docker.io/library/debian:12", image.display());
    succeed(Command::new("umoci").args(["unpack", "--image", &name]).arg(&bundle));
    let files = |at: &Path| succeed(Command::new("find").current_dir(at).args([".", "-type", "f"])).lines().count();
    assert_eq!(files(&bundle.join("rootfs")), world.layers().iter().map(|l| files(&l.join("diff"))).sum::<usize>());
}

#[test]
fn what_skopeo_writes_into_the_store_can_be_named() {
    need!(root, "skopeo");
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let made = layout.image("debian:12", &[many_files("a", 3)]);
    world.ok(["images"]);
    let from = format!("oci:{}:debian:12", layout.path.display());
    let to = format!("oci:{}:guest", world.root().join("image").display());
    succeed(Command::new("skopeo").args(["--insecure-policy", "copy", "-q", &from, &to]));
    assert_eq!(world.ok(["images", "-q", "--no-trunc", "guest"]).trim(), made.id);
    assert_eq!(world.layers().len(), 0);
    let said = world.load(&world.root().join("image"));
    assert_eq!(said, "Loaded image: guest:latest\n", "the store's own folder loads like any other");
    assert_eq!((world.layers().len(), world.blobs().len()), (1, 3));
    world.ok(["rmi", "guest"]);
    assert_eq!(world.blobs().len(), 0);
}

#[test]
fn real_images_in_all_their_forms() {
    need!(root, images);
    let world = World::new();
    assert_eq!(world.load(&fixture::busybox_docker_archive()), "Loaded image: busybox:latest\n");
    let id = world.ok(["images", "-q", "busybox"]);
    for other in [fixture::busybox_oci(), fixture::busybox_oci_zstd()] {
        assert_eq!(world.load(&other), "Loaded image: busybox:latest\n");
        assert_eq!(world.ok(["images", "-q"]), id, "one image, however it is packed");
        assert_eq!(world.layers().len(), 1);
        assert_eq!(world.blobs().len(), 3, "the blobs of the last form only");
    }
    let busybox = world.layers()[0].join("diff/bin/busybox");
    assert_eq!(std::fs::read(busybox).unwrap(), std::fs::read("/bin/busybox").unwrap());
}

#[test]
fn what_podman_saves_loads() {
    need!(root, images, "podman");
    let world = World::new();
    let store = world.path("podman");
    let podman = |args: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(store.join("root")).arg("--runroot").arg(store.join("run"));
        command.args(["--storage-driver", "vfs", "--log-level", "error"]).args(args);
        succeed(&mut command)
    };
    let busybox = fixture::busybox_docker_archive();
    podman(&["load", "-q", "-i", busybox.to_str().unwrap()]);
    podman(&["tag", "docker.io/library/busybox:latest", "localhost/mine:1"]);
    let id = podman(&["images", "-q", "--no-trunc", "localhost/mine:1"]);
    for format in ["docker-archive", "oci-archive"] {
        let file = world.path(&format!("{format}.tar"));
        podman(&["save", "-q", "--format", format, "-o", file.to_str().unwrap(), "localhost/mine:1"]);
        let said = world.load(&file);
        assert!(said.contains("Loaded image: localhost/mine:1\n"), "{format}: {said}");
        if format == "docker-archive" {
            assert_eq!(world.ok(["images", "-q", "--no-trunc", "localhost/mine:1"]), id);
        }
    }
    let unmount = store.join("root/vfs");
    let _ = Command::new("umount").arg(&unmount).stderr(std::process::Stdio::null()).status();
}
