//! What one driver wrote, the other goes on with: redirected folders, files of which only the attributes were copied up,
//! data-only layers, hard links. Each test makes its change by one driver and looks, and changes more, by the other.

use crate::ground::{Driver, Ground, alone, by_one_then_the_other, errno, on_each_in_full};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use testkit::need;

const BIG: usize = 1 << 20;

fn layers(g: &Ground) {
    g.put("low/d/x", "x");
    g.put("low/d/sub/deep/z", "z");
    g.put("high/d/y", "y");
    g.put("high/d/sub/w", "w");
    g.put("low/e/inside", "e");
    g.put("low/big", &"b".repeat(BIG));
    g.put("low/d/big", &"d".repeat(BIG));
    g.put("high/other", "other");
    for name in [
        "low/d/x",
        "low/d/sub/deep/z",
        "low/d/sub/deep",
        "low/d/sub",
        "low/d",
        "high/d",
        "high/d/y",
        "low/big",
        "low/d/big",
    ] {
        g.set_old(name);
    }
}

fn chmod(g: &Ground, name: &str, mode: u32) {
    std::fs::set_permissions(g.m(name), std::fs::Permissions::from_mode(mode)).expect("chmod");
}

fn rename(g: &Ground, from: &str, to: &str) {
    std::fs::rename(g.m(from), g.m(to)).unwrap_or_else(|e| panic!("{:?}: {from} to {to}: {e}", g.driver));
}

/// semantics: hard links
#[test]
fn removing_all_names_of_a_lower_file_leaves_nothing() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/one", "linked");
        std::fs::hard_link(g.dir.join("low/one"), g.dir.join("low/two")).expect("a link");
    };
    on_each_in_full(fill, |g| {
        let open = std::fs::File::open(g.m("two")).expect("open");
        std::fs::remove_file(g.m("one")).expect("unlink");
        assert_eq!(open.metadata().expect("fstat").nlink(), 1);
        std::fs::remove_file(g.m("two")).expect("unlink");
        assert_eq!(open.metadata().expect("fstat").nlink(), 0);
        drop(open);
        g.remount();
        assert!(g.names("").is_empty());
        std::fs::write(g.m("one"), "new").expect("a file");
        assert!(!g.has("two"));
    });
}
