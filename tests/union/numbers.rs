//! Inode numbers: one for each file for as long as it is, whatever layer it lies in; the same in `stat` and in listings.

use crate::ground::{Driver, Ground, alone, by_one_then_the_other, on_each};
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
    on_each(layers, |g| {
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
    on_each(layers, |g| {
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
    on_each(layers, |g| {
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

/// semantics: inode numbers
#[test]
fn numbers_stay_over_copy_up_rename_and_remount() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        layers,
        |g| {
            let before = numbers(g);
            for name in ["d/x", "d/link", "f", "d", "only"] {
                std::os::unix::fs::lchown(g.m(name), Some(5), None).expect("chown");
            }
            std::fs::write(g.m("d/sub/y"), "written").expect("write");
            assert_eq!(numbers(g), before, "{:?}: copy-up", g.driver);
            std::fs::rename(g.m("d/x"), g.m("only/x")).expect("rename");
            assert_eq!(g.number("only/x"), before["d/x"], "{:?}: rename", g.driver);
            std::fs::rename(g.m("d"), g.m("e")).expect("rename");
            assert_eq!((g.number("e"), g.number("e/z")), (before["d"], before["d/z"]), "{:?}: rename", g.driver);
        },
        |g| assert_eq!(numbers(g).len(), 9),
    );
}

/// semantics: inode numbers
#[test]
fn no_two_files_have_one_number_though_layers_lie_on_many_file_systems() {
    need!(root, fuse, overlay);
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            for folder in ["low", "high", "top"] {
                g.put_folder(folder);
                let none = nix::mount::MsFlags::empty();
                nix::mount::mount(Some("l"), &g.dir.join(folder), Some("tmpfs"), none, None::<&str>).expect("a tmpfs");
                // A fresh tmpfs counts from the same number on.
                for number in 0..20 {
                    g.put(&format!("{folder}/{folder}{number}"), "");
                }
            }
            g.put_folder("top/u");
            g.put_folder("top/w");
            g.options = "lowerdir=high:low,upperdir=top/u,workdir=top/w,xino=on".into();
            g.mount();
            std::fs::write(g.m("new"), "").expect("a file");
            let first = numbers(&g);
            let mut seen: Vec<u64> = first.values().copied().collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), first.len(), "{driver:?}: {first:?}");
            std::os::unix::fs::chown(g.m("low3"), Some(4), None).expect("chown");
            assert_eq!(numbers(&g), first, "{driver:?}: copy-up");
            let device = |name: &str| g.m(name).metadata().expect("stat").dev();
            assert_eq!(device("low3"), device("high3"), "{driver:?}: one device for all");
            g.remount();
            assert_eq!(numbers(&g), first, "{driver:?}: remount");
        });
    }
}
