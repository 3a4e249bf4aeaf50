//! What shows of several layers, and what removal leaves in the upper one.

use crate::ground::{Driver, Ground, alone, errno, on_each};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use testkit::need;

fn layers(g: &Ground) {
    g.put("low/both", "low");
    g.put("low/below", "below");
    g.put("high/both", "high");
    g.put("low/d/x", "x");
    g.put("high/d/y", "y");
    g.put("low/file-over-folder/inside", "hidden");
    g.put("high/file-over-folder", "file");
}

fn whiteout(g: &Ground, name: &str) {
    use rustix::fs::{CWD, FileType, Mode};
    rustix::fs::mknodat(CWD, g.dir.join(name), FileType::CharacterDevice, Mode::empty(), 0).expect("a whiteout");
}

fn opaque(g: &Ground, name: &str) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(g.dir.join(name), "trusted.overlay.opaque", b"y", flags).expect("an xattr");
}

#[test]
fn the_topmost_file_shows_and_directories_merge() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        assert_eq!(g.read("both"), "high");
        assert_eq!(g.read("below"), "below");
        assert_eq!(g.names("d"), ["x", "y"]);
        assert_eq!(g.read("file-over-folder"), "file");
        assert_eq!(g.names(""), ["below", "both", "d", "file-over-folder"]);
    });
}

#[test]
fn whiteouts_and_opaque_folders_of_a_lower_layer_hide() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        layers(g);
        g.put("low/gone", "gone");
        whiteout(g, "high/gone");
        g.put("low/o/below", "hidden");
        g.put("high/o/above", "shown");
        opaque(g, "high/o");
    };
    on_each(fill, |g| {
        assert!(!g.has("gone"));
        assert_eq!(g.names("o"), ["above"]);
        assert!(!g.names("").contains(&"gone".to_owned()));
        std::fs::write(g.m("gone"), "again").expect("a file where a lower layer has a whiteout");
        assert_eq!(g.read("gone"), "again");
    });
}

#[test]
fn an_empty_file_with_the_whiteout_xattr_hides_too() {
    need!(root, fuse);
    // The kernel does it since 6.7: the reference is its documentation.
    let fill = |g: &Ground| {
        g.put("low/d/gone", "gone");
        g.put("low/d/kept", "kept");
        g.put("high/d/gone", "");
        let set = |name: &str, value: &[u8], path: &str| {
            rustix::fs::setxattr(g.dir.join(path), name, value, rustix::fs::XattrFlags::empty()).expect("an xattr");
        };
        set("trusted.overlay.whiteout", b"y", "high/d/gone");
        set("trusted.overlay.opaque", b"x", "high/d");
    };
    alone(|dir| {
        let g = Ground::new(dir, Driver::Fuse);
        fill(&g);
        g.mount();
        assert_eq!(g.names("d"), ["kept"]);
        assert!(!g.has("d/gone"));
    });
}

#[test]
fn unlinking_a_lower_file_leaves_a_whiteout_and_an_upper_one_nothing() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::remove_file(g.m("below")).expect("unlink");
        std::fs::write(g.m("new"), "new").expect("a file");
        std::fs::remove_file(g.m("new")).expect("unlink");
        assert!(!g.has("below") && !g.has("new"));
        assert!(g.is_whiteout("below") && !g.u("new").exists());
        g.remount();
        assert_eq!(g.names(""), ["both", "d", "file-over-folder"]);
    });
}

#[test]
fn a_folder_made_over_a_whiteout_is_opaque() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::remove_dir_all(g.m("d")).expect("rm -r");
        assert!(g.is_whiteout("d"));
        std::fs::create_dir(g.m("d")).expect("mkdir");
        assert!(g.is_opaque("d"));
        assert!(g.names("d").is_empty());
        g.remount();
        assert!(g.names("d").is_empty());
        std::fs::write(g.m("d/x"), "mine").expect("a file");
        std::fs::remove_file(g.m("d/x")).expect("unlink");
        assert!(!g.u("d/x").exists(), "nothing below an opaque folder needs a whiteout");
    });
}

#[test]
fn a_merged_folder_is_removed_only_when_it_shows_nothing() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        assert_eq!(errno(std::fs::remove_dir(g.m("d"))), libc::ENOTEMPTY);
        std::fs::remove_file(g.m("d/x")).expect("unlink");
        assert_eq!(errno(std::fs::remove_dir(g.m("d"))), libc::ENOTEMPTY);
        std::fs::remove_file(g.m("d/y")).expect("unlink");
        std::fs::remove_dir(g.m("d")).expect("rmdir");
        assert!(g.is_whiteout("d"));
    });
}

#[test]
fn copy_up_keeps_everything_and_the_parents_times() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        g.put("low/p/q/f", "content");
        let path = g.dir.join("low/p/q/f");
        std::os::unix::fs::chown(&path, Some(12), Some(34)).expect("chown");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4751)).expect("chmod");
        rustix::fs::setxattr(&path, "user.k", b"v", rustix::fs::XattrFlags::empty()).expect("an xattr");
        for name in ["low/p/q/f", "low/p/q", "low/p"] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000, 5);
            let file = std::fs::File::open(g.dir.join(name)).expect("open");
            file.set_times(std::fs::FileTimes::new().set_modified(time).set_accessed(time)).expect("times");
        }
    };
    on_each(fill, |g| {
        let before = g.m("p/q/f").metadata().expect("stat");
        drop(std::fs::OpenOptions::new().write(true).open(g.m("p/q/f")).expect("open for writing"));
        for meta in [g.m("p/q/f").metadata().expect("stat"), g.u("p/q/f").metadata().expect("copied up")] {
            assert_eq!((meta.mode(), meta.uid(), meta.gid()), (before.mode(), 12, 34));
            assert_eq!((meta.mtime(), meta.mtime_nsec(), meta.len()), (1_000, 5, 7));
        }
        let mut value = [0; 8];
        assert_eq!(rustix::fs::getxattr(g.u("p/q/f"), "user.k", &mut value), Ok(1));
        for name in ["p", "p/q"] {
            let meta = g.m(name).metadata().expect("stat");
            assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000, 5), "{name}");
        }
        assert_eq!(std::fs::read_to_string(g.dir.join("low/p/q/f")).expect("the lower file"), "content");
    });
}

#[test]
fn inode_numbers_stay_over_copy_up() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let number = |name: &str| g.m(name).metadata().expect("stat").ino();
        let before = (number("both"), number("d"), number("d/x"));
        std::fs::write(g.m("both"), "written").expect("write");
        std::fs::write(g.m("d/x"), "written").expect("write");
        assert_eq!((number("both"), number("d"), number("d/x")), before);
    });
}

#[test]
fn holes_stay_holes_in_the_copy() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::create(g.dir.join("low/sparse")).expect("a file");
        file.write_all_at(b"start", 0).expect("write");
        file.write_all_at(b"middle", 8 << 20).expect("write");
        file.set_len(64 << 20).expect("truncate");
    };
    on_each(fill, |g| {
        let before = std::fs::read(g.m("sparse")).expect("read");
        std::fs::set_permissions(g.m("sparse"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
        let copied = g.u("sparse").metadata().expect("copied up");
        assert_eq!(copied.len(), 64 << 20);
        // A tmpfs may back a few bytes with a huge page of 2 MiB.
        assert!(copied.blocks() * 512 <= 8 << 20, "{} blocks", copied.blocks());
        assert!(std::fs::read(g.m("sparse")).expect("read") == before);
    });
}

#[test]
fn what_is_mounted_below_a_layer_is_not_entered() {
    need!(root, fuse, overlay);
    let fill = |g: &Ground| {
        use nix::mount::{MsFlags, mount};
        g.put_folder("low/mounted");
        mount(Some("t"), &g.dir.join("low/mounted"), Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("tmpfs");
        g.put("low/mounted/inside", "of another file system");
    };
    on_each(fill, |g| assert!(g.names("mounted").is_empty()));
}

#[test]
fn the_root_of_the_machine_can_be_a_layer_without_deadlock() {
    need!(root, fuse);
    alone(|dir| {
        let g = Ground::new(dir, Driver::Fuse);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ovl-mount"));
        let said = command
            .args(["--driver", "fuse", "-o", "lowerdir=/,upperdir=u,workdir=w", "m"])
            .current_dir(&g.dir)
            .output()
            .expect("ovl-mount runs");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert!(g.has("etc/passwd"));
        // The tmpfs this very mount is in is not in view: what is below it cannot lead back to us.
        let own = g.m(dir.strip_prefix("/").expect("an absolute path").to_str().expect("text"));
        assert!(std::fs::read_dir(&own).map_or(true, |mut entries| entries.next().is_none()));
        std::fs::write(g.m("etc/veneer-was-here"), "here").expect("a file");
        assert!(!std::path::Path::new("/etc/veneer-was-here").exists());
        assert!(g.u("etc/veneer-was-here").exists());
    });
}
