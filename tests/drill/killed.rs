//! A server that is killed while it works: after the next mount each file is as it was before the operation that was under
//! way or as it is after it, everything finished is there, the work folder is clean, and the kernel's driver agrees.
//!
//! A plain folder, the mirror, gets the same operations. `VENEER_ROUNDS` (30 in CI) and `VENEER_SEED` as everywhere.

mod operation;

use crate::field::{Disk, Driver, Overlay, Server, alone, run};
use crate::worker::{self, Running};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use operation::Operation;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::dice::{Dice, number, say, seed};
use testkit::need;
use testkit::tree::{Tree, snapshot};

/// After so many rounds the upper is emptied.
const ROUNDS_AN_UPPER: u64 = 8;
/// Operations that a round has at most.
const OPERATIONS: usize = 60;

/// A task: does the operations of a file in a folder, and says of each in another file what came of it.
#[test]
fn works_where_it_is_told_to() {
    let Some(words) = worker::task("killed::works_where_it_is_told_to") else { return };
    let operations = std::fs::read_to_string(&words[1]).expect("operations");
    let mut log = std::fs::File::create(&words[2]).expect("a log");
    for line in operations.lines() {
        let done = Operation::parse(line).apply(Path::new(&words[0]));
        let number = done.as_ref().err().map_or(0, |e| e.raw_os_error().unwrap_or(-1));
        log.write_all(format!("{number:5}\n").as_bytes()).expect("a line");
        if lost(number) {
            return;
        }
    }
}

/// Whether this error number says that there is no server any more.
fn lost(number: i32) -> bool {
    [libc::ENOTCONN, libc::ECONNABORTED, libc::EIO, libc::EINTR].contains(&number)
}

fn fill_lower(low: &Path) {
    for folder in ["a", "a/in", "b", "c/deep/er"] {
        std::fs::create_dir_all(low.join(folder)).expect("a folder");
        for (name, length) in [("empty", 0), ("small", 700), ("page", 4096), ("some", 90_000), ("big", 1_500_000)] {
            let bytes = Dice::new(length as u64).bytes(length);
            std::fs::write(low.join(folder).join(name), bytes).expect("a file");
        }
        std::os::unix::fs::symlink("small", low.join(folder).join("link")).expect("a link");
    }
}

/// What two trees are compared by: times of what was under way are nobody's.
fn seen(root: &Path) -> Tree {
    snapshot(root).without_times(|_, _| true).without_xattrs(|name| !name.starts_with("user.drill"))
}

/// What a round came to.
#[derive(Debug, Default)]
struct Tally {
    operations: usize,
    /// Kills with an operation under way that is found not done, or done.
    old: usize,
    new: usize,
    /// Kills that left half-done things in the work folder.
    half_done: usize,
}

/// What lies in the work folder but for whiteouts, of which a server keeps one to make links of.
fn half_done(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("w/work")).map(|entries| entries.flatten().collect::<Vec<_>>());
    let whiteout = |e: &std::fs::DirEntry| e.file_type().is_ok_and(|t| t.is_char_device());
    let entries = entries.unwrap_or_default().into_iter().filter(|e| !whiteout(e));
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

fn start_anew(dir: &Path) {
    for folder in ["u", "w", "mirror"] {
        let _ = std::fs::remove_dir_all(dir.join(folder));
    }
    for folder in ["u", "w"] {
        std::fs::create_dir(dir.join(folder)).expect("a folder");
    }
    run(Command::new("cp").arg("-a").arg(dir.join("low")).arg(dir.join("mirror")));
}

fn round(overlay: &Overlay, dice: &mut Dice, tally: &mut Tally, what: &str) {
    let dir = &overlay.dir;
    let (point, mirror) = (overlay.m(""), dir.join("mirror"));
    let paths: Vec<String> = snapshot(&mirror).nodes.keys().map(|p| p.display().to_string()).collect();
    let operations: Vec<Operation> = (0..OPERATIONS).map(|_| Operation::choose(dice, &paths)).collect();
    let (list, log) = (dir.join("operations"), dir.join("log"));
    let lines: Vec<String> = operations.iter().map(|o| format!("{o}\n")).collect();
    std::fs::write(&list, lines.concat()).expect("operations");
    let _ = std::fs::remove_file(&log);

    let server = Server(overlay.mount().expect("a server"));
    let words = [&point, &list, &log].map(|p| p.to_str().expect("a plain path"));
    let mut command = worker::command("killed::works_where_it_is_told_to", &words);
    let mut working = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let (after, then) = (dice.below(OPERATIONS) as u64, Duration::from_micros(dice.below(3000) as u64));
    let start = Instant::now();
    while log.metadata().map_or(0, |m| m.len()) / 6 < after && start.elapsed() < Duration::from_secs(20) {
        std::hint::spin_loop();
    }
    let reached = Instant::now();
    while reached.elapsed() < then {
        std::hint::spin_loop();
    }
    kill(Pid::from_raw(server.0), Signal::SIGKILL).expect("kill");
    let ended = working.ends_within(Duration::from_secs(30));
    assert!(ended.is_some_and(|s| s.success()), "{what}: {ended:?} {}", working.stuck_at());
    overlay.umount();
    tally.half_done += usize::from(!half_done(dir).is_empty());

    let mut under_way = None;
    let answers = std::fs::read_to_string(&log).expect("the log");
    for (operation, number) in operations.iter().zip(answers.lines()) {
        let number: i32 = number.trim().parse().expect("a number");
        if lost(number) {
            under_way = Some(operation);
            break;
        }
        tally.operations += 1;
        if number == 0 {
            operation.apply(&mirror).unwrap_or_else(|e| panic!("{what}: {operation} works in the overlay alone: {e}"));
        }
    }
    overlay.mount();
    let left = half_done(dir);
    assert!(left.is_empty(), "{what}: after the next mount the work folder has {left:?}");
    let found = seen(&point);
    overlay.umount();
    let before = seen(&mirror).differences(&found);
    if before.is_empty() {
        tally.old += usize::from(under_way.is_some());
    } else {
        let Some(operation) = under_way else { panic!("{what}: nothing was under way:\n{}", before.join("\n")) };
        let done = operation.apply(&mirror);
        let after = seen(&mirror).differences(&found);
        assert!(
            done.is_ok() && after.is_empty(),
            "{what}: {operation} was under way, and what is there is neither what was before:\n{}\nnor what is after:\n{}",
            before.join("\n"),
            after.join("\n")
        );
        tally.new += 1;
    }
    let kernel = overlay.by(Driver::Kernel);
    kernel.mount();
    let differences = found.differences(&seen(&point));
    let upper = snapshot(&dir.join("u"));
    let stored: Vec<String> = upper.nodes.iter().map(|(path, node)| stored(path, node)).collect();
    assert!(
        differences.is_empty(),
        "{what}: by the kernel's driver from the same upper (under way: {under_way:?}):\n{}\nthe upper:\n{}\nlast:\n{}",
        differences.join("\n"),
        stored.join("\n"),
        lines.concat()
    );
    kernel.umount();
}

/// An entry of an upper with its marks.
fn stored(path: &Path, node: &testkit::tree::Node) -> String {
    let text = |value: &[u8]| String::from_utf8_lossy(value).escape_default().to_string();
    let marks: Vec<String> = node.xattrs.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    format!("{} {node} {:?} {}", path.display(), node.same_as, marks.join(" "))
}

fn drill(disk: Disk) {
    let (seed, rounds) = (seed(), number("VENEER_ROUNDS").unwrap_or(30));
    say(&format!("killed: {disk:?}: VENEER_SEED={seed} VENEER_ROUNDS={rounds}"));
    alone(disk, 512, |dir| {
        let overlay = Overlay::new(dir, Driver::Fuse);
        fill_lower(&dir.join("low"));
        let (mut dice, mut tally) = (Dice::new(seed), Tally::default());
        for number in 0..rounds {
            if number % ROUNDS_AN_UPPER == 0 {
                start_anew(dir);
            }
            round(&overlay, &mut dice, &mut tally, &format!("VENEER_SEED={seed}, round {number}"));
        }
        say(&format!("killed {rounds} times: {tally:?}"));
    });
}

#[test]
fn every_file_is_old_or_new_on_tmpfs() {
    need!(root, fuse, overlay);
    drill(Disk::Tmpfs);
}

#[test]
fn every_file_is_old_or_new_on_ext4() {
    need!(root, fuse, overlay, loop, "mkfs.ext4");
    drill(Disk::Ext4);
}
