//! Layers made by hand into directories of any user: order, replacement, whiteouts, and what must not get out.

use super::*;
use crate::Kind;
use rustix::fs::{Mode, OFlags};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// A tar made of lines: `NAME/` a directory, `NAME=DATA` a file, `NAME->TARGET` a symbolic link, `NAME=>TARGET` a hard link,
/// else an empty file.
fn tar(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        let (mut data, mut name) = (&b""[..], *line);
        if let Some((n, target)) = line.split_once("=>") {
            name = n;
            header.set_entry_type(tar::EntryType::Link);
            header.set_link_name_literal(target).unwrap();
        } else if let Some((n, target)) = line.split_once("->") {
            name = n;
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_link_name_literal(target).unwrap();
        } else if let Some((n, text)) = line.split_once('=') {
            (name, data) = (n, text.as_bytes());
            header.set_size(data.len() as u64);
        } else if line.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o750);
        }
        // By hand: the crate refuses to write hostile names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend_from_slice(&[0; 1024]);
    out
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

fn unpack_as(lines: &[&str], whiteouts: Whiteouts, dir: &Path) -> Result<Report> {
    let options = Options { whiteouts, owners: Owners::Caller, ..Options::default() };
    unpack_layer(&tar(lines)[..], open(dir).as_fd(), &Expected::named("L"), &options)
}

fn unpack(lines: &[&str]) -> (tempfile::TempDir, Result<Report>) {
    let dir = tempfile::tempdir().unwrap();
    let report = unpack_as(lines, Whiteouts::UserXattr, dir.path());
    (dir, report)
}

fn error(lines: &[&str]) -> Error {
    unpack(lines).1.unwrap_err()
}

fn read(dir: &tempfile::TempDir, path: &str) -> String {
    std::fs::read_to_string(dir.path().join(path)).unwrap()
}

fn opaque(path: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::lgetxattr(path, c"user.overlay.opaque", &mut value).is_ok_and(|n| &value[..n] == b"y")
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

#[test]
fn what_comes_later_replaces_what_came_before() {
    let (dir, report) = unpack(&["a/", "a/deep/er=1", "a=file", "b=file", "b/", "b/x=2", "c=1", "c=2", "l->b", "l=3"]);
    report.unwrap();
    assert_eq!((read(&dir, "a"), read(&dir, "b/x"), read(&dir, "c")), ("file".into(), "2".into(), "2".into()));
    assert_eq!(read(&dir, "l"), "3");
    assert_eq!(dir.path().join("b").metadata().unwrap().permissions().mode() & 0o7777, 0o750);
}

#[test]
fn directories_have_their_times_in_the_end_and_missing_ones_are_made() {
    let (dir, report) = unpack(&["a/", "a/b/", "a/b/c=1", "x/y/z=1", "a/d=2"]);
    assert_eq!(report.unwrap().entries, 5);
    for name in ["a", "a/b"] {
        assert_eq!(dir.path().join(name).metadata().unwrap().mtime(), 1_000_000_000, "{name}");
    }
    assert_eq!(dir.path().join("x/y").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn the_roots_own_entry_is_the_directory() {
    let (dir, report) = unpack(&["./", "./a=1"]);
    report.unwrap();
    let meta = dir.path().metadata().unwrap();
    assert_eq!((meta.mtime(), meta.permissions().mode() & 0o7777), (1_000_000_000, 0o750));
    assert_eq!(error(&["./->x"]).to_string(), "layer L: ./: an entry for the root that is no directory");
}

#[test]
fn hard_links_are_one_file_and_to_themselves_nothing() {
    let (dir, report) = unpack(&["a=1", "d/b=>a", "a=>./a", "s->a", "t=>s", "d/b=>/a"]);
    report.unwrap();
    let inode = |name: &str| dir.path().join(name).symlink_metadata().unwrap().ino();
    assert_eq!(inode("a"), inode("d/b"));
    assert_eq!(inode("s"), inode("t"));
    assert_eq!(error(&["b=>gone"]).to_string(), "layer L: b: hard link to gone, which is not in the layer");
}

#[test]
fn absolute_names_lose_their_slash_and_dots_inside_are_resolved() {
    let (dir, report) = unpack(&["/etc/passwd=1", "a/../b=2", "s->sub", "sub/", "s/in=3"]);
    report.unwrap();
    assert_eq!((read(&dir, "etc/passwd"), read(&dir, "b"), read(&dir, "sub/in")), ("1".into(), "2".into(), "3".into()));
}

#[test]
fn nothing_climbs_out() {
    let hint = "the layer is hostile or broken; do not use this image";
    for (lines, message) in [
        (&["../evil=x"][..], "layer L: ../evil: climbs out of the layer by .."),
        (&["/../evil=x"], "layer L: /../evil: climbs out of the layer by .."),
        (&["a/../../evil/"], "layer L: a/../../evil/: climbs out of the layer by .."),
        (&["../.wh.evil"], "layer L: ../.wh.evil: climbs out of the layer by .."),
        (&["a=>../../etc/passwd"], "layer L: a: hard link to ../../etc/passwd, which climbs out of the layer by .."),
        (&["l->..", "l/evil=x"], "layer L: l/evil: climbs out of the layer through the symbolic link l -> .."),
        (&["l->/tmp", "l/evil=x"], "layer L: l/evil: climbs out of the layer through the symbolic link l -> /tmp"),
        (
            &["d/l->../../..", "d/l/etc/x=x"],
            "layer L: d/l/etc/x: climbs out of the layer through the symbolic link d/l -> ../../..",
        ),
        (&["l->/etc", "x=>l/passwd"], "layer L: x: climbs out of the layer through the symbolic link l -> /etc"),
        (
            &["l->/etc", "l/.wh.passwd"],
            "layer L: l/.wh.passwd: climbs out of the layer through the symbolic link l -> /etc",
        ),
        (
            &["l->/etc", "l/.wh..wh..opq"],
            "layer L: l/.wh..wh..opq: climbs out of the layer through the symbolic link l -> /etc",
        ),
        (&["d/.wh..."], "layer L: d/.wh...: a whiteout of .."),
        (&[".wh.."], "layer L: .wh..: a whiteout of ."),
        (&[".wh."], "layer L: .wh.: a whiteout of nothing"),
    ] {
        let error = error(lines);
        assert_eq!(error.to_string(), message);
        assert_eq!((error.kind, error.hint.as_deref()), (Kind::Escape, Some(hint)));
    }
}

#[test]
fn an_absolute_link_to_what_is_in_the_layer_is_read_as_in_the_container() {
    let (dir, report) = unpack(&["run/", "var/run->/run", "var/run/pid=1", "var/run/../up=2"]);
    report.unwrap();
    assert_eq!(read(&dir, "run/pid"), "1");
    assert_eq!(read(&dir, "var/up"), "2");
}

#[test]
fn a_file_is_no_directory_and_a_dangling_link_neither() {
    assert_eq!(error(&["a=1", "a/b=2"]).to_string(), "layer L: a/b: a is not a directory");
    assert_eq!(error(&["a->gone", "a/b=2"]).to_string(), "layer L: a/b: a is a link to nothing");
    assert!(error(&["a->b", "b->a", "a/c=1"]).to_string().contains("too many symbolic links"));
}

#[test]
fn whiteouts_become_devices_and_opaque_directories() {
    let (dir, report) = unpack(&["d/", "d/.wh.gone", "o/.wh..wh..opq", "o/kept=1", ".wh..wh.plnk/"]);
    report.unwrap();
    assert!(is_whiteout(&dir.path().join("d/gone")));
    assert!(opaque(&dir.path().join("o")));
    assert!(!opaque(&dir.path().join("d")));
    assert!(!dir.path().join(".wh..wh.plnk").exists());
}

#[test]
fn a_whiteout_hides_only_what_is_below_in_any_order() {
    for lines in [&["a/.wh.d", "a/d/", "a/d/f=1"][..], &["a/d/", "a/d/f=1", "a/.wh.d"], &["a/.wh.d", "a/d/f=1"]] {
        let (dir, report) = unpack(lines);
        report.unwrap();
        assert_eq!(read(&dir, "a/d/f"), "1");
        assert!(opaque(&dir.path().join("a/d")), "{lines:?}");
    }
    for lines in [&[".wh.f", "f=1"][..], &["f=1", ".wh.f"]] {
        let (dir, report) = unpack(lines);
        report.unwrap();
        assert_eq!(read(&dir, "f"), "1");
    }
}

#[test]
fn whiteouts_stay_as_they_are_or_are_carried_out() {
    let dir = tempfile::tempdir().unwrap();
    unpack_as(&["d/.wh.x", "d/.wh..wh..opq"], Whiteouts::Oci, dir.path()).unwrap();
    assert!(dir.path().join("d/.wh.x").is_file() && dir.path().join("d/.wh..wh..opq").is_file());

    let dir = tempfile::tempdir().unwrap();
    unpack_as(&["a=1", "d/x/y=1", "d/z=1", "e/old=1", "f/g/old=1", "s->d"], Whiteouts::Apply, dir.path()).unwrap();
    let upper =
        ["d/.wh.x", ".wh.a", "e/new=2", "e/.wh..wh..opq", "f/g/new=2", ".wh.f", ".wh.gone/", "d/w=2", "z/.wh.y"];
    unpack_as(&upper, Whiteouts::Apply, dir.path()).unwrap();
    let there = |name: &str| dir.path().join(name).exists();
    assert!(!there("a") && !there("d/x") && there("d/z") && there("d/w"));
    assert!(!there("e/old") && there("e/new") && !there("f/g/old") && there("f/g/new"));
    unpack_as(&["d=file"], Whiteouts::Apply, dir.path()).unwrap();
    assert!(dir.path().join("d").is_file());
}

#[test]
fn what_was_in_the_directory_before_is_not_torn_down() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("home/me")).unwrap();
    std::fs::write(dir.path().join("f"), "old").unwrap();
    let error = unpack_as(&["home=x"], Whiteouts::UserXattr, dir.path()).unwrap_err();
    assert_eq!(error.to_string(), "layer L: home: a directory that is not empty is in its place");
    let error = unpack_as(&[".wh.home"], Whiteouts::UserXattr, dir.path()).unwrap_err();
    assert_eq!(error.to_string(), "layer L: .wh.home: a directory that is not empty is in its place");
    unpack_as(&["home/", "f=new", "home/me=>f"], Whiteouts::UserXattr, dir.path()).unwrap();
    assert_eq!(read(&dir, "f"), "new");
}

#[test]
fn digests_are_told_and_checked() {
    let plain = tar(&["a=1"]);
    let packed = zstd::encode_all(&plain[..], 1).unwrap();
    let options = Options { owners: Owners::Caller, ..Options::default() };
    let run = |blob: &[u8], expected: Expected| {
        let dir = tempfile::tempdir().unwrap();
        unpack_layer(blob, open(dir.path()).as_fd(), &expected, &options)
    };
    let report = run(&packed, Expected::named("L")).unwrap();
    assert_eq!(report.digest, Digest::of(&packed));
    assert_eq!(report.diff_id, DiffId(Digest::of(&plain)));
    assert_eq!((report.blob_bytes, report.tar_bytes), (packed.len() as u64, plain.len() as u64));
    assert_eq!(run(&plain, Expected::named("L")).unwrap().digest, Digest::of(&plain));

    let expect = Expected {
        name: "L".into(),
        digest: Some(report.digest),
        diff_id: Some(report.diff_id),
        size_bytes: Some(report.blob_bytes),
    };
    run(&packed, expect.clone()).unwrap();
    let other = Digest::of(b"other");
    let error = run(&packed, Expected { digest: Some(other), ..expect.clone() }).unwrap_err();
    assert_eq!(error.kind, Kind::Digest);
    assert_eq!(error.to_string(), format!("layer L: digest is {} (expected {other})", report.digest));
    let error = run(&packed, Expected { diff_id: Some(DiffId(other)), ..expect.clone() }).unwrap_err();
    assert_eq!(error.kind, Kind::DiffId);
    assert_eq!(error.to_string(), format!("layer L: diff id is {} (expected {other})", report.diff_id));
    assert!(error.hint.is_some());

    let cut = &packed[..packed.len() - 5];
    let error = run(cut, expect.clone()).unwrap_err();
    assert_eq!(error.to_string(), format!("layer L: is cut short: {} of {} bytes", cut.len(), packed.len()));
    assert_eq!(error.kind, Kind::Truncated);
    let error = run(cut, Expected::named("L")).unwrap_err();
    assert_eq!(error.to_string(), "layer L: is cut short: its zstd stream ends too early");
    let error = run(&plain[..512], Expected::named("L")).unwrap_err();
    assert_eq!(error.kind, Kind::Truncated);
    // Broken bytes: the digest says it best, and without one the decoder or the tar does.
    let mut bad = plain.clone();
    bad[3] ^= 1;
    assert_eq!(
        run(&bad, Expected { digest: Some(Digest::of(&plain)), ..Expected::named("L") }).unwrap_err().kind,
        Kind::Digest
    );
    assert_eq!(run(&bad, Expected::named("L")).unwrap_err().to_string(), "layer L: is neither a tar nor gzip nor zstd");
    assert_eq!(run(b"", Expected::named("L")).unwrap_err().to_string(), "layer L: is empty");
}

#[test]
fn what_lies_behind_the_end_counts_for_the_digests() {
    let mut plain = tar(&["a=1"]);
    plain.extend_from_slice(&[7; 3_000_000]);
    let dir = tempfile::tempdir().unwrap();
    let options = Options { owners: Owners::Caller, ..Options::default() };
    let report = unpack_layer(&plain[..], open(dir.path()).as_fd(), &Expected::named("L"), &options).unwrap();
    assert_eq!(report.diff_id.0, Digest::of(&plain));
}

#[test]
fn many_chunks_go_round_and_a_caller_can_stop_it() {
    let big = "x".repeat(20_000_000);
    let blob = zstd::encode_all(&tar(&[&format!("big={big}"), "after=1"])[..], 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let read_bytes = std::sync::atomic::AtomicU64::new(0);
    let tell = |count| {
        read_bytes.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
    };
    let options = Options { owners: Owners::Caller, on_progress: Some(&tell), ..Options::default() };
    unpack_layer(&blob[..], open(dir.path()).as_fd(), &Expected::named("L"), &options).unwrap();
    assert_eq!(dir.path().join("big").metadata().unwrap().len(), 20_000_000);
    assert_eq!(read_bytes.into_inner(), blob.len() as u64);

    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(true);
    let options = Options { cancel: Some(&stop), ..Options::default() };
    let error = unpack_layer(&blob[..], open(dir.path()).as_fd(), &Expected::named("L"), &options).unwrap_err();
    assert_eq!((error.kind, error.to_string()), (Kind::Cancelled, "layer L: interrupted".into()));
}

#[test]
fn a_reader_that_fails_is_not_a_broken_layer() {
    struct Fails(Vec<u8>);
    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::Error::from_raw_os_error(5));
            }
            let count = self.0.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&tar(&["a=1"])).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let blob = Fails(packed.finish().unwrap()[..60].to_vec());
    let error = unpack_layer(blob, open(dir.path()).as_fd(), &Expected::named("L"), &Options::default()).unwrap_err();
    assert_eq!(error.kind, Kind::System);
    assert!(error.to_string().to_lowercase().contains("input/output error"), "{error}");
}
