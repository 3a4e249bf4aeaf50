//! What is in files: holes, ranges, maps, odd ways to read and write; all as with the kernel's overlay.

use crate::ground::{Ground, alike, errno, on_each};
use rustix::fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, seek};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::process::Command;
use testkit::need;

const BLOCK: u64 = 2 << 20;

/// `low/holes`: data, hole, data, hole. `low/plain`: 256 KiB.
fn layers(g: &Ground) {
    g.put("low/plain", &"0123456789abcdef".repeat(16 << 10));
    g.put("low/other", &"other".repeat(1000));
    let file = File::create(g.dir.join("low/holes")).expect("a file");
    for at in [0, 2] {
        file.write_all_at(&[b'x'; BLOCK as usize], at * BLOCK).expect("write");
    }
    file.set_len(4 * BLOCK).expect("a size");
    g.put_folder("low/d");
}

/// Where data and holes begin, by SEEK_DATA and SEEK_HOLE.
fn map_of(file: &File) -> Vec<(&'static str, u64)> {
    let (mut at, mut found) = (0, Vec::new());
    while let Ok(data) = seek(file, SeekFrom::Data(at)) {
        found.push(("data", data));
        let Ok(hole) = seek(file, SeekFrom::Hole(data)) else { break };
        found.push(("hole", hole));
        at = hole;
    }
    found
}

/// semantics: holes and ranges
#[test]
fn holes_of_a_lower_file_are_seen_and_stay_when_it_is_copied_up() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let want = [("data", 0), ("hole", BLOCK), ("data", 2 * BLOCK), ("hole", 3 * BLOCK)];
        assert_eq!(map_of(&File::open(g.m("holes")).expect("open")), want, "{:?}", g.driver);
        drop(OpenOptions::new().write(true).open(g.m("holes")).expect("copy-up"));
        assert_eq!(map_of(&File::open(g.m("holes")).expect("open")), want, "{:?}: copied up", g.driver);
        assert_eq!(g.u("holes").metadata().expect("copied up").blocks() * 512, 2 * BLOCK, "{:?}", g.driver);
        let file = File::open(g.m("holes")).expect("open");
        assert_eq!(seek(&file, SeekFrom::Data(3 * BLOCK + 1)), Err(rustix::io::Errno::NXIO), "{:?}", g.driver);
        assert_eq!(seek(&file, SeekFrom::Hole(4 * BLOCK)), Err(rustix::io::Errno::NXIO), "{:?}", g.driver);
    });
}

/// semantics: holes and ranges
#[test]
fn every_mode_of_fallocate() {
    need!(root, fuse, overlay);
    alike(layers, |g| {
        let mut told = Vec::new();
        let keep = FallocateFlags::KEEP_SIZE;
        let modes = [
            FallocateFlags::empty(),
            keep,
            FallocateFlags::PUNCH_HOLE | keep,
            FallocateFlags::PUNCH_HOLE,
            FallocateFlags::ZERO_RANGE,
            FallocateFlags::COLLAPSE_RANGE,
            FallocateFlags::INSERT_RANGE,
        ];
        for (index, mode) in modes.into_iter().enumerate() {
            let name = format!("copy{index}");
            std::fs::copy(g.m("plain"), g.m(&name)).expect("a copy");
            let file = OpenOptions::new().read(true).write(true).open(g.m(&name)).expect("open");
            for (offset, length) in [(4096, 8192), (250 << 10, 64 << 10), (0, 0), (1 << 20, 1)] {
                let done = fallocate(&file, mode, offset, length);
                let size = file.metadata().expect("fstat").len();
                let mut byte = [1; 1];
                let _ = file.read_at(&mut byte, 5000);
                told.push(format!("{mode:?} {offset} {length}: {done:?} {size} {}", byte[0]));
            }
        }
        let lower = File::open(g.m("plain")).expect("open");
        told.push(format!("read-only: {:?}", fallocate(&lower, FallocateFlags::empty(), 0, 10)));
        told
    });
}

/// semantics: holes and ranges
#[test]
fn ranges_are_copied_between_layers_and_within_a_file() {
    need!(root, fuse, overlay);
    alike(layers, |g| {
        let mut told = Vec::new();
        let (lower, other) = (File::open(g.m("plain")).expect("open"), File::open(g.m("other")).expect("open"));
        let new =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(g.m("new")).expect("open");
        let mut copy = |from: &File, mut at: u64, to: &File, mut target: u64, length: usize| {
            let done = copy_file_range(from, Some(&mut at), to, Some(&mut target), length);
            told.push(format!("{done:?} {at} {target} {}", to.metadata().expect("fstat").len()));
        };
        copy(&lower, 0, &new, 0, 100_000);
        copy(&lower, 250 << 10, &new, 50, 100_000);
        copy(&lower, 1 << 20, &new, 0, 10);
        copy(&other, 0, &new, 1 << 20, 5000);
        copy(&new, 0, &new, 2 << 20, 4096);
        copy(&new, 0, &new, 100, 4096);
        copy(&lower, 0, &other, 0, 10);
        let up = OpenOptions::new().write(true).open(g.m("plain")).expect("copy-up");
        copy(&lower, 0, &up, 128 << 10, 1000);
        copy(&new, 0, &up, 300 << 10, 1000);
        let folder = File::open(g.m("d")).expect("open");
        copy(&folder, 0, &new, 0, 10);
        for name in ["new", "plain"] {
            let bytes = std::fs::read(g.m(name)).expect("read");
            let sum = bytes.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            told.push(format!("{name}: {} {sum:x}", bytes.len()));
        }
        told
    });
}

/// semantics: holes and ranges
#[test]
fn odd_ways_to_open_read_and_write() {
    need!(root, fuse, overlay);
    alike(layers, |g| {
        let mut told = Vec::new();
        let mut note = |what: &str, done: String| told.push(format!("{what}: {done}"));
        let failed = |result: std::io::Result<usize>| format!("{:?}", result.map_err(|e| e.raw_os_error()));
        let rw = OpenOptions::new().read(true).write(true).open(g.m("other")).expect("open");
        note("far", failed(rw.write_at(b"x", i64::MAX as u64 - 1)));
        note("past the end", failed(rw.write_at(b"x", 1 << 20)));
        note("size", rw.metadata().expect("fstat").len().to_string());
        let mut buffer = [1; 16];
        note("read in a hole", failed(rw.read_at(&mut buffer, 500_000)));
        note("what is there", format!("{buffer:?}"));
        note("read at the end", failed(rw.read_at(&mut buffer, (1 << 20) + 1)));
        note("nothing", failed(rw.write_at(b"", 5 << 20)));
        note("too large", format!("{:?}", rw.set_len(i64::MAX as u64).map_err(|e| e.raw_os_error())));
        let reader = File::open(g.m("plain")).expect("open");
        note("write by a reader", failed(reader.write_at(b"x", 0)));
        note("truncate by a reader", format!("{:?}", reader.set_len(1).map_err(|e| e.raw_os_error())));
        for flags in [libc::O_SYNC, libc::O_DSYNC, libc::O_NOATIME, libc::O_NONBLOCK, libc::O_NOCTTY, libc::O_ASYNC] {
            let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(g.m("plain"));
            note(&format!("flags {flags:x}"), failed(file.and_then(|f| f.write_at(b"synced", 3))));
        }
        note("a folder", failed(File::open(g.m("d")).and_then(|f| f.read_at(&mut buffer, 0))));
        let as_folder = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(g.m("plain"));
        note("as a folder", failed(as_folder.map(|_| 0)));
        let appending = OpenOptions::new().append(true).open(g.m("other")).expect("open");
        note("append ignores the offset", failed(appending.write_at(b"end", 0)));
        note("size", appending.metadata().expect("fstat").len().to_string());
        told
    });
}

fn python(g: &Ground, script: &str) {
    let out = Command::new("python3").args(["-c", script]).current_dir(g.dir.join("m")).output().expect("python");
    assert!(out.status.success(), "{:?}: {}", g.driver, String::from_utf8_lossy(&out.stderr));
}

/// semantics: maps
#[test]
fn shared_maps_readers_and_writers_see_one_content() {
    need!(root, fuse, overlay, "python3");
    on_each(layers, |g| {
        python(
            g,
            "import mmap,os\n\
             a=os.open('plain',os.O_RDWR); b=os.open('plain',os.O_RDWR); c=os.open('plain',os.O_RDONLY)\n\
             m=mmap.mmap(a,0); n=mmap.mmap(b,0); r=mmap.mmap(c,0,access=mmap.ACCESS_READ)\n\
             m[10:15]=b'FIRST'\n\
             assert n[10:15]==b'FIRST', 'by the other map'\n\
             assert r[10:15]==b'FIRST', 'by the map for reading'\n\
             assert os.pread(c,5,10)==b'FIRST', 'by read'\n\
             os.pwrite(b,b'WRITE',100000)\n\
             assert m[100000:100005]==b'WRITE', 'by the map after write'\n\
             n[200000:200003]=b'END'; del n\n\
             os.close(a); os.close(b)\n\
             m[0:2]=b'<<'\n\
             assert os.pread(c,2,0)==b'<<', 'closed, still mapped'\n\
             m.flush()\n",
        );
        g.remount();
        let bytes = std::fs::read(g.m("plain")).expect("read");
        assert_eq!(&bytes[10..15], b"FIRST", "{:?}", g.driver);
        assert_eq!((&bytes[..2], &bytes[200_000..200_003]), (&b"<<"[..], &b"END"[..]), "{:?}", g.driver);
        assert_eq!(bytes.len(), 256 << 10);
    });
}

/// semantics: maps
#[test]
fn a_map_outlives_descriptor_and_name_and_needs_no_sync() {
    need!(root, fuse, overlay, "python3");
    on_each(layers, |g| {
        python(
            g,
            "import mmap,os\n\
             a=os.open('plain',os.O_RDWR); m=mmap.mmap(a,0); os.close(a)\n\
             m[5:9]=b'kept'\n\
             os.link('plain','linked'); os.unlink('plain')\n\
             m[20:25]=b'later'\n\
             p=mmap.mmap(os.open('linked',os.O_RDWR),0,flags=mmap.MAP_PRIVATE)\n\
             p[30:37]=b'private'\n\
             o=os.open('other',os.O_RDWR); q=mmap.mmap(o,0); os.unlink('other')\n\
             q[0:4]=b'gone'; assert os.pread(o,4,0)==b'gone'\n",
        );
        g.remount();
        let bytes = std::fs::read(g.m("linked")).expect("read");
        assert_eq!((&bytes[5..9], &bytes[20..25]), (&b"kept"[..], &b"later"[..]), "{:?}", g.driver);
        assert_ne!(&bytes[30..37], b"private", "{:?}", g.driver);
        assert!(!g.has("plain") && !g.has("other"));
    });
}

/// semantics: maps
#[test]
fn programs_run_from_the_union_and_are_not_written_while_they_do() {
    need!(root, fuse, overlay, "busybox");
    let fill = |g: &Ground| {
        let busybox = testkit::gate::find_program("busybox").expect("the gate");
        std::fs::copy(busybox, g.dir.join("low/busybox")).expect("a copy");
    };
    on_each(fill, |g| {
        for round in 0..2 {
            let mut child = Command::new(g.m("busybox")).args(["sleep", "60"]).spawn().expect("it runs");
            let written = OpenOptions::new().write(true).open(g.m("busybox"));
            child.kill().expect("kill");
            child.wait().expect("wait");
            assert_eq!(errno(written), libc::ETXTBSY, "{:?}: round {round}", g.driver);
            // The second time it is a file of the upper layer.
            drop(OpenOptions::new().write(true).open(g.m("busybox")).expect("open"));
        }
        let open = OpenOptions::new().write(true).open(g.m("busybox")).expect("open");
        assert_eq!(errno(Command::new(g.m("busybox")).arg("true").status()), libc::ETXTBSY, "{:?}", g.driver);
        drop(open);
        assert!(Command::new(g.m("busybox")).arg("true").status().expect("it runs").success());
    });
}

/// semantics: temporary files
#[test]
fn files_without_a_name_can_be_given_one() {
    need!(root, fuse, overlay);
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    on_each(layers, |g| {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let make = |folder: &str, flags: OFlags| {
            open(g.m(folder), flags, Mode::from_raw_mode(0o640))
                .unwrap_or_else(|e| panic!("{:?}: O_TMPFILE in {folder:?}: {e}", g.driver))
        };
        for (folder, name) in [("", "named"), ("d", "d/named")] {
            let file = File::from(make(folder, flags));
            file.write_all_at(b"temporary", 0).expect("write");
            let meta = file.metadata().expect("fstat");
            assert_eq!((meta.nlink(), meta.len(), meta.mode() & 0o777), (0, 9, 0o640), "{:?}", g.driver);
            assert!(!g.names(folder).iter().any(|n| n.contains("tmp") || n.starts_with('#')), "{:?}", g.driver);
            let by = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            linkat(CWD, by.as_str(), CWD, g.m(name), AtFlags::SYMLINK_FOLLOW)
                .unwrap_or_else(|e| panic!("{:?}: a name for it: {e}", g.driver));
            assert_eq!(file.metadata().expect("fstat").nlink(), 1, "{:?}", g.driver);
            file.write_all_at(b"T", 0).expect("write");
            assert_eq!(g.read(name), "Temporary");
        }
        let file = File::from(make("d", flags | OFlags::EXCL));
        let by = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let refused = linkat(CWD, by.as_str(), CWD, g.m("never"), AtFlags::SYMLINK_FOLLOW);
        assert_eq!(refused, Err(rustix::io::Errno::NOENT), "{:?}: with O_EXCL it can have none", g.driver);
        drop(file);
        drop(make("", flags));
        g.remount();
        assert_eq!((g.read("named"), g.read("d/named")), ("Temporary".into(), "Temporary".into()));
        let left: Vec<_> = std::fs::read_dir(g.dir.join("w/work")).expect("the work folder").collect();
        assert!(left.is_empty(), "{:?}: {left:?}", g.driver);
    });
}
