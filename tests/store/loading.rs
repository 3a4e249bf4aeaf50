//! `ctr load`: from where, under which names, once, twice and at once.

use crate::layout::{Layout, Tar, docker_archive, many_files};
use crate::world::{World, succeed};
use std::fs::File;
use std::process::{Command, Stdio};
use testkit::need;

fn one(text: &str) -> Vec<u8> {
    Tar::default().file("etc/os", text.as_bytes()).finish()
}

#[test]
fn a_layout_is_taken_whole_and_its_layers_lie_unpacked() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let upper = Tar::default().file(".wh.gone", b"").file("new", b"2").finish();
    let made = layout.image("debian:12", &[Tar::default().file("gone", b"1").file("kept", b"1").finish(), upper]);
    assert_eq!(world.load(&layout.path), "Loaded image: debian:12\n");
    assert_eq!(world.half_done(), 0);
    let mut blobs: Vec<String> = [&made.id, &made.manifest].into_iter().chain(&made.layers).cloned().collect();
    blobs.iter_mut().for_each(|d| *d = d.trim_start_matches("sha256:").to_owned());
    blobs.sort();
    assert_eq!(world.blobs(), blobs);
    for blob in &blobs {
        let same = std::fs::read(world.root().join("image/blobs/sha256").join(blob)).unwrap();
        assert_eq!(same, std::fs::read(layout.blob(blob)).unwrap(), "the bytes as they came");
    }
    let shown = world.ok(["images", "--no-trunc", "-q"]);
    assert_eq!(shown.trim(), made.id);
    let with =
        |file: &str| world.layers().iter().filter(|l| l.join("diff").join(file).symlink_metadata().is_ok()).count();
    assert_eq!((with("kept"), with("new"), with(".wh.gone")), (1, 1, 0));
    assert_eq!(with("gone"), 2, "the file and its whiteout");
    for layer in world.layers() {
        let short = std::fs::read_to_string(layer.join("link")).unwrap();
        let link = world.root().join("overlay2/l").join(short);
        assert_eq!(link.canonicalize().unwrap(), layer.join("diff").canonicalize().unwrap());
    }
}

#[test]
fn folders_archives_and_pipes_give_the_same() {
    need!(root);
    let source = World::new();
    let mut layout = Layout::new(source.path("layout"));
    let made = layout.image("app:1", &[one("a"), one("b")]);
    let (archive, packed) = (source.path("app.tar"), source.path("app.tar.gz"));
    layout.archive(&archive);
    succeed(Command::new("sh").args(["-c", "gzip -c $0 >$1"]).arg(&archive).arg(&packed));
    let stores: Vec<World> = (0..5).map(|_| World::new()).collect();
    stores[0].load(&layout.path);
    stores[1].load(&archive);
    stores[2].load(&packed);
    succeed(stores[3].ctr(["load"]).stdin(File::open(&archive).unwrap()));
    let mut cat = Command::new("cat").arg(&packed).stdout(Stdio::piped()).spawn().unwrap();
    succeed(stores[4].ctr(["load", "-i", "-"]).stdin(cat.stdout.take().unwrap()));
    cat.wait().unwrap();
    for store in &stores {
        assert_eq!(store.ok(["images", "-q", "--no-trunc"]).trim(), made.id);
        assert_eq!(store.blobs(), stores[0].blobs());
        assert_eq!(store.half_done(), 0);
    }
}

#[test]
fn a_docker_archive_gets_a_manifest_that_stays() {
    need!(root);
    let world = World::new();
    let archive = world.path("saved.tar");
    let id = docker_archive(&world.path("work"), &archive, &["app:1", "quay.io/me/app:2"], &[one("a"), one("b")]);
    assert_eq!(world.load(&archive), "Loaded image: app:1\nLoaded image: quay.io/me/app:2\n");
    let before = world.blobs();
    assert_eq!(before.len(), 4, "manifest, configuration, two layers");
    assert_eq!(world.ok(["images", "-q", "--no-trunc"]), format!("{id}\n{id}\n"), "a line a name");
    world.load(&archive);
    assert_eq!(world.blobs(), before);
    let other = World::new();
    other.load(&archive);
    assert_eq!(other.blobs(), before, "the same manifest in every store");
    // The same image with a manifest of its own, in the other order: the manifest that is there is kept.
    assert_eq!(world.ok(["images", "--format", "{{.Repository}}:{{.Tag}}"]).lines().count(), 2);
}

#[test]
fn names_are_completed_and_shown_short() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("tool"));
    for (i, name) in ["1.0", "latest", "busybox", "docker.io/me/x:y", "localhost:5000/z", ""].iter().enumerate() {
        layout.image(name, &[one(&i.to_string())]);
    }
    let said = world.load(&layout.path);
    let mut lines: Vec<&str> = said.lines().collect();
    assert!(lines.pop().unwrap().starts_with("Loaded image ID: sha256:"), "{said}");
    let want = ["tool:1.0", "tool:latest", "busybox:latest", "me/x:y", "localhost:5000/z:latest"];
    assert_eq!(lines, want.map(|n| format!("Loaded image: {n}")));
    let index = std::fs::read_to_string(world.root().join("image/index.json")).unwrap();
    for name in ["docker.io/library/tool:1.0", "docker.io/library/busybox:latest", "docker.io/me/x:y"] {
        assert!(index.contains(&format!("{name:?}")), "{name} in {index}");
    }
}

#[test]
fn one_platform_of_several() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let machine = layout.image_for("app:1", &[one("m")], std::env::consts::ARCH.replace("x86_64", "amd64").as_str());
    let other = layout.image_for("app:1", &[one("s")], "s390x");
    assert_eq!(world.load(&layout.path), "Loaded image: app:1\n");
    assert_eq!(world.ok(["images", "-q", "--no-trunc"]).trim(), machine.id);
    let mut load = world.ctr(["load", "--platform", "linux/s390x", "-i"]);
    assert_eq!(succeed(load.arg(&layout.path)), "Loaded image: app:1\n");
    assert_eq!(world.ok(["images", "-q", "--no-trunc", "app:1"]).trim(), other.id);
    let mut load = world.ctr(["load", "--platform", "linux/mips", "-i"]);
    let out = load.arg(&layout.path).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("holds no image for linux/mips") && said.contains("hint: "), "{said}");
    let (said, code) = world.fails(["load", "--platform", "x"]);
    assert!(said.starts_with("ctr: not a platform"), "{said}");
    assert_eq!(code, 125);
}

#[test]
fn twice_changes_nothing() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    layout.image("debian:12", &[many_files("a", 40), one("b")]);
    let first = world.load(&layout.path);
    let before = world.tree();
    assert_eq!(world.load(&layout.path), first);
    assert_eq!(world.tree(), before);
}

#[test]
fn a_layer_that_comes_twice_has_a_folder_for_each_place() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    layout.image("twice:1", &[one("a"), one("b"), one("a")]);
    world.load(&layout.path);
    assert_eq!(world.layers().len(), 3);
    assert_eq!(world.blobs().len(), 4);
}

#[test]
fn eight_at_once_all_end_well() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    layout.image("a:1", &[many_files("base", 300), many_files("a", 100)]);
    let mut other = Layout::new(world.path("other"));
    other.image("b:1", &[many_files("base", 300), many_files("b", 100)]);
    let loads: Vec<_> = (0..8)
        .map(|i| {
            let path = if i % 2 == 0 { &layout.path } else { &other.path };
            world.ctr(["load", "-i"]).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for load in loads {
        let out = load.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    assert_eq!(world.layers().len(), 3, "base is there once");
    assert_eq!(world.half_done(), 0);
    for layer in world.layers() {
        let files = succeed(Command::new("find").arg(layer.join("diff")).args(["-type", "f"])).lines().count();
        assert!(files == 300 || files == 100, "{files}");
    }
    assert_eq!(world.ok(["images", "-q"]).lines().count(), 2);
}
