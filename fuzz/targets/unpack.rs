//! A whole layer into a directory, whatever it is: nothing outside changes.
//!
//! The first byte says how whiteouts are written. The directory lies on a tmpfs over `/mnt`, beside what must not change. To be
//! run by root in a mount namespace of its own (`unshare --mount`).
#![no_main]

use layer::extract::{Expected, Options, Whiteouts, unpack_layer};
use libfuzzer_sys::{Corpus, fuzz_target};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, mount};
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

const ROOM: &str = "/mnt";
const OUT: &str = "/mnt/room/out";

/// Names, contents and times of what stands beside the directory.
fn outside() -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for folder in [ROOM, "/mnt/room", "/mnt/victim"] {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            let path = entry.path();
            if path == Path::new(OUT) {
                continue;
            }
            let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            // The room itself changes when the directory in it comes and goes.
            let time = if path == Path::new("/mnt/room") { std::time::UNIX_EPOCH } else { meta.modified().unwrap() };
            all.push((path.display().to_string(), content, time));
        }
    }
    all.sort();
    all
}

fn prepare() {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("a mount namespace");
    let own = namespace(std::process::id()) != namespace(std::os::unix::process::parent_id());
    assert!(own, "run it in a mount namespace of its own: unshare --mount");
    mount("tmpfs", ROOM, "tmpfs", MountFlags::NODEV, c"size=64m,mode=755").unwrap();
    fs::create_dir_all("/mnt/room").unwrap();
    fs::create_dir_all("/mnt/victim").unwrap();
    for name in ["/mnt/passwd", "/mnt/room/file", "/mnt/victim/file"] {
        fs::write(name, "safe").unwrap();
    }
}

fuzz_target!(init: prepare(), |bytes: &[u8]| -> Corpus {
    let Some((how, blob)) = bytes.split_first() else { return Corpus::Reject };
    let whiteouts = [Whiteouts::Overlay, Whiteouts::UserXattr, Whiteouts::Oci, Whiteouts::Apply][usize::from(how % 4)];
    fs::create_dir(OUT).unwrap();
    let before = outside();
    let out = rustix::fs::open(OUT, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let options = Options { whiteouts, ..Options::default() };
    let _ = unpack_layer(blob, out.as_fd(), &Expected::named("fuzzed"), &options);
    drop(out);
    assert!(before == outside(), "something outside has changed");
    fs::remove_dir_all(OUT).unwrap();
    Corpus::Keep
});
