//! Another process changes the directory while we work in it: directories change places with links that lead out, again and
//! again. Nothing outside changes, not even an inode's ctime (so no byte, mode, owner, xattr, time or link), and nothing of
//! the outside gets into what is packed. Contract U9.
//!
//! These tests find what they are for: with RESOLVE_NO_SYMLINKS and RESOLVE_BENEATH taken out of `extract/dirs.rs` and O_NOFOLLOW
//! out of `extract/{dirs,resolve,finish}.rs`, the first and the one about taking back fail within two rounds (tried by hand).

use crate::bench::{Bench, UNPACK};
use rustix::fs::{AtFlags, CWD, RenameFlags, renameat_with, statat};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use testkit::corpus::{Item, tar};

/// Exchanges the members of each pair until it is dropped.
struct Swapper<'a> {
    stop: &'a AtomicBool,
}

impl Drop for Swapper<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` while a thread exchanges the pairs; gives how often two of them changed places.
fn while_swapping(pairs: &[(PathBuf, PathBuf)], work: impl FnOnce()) -> u64 {
    let (begun, stop, swaps) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.store(true, Ordering::Relaxed);
            let mut round = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for (a, b) in pairs {
                    if renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).is_ok() {
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                    // Now and then each stays where it is for a while.
                    round = round.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    for _ in 0..(round >> 54) {
                        std::hint::spin_loop();
                    }
                }
            }
        });
        let _stops = Swapper { stop: &stop };
        // On a busy machine the work may be over before the thread has begun.
        while !begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        work();
    });
    swaps.load(Ordering::Relaxed)
}

/// Every inode below `dir` with all that changes when anything about it does.
fn inodes(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut to_do = vec![dir.to_owned()];
    while let Some(path) = to_do.pop() {
        let stat = statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        all.push(format!(
            "{} {} {}.{} {}",
            path.display(),
            stat.st_ino,
            stat.st_ctime,
            stat.st_ctime_nsec,
            stat.st_nlink
        ));
        if std::fs::symlink_metadata(&path).unwrap().is_dir() {
            to_do.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
    }
    all.sort();
    all
}

const DIRECTORIES: usize = 6;

/// A folder with `outside/`, whose tree has the names that the layer has, and `links/<n>`, links to it.
fn ground() -> Bench {
    let bench = Bench::new();
    bench.sh(&format!(
        "mkdir -p outside/sub/deep links; for n in 0 1 2 3 4 5 6 7; do echo secret > outside/f$n; echo secret > outside/sub/f$n; done
         ln -s f0 outside/l; mkfifo outside/p; echo secret > outside/sub/deep/f
         for n in $(seq 0 {}); do ln -s $PWD/outside links/$n; done",
        DIRECTORIES - 1
    ));
    bench
}

fn pairs(bench: &Bench, target: &str) -> Vec<(PathBuf, PathBuf)> {
    (0..DIRECTORIES).map(|n| (bench.path(&format!("{target}/d{n}")), bench.path(&format!("links/{n}")))).collect()
}

/// Everything a layer can do below directories that are being exchanged.
fn layer() -> Vec<u8> {
    let mut items = Vec::new();
    for round in 0..4 {
        for n in 0..DIRECTORIES {
            let at = |name: &str| format!("d{n}/{name}");
            items.push(Item::dir(at("")).mode(0o777).xattr("user.evil", "1"));
            items.push(Item::dir(at("sub/")).mode(0o777).xattr("user.evil", "1"));
            items.push(Item::dir(at("sub/deep/")).mode(0o700));
            for f in 0..8 {
                items.push(Item::file(at(&format!("f{f}")), b"evil").mode(0o666).xattr("user.evil", "1"));
                items.push(Item::file(at(&format!("sub/f{f}")), vec![b'e'; 3000 * f]).mode(0o4755));
            }
            items.push(Item::link(at("l"), "evil"));
            items.push(Item::new(b'6', at("p")).mode(0o666));
            items.push(Item::hard(at("hard"), at("f0")));
            items.push(Item::hard(format!("hard{n}.{round}"), at("sub/f1")));
            items.push(Item::file(at("sub/.wh.f2"), b""));
            items.push(Item::file(at("sub/deep/.wh..wh..opq"), b""));
        }
    }
    tar(&items)
}

fn rounds(ci: usize) -> usize {
    std::env::var("VENEER_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ci)
}

#[test]
fn directories_that_become_links_lead_nowhere() {
    let bench = ground();
    bench.write("a.tar", &layer());
    let before = inodes(&bench.path("outside"));
    let (mut swaps, mut failed) = (0, 0);
    for round in 0..rounds(20) {
        // New and empty, or with something in it; whiteouts marked, or carried out.
        let (full, form) = (round % 2 == 1, ["userxattr", "apply", "oci"][round % 3]);
        let owners = if round.is_multiple_of(4) { "--no-same-owner" } else { "" };
        bench.sh("rm -rf out links/*; mkdir out");
        if full {
            bench.sh("for n in 0 1 2 3 4 5; do mkdir -p out/d$n/sub/deep; echo old > out/d$n/f1; done");
        }
        bench.sh("for n in 0 1 2 3 4 5; do ln -s $PWD/outside links/$n; done");
        swaps += while_swapping(&pairs(&bench, "out"), || {
            let out = bench.unpack(&format!("-C out --whiteouts {form} {owners} a.tar"));
            assert!(matches!(out.status.code(), Some(0 | 1)), "{}", out.status);
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(!said.contains("panicked"), "{said}");
            failed += u32::from(!out.status.success());
        });
        assert_eq!(before, inodes(&bench.path("outside")), "round {round}, {form}, full: {full}");
    }
    assert!(swaps > 100, "only {swaps} exchanges, {failed} runs refused");
}

#[test]
fn an_ordinary_user_is_not_led_outside_either() {
    testkit::need!(root, "setpriv");
    let bench = ground();
    bench.write("a.tar", &layer());
    // What lies outside is the user's own, so that nothing but the walk keeps them from it.
    bench.sh("chmod 755 .; chown -hR 65534:65534 outside; ls -ln outside > owners");
    let before = inodes(&bench.path("outside"));
    let (mut swaps, mut took_back) = (0, 0);
    for round in 0..rounds(12) {
        let rootless = if round % 4 == 3 { "--rootless" } else { "" };
        let form = ["userxattr", "apply", "oci"][round % 3];
        bench.sh("rm -rf out links/*; mkdir out");
        if round % 2 == 1 {
            bench.sh("for n in 0 1 2 3 4 5; do mkdir -p out/d$n/sub/deep; echo old > out/d$n/f1; done");
        }
        bench.sh("chown -R 65534:65534 out; for n in 0 1 2 3 4 5; do ln -s $PWD/outside links/$n; done");
        swaps += while_swapping(&pairs(&bench, "out"), || {
            let user = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";
            let out = bench.try_sh(&format!("{user} $UNPACK -C out --whiteouts {form} {rootless} a.tar"));
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(matches!(out.status.code(), Some(0 | 1)) && !said.contains("panicked"), "{}: {said}", out.status);
            took_back += u32::from(!out.status.success());
        });
        assert_eq!(before, inodes(&bench.path("outside")), "round {round}, {form} {rootless}");
    }
    assert!(swaps > 60, "only {swaps} exchanges, {took_back} runs refused");
}

#[test]
fn an_images_folders_and_one_tree_are_as_safe() {
    testkit::need!(root, "skopeo");
    let bench = ground();
    bench.write("l.tar", &layer());
    bench.sh(
        "d=$(sha256sum < l.tar | cut -d' ' -f1); mkdir img; cp l.tar img/$d.tar; echo '{\"rootfs\":{\"diff_ids\":[\"sha256:'$d'\"]}}' > img/$d.json
         echo '[{\"Config\":\"'$d.json'\",\"Layers\":[\"'$d.tar'\"]}]' > img/manifest.json; tar -C img -cf img.tar $d.json $d.tar manifest.json",
    );
    let before = inodes(&bench.path("outside"));
    let mut swaps = 0;
    for _ in 0..rounds(8) {
        bench.sh("rm -rf out links/*; mkdir out; for n in 0 1 2 3 4 5; do ln -s $PWD/outside links/$n; done");
        swaps += while_swapping(&pairs(&bench, "out"), || {
            let out = bench.unpack("-C out --flatten img.tar");
            assert!(matches!(out.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&out.stderr));
        });
        assert_eq!(before, inodes(&bench.path("outside")));
    }
    assert!(swaps > 50, "only {swaps} exchanges");
}

#[test]
fn what_is_taken_back_is_not_taken_from_outside() {
    let bench = ground();
    // It fails at its very end, so all that was made is removed again, while directories change places.
    let mut layer = layer();
    layer.truncate(layer.len() - 1024);
    layer.extend(tar(&[Item::file("../evil", b"")]));
    bench.write("a.tar", &layer);
    let before = inodes(&bench.path("outside"));
    for round in 0..rounds(12) {
        bench.sh("rm -rf out links/*; mkdir out; for n in 0 1 2 3 4 5; do ln -s $PWD/outside links/$n; done");
        if round % 2 == 1 {
            bench.sh("for n in 0 1 2 3 4 5; do mkdir -p out/d$n/sub; echo old > out/d$n/f1; done");
        }
        while_swapping(&pairs(&bench, "out"), || {
            let out = bench.unpack("-C out --no-same-owner --whiteouts apply a.tar");
            assert_eq!(out.status.code(), Some(1));
        });
        assert_eq!(before, inodes(&bench.path("outside")), "round {round}");
    }
}

#[test]
fn nothing_from_outside_gets_into_what_is_packed_or_compared() {
    let bench = ground();
    bench.sh("mkdir in; for n in 0 1 2 3 4 5; do mkdir -p in/d$n/sub/deep; for f in 0 1 2 3; do echo open > in/d$n/f$f; echo open > in/d$n/sub/f$f; done; done");
    bench.sh("$UNPACK pack in > clean.tar.gz");
    let (mut packed, mut swaps) = (0, 0);
    let before = inodes(&bench.path("outside"));
    for round in 0..rounds(20) {
        let verify = round % 4 == 3;
        swaps += while_swapping(&pairs(&bench, "in"), || {
            let mut command = Command::new(UNPACK);
            if verify {
                command.args(["verify", "in", "clean.tar.gz"]);
            } else {
                command.args(["pack", "--compress", "none", "in"]);
            }
            let out = command.current_dir(bench.path("")).stdin(Stdio::null()).output().unwrap();
            assert!(matches!(out.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&out.stderr));
            for text in [&out.stdout, &out.stderr] {
                assert!(!text.windows(6).any(|w| w == b"secret"), "round {round}: a secret from outside");
            }
            packed += u32::from(!verify && out.status.success());
        });
    }
    assert!(swaps > 20, "only {swaps} exchanges, {packed} packed");
    assert_eq!(before, inodes(&bench.path("outside")));
}
