//! Inode numbers: one for each file for as long as it is, whatever layer it lies in; the same in `stat` and in listings.

use crate::ground::{Driver, Ground, alone, by_one_then_the_other, on_each_in_full};
use crate::view::view_with_numbers;
use std::collections::BTreeMap;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use testkit::need;

fn layers(g: &Ground) {
    g.put("low/d/x", "x");
    g.put("low/d/sub/y", "y");
    g.put("high/d/z", "z");
    g.put("high/f", "f");
    g.put("low/only/below", "below");
    std::os::unix::fs::symlink("x", g.dir.join("low/d/link")).expect("a link");
}

fn numbers(g: &Ground) -> BTreeMap<String, u64> {
    let paths = view_with_numbers(&g.dir.join("m"));
    paths.keys().map(|p| p.to_str().expect("text").to_owned()).map(|p| (p.clone(), g.number(&p))).collect()
}

/// semantics: inode numbers
#[test]
fn listings_have_the_numbers_of_stat() {
    need!(root, fuse, overlay);
    on_each_in_full(layers, |g| {
        std::fs::write(g.m("d/new"), "new").expect("a file");
        std::fs::write(g.m("d/x"), "copied up").expect("write");
        for folder in ["", "d", "d/sub", "only"] {
            for entry in std::fs::read_dir(g.m(folder)).expect("a listing") {
                let entry = entry.expect("an entry");
                let stat = entry.path().symlink_metadata().expect("stat");
                assert_eq!(entry.ino(), stat.ino(), "{:?}: {}", g.driver, entry.path().display());
            }
        }
    });
}

/// semantics: inode numbers
#[test]
fn a_new_file_does_not_take_over_the_number_of_one_still_open() {
    need!(root, fuse, overlay);
    on_each_in_full(layers, |g| {
        let open = std::fs::File::open(g.m("f")).expect("open");
        let number = open.metadata().expect("fstat").ino();
        std::fs::remove_file(g.m("f")).expect("unlink");
        std::fs::write(g.m("f"), "another").expect("a file");
        assert_ne!(g.number("f"), number, "{:?}", g.driver);
        assert_eq!(open.metadata().expect("fstat").ino(), number, "{:?}", g.driver);
    });
}

/// semantics: inode numbers
#[test]
fn a_lower_file_that_is_replaced_gets_another_number() {
    need!(root, fuse, overlay);
    on_each_in_full(layers, |g| {
        let number = g.number("d/x");
        std::fs::write(g.m("d/tmp"), "replacement").expect("a file");
        let replacement = g.number("d/tmp");
        std::fs::rename(g.m("d/tmp"), g.m("d/x")).expect("rename");
        assert_eq!(g.number("d/x"), replacement);
        assert_ne!(replacement, number);
        g.remount();
        assert_eq!(g.number("d/x"), replacement, "{:?}", g.driver);
    });
}
