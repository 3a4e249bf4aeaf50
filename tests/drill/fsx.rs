//! Random data operations on few files through many descriptors, against bytes in memory: what fsx does, on overlays.
//!
//! A file starts new or in the lower layer, so that copy-up comes at a random moment between other operations. What is
//! checked: every read (by descriptor, mapping, copy), sizes, holes, and each whole file again and again, after a remount,
//! and by the kernel's driver from the same upper.
//!
//! `VENEER_ROUNDS` (of two files, 24 in CI) and `VENEER_SEED` as everywhere.

mod exerciser;
mod file;

use crate::field::{Disk, Driver, Overlay, alone};
use crate::worker;
use exerciser::Exerciser;
use std::path::Path;
use testkit::dice::{Dice, number, say, seed};
use testkit::need;

const ROUNDS: u64 = 24;
/// Operations on one pair of files.
const OPERATIONS: usize = 250;

/// Lower files: whole, with holes, empty.
fn fill_lower(dir: &Path, seed: u64, rounds: u64) {
    use std::os::unix::fs::FileExt;
    let mut dice = Dice::new(seed ^ 0x10e4);
    for name in 0..rounds * 2 {
        let file = std::fs::File::create(dir.join(format!("low/f{name}"))).expect("a lower file");
        let length = dice.below(file::LARGEST);
        match dice.below(4) {
            0 => {}
            1 => file.set_len(length as u64).expect("a hole"),
            2 => {
                file.set_len(length as u64).expect("a hole");
                for _ in 0..dice.below(5) {
                    let (at, part) = (dice.below(length), dice.below(9000));
                    file.write_all_at(&dice.bytes(part.min(length - at)), at as u64).expect("data");
                }
            }
            _ => file.write_all_at(&dice.bytes(length), 0).expect("data"),
        }
    }
}

/// The whole drill in the calling process: `dir` is empty, and whoever calls may mount.
fn exercise(dir: &Path, driver: Driver, seed: u64, rounds: u64, kernel_too: bool) {
    let overlay = Overlay::new(dir, driver);
    fill_lower(dir, seed, rounds);
    overlay.mount();
    let mut exerciser = Exerciser::new(overlay.m(""), dir.join("low"), seed, driver == Driver::Kernel);
    for round in 0..rounds {
        exerciser.round(round, OPERATIONS);
        if round % 5 == 4 {
            overlay.umount();
            overlay.mount();
            exerciser.check_all("after a remount");
        }
    }
    overlay.umount();
    if kernel_too {
        let kernel = overlay.by(Driver::Kernel);
        kernel.mount();
        exerciser.check_all("by the kernel's driver from the same upper");
        kernel.umount();
    }
    say(&exerciser.counts());
}

/// A task: in its own namespaces.
#[test]
fn exercises_where_it_is_told_to() {
    let Some(words) = worker::task("fsx::exercises_where_it_is_told_to") else { return };
    let number = |at: usize| words[at].parse().expect("a number");
    exercise(Path::new(&words[0]), Driver::Fuse, number(1), number(2), false);
}

fn drill(disk: Disk, driver: Driver) {
    let (seed, rounds) = (seed(), number("VENEER_ROUNDS").unwrap_or(ROUNDS));
    say(&format!("fsx: {driver:?} on {disk:?}: VENEER_SEED={seed} VENEER_ROUNDS={rounds}"));
    alone(disk, 512 + rounds, |dir| exercise(dir, driver, seed, rounds, driver == Driver::Fuse));
}

#[test]
fn data_is_right_on_the_kernels_overlay() {
    need!(root, overlay);
    drill(Disk::Tmpfs, Driver::Kernel);
}

#[test]
fn data_is_right_on_ours() {
    need!(root, fuse, overlay);
    drill(Disk::Tmpfs, Driver::Fuse);
}

#[test]
fn data_is_right_on_ours_over_ext4() {
    need!(root, fuse, overlay, loop, "mkfs.ext4");
    drill(Disk::Ext4, Driver::Fuse);
}

/// Without root there is no passthrough: the kernel keeps what is written and sends it later.
#[test]
fn data_is_right_on_ours_without_root() {
    need!(root, fuse, userns, "unshare");
    let (seed, rounds) = (seed(), number("VENEER_ROUNDS").unwrap_or(ROUNDS));
    say(&format!("fsx: rootless: VENEER_SEED={seed} VENEER_ROUNDS={rounds}"));
    alone(Disk::Tmpfs, 512 + rounds, |dir| {
        let words = [dir.to_str().expect("a plain path"), &seed.to_string(), &rounds.to_string()];
        let said = worker::rootless("fsx::exercises_where_it_is_told_to", &words).output().expect("unshare runs");
        worker::well(&said, "fsx without root");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        say(text.trim_end());
    });
}
