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
