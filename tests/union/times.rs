//! Times: which of them an operation moves, on lower files as on upper ones.

use crate::ground::{Driver, Ground, alike, alone, on_each};
use std::fs::{File, FileTimes, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, UNIX_EPOCH};
use testkit::need;

const OLD: i64 = 500_000_000;

fn layers(g: &Ground) {
    g.put("low/f", "text");
    g.put("low/d/a", "a");
    g.put("low/d/b", "b");
    g.put("low/e/inside", "e");
    g.put("u/up", "upper");
    for name in ["low/f", "low/d/a", "low/d/b", "low/d", "low/e", "u/up"] {
        g.set_old(name);
    }
}

/// Seconds of the modification time, and whether it is the one that was set.
fn old(g: &Ground, name: &str) -> bool {
    g.m(name).symlink_metadata().expect("stat").mtime() == OLD
}

/// The clock that files are stamped by moves in steps of up to 10 ms.
fn a_tick() {
    std::thread::sleep(Duration::from_millis(20));
}

/// semantics: times
#[test]
fn truncation_moves_the_modification_time() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        OpenOptions::new().write(true).open(g.m("f")).expect("open").set_len(2).expect("truncate");
        assert!(!old(g, "f"), "{:?}", g.driver);
        drop(File::create(g.m("d/a")).expect("a truncating open"));
        assert!(!old(g, "d/a"), "{:?}", g.driver);
    });
}

/// semantics: times
#[test]
fn a_folder_has_the_time_of_the_last_change_of_its_names() {
    need!(root, fuse, overlay);
    let set = |g: &Ground, name: &str| {
        let times = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(OLD as u64));
        File::open(g.m(name)).expect("open").set_times(times).expect("times");
    };
    on_each(layers, |g| {
        assert!(old(g, "d") && old(g, "e"));
        drop(OpenOptions::new().write(true).open(g.m("d/b")).expect("open"));
        assert!(old(g, "d/b"), "{:?}: opening for writing", g.driver);
        OpenOptions::new().append(true).open(g.m("d/a")).expect("open").write_all(b"x").expect("write");
        assert!(old(g, "d"), "{:?}: copying a file up", g.driver);
        std::fs::remove_file(g.m("d/a")).expect("unlink");
        assert!(!old(g, "d"), "{:?}: unlink", g.driver);
        set(g, "d");
        assert!(old(g, "d"));
        std::fs::rename(g.m("d/b"), g.m("e/b")).expect("rename");
        assert!(!old(g, "d") && !old(g, "e"), "{:?}: rename", g.driver);
        set(g, "e");
        std::fs::hard_link(g.m("e/b"), g.m("d/linked")).expect("link");
        assert!(old(g, "e") && !old(g, "d"), "{:?}: link", g.driver);
        set(g, "d");
        std::fs::create_dir(g.m("d/new")).expect("mkdir");
        assert!(!old(g, "d"), "{:?}: mkdir", g.driver);
        set(g, "d");
        g.remount();
        assert!(old(g, "d") && old(g, "e"), "{:?}: remount", g.driver);
    });
}

/// semantics: times
#[test]
fn times_are_set_to_the_nanosecond_each_alone_and_to_now() {
    need!(root, fuse, overlay);
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    on_each(layers, |g| {
        let set = |name: &str, access: (i64, i64), modification: (i64, i64)| {
            let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
            let times = Timestamps { last_access: time(access), last_modification: time(modification) };
            utimensat(CWD, g.m(name), &times, AtFlags::SYMLINK_NOFOLLOW).expect("times");
        };
        let omit = (0, UTIME_OMIT);
        std::os::unix::fs::symlink("f", g.m("link")).expect("a link");
        for name in ["f", "d", "link", "up"] {
            set(name, (1, 999_999_999), omit);
            set(name, omit, (-3, 7));
            let meta = g.m(name).symlink_metadata().expect("stat");
            assert_eq!((meta.atime(), meta.atime_nsec()), (1, 999_999_999), "{:?}: {name}", g.driver);
            assert_eq!((meta.mtime(), meta.mtime_nsec()), (-3, 7), "{:?}: {name}", g.driver);
        }
        set("f", omit, (0, UTIME_NOW));
        let meta = g.m("f").metadata().expect("stat");
        let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        assert!((now - meta.mtime()).abs() < 5 && meta.atime() == 1, "{:?}", g.driver);
        g.remount();
        assert_eq!(g.m("d").metadata().expect("stat").mtime_nsec(), 7, "{:?}", g.driver);
    });
}

/// semantics: times
#[test]
fn which_times_each_operation_moves_is_as_with_the_kernel() {
    need!(root, fuse, overlay);
    alike(layers, |g| {
        let mut told = Vec::new();
        let mut note = |what: &str, names: &[&str]| {
            for name in names {
                let meta = g.m(name).symlink_metadata().expect("stat");
                told.push(format!("{what}: {name}: {}", meta.mtime() == OLD));
            }
        };
        std::fs::rename(g.m("f"), g.m("g")).expect("rename");
        note("rename", &["g", "d"]);
        std::fs::rename(g.m("d"), g.m("e/d")).unwrap_or_else(|e| assert_eq!(e.raw_os_error(), Some(libc::EXDEV)));
        std::fs::hard_link(g.m("up"), g.m("up2")).expect("link");
        note("link", &["up", "up2"]);
        std::os::unix::fs::chown(g.m("up"), Some(3), None).expect("chown");
        note("chown", &["up"]);
        rustix::fs::setxattr(g.m("up"), "user.k", b"v", rustix::fs::XattrFlags::empty()).expect("xattr");
        note("xattr", &["up"]);
        let file = OpenOptions::new().write(true).open(g.m("up")).expect("open");
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, punch, 0, 2).expect("punch");
        note("punch", &["up"]);
        told
    });
}

/// semantics: times
#[test]
fn data_moves_the_modification_time_and_attributes_do_not() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        for name in ["f", "up"] {
            let before = g.m(name).metadata().expect("stat");
            g.read(name);
            assert!(old(g, name), "{:?}: {name}: reading", g.driver);
            a_tick();
            std::fs::set_permissions(g.m(name), std::fs::Permissions::from_mode(0o600)).expect("chmod");
            let changed = g.m(name).metadata().expect("stat");
            assert!(old(g, name), "{:?}: {name}: chmod", g.driver);
            assert!((changed.ctime(), changed.ctime_nsec()) > (before.ctime(), before.ctime_nsec()), "{name}: chmod");
            a_tick();
            OpenOptions::new().append(true).open(g.m(name)).expect("open").write_all(b"x").expect("write");
            assert!(!old(g, name), "{:?}: {name}: writing", g.driver);
            let written = g.m(name).metadata().expect("stat");
            assert!((written.ctime(), written.ctime_nsec()) > (changed.ctime(), changed.ctime_nsec()), "{name}");
        }
    });
}

/// semantics: times
#[test]
fn reading_a_lower_file_changes_nothing_below() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        g.read("f");
        let mut file = File::open(g.m("d/a")).expect("open");
        file.read_to_string(&mut String::new()).expect("read");
        g.names("d");
        for name in ["f", "d/a", "d"] {
            let below = g.dir.join("low").join(name).metadata().expect("stat");
            assert_eq!((below.atime(), below.mtime()), (OLD, OLD), "{:?}: {name}", g.driver);
        }
    });
}

/// semantics: times
#[test]
fn with_noatime_reading_leaves_the_access_time() {
    need!(root, fuse, overlay);
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            g.put("low/f", "text");
            g.put("u/up", "text");
            for name in ["low/f", "u/up"] {
                let old = UNIX_EPOCH + Duration::from_secs(OLD as u64);
                let file = File::options().write(true).open(g.dir.join(name)).expect("open");
                file.set_times(FileTimes::new().set_accessed(old).set_modified(old)).expect("times");
            }
            g.options.push_str(",noatime");
            g.mount();
            for name in ["up", "f"] {
                g.read(name);
                assert_eq!(g.m(name).metadata().expect("stat").atime(), OLD, "{driver:?}: {name}");
            }
            assert_eq!(g.dir.join("low/f").metadata().expect("stat").atime(), OLD, "{driver:?}");
            assert_eq!(g.u("up").metadata().expect("stat").atime(), OLD, "{driver:?}");
        });
    }
}
