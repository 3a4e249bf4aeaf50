//! Layers of small trees: order, sameness, what is refused, differences.

use super::*;
use crate::extract::{Expected, Options, Whiteouts, unpack_layer};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn dir(path: &Path) -> fs::File {
    fs::OpenOptions::new().read(true).open(path).unwrap()
}

fn packed(path: &Path, options: &PackOptions<'_>) -> (Vec<u8>, Packed) {
    let mut out = Vec::new();
    let packed = pack_layer(dir(path).as_fd(), &mut out, options).unwrap();
    (out, packed)
}

fn plain() -> PackOptions<'static> {
    PackOptions { packing: Packing::None, ..PackOptions::default() }
}

fn names(tar: &[u8]) -> Vec<String> {
    let mut archive = crate::archive::Archive::new(tar);
    let mut names = Vec::new();
    while let Some(entry) = archive.next().unwrap() {
        names.push(String::from_utf8(entry.path).unwrap());
    }
    names
}

fn sample(root: &Path) {
    for folder in ["b", "a", "a/x", "a-b"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::write(root.join("b/.wh.gone"), "").unwrap();
    fs::write(root.join("b/h"), "").unwrap();
    fs::write(root.join("b/.wh..wh..opq"), "").unwrap();
    fs::write(root.join("a/big"), vec![b'x'; 3_000_000]).unwrap();
    fs::hard_link(root.join("a/big"), root.join("a/x/again")).unwrap();
    symlink("big", root.join("a/link")).unwrap();
    fs::set_permissions(root.join("a/big"), fs::Permissions::from_mode(0o4711)).unwrap();
}

#[test]
fn sorted_parents_first_whiteouts_where_the_name_would_be() {
    let root = tempfile::tempdir().unwrap();
    sample(root.path());
    let (tar, report) = packed(root.path(), &plain());
    let expected =
        ["./", "a/", "a/big", "a/link", "a/x/", "a/x/again", "a-b/", "b/", "b/.wh..wh..opq", "b/.wh.gone", "b/h"];
    assert_eq!(names(&tar), expected);
    assert_eq!(report.entries, 11);
    assert_eq!((report.tar_bytes, report.blob_bytes), (tar.len() as u64, tar.len() as u64));
    assert_eq!(report.digest, Digest::of(&tar));
    assert_eq!(report.diff_id, DiffId(report.digest));
}

#[test]
fn the_same_bytes_however_many_pack() {
    let root = tempfile::tempdir().unwrap();
    sample(root.path());
    fs::write(root.path().join("c"), (0..2_200_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect::<Vec<u8>>())
        .unwrap();
    let (tar, _) = packed(root.path(), &plain());
    let zstd = |seekable| Packing::Zstd { level: 3, seekable };
    for packing in [Packing::Gzip(6), Packing::Gzip(1), zstd(false), zstd(true)] {
        let mut first = None;
        for jobs in [1, 2, 7] {
            let jobs = NonZeroUsize::new(jobs).unwrap();
            let (blob, report) = packed(root.path(), &PackOptions { packing, jobs, ..PackOptions::default() });
            assert_eq!(report.digest, Digest::of(&blob), "{packing:?}");
            assert_eq!((report.diff_id.0, report.blob_bytes), (Digest::of(&tar), blob.len() as u64));
            assert!(first.get_or_insert_with(|| blob.clone()) == &blob, "{packing:?} with {jobs}");
            let mut back = Vec::new();
            match packing {
                Packing::Gzip(_) => {
                    io::copy(&mut flate2::read::MultiGzDecoder::new(&blob[..]), &mut back).unwrap();
                }
                _ => zstd::stream::copy_decode(&blob[..], &mut back).unwrap(),
            }
            assert!(back == tar, "{packing:?}");
        }
    }
}

#[test]
fn gzip_members_and_zstd_frames_can_be_found_without_unpacking() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("c"), (0..700_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect::<Vec<u8>>())
        .unwrap();
    let (tar, _) = packed(root.path(), &plain());
    let (blob, _) = packed(root.path(), &PackOptions::default());
    let (mut at, mut members) = (0, 0);
    while at < blob.len() {
        assert_eq!(blob[at..at + 4], [0x1f, 0x8b, 8, 4]);
        assert_eq!(&blob[at + 12..at + 16], b"VL\x04\0");
        at += u32::from_le_bytes(blob[at + 16..at + 20].try_into().unwrap()) as usize;
        members += 1;
    }
    assert_eq!((at, members), (blob.len(), tar.len().div_ceil(1 << 20)));

    let packing = Packing::Zstd { level: 3, seekable: true };
    let (blob, _) = packed(root.path(), &PackOptions { packing, ..PackOptions::default() });
    let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    let end = blob.len();
    assert_eq!(word(end - 4), 0x8f92_eab1);
    let frames = word(end - 9);
    let table = end - 9 - 8 * frames;
    assert_eq!((word(table - 8), word(table - 4)), (0x184d_2a5e, end - table));
    let (mut at, mut unpacked) = (0, 0);
    for frame in 0..frames {
        let (packed, size) = (word(table + 8 * frame), word(table + 8 * frame + 4));
        assert_eq!(zstd::decode_all(&blob[at..at + packed]).unwrap(), tar[unpacked..unpacked + size]);
        (at, unpacked) = (at + packed, unpacked + size);
    }
    assert_eq!((at, unpacked), (table - 8, tar.len()));
}

#[test]
fn times_are_bounded_or_set() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("f"), "x").unwrap();
    let time = |seconds| Time { seconds, nanoseconds: 0 };
    let of = |mtimes| {
        let (tar, _) = packed(root.path(), &PackOptions { mtimes, root: false, ..plain() });
        crate::archive::Archive::new(&tar[..]).next().unwrap().unwrap().mtime
    };
    assert!(of(Mtimes::Keep).seconds > 1_700_000_000);
    assert_eq!(of(Mtimes::Clamp(time(5))), time(5));
    assert_eq!(of(Mtimes::Clamp(time(1 << 40))), of(Mtimes::Keep));
    assert_eq!(of(Mtimes::Set(time(1 << 40))), time(1 << 40));
}

#[test]
fn a_reader_that_has_gone_and_a_caller_that_asks_end_it() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(libc::EPIPE))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let root = tempfile::tempdir().unwrap();
    sample(root.path());
    fs::write(root.path().join("c"), vec![1; 12_000_000]).unwrap();
    let error = pack_layer(dir(root.path()).as_fd(), Gone, &plain()).unwrap_err();
    assert_eq!((error.kind, error.raw_os_error()), (Kind::System, Some(libc::EPIPE)));
    let cancel = AtomicBool::new(true);
    let options = PackOptions { cancel: Some(&cancel), ..PackOptions::default() };
    assert_eq!(pack_layer(dir(root.path()).as_fd(), io::sink(), &options).unwrap_err().kind, Kind::Cancelled);
}

#[test]
fn names_that_a_layer_cannot_hold_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let refused = |options: &PackOptions<'_>| {
        let options = PackOptions { name: "rw", ..*options };
        pack_layer(dir(root.path()).as_fd(), io::sink(), &options).unwrap_err().to_string()
    };
    fs::write(root.path().join(".wh.full"), "x").unwrap();
    assert_eq!(refused(&plain()), "pack rw: .wh.full: its name is that of a whiteout, but it is no empty file");
    assert_eq!(
        refused(&PackOptions { plain: true, ..plain() }),
        "pack rw: .wh.full: its name means a whiteout in a layer"
    );
    fs::remove_file(root.path().join(".wh.full")).unwrap();
    fs::create_dir(root.path().join(".wh.d")).unwrap();
    assert_eq!(refused(&plain()), "pack rw: .wh.d: its name is that of a whiteout, but it is a directory");
}

#[test]
fn deep_trees_need_few_descriptors() {
    let root = tempfile::tempdir().unwrap();
    let mut fd = rustix::fs::open(root.path(), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&fd, "d", rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        fd = rustix::fs::openat(&fd, "d", flags, rustix::fs::Mode::empty()).unwrap();
    }
    drop(fd);
    let (_, report) = packed(root.path(), &plain());
    assert_eq!(report.entries, 3001);
    crate::remove::remove_contents(dir(root.path()).as_fd()).unwrap();
}

#[test]
fn what_changed_between_two_trees() {
    let (lower, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let time = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    for root in [lower.path(), upper.path()] {
        for folder in ["same", "d", "d/e", "was-dir", "gone"] {
            let _ = fs::create_dir(root.join(folder));
        }
        for file in ["same/f", "d/e/touched", "d/content", "gone/f", "was-file", "was-dir/f", "l1"] {
            fs::write(root.join(file), "12").unwrap();
        }
        fs::hard_link(root.join("l1"), root.join("l2")).unwrap();
        fs::hard_link(root.join("l1"), root.join("l4")).unwrap();
    }
    let up = |name: &str| upper.path().join(name);
    fs::remove_dir_all(up("gone")).unwrap();
    fs::remove_dir_all(up("was-dir")).unwrap();
    fs::write(up("was-dir"), "").unwrap();
    fs::remove_file(up("was-file")).unwrap();
    fs::create_dir(up("was-file")).unwrap();
    fs::write(up("was-file/new"), "").unwrap();
    fs::write(up("d/content"), "21").unwrap();
    fs::rename(up("l4"), up("l3")).unwrap();
    for root in [lower.path(), upper.path()] {
        for name in ["same/f", "d/content", "l1", "same", "d/e", "d", ".", "d/e/touched"] {
            dir(&root.join(name)).set_times(time).unwrap();
        }
    }
    dir(&up("d/e/touched")).set_times(fs::FileTimes::new().set_modified(std::time::SystemTime::now())).unwrap();
    let difference = |options: &PackOptions<'_>| {
        let mut tar = Vec::new();
        pack_difference(dir(lower.path()).as_fd(), dir(upper.path()).as_fd(), &mut tar, options).unwrap();
        tar
    };
    let tar = difference(&plain());
    let expected = [
        "./",
        "d/",
        "d/content",
        "d/e/",
        "d/e/touched",
        ".wh.gone",
        "l1",
        "l2",
        "l3",
        ".wh.l4",
        "was-dir",
        "was-file/",
        "was-file/new",
    ];
    assert_eq!(names(&tar), expected);
    let trusting = difference(&PackOptions { trust_times: true, ..plain() });
    assert!(!names(&trusting).contains(&"d/content".to_owned()));
    // Carried out over the lower tree it gives the upper one: then nothing has changed any more.
    let options = Options { whiteouts: Whiteouts::Apply, ..Options::default() };
    unpack_layer(&tar[..], dir(lower.path()).as_fd(), &Expected::named("difference"), &options).unwrap();
    assert_eq!(names(&difference(&plain())), [""; 0]);
}
