//! Bad images and bad places: one clear line, the right exit code, and the store as it was.

use crate::layout::{Layout, Tar, digest, many_files};
use crate::world::World;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use testkit::need;

/// Loads `path`, which must fail saying `wanted`, with a hint if `hint`, and leave the store as it was.
#[track_caller]
fn refused(world: &World, path: &Path, wanted: &str, hint: bool) {
    world.ok(["images"]);
    let before = world.tree();
    let (said, code) = world.fails(["load", "-i", path.to_str().unwrap()]);
    assert!(said.starts_with("ctr: ") && said.contains(wanted), "{said:?} without {wanted:?}");
    assert_eq!(said.lines().count(), if hint { 2 } else { 1 }, "{said}");
    assert_eq!(said.contains("\nhint: "), hint, "{said}");
    assert_eq!(code, 1);
    assert_eq!(world.tree(), before);
}

fn layers() -> Vec<Vec<u8>> {
    vec![many_files("below", 30), many_files("damaged", 200)]
}

#[test]
fn a_layer_cut_short() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let made = layout.image("a:1", &layers());
    let blob = layout.blob(&made.layers[1]);
    let whole = std::fs::read(&blob).unwrap();
    std::fs::write(&blob, &whole[..whole.len() / 2]).unwrap();
    refused(&world, &layout.path, &format!("layer {}: ", made.layers[1]), true);
    std::fs::remove_file(&blob).unwrap();
    refused(&world, &layout.path, "is missing", true);
}

#[test]
fn a_layer_with_another_digest() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let made = layout.image("a:1", &layers());
    let blob = layout.blob(&made.layers[1]);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    refused(&world, &layout.path, &format!("digest is {} (expected {})", digest(&bytes), made.layers[1]), true);
}

#[test]
fn a_layer_with_another_diff_id() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    let wrong = digest(b"another");
    layout.image_with("a:1", &[many_files("a", 3)], std::slice::from_ref(&wrong), &json!({}), "amd64");
    refused(&world, &layout.path, &format!("(expected {wrong})"), true);
}

#[test]
fn layers_that_climb_out() {
    need!(root);
    let world = World::new();
    let marks = ["veneer-climbed", "etc/veneer-climbed"].map(|p| Path::new("/").join(p));
    let climbing = [
        Tar::default().file("../../veneer-climbed", b"x"),
        Tar::default().file("a/../../../veneer-climbed", b"x"),
        Tar::default().link("out", "/").link("up", "../../../..").file("up/../../veneer-climbed", b"x"),
    ];
    for (i, tar) in climbing.into_iter().enumerate() {
        let mut layout = Layout::new(world.path(&format!("layout{i}")));
        let made = layout.image("a:1", &[many_files("a", 3), tar.finish()]);
        refused(&world, &layout.path, &format!("layer {}: ", made.layers[1]), true);
    }
    // A link that leads out is followed inside: what is written through it lands in the layer.
    let mut layout = Layout::new(world.path("inside"));
    layout.image("a:1", &[Tar::default().link("out", "/etc").file("out/veneer-climbed", b"x").finish()]);
    let _ = world.ctr(["load", "-i"]).arg(&layout.path).output().unwrap();
    for mark in marks {
        assert!(!mark.exists(), "{}", mark.display());
    }
}

#[test]
fn what_is_no_image() {
    let world = World::new();
    let file = world.path("letter");
    std::fs::write(&file, "dear reader,\n".repeat(100)).unwrap();
    refused(&world, &file, "letter", true);
    std::fs::create_dir(world.path("empty")).unwrap();
    refused(&world, &world.path("empty"), "no image: neither index.json nor manifest.json in it", true);
    refused(&world, &world.path("nothing"), "nothing: no such file or directory", false);
    let mut layout = Layout::new(world.path("layout"));
    let made = layout.image("a:1", &[many_files("a", 3)]);
    std::fs::write(layout.blob(&made.manifest), "{").unwrap();
    refused(&world, &layout.path, "(expected ", true);
    let mut layout = Layout::new(world.path("host"));
    layout.image("host:latest", &[many_files("a", 3)]);
    refused(&world, &layout.path, "cannot load an image called host:latest", true);
}

#[test]
fn a_store_of_a_newer_program() {
    let world = World::new();
    world.ok(["images"]);
    std::fs::write(world.root().join("version"), "veneer-store 2\n").unwrap();
    let (said, code) = world.fails(["images"]);
    let want = format!(
        "ctr: open store {}: its format is veneer-store 2, this program knows up to veneer-store 1\n\
         hint: use the newer program, or another store by VENEER_ROOT\n",
        world.root().display()
    );
    assert_eq!((said, code), (want, 1));
}

#[test]
fn a_store_that_can_only_be_read() {
    need!(root);
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    layout.image("a:1", &[many_files("a", 3)]);
    world.load(&layout.path);
    let mut other = Layout::new(world.path("other"));
    other.image("b:1", &[many_files("b", 3)]);
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && \"$2\" images -q && ! \"$2\" load -i \"$3\"";
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .args([world.root().as_os_str(), env!("CARGO_BIN_EXE_ctr").as_ref(), other.path.as_os_str()])
        .env("VENEER_ROOT", world.root())
        .env("VENEER_RUN", world.path("run"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), world.ok(["images", "-q"]).trim());
    assert!(said.contains("the store can only be read"), "{said}");
}

#[test]
fn a_full_disk() {
    need!(root);
    let world = World::new();
    let mut small = Layout::new(world.path("small"));
    small.image("small:1", &[many_files("a", 3)]);
    let mut large = Layout::new(world.path("large"));
    large.image("large:1", &[many_files("a", 3), many_files("large", 2000)]);
    std::fs::create_dir_all(world.root()).unwrap();
    let script = "mount -t tmpfs -o size=3m,mode=700 none \"$VENEER_ROOT\" && \"$1\" load -i \"$2\" && cd \"$VENEER_ROOT\" && \
                  find . | sort >\"$4/before\" && du -s . >>\"$4/before\" && { \"$1\" load -i \"$3\"; code=$?; } ; \
                  find . | sort >\"$4/after\" && du -s . >>\"$4/after\" && \"$1\" images --format '{{.Repository}}' && exit $code";
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_ctr")])
        .args([&small.path, &large.path, &world.path("")])
        .env("VENEER_ROOT", world.root())
        .env("VENEER_RUN", world.path("run"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("no space left on device\nhint: "), "{said}");
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "Loaded image: small:1\nsmall\n");
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    assert_eq!(read("before"), read("after"));
}
