//! The server goes on: with slow layers, odd input, layers that change under it, and many at once.

use crate::ground::{Driver, Ground, alike, alone, on_each};
use crate::server::Server;
use nix::sys::signal::Signal;
use rustix::fs::{AtFlags, CWD, FileType, Mode, RenameFlags, XattrFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};
use testkit::need;

/// A layer that is itself served by a program, which is then stopped: whoever reads from it waits.
///
/// semantics: steadiness
#[test]
fn a_slow_layer_stops_nobody_who_does_not_read_from_it() {
    need!(root, fuse, overlay);
    for (driver, readers) in [(Driver::Kernel, 4), (Driver::Fuse, 1), (Driver::Fuse, 4), (Driver::Fuse, 16)] {
        alone(|dir| {
            let mut g = Ground::new(dir, driver);
            g.put("slow/low/d/f", &"s".repeat(1 << 20));
            for number in 0..16 {
                g.put(&format!("slow/low/slow{number}"), &"s".repeat(1 << 20));
            }
            g.put_folder("slow/m");
            g.put("low/quick", "quick");
            g.put("low/q/x", "x");
            let server = Server::start(&g.dir.join("slow"), "lowerdir=low", "slow0");
            g.options = "lowerdir=low:slow/m,upperdir=u,workdir=w".into();
            g.mount();
            // Known already: looking it up again needs nobody.
            let open: Vec<_> =
                (0..readers).map(|n| std::fs::File::open(g.m(&format!("slow{n}"))).expect("open")).collect();
            assert_eq!(g.read("q/x"), "x");
            server.signal(Signal::SIGSTOP);
            std::thread::scope(|scope| {
                for mut file in open {
                    scope.spawn(move || {
                        std::io::Read::read_to_end(&mut file, &mut Vec::new()).expect("read, in the end")
                    });
                }
                std::thread::sleep(Duration::from_millis(100));
                let quick = scope.spawn(|| {
                    assert_eq!((g.read("quick"), g.read("q/x")), ("quick".into(), "x".into()));
                    std::fs::write(g.m("q/x"), "written").expect("copy-up");
                    std::fs::write(g.m("quick"), "written").expect("copy-up");
                    std::fs::rename(g.m("q/x"), g.m("q/y")).expect("rename");
                    assert_eq!(g.names("q"), ["y"]);
                });
                let start = Instant::now();
                while !quick.is_finished() && start.elapsed() < Duration::from_secs(10) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let in_time = quick.is_finished();
                server.signal(Signal::SIGCONT);
                let done = quick.join();
                assert!(in_time && done.is_ok(), "{driver:?}: {readers} slow readers stop the others");
            });
            g.umount();
            nix::mount::umount(&g.dir.join("slow/m")).expect("umount");
        });
    }
}

/// Not supported by either: whatever comes back, the mount must stay usable.
///
/// semantics: steadiness
#[test]
fn layers_that_change_under_the_mount_break_nothing_else() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        for number in 0..20 {
            g.put(&format!("low/d/f{number}"), "text");
        }
        g.put("low/e/kept", "kept");
        g.put("low/other", "other");
    };
    on_each(fill, |g| {
        let open = std::fs::File::open(g.m("d/f1")).expect("open");
        assert_eq!(g.names("d").len(), 20);
        let low = g.dir.join("low/d");
        std::fs::remove_file(low.join("f1")).expect("unlink");
        std::fs::remove_file(low.join("f2")).expect("unlink");
        std::fs::create_dir(low.join("f2")).expect("mkdir");
        std::fs::rename(low.join("f3"), low.join("moved")).expect("rename");
        std::fs::write(g.dir.join("u/appeared"), "by itself").expect("a file");
        for name in ["d/f1", "d/f2", "d/f3", "d/moved", "d/f2/x", "appeared"] {
            let _ = std::fs::read(g.m(name));
            let _ = std::fs::write(g.m(name), "over it");
            let _ = std::fs::rename(g.m(name), g.m("other-name"));
            let _ = std::fs::remove_file(g.m(name));
        }
        let _ = std::fs::remove_dir_all(&low);
        let _ = std::fs::read_dir(g.m("d")).map(|entries| entries.count());
        let _ = std::fs::create_dir(g.m("d/new"));
        let _ = std::fs::rename(g.m("d"), g.m("d2"));
        drop(open);
        assert_eq!((g.read("e/kept"), g.read("other")), ("kept".into(), "other".into()), "{:?}", g.driver);
        std::fs::write(g.m("e/new"), "new").expect("a file");
        assert_eq!(g.names("e"), ["kept", "new"], "{:?}", g.driver);
    });
}

/// semantics: descriptors
#[test]
fn descriptors_outlive_names_of_files_and_folders() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/d/f", "lower");
        g.put("low/d/sub/x", "x");
    };
    on_each(fill, |g| {
        let folder =
            rustix::fs::open(g.m("d"), rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC, Mode::empty())
                .expect("open");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(g.m("d/f")).expect("open");
        std::fs::write(g.m("d/g"), "upper").expect("a file");
        std::fs::rename(g.m("d/f"), g.m("moved")).expect("rename");
        std::fs::remove_file(g.m("moved")).expect("unlink");
        std::os::unix::fs::FileExt::write_all_at(&file, b"STILL", 0).expect("write");
        let mut text = [0; 5];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut text, 0).expect("read");
        assert_eq!((&text, file.metadata().expect("fstat").nlink()), (b"STILL", 0), "{:?}", g.driver);
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("fchmod");
        file.set_len(2).expect("ftruncate");
        file.sync_all().expect("fsync");
        let meta = file.metadata().expect("fstat");
        assert_eq!((meta.len(), meta.mode() & 0o777), (2, 0o640), "{:?}", g.driver);
        assert!(rustix::fs::statat(&folder, "g", AtFlags::empty()).is_ok(), "{:?}", g.driver);
        std::fs::remove_dir_all(g.m("d")).expect("rm -r");
        assert!(rustix::fs::statat(&folder, "g", AtFlags::empty()).is_err(), "{:?}", g.driver);
        assert!(rustix::fs::mkdirat(&folder, "never", Mode::RWXU).is_err(), "{:?}", g.driver);
        std::fs::write(g.m("d"), "now a file").expect("a file");
        assert_eq!(g.read("d"), "now a file");
    });
}

/// semantics: steadiness
#[test]
fn odd_input_gets_the_kernels_answers() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/f", "text");
        g.put("low/d/x", "x");
        g.put(&format!("low/{}", "n".repeat(255)), "long");
        std::fs::write(g.dir.join("low").join(OsStr::from_bytes(b"\xff\xfe not text \n\t")), "odd").expect("a file");
    };
    alike(fill, |g| {
        let mut told: Vec<String> = Vec::new();
        let mut note = |what: &str, done: rustix::io::Result<()>| told.push(format!("{what}: {done:?}"));
        let io = |result: std::io::Result<()>| {
            result.map_err(|e| rustix::io::Errno::from_raw_os_error(e.raw_os_error().unwrap_or(0)))
        };
        for length in [254, 255, 256, 4000, 5000] {
            let name = "x".repeat(length);
            note(&format!("name of {length}"), io(std::fs::write(g.m(&name), "x")));
            note(&format!("link to {length}"), io(std::os::unix::fs::symlink(&name, g.m(&format!("link{length}")))));
            note(&format!("rename to {length}"), io(std::fs::rename(g.m("f"), g.m(&name))));
            note(&format!("back from {length}"), io(std::fs::rename(g.m(&name), g.m("f"))));
        }
        for name in [&b"\x01"[..], b"a\nb", b"\xff\xfe", b" ", b"...", b".wh", b"-rf", b"#1", b"\\"] {
            let path = g.m("").join(OsStr::from_bytes(name));
            note(&format!("{name:?}"), io(std::fs::write(&path, "odd")));
            note(&format!("{name:?} read"), io(std::fs::read(&path).map(|_| ())));
        }
        note(
            "odd lower name",
            io(std::fs::read(g.m("").join(OsStr::from_bytes(b"\xff\xfe not text \n\t"))).map(|_| ())),
        );
        for name in [".", "..", "d/.", "d/..", "f/", "d/", "f/.", "", "none/", "d/x/y"] {
            let path = format!("{}/{name}", g.m("").display());
            note(
                &format!("unlink {name:?}"),
                io(std::fs::remove_file(&path)).map(|()| std::fs::write(g.m("f"), "text").unwrap_or(())),
            );
            note(&format!("rmdir {name:?}"), io(std::fs::remove_dir(&path)));
            note(&format!("mkdir {name:?}"), io(std::fs::create_dir(&path)));
            note(&format!("rename {name:?}"), io(std::fs::rename(&path, g.m("d/new"))));
            note(&format!("rename to {name:?}"), io(std::fs::rename(g.m("d"), &path)));
        }
        for (kind, device) in [
            (FileType::CharacterDevice, 0x103),
            (FileType::BlockDevice, 0x709),
            (FileType::Fifo, 5),
            (FileType::Socket, 0),
            (FileType::RegularFile, 0),
            (FileType::Directory, 0),
            (FileType::Symlink, 0),
            (FileType::BlockDevice, 0),
        ] {
            let path = g.m(&format!("node-{kind:?}-{device}"));
            note(
                &format!("{kind:?} {device}"),
                rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o640), device),
            );
        }
        for flags in [RenameFlags::NOREPLACE | RenameFlags::EXCHANGE, RenameFlags::from_bits_retain(8)] {
            note(&format!("{flags:?}"), rustix::fs::renameat_with(CWD, g.m("f"), CWD, g.m("d"), flags));
        }
        for (name, value) in [("user.", &b""[..]), ("user.e", b""), ("", b"x"), ("noprefix", b"x")] {
            note(&format!("xattr {name:?}"), rustix::fs::setxattr(g.m("f"), name, value, XattrFlags::empty()));
        }
        note("hard link of a folder", rustix::fs::linkat(CWD, g.m("d"), CWD, g.m("d2"), AtFlags::empty()));
        let mut deep = g.m("deep");
        let mut depth = 0;
        while std::fs::create_dir(&deep).is_ok() && depth < 60 {
            deep.push("a-folder-with-a-name-of-some-length-in-it");
            depth += 1;
        }
        note(&format!("depth {depth}"), Ok(()));
        told.push(format!("{:?}", g.names("")));
        told
    });
}
