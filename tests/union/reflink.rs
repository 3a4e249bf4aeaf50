//! Copy-up on a file system that can share blocks.

use crate::ground::{Driver, Ground, alone};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};
use testkit::need;

/// semantics: copy-up
#[test]
fn where_the_file_system_can_a_copy_shares_its_blocks() {
    need!(root, fuse, overlay, loop, "mkfs.xfs");
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::in_full(dir, driver);
            // Xfs takes no less than 300 MB; what is not written takes no memory.
            std::fs::File::create(dir.join("disk")).expect("a file").set_len(400 << 20).expect("a size");
            let run = |program: &str, args: &[&str]| {
                let done =
                    Command::new(program).args(args).current_dir(dir).stdin(Stdio::null()).output().expect("it runs");
                assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
            };
            run("mkfs.xfs", &["-q", "disk"]);
            g.put_folder("x");
            run("mount", &["-o", "loop", "disk", "x"]);
            g.put("x/low/f", &"0123456789abcdef".repeat(64 << 16));
            g.put_folder("x/u");
            g.put_folder("x/w");
            g.options = "lowerdir=x/low,upperdir=x/u,workdir=x/w".into();
            g.mount();
            run("sync", &["-f", "x"]);
            let free = || {
                let stat = rustix::fs::statvfs(dir.join("x")).expect("statvfs");
                stat.f_bfree * stat.f_frsize
            };
            let before = free();
            let file = std::fs::OpenOptions::new().write(true).open(g.m("f")).expect("copy-up");
            file.write_all_at(b"written", 1 << 20).expect("write");
            file.sync_all().expect("fsync");
            let used = before.saturating_sub(free());
            assert!(used < 8 << 20, "{driver:?}: {used} bytes for a copy of 64 MiB");
            assert_eq!(g.dir.join("x/u/f").metadata().expect("copied up").len(), 64 << 20);
            drop(file);
            assert_eq!(&g.read("f").as_bytes()[(1 << 20) - 3..][..13], b"defwritten789", "{driver:?}");
            g.umount();
            run("umount", &["x"]);
        });
    }
}
