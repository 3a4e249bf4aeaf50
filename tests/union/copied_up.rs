//! Copy-up: of every kind of file, with everything that belongs to it.

use crate::ground::{Driver, Ground, alone, by_one_then_the_other, in_a_user_namespace, on_each};
use rustix::fs::FileType;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use testkit::need;

const KINDS: [&str; 7] = ["file", "folder", "link", "char", "block", "fifo", "socket"];

fn every_kind(g: &Ground) {
    g.put("low/file", "text");
    g.put("low/folder/inside", "inside");
    std::os::unix::fs::symlink("to/somewhere", g.dir.join("low/link")).expect("a link");
    g.put_node("low/char", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    g.put_node("low/block", FileType::BlockDevice, rustix::fs::makedev(7, 9));
    g.put_node("low/fifo", FileType::Fifo, 0);
    g.put_node("low/socket", FileType::Socket, 0);
    for name in KINDS {
        let name = format!("low/{name}");
        std::os::unix::fs::lchown(g.dir.join(&name), Some(11), Some(22)).expect("chown");
        g.set_xattr(&name, "trusted.mine", b"value");
        g.set_old(&name);
    }
}

/// semantics: copy-up
#[test]
fn every_kind_of_file_is_renamed_linked_and_removed_below() {
    need!(root, fuse, overlay);
    on_each(every_kind, |g| {
        for name in KINDS {
            if name != "folder" {
                std::fs::hard_link(g.m(name), g.m(&format!("{name}-2"))).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(g.m(name).symlink_metadata().expect("stat").nlink(), 2, "{:?}: {name}", g.driver);
                std::fs::remove_file(g.m(name)).expect("unlink");
                assert!(g.is_whiteout(name), "{:?}: {name}", g.driver);
                std::fs::remove_file(g.m(&format!("{name}-2"))).expect("unlink");
            }
        }
        assert_eq!(g.names(""), ["folder"]);
        g.remount();
        assert_eq!(g.names(""), ["folder"]);
    });
}

/// A reader, a writer and a reader after it: all three see one file from the write on, as of the kernel's overlay.
///
/// semantics: concurrent openers
#[test]
fn openers_before_during_and_after_copy_up_see_one_file() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| g.put("low/f", &"0123456789".repeat(10_000));
    on_each(fill, |g| {
        let text = |file: &File| {
            let (mut text, mut file) = (String::new(), file);
            file.rewind().expect("seek");
            file.read_to_string(&mut text).expect("read");
            text
        };
        let first = File::open(g.m("f")).expect("open");
        assert_eq!(text(&first).len(), 100_000);
        let writer = OpenOptions::new().read(true).write(true).open(g.m("f")).expect("open");
        let second = File::open(g.m("f")).expect("open");
        writer.write_all_at(b"WRITTEN", 5).expect("write");
        writer.set_len(50).expect("truncate");
        writer.write_all_at(b"end", 60).expect("write");
        let want = format!("01234WRITTEN{}{}end", &"0123456789".repeat(5)[12..], "\0".repeat(10));
        for (which, file) in [("before", &first), ("between", &second), ("writing", &writer)] {
            assert_eq!(text(file), want, "{:?}: {which}", g.driver);
            assert_eq!(file.metadata().expect("fstat").len(), 63, "{:?}: {which}", g.driver);
            assert_eq!(file.metadata().expect("fstat").ino(), g.number("f"));
        }
        // What belongs to the first opener's descriptor reaches the file that shows.
        first.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o611)).expect("fchmod");
        assert_eq!(g.m("f").metadata().expect("stat").mode() & 0o777, 0o611);
        assert_eq!(std::fs::read_to_string(g.dir.join("low/f")).expect("read").len(), 100_000);
    });
}

/// Without an index a copy-up parts a name from the others of its file: whatever the change was, from then on it counts one link.
///
/// semantics: copy-up
#[test]
fn a_name_that_is_parted_from_its_file_counts_one_link_at_once() {
    need!(root, fuse, overlay);
    type Act = fn(&std::path::Path);
    let flags = rustix::fs::XattrFlags::empty();
    let acts: [(&str, Act); 8] = [
        ("set an attribute", |p| {
            rustix::fs::setxattr(p, "user.new", b"v", rustix::fs::XattrFlags::empty()).expect("set")
        }),
        ("remove an attribute", |p| rustix::fs::removexattr(p, "user.old").expect("removed")),
        ("mode", |p| std::fs::set_permissions(p, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod")),
        ("owner", |p| std::os::unix::fs::lchown(p, Some(7), Some(7)).expect("chown")),
        ("times", |p| File::open(p).and_then(|f| f.set_modified(std::time::UNIX_EPOCH)).expect("utimensat")),
        ("size", |p| nix::unistd::truncate(p, 1).expect("truncate")),
        ("open to write", |p| drop(OpenOptions::new().write(true).open(p).expect("open"))),
        ("link", |p| {
            std::fs::hard_link(p, p.with_extension("more")).expect("link");
            std::fs::remove_file(p.with_extension("more")).expect("unlink");
        }),
    ];
    for driver in [Driver::Kernel, Driver::Fuse] {
        for (what, act) in acts {
            alone(|dir| {
                let mut g = Ground::new(dir, driver);
                // With marks in user.* there is none of them.
                g.options.push_str(if in_a_user_namespace() { "" } else { ",index=off,metacopy=off,redirect_dir=off" });
                g.put("low/one", "text");
                rustix::fs::setxattr(g.dir.join("low/one"), "user.old", b"v", flags).expect("an attribute");
                std::fs::hard_link(g.dir.join("low/one"), g.dir.join("low/two")).expect("a link");
                g.mount();
                let links = || ["one", "two"].map(|name| g.m(name).metadata().expect("stat").nlink());
                assert_eq!(links(), [2, 2], "{driver:?}: {what}: before");
                act(&g.m("one"));
                assert_eq!(links(), [1, 2], "{driver:?}: {what}");
            });
        }
    }
}

/// semantics: copy-up
#[test]
fn many_openers_copy_a_file_up_once() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| g.put("low/p/q/f", &"x".repeat(1 << 20));
    on_each(fill, |g| {
        std::thread::scope(|scope| {
            for thread in 0_u64..8 {
                scope.spawn(move || {
                    let file = OpenOptions::new().write(true).open(g.m("p/q/f")).expect("open");
                    file.write_all_at(&[b'a' + thread as u8; 1000], thread * 1000).expect("write");
                });
            }
        });
        let text = g.read("p/q/f");
        assert_eq!(text.len(), 1 << 20);
        for thread in 0..8 {
            let part = &text.as_bytes()[thread * 1000..][..1000];
            assert!(part.iter().all(|b| *b == b'a' + thread as u8), "{:?}: {thread}", g.driver);
        }
        assert!(std::fs::read_dir(g.dir.join("w/work")).expect("the work folder").next().is_none(), "work is left");
    });
}

/// semantics: copy-up
#[test]
fn a_failed_copy_up_leaves_the_lower_file_and_no_trace() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/d/f", &"x".repeat(3 << 20));
        // An upper of its own, too small for the file.
        nix::mount::mount(
            Some("small"),
            &g.dir.join("u"),
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            Some("size=2m"),
        )
        .expect("a tmpfs");
        g.put_folder("u/u");
        g.put_folder("u/w");
    };
    for driver in [crate::ground::Driver::Kernel, crate::ground::Driver::Fuse] {
        crate::ground::alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            g.options = "lowerdir=high:low,upperdir=u/u,workdir=u/w".into();
            fill(&g);
            g.mount();
            assert_eq!(crate::ground::errno(OpenOptions::new().append(true).open(g.m("d/f"))), libc::ENOSPC);
            assert!(g.read("d/f") == "x".repeat(3 << 20), "{driver:?}");
            assert!(!g.dir.join("u/u/d/f").exists());
            std::fs::write(g.m("d/small"), "fits").expect("there is room for that");
            g.remount();
            assert!(g.read("d/f") == "x".repeat(3 << 20), "{driver:?}");
            let left: Vec<_> = std::fs::read_dir(g.dir.join("u/w/work")).expect("the work folder").collect();
            assert!(left.is_empty(), "{driver:?}: {left:?}");
        });
    }
}

/// semantics: layers
#[test]
fn nothing_is_copied_up_by_looking() {
    need!(root, fuse, overlay);
    on_each(every_kind, |g| {
        let seen = crate::view::view(&g.dir.join("m"));
        assert_eq!(seen.len(), KINDS.len() + 1);
        drop(File::open(g.m("file")).expect("open"));
        let opened = OpenOptions::new().read(true).write(true).create_new(true).open(g.m("file"));
        assert_eq!(crate::ground::errno(opened), libc::EEXIST);
        assert!(std::fs::read_dir(g.dir.join("u")).expect("the upper").next().is_none(), "{:?}", g.driver);
    });
}

/// semantics: copy-up
#[test]
fn every_kind_of_file_is_copied_up_with_all_it_has() {
    need!(root, fuse, overlay);
    by_one_then_the_other(
        every_kind,
        |g| {
            for name in KINDS {
                let before = g.m(name).symlink_metadata().expect("stat");
                std::os::unix::fs::lchown(g.m(name), Some(33), None).unwrap_or_else(|e| panic!("{name}: {e}"));
                for after in [g.m(name), g.u(name)].map(|path| path.symlink_metadata().expect("copied up")) {
                    assert_eq!((after.uid(), after.gid()), (33, 22), "{:?}: {name}", g.driver);
                    assert_eq!((after.mode(), after.rdev()), (before.mode(), before.rdev()), "{name}");
                    assert_eq!((after.mtime(), after.mtime_nsec()), (500_000_000, 123_456_789), "{name}");
                }
                assert_eq!(g.number(name), before.ino(), "{:?}: {name}", g.driver);
                let mut value = [0; 8];
                let got = rustix::fs::lgetxattr(g.u(name), "trusted.mine", &mut value);
                assert_eq!(got.map(|n| value[..n].to_vec()), Ok(b"value".to_vec()), "{:?}: {name}", g.driver);
            }
            assert_eq!(std::fs::read_link(g.u("link")).expect("a link").to_str(), Some("to/somewhere"));
        },
        |g| {
            for name in KINDS {
                std::fs::rename(g.m(name), g.m(&format!("{name}-moved"))).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
            assert_eq!(g.read("folder-moved/inside"), "inside");
            assert_eq!(g.names("").len(), KINDS.len());
        },
    );
}
