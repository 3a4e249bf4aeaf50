//! Layers on other file systems: an overlay of the kernel's, one of ours, one of fuse-overlayfs, tmpfs below and above.

use crate::ground::{Driver, Ground, alone};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use testkit::need;

/// Everything that is done to a lower layer, wherever it lies.
fn use_it(g: &Ground, what: &str) {
    let told = format!("{:?}: {what}", g.driver);
    assert_eq!(g.names(""), ["big", "d", "f"], "{told}");
    assert_eq!((g.read("f"), g.names("d")), ("text".into(), vec!["x".into(), "y".into()]), "{told}");
    std::fs::set_permissions(g.m("big"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    assert!(g.read("big") == "b".repeat(1 << 20), "{told}");
    let mut file = std::fs::OpenOptions::new().append(true).open(g.m("big")).expect("open");
    std::io::Write::write_all(&mut file, b"end").expect("write");
    drop(file);
    std::fs::remove_file(g.m("d/x")).expect("unlink");
    std::fs::write(g.m("d/new"), "new").expect("a file");
    std::fs::rename(g.m("f"), g.m("d/f")).expect("rename");
    std::fs::hard_link(g.m("d/y"), g.m("linked")).expect("link");
    g.remount();
    assert_eq!(
        (g.names(""), g.names("d")),
        (vec!["big".into(), "d".into(), "linked".into()], vec!["f".into(), "new".into(), "y".into()]),
        "{told}"
    );
    assert!(g.read("big").ends_with("bend"), "{told}");
    assert_eq!(g.m("big").metadata().expect("stat").mode() & 0o777, 0o600, "{told}");
    std::fs::remove_dir_all(g.m("d")).expect("rm -r");
    std::fs::create_dir(g.m("d")).expect("mkdir");
    assert!(g.names("d").is_empty(), "{told}");
}

/// Fills `DIR/inner`, an overlay by `driver` whose `m` is then a layer.
fn inner(dir: &std::path::Path, driver: Driver) -> Ground {
    let inner = Ground::new(&dir.join("inner"), driver);
    inner.put("low/f", "text");
    inner.put("low/big", &"b".repeat(1 << 20));
    inner.put("low/d/x", "x");
    inner.put("high/d/gone", "gone");
    inner.mount();
    std::fs::write(inner.m("d/y"), "y").expect("a file");
    std::fs::remove_file(inner.m("d/gone")).expect("unlink");
    inner
}

/// semantics: foreign layers
#[test]
fn a_lower_layer_may_be_an_overlay_of_any_kind() {
    need!(root, fuse, overlay);
    for outer in [Driver::Kernel, Driver::Fuse] {
        for below in [Driver::Kernel, Driver::Fuse, Driver::FuseOverlayfs] {
            if below == Driver::FuseOverlayfs && !testkit::gate::have("fuse-overlayfs", "a layer by it") {
                continue;
            }
            alone(|dir| {
                let inner = inner(dir, below);
                let mut g = Ground::new(dir, outer);
                g.options = "lowerdir=inner/m,upperdir=u,workdir=w".into();
                g.mount();
                use_it(&g, &format!("over {below:?}"));
                assert_eq!(inner.read("f"), "text");
                assert_eq!(inner.names("d"), ["x", "y"]);
            });
        }
    }
}

/// semantics: foreign layers
#[test]
fn layers_of_one_union_may_lie_on_different_file_systems() {
    need!(root, fuse, overlay);
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            for layer in ["low", "high", "top"] {
                let none = nix::mount::MsFlags::empty();
                nix::mount::mount(Some("l"), &g.dir.join(layer), Some("tmpfs"), none, None::<&str>).unwrap_or_else(
                    |_| {
                        g.put_folder(layer);
                        nix::mount::mount(Some("l"), &g.dir.join(layer), Some("tmpfs"), none, None::<&str>)
                            .expect("tmpfs");
                    },
                );
            }
            for name in ["low/f", "low/d/x", "high/d/y"] {
                g.put(name, if name == "low/f" { "text" } else { "" });
            }
            g.put("high/big", &"b".repeat(1 << 20));
            g.put_folder("top/u");
            g.put_folder("top/w");
            g.options = "lowerdir=high:low,upperdir=top/u,workdir=top/w".into();
            g.mount();
            use_it(&g, "three file systems");
        });
    }
}

/// An overlay over the machine's root sees its own mount point as what is below it.
///
/// semantics: foreign layers
#[test]
fn a_layer_that_holds_the_mount_point_does_not_hold_the_mount() {
    need!(root, fuse, overlay);
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::new(dir, driver);
            g.put("low/m/under", "under");
            g.put("low/f", "f");
            g.options = "lowerdir=low,upperdir=u,workdir=w".into();
            // The mount point is low/m.
            std::fs::remove_dir(g.dir.join("m")).expect("rmdir");
            std::os::unix::fs::symlink("low/m", g.dir.join("m")).expect("a link");
            g.mount();
            assert_eq!(g.names(""), ["f", "m"], "{driver:?}");
            assert_eq!(g.names("m"), ["under"], "{driver:?}: not the union again");
            std::fs::write(g.m("m/new"), "new").expect("a file");
            assert_eq!(g.names("m"), ["new", "under"], "{driver:?}");
            assert!(g.u("m/new").exists());
        });
    }
}
