//! Files of the merged tree: open, write, map, link, unlink while open.

use crate::ground::{Ground, errno, on_each};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use testkit::need;

fn layers(g: &Ground) {
    g.put("low/f", "lower text");
    g.put("low/g", "second");
    std::fs::hard_link(g.dir.join("low/f"), g.dir.join("low/f2")).expect("a link");
    g.put_folder("low/d");
}

#[test]
fn writing_leaves_the_lower_file_as_it_was() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let mut file = OpenOptions::new().append(true).open(g.m("f")).expect("open");
        file.write_all(b" and more").expect("write");
        drop(file);
        assert_eq!(g.read("f"), "lower text and more");
        assert_eq!(std::fs::read_to_string(g.dir.join("low/f")).expect("read"), "lower text");
        g.remount();
        assert_eq!(g.read("f"), "lower text and more");
    });
}

#[test]
fn appending_writers_do_not_overwrite_each_other() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let mut writers: Vec<File> =
            (0..3).map(|_| OpenOptions::new().append(true).open(g.m("g")).expect("open")).collect();
        for round in 0..10 {
            for (index, writer) in writers.iter_mut().enumerate() {
                write!(writer, "[{round}{index}]").expect("write");
            }
        }
        assert_eq!(g.read("g").len(), "second".len() + 30 * 4);
    });
}

#[test]
fn truncating_opens_copy_nothing_and_leave_an_empty_file() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        drop(File::create(g.m("g")).expect("open with O_TRUNC"));
        assert_eq!(g.m("g").metadata().expect("stat").len(), 0);
        std::fs::write(g.m("f"), "x").expect("write");
        assert_eq!(g.read("f"), "x");
    });
}

#[test]
fn a_descriptor_opened_before_copy_up_reads_what_is_written_after() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let before = File::open(g.m("g")).expect("open");
        let writer = OpenOptions::new().write(true).open(g.m("g")).expect("open");
        writer.write_all_at(b"SEC", 0).expect("write");
        let mut text = [0; 6];
        before.read_exact_at(&mut text, 0).expect("read");
        assert_eq!(&text, b"SECond");
    });
}

#[test]
fn an_open_file_outlives_its_name() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let mut lower = File::open(g.m("g")).expect("open");
        std::fs::write(g.m("new"), "new text").expect("a file");
        let upper = OpenOptions::new().read(true).write(true).open(g.m("new")).expect("open");
        std::fs::remove_file(g.m("g")).expect("unlink");
        std::fs::remove_file(g.m("new")).expect("unlink");
        let mut text = String::new();
        lower.read_to_string(&mut text).expect("read");
        assert_eq!(text, "second");
        upper.write_all_at(b"NEW", 0).expect("write");
        upper.set_len(5).expect("truncate");
        upper.set_permissions(std::fs::Permissions::from_mode(0o600)).expect("chmod");
        let mut bytes = [0; 5];
        upper.read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(&bytes, b"NEW t");
        let meta = upper.metadata().expect("fstat");
        assert_eq!((meta.nlink(), meta.len(), meta.mode() & 0o777), (0, 5, 0o600));
        // A file of the same name is another file.
        std::fs::write(g.m("new"), "another").expect("a file");
        upper.read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(&bytes, b"NEW t");
    });
}

#[test]
fn shared_maps_reach_the_file() {
    need!(root, fuse, overlay, "python3");
    on_each(layers, |g| {
        let script =
            "import mmap,sys\nf=open(sys.argv[1],'r+b')\nm=mmap.mmap(f.fileno(),0)\nm[0:5]=b'MAPPED'[:5]\nm.flush()";
        let path = g.m("f");
        let done = std::process::Command::new("python3").args(["-c", script]).arg(&path).status().expect("python");
        assert!(done.success());
        assert_eq!(g.read("f"), "MAPPE text");
        g.remount();
        assert_eq!(g.read("f"), "MAPPE text");
    });
}

#[test]
fn hard_links_of_the_upper_are_one_file() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        std::fs::hard_link(g.m("g"), g.m("d/link")).expect("a link");
        std::fs::write(g.m("d/link"), "through the link").expect("write");
        assert_eq!(g.read("g"), "through the link");
        let (one, two) = (g.m("g").metadata().expect("stat"), g.m("d/link").metadata().expect("stat"));
        assert_eq!((one.ino(), one.nlink(), two.nlink()), (two.ino(), 2, 2));
        std::fs::remove_file(g.m("g")).expect("unlink");
        assert_eq!(g.m("d/link").metadata().expect("stat").nlink(), 1);
        g.remount();
        assert_eq!(g.read("d/link"), "through the link");
    });
}

#[test]
fn a_write_takes_set_id_bits() {
    need!(root, fuse, overlay, "setpriv");
    on_each(layers, |g| {
        std::fs::set_permissions(g.m("f"), std::fs::Permissions::from_mode(0o6777)).expect("chmod");
        let script = format!("echo x >> {}", g.m("f").display());
        let done = std::process::Command::new("setpriv")
            .args(["--reuid=1", "--regid=1", "--clear-groups", "sh", "-c", &script])
            .status();
        assert!(done.expect("setpriv").success());
        assert_eq!(g.m("f").metadata().expect("stat").mode() & 0o7777, 0o777);
    });
}

#[test]
fn new_files_belong_to_who_makes_them() {
    need!(root, fuse, overlay, "setpriv");
    on_each(layers, |g| {
        std::fs::set_permissions(g.m("d"), std::fs::Permissions::from_mode(0o2777)).expect("chmod");
        std::os::unix::fs::chown(g.m("d"), None, Some(77)).expect("chown");
        std::fs::set_permissions(g.m("d"), std::fs::Permissions::from_mode(0o2777)).expect("chmod");
        let script = format!("cd {} && umask 027 && touch file && mkdir folder && ln -s t link", g.m("d").display());
        let done = std::process::Command::new("setpriv")
            .args(["--reuid=5", "--regid=6", "--clear-groups", "sh", "-c", &script])
            .status();
        assert!(done.expect("setpriv").success());
        let of = |name: &str| {
            let meta = g.m(name).symlink_metadata().expect("stat");
            (meta.uid(), meta.gid(), meta.mode() & 0o7777)
        };
        assert_eq!(of("d/file"), (5, 77, 0o640));
        assert_eq!(of("d/folder"), (5, 77, 0o2750));
        assert_eq!(of("d/link").0, 5);
    });
}

#[test]
fn xattrs_pass_and_the_books_are_hidden() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
        std::fs::remove_dir(g.m("d")).expect("rmdir");
        std::fs::create_dir(g.m("d")).expect("mkdir over the whiteout");
        assert!(g.is_opaque("d"));
        let mut list = [0; 256];
        let length = listxattr(g.m("d"), &mut list).expect("a list");
        assert!(!String::from_utf8_lossy(&list[..length]).contains("overlay"));
        setxattr(g.m("f"), "user.k", b"v", XattrFlags::CREATE).expect("set");
        let again = setxattr(g.m("f"), "user.k", b"v", XattrFlags::CREATE);
        assert_eq!(again, Err(rustix::io::Errno::EXIST));
        let mut value = [0; 8];
        assert_eq!(getxattr(g.m("f"), "user.k", &mut value), Ok(1));
        removexattr(g.m("f"), "user.k").expect("remove");
        assert_eq!(getxattr(g.m("f"), "user.k", &mut value), Err(rustix::io::Errno::NODATA));
    });
}

#[test]
fn holes_can_be_made_and_found() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
        let file = File::options().read(true).write(true).create(true).truncate(true).open(g.m("h")).expect("a file");
        file.write_all_at(&[7; 64 << 10], 0).expect("write");
        fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 16 << 10, 16 << 10).expect("punch");
        let mut byte = [1; 1];
        file.read_exact_at(&mut byte, 20 << 10).expect("read");
        assert_eq!(byte, [0]);
        let copy = File::options().write(true).create_new(true).open(g.m("copy")).expect("a file");
        let (mut from, mut to) = (0, 0);
        let copied = rustix::fs::copy_file_range(&file, Some(&mut from), &copy, Some(&mut to), 64 << 10);
        assert_eq!(copied, Ok(64 << 10));
        assert!(std::fs::read(g.m("copy")).expect("read") == std::fs::read(g.m("h")).expect("read"));
        file.sync_all().expect("fsync");
        drop(file);
        // While someone writes, a file system may answer that it does not know.
        let file = File::open(g.m("h")).expect("open");
        assert_eq!(seek(&file, SeekFrom::Hole(0)), Ok(16 << 10));
        assert_eq!(seek(&file, SeekFrom::Data(16 << 10)), Ok(32 << 10));
    });
}

#[test]
fn a_whiteout_cannot_be_made_by_hand() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let made = mknodat(CWD, g.m("white"), FileType::CharacterDevice, Mode::empty(), 0);
        assert_eq!(made, Err(rustix::io::Errno::PERM));
    });
}

#[test]
fn permissions_are_those_of_the_files() {
    need!(root, fuse, overlay, "setpriv");
    on_each(layers, |g| {
        std::fs::set_permissions(g.m("g"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
        let read = std::process::Command::new("setpriv")
            .args(["--reuid=1", "--regid=1", "--clear-groups", "cat"])
            .arg(g.m("g"))
            .stderr(std::process::Stdio::null())
            .status();
        assert!(!read.expect("setpriv").success());
    });
}

#[test]
fn opening_what_is_not_there_and_exclusive_creation() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        assert_eq!(errno(File::open(g.m("nothing"))), libc::ENOENT);
        assert_eq!(errno(OpenOptions::new().write(true).create_new(true).open(g.m("f"))), libc::EEXIST);
        assert_eq!(errno(OpenOptions::new().write(true).open(g.m("d"))), libc::EISDIR);
        assert_eq!(errno(File::open(g.m("f/x"))), libc::ENOTDIR);
        let nofollow = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(g.m("f"));
        assert!(nofollow.is_ok());
    });
}
