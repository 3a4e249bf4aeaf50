//! What one driver wrote, the other goes on with: redirected folders, files of which only the attributes were copied up,
//! data-only layers, hard links. Each test makes its change by one driver and looks, and changes more, by the other.

use crate::ground::{Driver, Ground, alone, by_one_then_the_other, errno, on_each};
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
    on_each(fill, |g| {
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

/// semantics: hard links
#[test]
fn a_name_that_is_hidden_is_counted_also_when_all_others_have_gone() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/one", "linked");
        std::fs::hard_link(g.dir.join("low/one"), g.dir.join("low/two")).expect("a link");
        g.put("high/two", "another");
    };
    on_each(fill, |g| {
        let open = std::fs::OpenOptions::new().write(true).open(g.m("one")).expect("open");
        let links = || open.metadata().expect("fstat").nlink();
        assert_eq!(links(), 2);
        std::fs::remove_file(g.m("one")).expect("unlink");
        assert_eq!(links(), 1);
        std::os::unix::fs::FileExt::write_all_at(&open, b"text", 0).expect("write");
        assert_eq!(links(), 1);
    });
}

/// semantics: renamed directories
#[test]
fn a_merged_folder_is_renamed_without_copying() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        layers,
        |g| {
            let before = (g.number("d"), g.number("d/x"));
            rename(g, "d", "moved");
            assert!(!g.has("d") && g.is_whiteout("d"));
            assert_eq!(g.names("moved"), ["big", "sub", "x", "y"]);
            assert_eq!((g.number("moved"), g.number("moved/x")), before);
            assert!(g.mark("moved", "redirect").is_some());
            assert!(!g.u("moved/big").exists(), "a rename copies no file up");
        },
        |g| {
            assert_eq!((g.read("moved/x"), g.read("moved/sub/deep/z")), ("x".into(), "z".into()));
            std::fs::write(g.m("moved/sub/deep/new"), "new").expect("a file");
            std::fs::remove_file(g.m("moved/x")).expect("unlink");
            assert_eq!(g.names("moved"), ["big", "sub", "y"]);
            std::fs::create_dir(g.m("d")).expect("the old name is free");
            assert!(g.names("d").is_empty());
        },
    );
}

/// semantics: renamed directories
#[test]
fn a_folder_is_renamed_into_another_and_again_and_back() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        layers,
        |g| {
            rename(g, "d/sub", "e/there");
            rename(g, "e", "f");
            assert_eq!(g.names("f/there"), ["deep", "w"]);
            rename(g, "f/there/deep", "d/deep");
        },
        |g| {
            assert_eq!(g.names("f/there"), ["w"]);
            assert_eq!((g.read("d/deep/z"), g.read("f/inside")), ("z".into(), "e".into()));
            rename(g, "d/deep", "f/there/deep");
            rename(g, "f", "e");
            rename(g, "e/there", "d/sub");
            assert_eq!(g.names("d/sub"), ["deep", "w"]);
            assert_eq!(g.read("d/sub/deep/z"), "z");
            assert_eq!(g.names("e"), ["inside"]);
        },
    );
}

/// semantics: renamed directories
#[test]
fn a_renamed_folder_takes_the_place_of_a_whiteout_of_an_empty_one_and_of_another() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        layers,
        |g| {
            std::fs::remove_file(g.m("e/inside")).expect("unlink");
            rename(g, "d", "e");
            assert_eq!(g.names("e"), ["big", "sub", "x", "y"]);
        },
        |g| {
            std::fs::create_dir(g.m("d")).expect("mkdir");
            std::fs::write(g.m("d/own"), "own").expect("a file");
            renameat_with(CWD, g.m("d"), CWD, g.m("e"), RenameFlags::EXCHANGE).expect("exchange");
            assert_eq!(g.names("e"), ["own"]);
            assert_eq!(g.names("d"), ["big", "sub", "x", "y"]);
            renameat_with(CWD, g.m("d/sub"), CWD, g.m("other"), RenameFlags::EXCHANGE).expect("a folder and a file");
            assert_eq!((g.read("d/sub"), g.names("other")), ("other".into(), vec!["deep".into(), "w".into()]));
        },
    );
}

/// semantics: renamed directories
#[test]
fn what_was_removed_in_a_folder_stays_so_where_the_folder_goes() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        layers,
        |g| {
            std::fs::remove_dir_all(g.m("d/sub")).expect("rm -r");
            std::fs::create_dir(g.m("d/sub")).expect("mkdir");
            std::fs::remove_file(g.m("d/x")).expect("unlink");
            rename(g, "d", "moved");
            std::fs::create_dir(g.m("moved/x")).expect("mkdir over a whiteout");
        },
        |g| {
            assert_eq!(g.names("moved"), ["big", "sub", "x", "y"]);
            assert!(g.names("moved/sub").is_empty() && g.names("moved/x").is_empty());
            rename(g, "moved", "again");
            rename(g, "again/sub", "again/x");
            assert!(g.names("again/x").is_empty());
            std::fs::remove_dir_all(g.m("again")).expect("rm -r");
            assert_eq!(g.names(""), ["big", "e", "other"]);
        },
    );
}

/// semantics: metadata-only copy-up
#[test]
fn attributes_are_copied_up_without_the_data() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        layers,
        |g| {
            chmod(g, "big", 0o600);
            std::os::unix::fs::chown(g.m("d/big"), Some(7), Some(8)).expect("chown");
            for name in ["big", "d/big"] {
                let upper = g.u(name).metadata().expect("copied up");
                assert_eq!((upper.len(), upper.blocks()), (BIG as u64, 0), "{:?}: {name}", g.driver);
                assert!(g.mark(name, "metacopy").is_some() && g.mark(name, "origin").is_some());
            }
            assert_eq!(g.m("big").metadata().expect("stat").blocks(), BIG as u64 / 512);
        },
        |g| {
            let meta = g.m("big").metadata().expect("stat");
            assert_eq!((meta.mode() & 0o7777, meta.len(), meta.mtime()), (0o600, BIG as u64, 500_000_000));
            assert!(g.read("big") == "b".repeat(BIG) && g.read("d/big") == "d".repeat(BIG));
            // The data follows when it is written, and only then.
            let file = std::fs::OpenOptions::new().read(true).write(true).open(g.m("big")).expect("open");
            std::os::unix::fs::FileExt::write_all_at(&file, b"Written", 10).expect("write");
            drop(file);
            assert_eq!(g.mark("big", "metacopy"), None);
            assert_eq!(&g.read("big")[..20], "bbbbbbbbbbWrittenbbb");
            assert_eq!(g.u("big").metadata().expect("stat").blocks(), BIG as u64 / 512);
            assert!(g.mark("d/big", "metacopy").is_some());
        },
    );
}

/// semantics: metadata-only copy-up
#[test]
fn a_file_without_its_data_is_renamed_linked_truncated_and_replaced() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        layers,
        |g| {
            chmod(g, "big", 0o600);
            chmod(g, "d/big", 0o640);
            rename(g, "big", "e/renamed");
            std::fs::hard_link(g.m("d/big"), g.m("linked")).expect("a link");
            rename(g, "d/big", "d/sub/deep/big");
        },
        |g| {
            assert!(g.read("e/renamed") == "b".repeat(BIG));
            assert!(g.read("linked") == "d".repeat(BIG) && g.read("d/sub/deep/big") == "d".repeat(BIG));
            assert_eq!(g.number("linked"), g.number("d/sub/deep/big"));
            rename(g, "d/sub", "sub");
            let file = std::fs::OpenOptions::new().write(true).open(g.m("sub/deep/big")).expect("open");
            file.set_len(10).expect("truncate");
            drop(file);
            assert_eq!(g.read("linked"), "dddddddddd");
            std::fs::write(g.m("e/renamed"), "replaced").expect("a truncating open");
            assert_eq!(g.read("e/renamed"), "replaced");
        },
    );
}

/// semantics: metadata-only copy-up
#[test]
fn all_that_changes_attributes_copies_no_data() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let empty = |name: &str| g.u(name).metadata().is_ok_and(|m| m.blocks() == 0 && m.len() == BIG as u64);
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(77, 5);
        let file = std::fs::File::open(g.m("big")).expect("open");
        file.set_times(std::fs::FileTimes::new().set_modified(time)).expect("times");
        assert!(empty("big"), "{:?}: times", g.driver);
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(g.m("d/big"), "user.k", b"v", flags).expect("an xattr");
        assert!(empty("d/big"), "{:?}: xattr", g.driver);
        rename(g, "d/big", "d/renamed");
        assert!(empty("d/renamed"), "{:?}: rename", g.driver);
        std::fs::hard_link(g.m("big"), g.m("linked")).expect("link");
        assert!(empty("linked"), "{:?}: link", g.driver);
        assert!(g.read("linked") == "b".repeat(BIG));
    });
}

/// semantics: metadata-only copy-up
#[test]
fn metacopy_in_a_middle_layer_takes_data_from_below() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/f", "the data");
        g.put("low/old/name", "redirected data");
        g.put("high/f", "");
        g.put("high/new", "");
        for (name, size) in [("high/f", 8), ("high/new", 15)] {
            std::fs::File::options().write(true).open(g.dir.join(name)).expect("open").set_len(size).expect("size");
            g.set_xattr(name, "trusted.overlay.metacopy", b"");
        }
        g.set_xattr("high/new", "trusted.overlay.redirect", b"/old/name");
        std::fs::set_permissions(g.dir.join("high/f"), std::fs::Permissions::from_mode(0o711)).expect("chmod");
    };
    on_each(fill, |g| {
        assert_eq!((g.read("f"), g.read("new")), ("the data".into(), "redirected data".into()));
        assert_eq!(g.m("f").metadata().expect("stat").mode() & 0o777, 0o711);
        std::fs::remove_file(g.m("old/name")).expect("unlink");
        assert_eq!(g.read("new"), "redirected data");
        chmod(g, "new", 0o600);
        g.remount();
        assert_eq!(g.read("new"), "redirected data");
        assert_eq!(errno(std::fs::File::open(g.m("old/name"))), libc::ENOENT);
    });
}

/// semantics: hard links
#[test]
fn lower_hard_links_stay_one_file() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/one", "linked");
        g.put_folder("low/d");
        g.put_folder("low/e");
        for name in ["low/d/two", "low/e/three"] {
            std::fs::hard_link(g.dir.join("low/one"), g.dir.join(name)).expect("a link");
        }
    };
    let links = |g: &Ground, name: &str| g.m(name).metadata().expect("stat").nlink();
    by_one_then_the_other(
        fill,
        |g| {
            let number = g.number("one");
            std::fs::write(g.m("d/two"), "written").expect("write");
            assert_eq!((g.read("one"), g.read("e/three")), ("written".into(), "written".into()));
            assert_eq!((g.number("one"), g.number("d/two"), g.number("e/three")), (number, number, number));
            assert_eq!(links(g, "one"), 3);
            std::fs::remove_file(g.m("one")).expect("unlink");
            assert_eq!(links(g, "e/three"), 2);
        },
        |g| {
            assert_eq!((g.read("e/three"), links(g, "e/three")), ("written".into(), 2));
            chmod(g, "e/three", 0o600);
            assert_eq!(g.m("d/two").metadata().expect("stat").mode() & 0o777, 0o600);
            std::fs::hard_link(g.m("e/three"), g.m("four")).expect("a link");
            assert_eq!(links(g, "d/two"), 3);
            for name in ["e/three", "d/two"] {
                std::fs::remove_file(g.m(name)).expect("unlink");
            }
            assert_eq!((g.read("four"), links(g, "four")), ("written".into(), 1));
        },
    );
}

/// semantics: renamed directories
#[test]
fn a_redirect_in_a_lower_layer_is_followed() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/a/b/x", "x");
        g.put("low/sibling/y", "y");
        g.put("high/moved/own", "own");
        g.put_folder("high/a");
        g.put_node("high/a/b", rustix::fs::FileType::CharacterDevice, 0);
        g.put("high/p/renamed/own", "own");
        g.put("low/p/before/z", "z");
        g.set_xattr("high/moved", "trusted.overlay.redirect", b"/a/b");
        // A name alone is one in the same folder.
        g.set_xattr("high/p/renamed", "trusted.overlay.redirect", b"before");
        g.put_node("high/p/before", rustix::fs::FileType::CharacterDevice, 0);
    };
    on_each(fill, |g| {
        assert_eq!(g.names("moved"), ["own", "x"]);
        assert_eq!(g.names("p"), ["renamed"]);
        assert_eq!(g.names("p/renamed"), ["own", "z"]);
        rename(g, "p/renamed", "q");
        std::fs::write(g.m("moved/x"), "written").expect("write");
        g.remount();
        assert_eq!((g.read("q/z"), g.read("moved/x")), ("z".into(), "written".into()));
        assert!(!g.has("a/b"));
    });
}

/// semantics: data-only layers
#[test]
fn data_is_found_in_a_data_only_layer() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("data/by/digest", &"data ".repeat(1000));
        g.put("data/not-shown", "");
        g.put("high/f", "");
        g.put("low/other", "");
        std::fs::File::options().write(true).open(g.dir.join("high/f")).expect("open").set_len(5000).expect("size");
        g.set_xattr("high/f", "trusted.overlay.metacopy", b"");
        g.set_xattr("high/f", "trusted.overlay.redirect", b"/by/digest");
    };
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            g.options = "lowerdir=high:low::data,upperdir=u,workdir=w".into();
            fill(&g);
            g.mount();
            assert_eq!(g.names(""), ["f", "other"], "{driver:?}");
            assert_eq!(g.read("f"), "data ".repeat(1000));
            chmod(&g, "f", 0o600);
            assert_eq!(g.read("f"), "data ".repeat(1000));
            rename(&g, "f", "moved");
            g.remount();
            assert_eq!(g.read("moved"), "data ".repeat(1000));
            let mut file = std::fs::OpenOptions::new().append(true).open(g.m("moved")).expect("open");
            std::io::Write::write_all(&mut file, b"end").expect("write");
            drop(file);
            g.remount();
            assert!(g.read("moved").ends_with("data end"), "{driver:?}");
        });
    }
}
