//! What a server keeps in mind for each file that the kernel knows.

use crate::field::{Disk, Driver, Overlay, alone, run};
use std::path::Path;
use std::process::Command;
use testkit::dice::{number, say};
use testkit::need;

/// Files in a folder; so many folders in CI (`VENEER_ROUNDS` says how many).
const FILES: usize = 1000;
const FOLDERS: u64 = 30;
/// Two hundred bytes and the name, and an allowance for listings that are kept and for what an allocator adds.
const MOST_BYTES: u64 = 200 + NAME_BYTES + 144;
const NAME_BYTES: u64 = 16;

/// Memory that a process shares with nobody, in KiB.
pub(crate) fn private_kib(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps_rollup");
    let line = rollup.lines().find_map(|l| l.strip_prefix("Private_Dirty:")).expect("Private_Dirty");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn name(folder: usize, file: usize) -> String {
    format!("d{folder:03}/a-file-n-{folder:03}-{file:03}")
}

fn fill(layer: &Path, folders: usize) {
    for folder in 0..folders {
        std::fs::create_dir(layer.join(format!("d{folder:03}"))).expect("a folder");
        for file in 0..FILES {
            std::fs::File::create(layer.join(name(folder, file))).expect("a file");
        }
    }
}

#[test]
fn a_file_that_is_known_costs_few_bytes() {
    need!(root, fuse);
    alone(Disk::Tmpfs, 2048, |dir| {
        let overlay = Overlay::new(dir, Driver::Fuse);
        let folders = number("VENEER_ROUNDS").unwrap_or(FOLDERS) as usize;
        fill(&dir.join("low"), folders);
        let server = overlay.mount().expect("a server");
        // What the first requests need once: threads, buffers.
        run(Command::new("find").arg(overlay.m("d000")).args(["-size", "+1k"]));
        let before = private_kib(server);
        run(Command::new("find").arg(overlay.m("")).args(["-size", "+1k"]));
        let after = private_kib(server);
        let each = (after - before.min(after)) * 1024 / (folders * FILES) as u64;
        say(&format!("memory: {before} KiB, after {} files {after} KiB: {each} bytes each", folders * FILES));
        assert!(each <= MOST_BYTES, "{each} bytes for each file known, at most {MOST_BYTES} wanted");
        overlay.umount();
    });
}

/// Names that come and go leave nothing behind.
#[test]
fn files_that_are_gone_cost_nothing() {
    need!(root, fuse);
    alone(Disk::Tmpfs, 512, |dir| {
        let overlay = Overlay::new(dir, Driver::Fuse);
        let server = overlay.mount().expect("a server");
        let come_and_go = |from: usize, to: usize| {
            for number in from..to {
                let path = overlay.m(format!("a-file-that-goes-{number}"));
                std::fs::write(&path, "x").expect("a file");
                std::fs::remove_file(&path).expect("unlink");
            }
        };
        come_and_go(0, 3000);
        let before = private_kib(server);
        come_and_go(3000, 9000);
        let after = private_kib(server);
        say(&format!("memory: {before} KiB, after 6000 files that are gone again {after} KiB"));
        assert!(after < before + 1024, "{before} KiB grew to {after} KiB");
        overlay.umount();
    });
}
