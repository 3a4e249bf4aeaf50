//! `kill -9` at any instant leaves a store that opens, and the next command cleans up (contract C8).

use crate::layout::{Layout, many_files};
use crate::world::World;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::dice::Dice;
use testkit::need;

/// Dice whose seed is printed.
fn dice() -> Dice {
    let seed = testkit::dice::seed();
    testkit::dice::say(&format!("seed: VENEER_SEED={seed}"));
    Dice::new(seed)
}

/// What holds whenever no command runs: each name leads to an image whose blobs and layers are there.
#[track_caller]
fn check(world: &World) {
    for name in world.ok(["images", "--format", "{{.Repository}}:{{.Tag}}"]).lines() {
        let count = if name == "a:1" { 3 } else { 2 };
        assert!(world.layers().len() >= count, "{name} has its layers");
    }
    assert_eq!(world.half_done(), 0, "opening the store removed what was half-done");
    for layer in world.layers() {
        assert!(layer.join("layer.json").exists() && layer.join("diff").exists(), "{}", layer.display());
    }
}

#[test]
fn kill_during_load_and_rmi_at_random_moments() {
    need!(root);
    let world = World::new();
    let mut dice = dice();
    let mut layout = Layout::new(world.path("layout"));
    layout.image("a:1", &[many_files("base", 150), many_files("middle", 150), many_files("a", 50)]);
    layout.image("b:1", &[many_files("base", 150), many_files("b", 50)]);
    let load = ["load".into(), "-i".into(), layout.path.clone().into_os_string()];
    let start = Instant::now();
    world.ok(&load);
    let whole = start.elapsed();
    let rmi = ["rmi".into(), "a:1".into(), "b:1".into()];
    let start = Instant::now();
    world.ok(&rmi);
    let removal = start.elapsed();
    let (mut killed, mut done) = (0, 0);
    for round in 0..30 {
        let (args, most): (&[std::ffi::OsString], Duration) =
            if round % 3 == 2 { (&rmi, removal) } else { (&load, whole) };
        let mut child = world.ctr(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.roll(1 + most.as_micros() as u64)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            done += 1
        } else {
            killed += 1
        }
        check(&world);
    }
    assert!(killed > 0, "nothing was killed in time ({done} done)");
    world.ok(&load);
    check(&world);
    assert_eq!((world.layers().len(), world.blobs().len()), (4, 8));
    world.ok(&rmi);
    assert_eq!((world.layers().len(), world.blobs().len()), (0, 0));
}

/// Calls that change what is in the store, or bring it to the disk.
const CHANGES: &str = "mkdirat,rename,renameat,renameat2,symlinkat,symlink,unlink,unlinkat,syncfs,fsync";

/// `ctr ARGS`, killed at its change number `call`; whether it got to its end before.
fn killed_at(world: &World, call: usize, args: &[std::ffi::OsString]) -> bool {
    let out = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null"])
        .arg(format!("-etrace={CHANGES}"))
        .arg(format!("-einject={CHANGES}:signal=KILL:when={call}"))
        .arg(env!("CARGO_BIN_EXE_ctr"))
        .args(args)
        .env("VENEER_ROOT", world.root())
        .env("VENEER_RUN", world.path("run"))
        .output()
        .unwrap();
    out.status.success()
}

/// The same at exact instants, without chance: at every call that changes the store.
#[test]
fn kill_at_every_change_of_the_store() {
    need!(root, "strace");
    let world = World::new();
    let mut layout = Layout::new(world.path("layout"));
    layout.image("a:1", &[many_files("base", 2), many_files("middle", 2), many_files("a", 2)]);
    let load = ["load".into(), "-i".into(), layout.path.clone().into_os_string()];
    let rmi = ["rmi".into(), "a:1".into()];
    world.ok(["images"]);
    for (from, killed) in [(None, &load[..]), (Some(&load[..]), &rmi[..])] {
        for call in 1.. {
            assert!(call < 200, "{killed:?} never ends");
            if let Some(args) = from {
                world.ok(args);
            }
            let finished = killed_at(&world, call, killed);
            check(&world);
            let there = world.ok(["images", "-q"]).lines().count();
            assert!(!finished || there == usize::from(from.is_none()), "{killed:?} at {call}");
            // Whatever was left, the next commands go through and leave nothing that is not theirs.
            world.ok(&load);
            assert_eq!((world.layers().len(), world.blobs().len()), (3, 5), "{killed:?} at {call}");
            world.ok(&rmi);
            assert_eq!((world.layers().len(), world.blobs().len()), (0, 0), "{killed:?} at {call}");
            assert_eq!(std::fs::read_dir(world.root().join("overlay2/l")).unwrap().count(), 0, "{killed:?} at {call}");
            if finished {
                assert!(call > 8, "{killed:?} has no more than {call} changes");
                break;
            }
        }
    }
}
