//! Eight processes that get in each other's way on few names of one overlay: no hang, no answer that the kernel's overlay
//! would not give, at the end a tree in which everything listed is there and whole, and a server that lives and is small.
//!
//! `VENEER_SECONDS` says for how long (8 in CI).

mod actor;
mod whole;

use crate::field::{Disk, Driver, Overlay, alive, alone};
use crate::worker::{self, Running};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use testkit::dice::{number, say, seed};
use testkit::need;

const PROCESSES: usize = 8;
/// A directory operation that waits longer than this for its turn hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Private memory that a server may have at most after it.
const MOST_KIB: u64 = 64 << 10;

/// Two layers with folders that merge, files, a program.
fn fill_lower(dir: &Path) {
    for (layer, seed) in [("low", 1), ("lower", 2)] {
        for folder in ["d0", "d1", "d1/sub", "d2", "d3"] {
            let folder = dir.join(layer).join(folder);
            std::fs::create_dir_all(&folder).expect("a folder");
            for name in 0..6_u64 {
                whole::write(&folder.join(format!("n{}", name * seed)), name * 31 + seed).expect("a file");
            }
            std::fs::copy("/bin/true", folder.join("prog")).expect("a program");
        }
    }
}

/// A task: one of the processes.
#[test]
fn acts_where_it_is_told_to() {
    let Some(words) = worker::task("stress::acts_where_it_is_told_to") else { return };
    let number = |at: usize| words[at].parse().expect("a number");
    let said = actor::act(Path::new(&words[0]), number(1), Duration::from_secs(number(2)), number(3) == 1);
    say(&said);
}

/// A task: all of it, in its own namespaces.
#[test]
fn stresses_where_it_is_told_to() {
    let Some(words) = worker::task("stress::stresses_where_it_is_told_to") else { return };
    let number = |at: usize| words[at].parse().expect("a number");
    stress(Path::new(&words[0]), Driver::Fuse, number(1), number(2), false);
}

fn stress(dir: &Path, driver: Driver, seed: u64, seconds: u64, kernel_too: bool) {
    let mut overlay = Overlay::new(dir, driver);
    std::fs::create_dir(dir.join("lower")).expect("a folder");
    overlay.lowers = vec!["low".to_owned(), "lower".to_owned()];
    fill_lower(dir);
    let server = overlay.mount();
    let point = overlay.m("");
    let mut running: Vec<Running> = (0..PROCESSES as u64)
        .map(|actor| {
            let whole_copies = if kernel_too || driver == Driver::Kernel { "0" } else { "1" };
            let numbers = [(seed + actor).to_string(), seconds.to_string()];
            let words = [point.to_str().expect("a plain path"), &numbers[0], &numbers[1], whole_copies];
            let mut command = worker::command("stress::acts_where_it_is_told_to", &words);
            Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
        })
        .collect();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for actor in &mut running {
        let Some(status) = actor.ends_within(Duration::from_secs(seconds) + PATIENCE) else {
            panic!("{driver:?}: an actor hangs: {}", actor.stuck_at());
        };
        // What an actor says is short: it fits into a pipe, and is there once it has ended.
        let said = |from: Option<&mut dyn std::io::Read>| {
            let mut text = String::new();
            from.map(|from| from.read_to_string(&mut text)).transpose().expect("what it said");
            text
        };
        let errors = said(actor.0.stderr.as_mut().map(|e| e as &mut dyn std::io::Read));
        assert!(status.success(), "{driver:?}: an actor failed: {status}\n{errors}");
        for (name, count) in actor::counts(&errors) {
            *counts.entry(name).or_default() += count;
        }
    }
    let shown: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    say(&format!("stress, {driver:?}: {}", shown.join(", ")));
    if let Some(server) = server {
        assert!(alive(server), "the server ended");
        let kib = crate::memory::private_kib(server);
        say(&format!("stress, {driver:?}: the server has {kib} KiB of its own"));
        assert!(kib < MOST_KIB, "{kib} KiB");
    }
    let after = whole::check_tree(&point);
    overlay.umount();
    overlay.mount();
    whole::check_tree(&point);
    let again = testkit::tree::snapshot(&point);
    // While the kernel keeps written pages it keeps the times too, and may send those before it sends the pages.
    let times = |_: &Path, node: &testkit::tree::Node| driver == Driver::Fuse && node.kind == "file";
    after.without_times(times).assert_same(&again.clone().without_times(times), "after a remount");
    overlay.umount();
    if kernel_too {
        let kernel = overlay.by(Driver::Kernel);
        kernel.mount();
        again.assert_same(&testkit::tree::snapshot(&point), "by the kernel's driver from the same upper");
        kernel.umount();
    }
}

fn drill(disk: Disk, driver: Driver) {
    let (seed, seconds) = (seed(), number("VENEER_SECONDS").unwrap_or(8));
    say(&format!("stress: {driver:?} on {disk:?}: VENEER_SEED={seed}, {seconds} s"));
    alone(disk, 2048, |dir| stress(dir, driver, seed, seconds, driver == Driver::Fuse));
}

#[test]
fn the_kernels_overlay_stands_it() {
    need!(root, overlay);
    drill(Disk::Tmpfs, Driver::Kernel);
}

#[test]
fn ours_stands_it() {
    need!(root, fuse, overlay);
    drill(Disk::Tmpfs, Driver::Fuse);
}

#[test]
fn ours_stands_it_without_root() {
    need!(root, fuse, userns, "unshare");
    let (seed, seconds) = (seed(), number("VENEER_SECONDS").unwrap_or(8));
    say(&format!("stress: rootless: VENEER_SEED={seed}, {seconds} s"));
    alone(Disk::Tmpfs, 2048, |dir| {
        let words = [dir.to_str().expect("a plain path"), &seed.to_string(), &seconds.to_string()];
        let said = worker::rootless("stress::stresses_where_it_is_told_to", &words).output().expect("unshare runs");
        worker::well(&said, "stress without root");
        say(String::from_utf8_lossy(&said.stderr).trim_end());
    });
}
