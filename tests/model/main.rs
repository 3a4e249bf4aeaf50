//! Random operations on overlays, held against a model of the tree: what every operation answers, what it touched, and
//! time and again the whole tree. The reference goes first: it proves the model; then the drivers, in turns on one upper.
//!
//! Of what is chosen three in ten find nothing to work on (an empty slot) and are not counted as done.
//!
//! A fresh seed each time, printed; `VENEER_SEED` repeats a run, `VENEER_OPERATIONS` says how many operations, `VENEER_REPLAY`
//! names a file with a list of operations as a failing run prints it.

mod acl;
mod act;
mod apply;
mod check;
mod choose;
mod ground;
mod layers;
mod operation;
mod run;
mod tree;

use ground::Driver;
use run::{Counts, Failure, Plan};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use testkit::dice::{self, number, say};
use testkit::{need, user};
use tree::Rules;

/// Operations on one set of layers.
const ROUND: u64 = 2500;

/// As root, with all that the kernel's overlay can.
const FULL: Rules = Rules { redirects: true, index: true, root: true };
/// As root of a user namespace: `user.*` xattrs, in which the kernel follows neither redirects nor an index.
const ROOTLESS: Rules = Rules { redirects: false, index: false, root: false };
/// Set in the process that this program starts in a user namespace.
const INSIDE: &str = "VENEER_MODEL_INSIDE";

/// Does `operations` of them, or as many as VENEER_OPERATIONS says, in rounds on two threads.
fn run(what: &str, plan: &Plan, operations: u64) {
    if let Some(file) = std::env::var_os("VENEER_REPLAY") {
        return replay(what, plan, &std::fs::read_to_string(file).expect("the list"));
    }
    let operations = number("VENEER_OPERATIONS").unwrap_or(operations);
    let seed = dice::seed();
    say(&format!("{what}: VENEER_SEED={seed}, {operations} operations, left out: {:?}", plan.left_out()));
    let (next, failed, start) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let worker = || {
        let (mut counts, mut failure) = (Counts::default(), None);
        while !failed.load(Ordering::Relaxed) {
            let round = next.fetch_add(1, Ordering::Relaxed);
            let Some(left) = operations.checked_sub(round * ROUND).filter(|left| *left > 0) else { break };
            let (did, result) = run::chosen(plan, seed.wrapping_add(round), left.min(ROUND));
            counts.add(&did);
            if let Err(found) = result {
                failed.store(true, Ordering::Relaxed);
                failure = Some(found);
            }
        }
        (counts, failure)
    };
    let results = std::thread::scope(|scope| {
        let threads = [scope.spawn(worker), scope.spawn(worker)];
        threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut counts = Counts::default();
    results.iter().for_each(|(did, _)| counts.add(did));
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("{what}: {} operations in {seconds:.1} s\n{}", counts.total(), counts.shown()));
    if let Some(failure) = results.into_iter().find_map(|(_, failure)| failure) {
        fail(what, plan, failure);
    }
}

/// Ends the test with the shortest list of operations that fails.
fn fail(what: &str, plan: &Plan, failure: Failure) {
    say(&format!("{what}: seed {} after {} operations: {}", failure.seed, failure.operations.len(), failure.wrong));
    let limit = Duration::from_secs(number("VENEER_SHRINK_SECONDS").unwrap_or(60));
    let failure = run::shrunk(plan, failure, limit);
    let list: Vec<String> = failure.operations.iter().map(run::line).collect();
    panic!("{what}: {}\nto be replayed by VENEER_REPLAY:\n{}\n{}", failure.wrong, failure.seed, list.join("\n"));
}

/// A seed on the first line, an operation on each that follows.
fn replay(what: &str, plan: &Plan, list: &str) {
    let mut lines = list.lines();
    let seed = lines.next().and_then(|l| l.trim().parse().ok()).expect("a seed on the first line");
    let operations: Vec<_> =
        lines.filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).expect("an operation")).collect();
    let result = run::replayed(plan, seed, &operations);
    assert!(result.is_ok(), "{what}: {}", result.unwrap_err());
}

#[test]
fn the_kernels_overlay_is_what_the_model_says() {
    need!(root, overlay);
    let drivers = vec![Driver::Reference];
    let plan = Plan { rules: FULL, drivers, swap_every: 100, inodes_stay: (true, true) };
    run("the reference, in full", &plan, 10_000);
}

#[test]
fn both_drivers_in_turns_on_one_upper_show_what_the_model_says() {
    need!(root, overlay, fuse);
    let drivers = vec![Driver::Fuse, Driver::Kernel];
    let plan = Plan { rules: FULL, drivers, swap_every: 100, inodes_stay: (true, false) };
    run("both drivers, in full", &plan, 100_000);
}

/// All of an ordinary user's tests, in one process in a user namespace with that user's ranges.
#[test]
fn without_root_both_drivers_show_what_the_model_says() {
    need!(root, user, overlay, fuse, userns, "newuidmap");
    let mut command = user::command("unshare");
    command
        .args(["--user", "--map-root-user", "--map-auto", "--mount"])
        .arg(std::env::current_exe().expect("this program"));
    command.args(["--exact", "inside_a_user_namespace", "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("unshare runs");
    assert!(status.success(), "{status}");
}

#[test]
fn inside_a_user_namespace() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let plan = |drivers| Plan { rules: ROOTLESS, drivers, swap_every: 100, inodes_stay: (false, false) };
    run("the reference, rootless", &plan(vec![Driver::Reference]), 5_000);
    run("both drivers, rootless", &plan(vec![Driver::Fuse, Driver::Kernel]), 45_000);
}
