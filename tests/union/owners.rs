//! Owners shown other than the layers have them. fuse-overlayfs is the reference.

use crate::ground::{Ground, on_each_in_user_space};
use std::os::unix::fs::MetadataExt as _;
use testkit::need;

fn layers(g: &Ground) {
    for (name, owner) in [("root", 0), ("first", 1000), ("mapped", 100_004), ("out", 70)] {
        g.put(&format!("low/{name}"), name);
        std::os::unix::fs::chown(g.dir.join("low").join(name), Some(owner), Some(owner)).expect("chown");
    }
    g.put_folder("low/d");
    std::os::unix::fs::chown(g.dir.join("low/d"), Some(1000), Some(1000)).expect("chown");
    std::os::unix::fs::chown(g.dir.join("u"), Some(1000), Some(1000)).expect("chown");
}

fn shown(g: &Ground, name: &str) -> (u32, u32) {
    let meta = g.m(name).symlink_metadata().expect("stat");
    (meta.uid(), meta.gid())
}

fn stored(g: &Ground, name: &str) -> (u32, u32) {
    let meta = g.u(name).symlink_metadata().expect("in the upper");
    (meta.uid(), meta.gid())
}

/// semantics: ids
#[test]
fn squashed_owners_are_all_one() {
    need!(root, fuse);
    for (option, want) in [(",squash_to_root", (0, 0)), (",squash_to_uid=12,squash_to_gid=34", (12, 34))] {
        on_each_in_user_space(option, layers, |g| {
            for name in ["root", "first", "mapped", "out", "d"] {
                assert_eq!(shown(g, name), want, "{:?}{option}: {name}", g.driver);
            }
            std::fs::write(g.m("new"), "new").expect("a file");
            assert_eq!(shown(g, "new"), want, "{:?}{option}", g.driver);
            for entry in std::fs::read_dir(g.m("")).expect("a listing") {
                let meta = entry.expect("an entry").metadata().expect("stat");
                assert_eq!((meta.uid(), meta.gid()), want, "{:?}{option}", g.driver);
            }
        });
    }
}

/// semantics: ids
#[test]
fn mapped_ids_are_shown_and_stored_each_way() {
    need!(root, fuse);
    // As the layers have it, as it shows, how many.
    let map = "1000:0:1:100000:1:65536";
    on_each_in_user_space(&format!(",uidmapping={map},gidmapping={map}"), layers, |g| {
        assert_eq!(shown(g, "first"), (0, 0), "{:?}", g.driver);
        assert_eq!(shown(g, "mapped"), (5, 5), "{:?}", g.driver);
        assert_eq!(shown(g, "out"), (65534, 65534), "{:?}: no id inside", g.driver);
        std::fs::write(g.m("new"), "new").expect("a file");
        assert_eq!((shown(g, "new"), stored(g, "new")), ((0, 0), (1000, 1000)), "{:?}", g.driver);
        std::os::unix::fs::chown(g.m("new"), Some(7), Some(8)).expect("chown");
        assert_eq!((shown(g, "new"), stored(g, "new")), ((7, 8), (100_006, 100_007)), "{:?}", g.driver);
        std::os::unix::fs::chown(g.m("mapped"), Some(9), None).expect("chown");
        assert_eq!((shown(g, "mapped"), stored(g, "mapped")), ((9, 5), (100_008, 100_004)), "{:?}", g.driver);
        std::fs::create_dir(g.m("d/e")).expect("mkdir");
        assert_eq!((stored(g, "d"), stored(g, "d/e")), ((1000, 1000), (1000, 1000)), "{:?}", g.driver);
        std::fs::write(g.m("first"), "written").expect("write");
        assert_eq!((shown(g, "first"), stored(g, "first")), ((0, 0), (1000, 1000)), "{:?}", g.driver);
    });
}
