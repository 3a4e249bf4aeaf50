//! Whiteouts and opaque directories in every spelling: the kernel's own, those of image layers that were unpacked without
//! rights (`.wh.`), and fuse-overlayfs'.

use crate::ground::{Driver, Ground, alone, on_each, on_each_in_user_space};
use rustix::fs::FileType;
use testkit::need;

fn folders(g: &Ground) {
    g.put("low/d/gone", "gone");
    g.put("low/d/kept", "kept");
    g.put("low/o/below", "hidden");
    g.put("low/o/both", "hidden");
    g.put("low/o/sub/below", "hidden");
    g.put("high/o/both", "shown");
    g.put("high/o/sub/above", "shown");
    g.put_folder("high/d");
}

/// What must show whatever the spelling, and stay so when the upper has entries of the same names.
fn the_lower_is_hidden(g: &Ground) {
    assert_eq!(g.names("d"), ["kept"]);
    assert!(!g.has("d/gone"));
    assert_eq!(g.names("o"), ["both", "sub"]);
    assert_eq!(g.read("o/both"), "shown");
    assert_eq!(g.names("o/sub"), ["above"]);
    assert!(!g.has("o/below") && !g.has("o/sub/below"));
    std::fs::write(g.m("d/gone"), "mine").expect("a file where a lower layer has a whiteout");
    std::fs::create_dir(g.m("o/below")).expect("a folder where something is hidden");
    std::fs::remove_file(g.m("o/both")).expect("unlink");
    g.remount();
    assert_eq!(g.read("d/gone"), "mine");
    assert_eq!(g.names("o"), ["below", "sub"]);
    assert!(g.names("o/below").is_empty());
    std::fs::remove_file(g.m("d/gone")).expect("unlink");
    assert_eq!(g.names("d"), ["kept"]);
    std::fs::remove_file(g.m("d/kept")).expect("unlink");
    assert!(g.names("d").is_empty());
}

/// semantics: whiteouts
#[test]
fn a_device_0_0_and_opaque_y_hide() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        folders(g);
        g.put_node("high/d/gone", FileType::CharacterDevice, 0);
        g.set_xattr("high/o", "trusted.overlay.opaque", b"y");
    };
    on_each(fill, the_lower_is_hidden);
}

/// semantics: whiteouts
#[test]
fn an_empty_file_with_the_whiteout_xattr_hides_in_a_folder_marked_x() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        folders(g);
        // The layer's root needs the mark too: so the kernel knows that the layer has such whiteouts.
        g.set_xattr("high", "trusted.overlay.opaque", b"x");
        g.put("high/d/gone", "");
        g.set_xattr("high/d/gone", "trusted.overlay.whiteout", b"");
        g.set_xattr("high/d", "trusted.overlay.opaque", b"x");
        g.set_xattr("high/o", "trusted.overlay.opaque", b"y");
    };
    on_each(fill, the_lower_is_hidden);
}

/// semantics: whiteouts
#[test]
fn with_userxattr_the_marks_are_user_ones() {
    need!(root, fuse, overlay);
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::new(dir, driver);
            g.options.push_str(",userxattr");
            folders(&g);
            g.put_node("high/d/gone", FileType::CharacterDevice, 0);
            g.set_xattr("high/o", "user.overlay.opaque", b"y");
            g.mount();
            the_lower_is_hidden(&g);
            std::fs::remove_dir_all(g.m("o")).expect("rm -r");
            std::fs::create_dir(g.m("o")).expect("mkdir");
            let mut value = [0; 8];
            let got = rustix::fs::lgetxattr(g.u("o"), "user.overlay.opaque", &mut value);
            assert_eq!(got.map(|length| value[..length].to_vec()), Ok(b"y".to_vec()), "{driver:?}");
            assert_eq!(g.mark("o", "opaque"), None, "{driver:?}");
        });
    }
}

/// semantics: whiteouts
#[test]
fn a_whiteout_in_a_lower_layer_that_hides_nothing_shows_nothing() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/d/kept", "kept");
        g.put("high/d/more", "more");
        g.put_node("high/d/never-was", FileType::CharacterDevice, 0);
        g.put_node("high/top", FileType::CharacterDevice, 0);
        g.put_node("low/d/lowest", FileType::CharacterDevice, 0);
    };
    on_each(fill, |g| {
        assert_eq!(g.names("d"), ["kept", "more"]);
        assert_eq!(g.names(""), ["d"]);
        assert!(!g.has("d/never-was") && !g.has("top") && !g.has("d/lowest"));
        std::fs::remove_dir_all(g.m("d")).expect("rm -r");
        assert!(g.names("").is_empty());
    });
}

/// semantics: layers
#[test]
fn a_file_hides_a_folder_and_a_folder_hides_a_file() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        for folder in ["l1", "l2", "l3"] {
            g.put_folder(folder);
        }
        // Only what is above the topmost entry that is no folder belongs to a folder.
        g.put("l1/a/deepest", "");
        g.put("l2/a", "a file between");
        g.put("l3/a/top", "");
        g.put("l1/b", "file");
        g.put("l3/b/inside", "");
        g.put("l1/c/inside", "");
        g.put("l3/c", "file");
    };
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            g.options = "lowerdir=l3:l2:l1,upperdir=u,workdir=w".into();
            fill(&g);
            g.mount();
            assert_eq!(g.names("a"), ["top"], "{driver:?}");
            assert_eq!(g.names("b"), ["inside"]);
            assert_eq!(g.read("c"), "file");
            std::fs::remove_file(g.m("c")).expect("unlink");
            std::fs::create_dir(g.m("c")).expect("mkdir");
            g.remount();
            assert!(g.names("c").is_empty(), "{driver:?}");
        });
    }
}

/// semantics: layers
#[test]
fn five_hundred_lower_layers() {
    need!(root, fuse, overlay);
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            for number in 0..500 {
                g.put(&format!("{number}/own-{number}"), "");
                g.put(&format!("{number}/d/{}", number % 100), &number.to_string());
                g.put(&format!("{number}/same"), &number.to_string());
            }
            let lowers: Vec<String> = (0..500).map(|n| n.to_string()).collect();
            g.options = format!("lowerdir={},upperdir=u,workdir=w", lowers.join(":"));
            g.mount();
            assert_eq!(g.names("").len(), 502, "{driver:?}");
            assert_eq!(g.names("d").len(), 100);
            assert_eq!((g.read("same"), g.read("d/99"), g.read("d/0")), ("0".into(), "99".into(), "0".into()));
            std::fs::remove_dir_all(g.m("d")).expect("rm -r");
            std::fs::create_dir(g.m("d")).expect("mkdir");
            std::fs::write(g.m("own-499"), "written").expect("write");
            g.remount();
            assert!(g.names("d").is_empty() && g.read("own-499") == "written");
        });
    }
}

/// A file of that name, as `tar` unpacks it from an image layer: fuse-overlayfs and the image specification are the
/// reference, the kernel does not know them.
///
/// semantics: whiteouts
#[test]
fn names_of_image_layers_hide() {
    need!(root, fuse);
    let fill = |g: &Ground| {
        folders(g);
        g.put("high/d/.wh.gone", "");
        g.put("high/o/.wh..wh..opq", "");
    };
    on_each_in_user_space("", fill, the_lower_is_hidden);
}

/// semantics: whiteouts
#[test]
fn the_opaque_xattrs_of_fuse_overlayfs_hide() {
    need!(root, fuse);
    for xattr in ["user.fuseoverlayfs.opaque", "user.overlay.opaque"] {
        let fill = |g: &Ground| {
            folders(g);
            g.put_node("high/d/gone", FileType::CharacterDevice, 0);
            g.set_xattr("high/o", xattr, b"y");
        };
        on_each_in_user_space("", fill, the_lower_is_hidden);
    }
}

/// Owner, group and mode as rootless podman keeps them: fuse-overlayfs is the reference.
///
/// semantics: ids
#[test]
fn override_stat_is_the_owner_that_shows() {
    need!(root, fuse);
    for xattr in ["user.containers.override_stat", "user.fuseoverlayfs.override_stat"] {
        let fill = |g: &Ground| {
            g.put("high/f", "f");
            g.set_xattr("high/f", xattr, b"12:34:0751");
            g.put_folder("high/d");
            g.set_xattr("high/d", xattr, b"5:6:01777");
            // The layer's root says that the layer has such owners.
            for layer in ["low", "high", "u"] {
                g.set_xattr(layer, xattr, b"0:0:0755");
            }
        };
        on_each_in_user_space("", fill, |g| {
            use std::os::unix::fs::MetadataExt;
            let of = |name: &str| {
                let meta = g.m(name).symlink_metadata().expect("stat");
                (meta.uid(), meta.gid(), meta.mode() & 0o7777)
            };
            assert_eq!((of("f"), of("d")), ((12, 34, 0o751), (5, 6, 0o1777)), "{xattr}");
            let mut list = [0; 256];
            let length = rustix::fs::listxattr(g.m("f"), &mut list).expect("a list");
            // fuse-overlayfs lists them.
            let hidden =
                g.driver == Driver::FuseOverlayfs || !String::from_utf8_lossy(&list[..length]).contains("override");
            assert!(hidden, "{xattr}");
            assert_eq!(g.read("f"), "f");
        });
    }
}
