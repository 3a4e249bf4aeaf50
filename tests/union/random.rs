//! Random operations on the kernel's overlay and on ours side by side: every answer, the merged trees and the upper layers
//! must be equal, also after each driver has taken over the other's upper.
//!
//! The seed is printed; `VENEER_SEED` repeats a run, `VENEER_OPS` says how many operations, `VENEER_HISTORY` names a file
//! that gets them all, one a line with its answer.

use crate::ground::{Driver, Ground, alone};
use crate::view::{describe, differences, view};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use testkit::need;

/// xorshift64*: enough for choosing, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    /// A path of one to three components out of few names, so that operations meet.
    fn path(&mut self) -> PathBuf {
        let depth = 1 + self.roll(3);
        (0..depth).map(|_| format!("{}", (b'a' + self.roll(6) as u8) as char)).collect()
    }
}

#[derive(Debug, Clone)]
enum Op {
    Create(PathBuf, u32),
    Write(PathBuf, u64, usize),
    Append(PathBuf, usize),
    Replace(PathBuf, usize),
    Truncate(PathBuf, u64),
    Unlink(PathBuf),
    Mkdir(PathBuf, u32),
    Rmdir(PathBuf),
    Rename(PathBuf, PathBuf, u32),
    Link(PathBuf, PathBuf),
    Symlink(PathBuf),
    Node(PathBuf, bool),
    Chmod(PathBuf, u32),
    Chown(PathBuf, u32, u32),
    Times(PathBuf, i64, i64),
    SetXattr(PathBuf, u64),
    RemoveXattr(PathBuf, u64),
    List(PathBuf),
    Look(PathBuf),
    Open(usize, PathBuf, bool),
    ReadOpen(usize),
    WriteOpen(usize, u64, usize),
    ChangeOpen(usize, u32),
    Close(usize),
}

fn choose(dice: &mut Dice) -> Op {
    let path = dice.path();
    match dice.roll(37) {
        0..=3 => Op::Create(path, [0o644, 0o600, 0o4755, 0o2755][dice.roll(4) as usize]),
        4 | 5 => Op::Write(path, dice.roll(9000), dice.roll(6000) as usize),
        6 => Op::Append(path, dice.roll(3000) as usize),
        7 => Op::Replace(path, dice.roll(3000) as usize),
        8 => Op::Truncate(path, dice.roll(10_000)),
        9..=11 => Op::Unlink(path),
        12..=14 => Op::Mkdir(path, [0o755, 0o700, 0o2775, 0o1777][dice.roll(4) as usize]),
        15 | 16 => Op::Rmdir(path),
        17..=20 => Op::Rename(path, dice.path(), dice.roll(5).min(2) as u32),
        21 | 22 => Op::Link(path, dice.path()),
        23 => Op::Symlink(path),
        24 => Op::Node(path, dice.roll(2) == 0),
        25 => Op::Chmod(path, dice.roll(0o10000) as u32),
        26 => Op::Chown(path, dice.roll(3) as u32, dice.roll(3) as u32),
        // On a file that has only its attributes in the upper layer: the kernel moves the time when it is opened for writing.
        // So a time is set on folders and links alone.
        27 => Op::Times(path, dice.roll(900_000_000) as i64 - 400_000_000, dice.roll(1_000_000_000) as i64),
        28 => Op::SetXattr(path, dice.roll(3)),
        29 => Op::RemoveXattr(path, dice.roll(3)),
        30 => Op::List(path),
        31 => Op::Look(path),
        32 => Op::Open(dice.roll(6) as usize, path, dice.roll(2) == 0),
        33 => Op::ReadOpen(dice.roll(6) as usize),
        34 => Op::WriteOpen(dice.roll(6) as usize, dice.roll(5000), dice.roll(3000) as usize),
        35 => Op::ChangeOpen(dice.roll(6) as usize, dice.roll(0o1000) as u32),
        _ => Op::Close(dice.roll(6) as usize),
    }
}

fn bytes(length: usize, salt: u64) -> Vec<u8> {
    (0..length).map(|i| (i as u64).wrapping_mul(31).wrapping_add(salt) as u8).collect()
}

type Done = Result<String, i32>;

fn done<T>(result: rustix::io::Result<T>) -> Done {
    result.map(|_| String::new()).map_err(|e| e.raw_os_error())
}

fn io<T>(result: std::io::Result<T>) -> Done {
    result.map(|_| String::new()).map_err(|e| e.raw_os_error().unwrap_or(-1))
}

/// Does `op` in the tree at `root`, and says what came of it.
fn apply(root: &Path, op: &Op, open: &mut BTreeMap<usize, File>) -> Done {
    let at = |path: &PathBuf| root.join(path);
    let opened = |path: &PathBuf, flags: OFlags| {
        rustix::fs::open(at(path), flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())
            .map(File::from)
            .map_err(|e| e.raw_os_error())
    };
    match op {
        Op::Create(path, mode) => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            done(rustix::fs::open(at(path), flags, Mode::from_raw_mode(*mode)))
        }
        Op::Write(path, offset, length) => {
            let file = opened(path, OFlags::WRONLY)?;
            io(file.write_all_at(&bytes(*length, *offset), *offset))
        }
        Op::Append(path, length) => {
            let mut file = opened(path, OFlags::WRONLY | OFlags::APPEND)?;
            io(std::io::Write::write_all(&mut file, &bytes(*length, 7)))
        }
        Op::Replace(path, length) => {
            let file = opened(path, OFlags::WRONLY | OFlags::TRUNC)?;
            io(file.write_all_at(&bytes(*length, 3), 0))
        }
        Op::Truncate(path, size) => {
            let file = opened(path, OFlags::WRONLY)?;
            io(file.set_len(*size))
        }
        Op::Unlink(path) => done(rustix::fs::unlinkat(CWD, at(path), AtFlags::empty())),
        Op::Mkdir(path, mode) => done(rustix::fs::mkdirat(CWD, at(path), Mode::from_raw_mode(*mode))),
        Op::Rmdir(path) => done(rustix::fs::unlinkat(CWD, at(path), AtFlags::REMOVEDIR)),
        Op::Rename(from, to, flags) => {
            let flags = [RenameFlags::NOREPLACE, RenameFlags::EXCHANGE, RenameFlags::empty()][*flags as usize];
            done(rustix::fs::renameat_with(CWD, at(from), CWD, at(to), flags))
        }
        Op::Link(from, to) => done(rustix::fs::linkat(CWD, at(from), CWD, at(to), AtFlags::empty())),
        Op::Symlink(path) => done(rustix::fs::symlinkat("a/b", CWD, at(path))),
        Op::Node(path, fifo) => {
            let (kind, device) = if *fifo { (FileType::Fifo, 0) } else { (FileType::CharacterDevice, 0x103) };
            done(rustix::fs::mknodat(CWD, at(path), kind, Mode::from_raw_mode(0o640), device))
        }
        Op::Chmod(path, mode) => {
            if root.join(path).is_symlink() {
                return Ok("a link".into());
            }
            done(rustix::fs::chmodat(CWD, at(path), Mode::from_raw_mode(*mode), AtFlags::empty()))
        }
        Op::Chown(path, uid, gid) => {
            let (uid, gid) = (rustix::fs::Uid::from_raw(*uid), rustix::fs::Gid::from_raw(*gid));
            done(rustix::fs::chownat(CWD, at(path), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))
        }
        Op::Times(path, seconds, nanoseconds) => {
            if at(path).symlink_metadata().is_ok_and(|m| m.is_file()) {
                return Ok("a file".into());
            }
            let time = Timespec { tv_sec: *seconds, tv_nsec: *nanoseconds };
            let times = Timestamps { last_access: time, last_modification: time };
            done(rustix::fs::utimensat(CWD, at(path), &times, AtFlags::SYMLINK_NOFOLLOW))
        }
        Op::SetXattr(path, which) => {
            done(rustix::fs::lsetxattr(at(path), format!("user.x{which}"), b"value", XattrFlags::empty()))
        }
        Op::RemoveXattr(path, which) => done(rustix::fs::lremovexattr(at(path), format!("user.x{which}"))),
        Op::List(path) => {
            let mut names: Vec<_> = std::fs::read_dir(at(path))
                .map_err(|e| e.raw_os_error().unwrap_or(-1))?
                .map(|e| e.map(|e| (e.file_name(), e.file_type().ok())))
                .collect::<Result<_, _>>()
                .map_err(|e| e.raw_os_error().unwrap_or(-1))?;
            // The kernel lists whiteouts of a directory that only one lower layer has; they cannot be looked up.
            names.retain(|(name, _)| at(path).join(name).symlink_metadata().is_ok());
            names.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(format!("{names:?}"))
        }
        Op::Look(path) => Ok(describe(&at(path))),
        Op::Open(slot, path, write) => {
            let file = opened(path, if *write { OFlags::RDWR } else { OFlags::RDONLY })?;
            if !file.metadata().is_ok_and(|m| m.is_file()) {
                return Ok("not a file".into());
            }
            open.insert(*slot, file);
            Ok(String::new())
        }
        Op::ReadOpen(slot) => {
            let Some(file) = open.get(slot) else { return Ok("closed".into()) };
            let mut buffer = vec![0; 20_000];
            let length = file.read_at(&mut buffer, 0).map_err(|e| e.raw_os_error().unwrap_or(-1))?;
            let size = file.metadata().map_err(|e| e.raw_os_error().unwrap_or(-1))?.len();
            Ok(format!("{size} {:?}", &buffer[..length.min(64)]))
        }
        Op::WriteOpen(slot, offset, length) => {
            let Some(file) = open.get(slot) else { return Ok("closed".into()) };
            io(file.write_all_at(&bytes(*length, 9), *offset))
        }
        Op::ChangeOpen(slot, mode) => {
            use std::os::unix::fs::PermissionsExt as _;
            let Some(file) = open.get(slot) else { return Ok("closed".into()) };
            let linked = std::os::unix::fs::MetadataExt::nlink(&file.metadata().expect("fstat")) > 0;
            if !linked {
                return Ok("unlinked".into());
            }
            io(file.set_permissions(std::fs::Permissions::from_mode(*mode)))
        }
        Op::Close(slot) => {
            open.remove(slot);
            Ok(String::new())
        }
    }
}

/// Lower layers with files, folders, links, whiteouts and an opaque folder, the same for the same dice.
fn fill(ground: &Ground, dice: &mut Dice) {
    for layer in ["low", "high"] {
        let root = ground.dir.join(layer);
        for _ in 0..70 {
            let path = root.join(dice.path());
            match dice.roll(12) {
                0..=4 => {
                    let _ = std::fs::write(&path, bytes(dice.roll(9000) as usize, dice.0));
                }
                5..=8 => {
                    let _ = std::fs::create_dir(&path);
                }
                9 => {
                    let _ = std::os::unix::fs::symlink("c", &path);
                }
                10 => {
                    let _ = std::fs::hard_link(root.join(dice.path()), &path);
                }
                _ => {
                    let kind = FileType::CharacterDevice;
                    let made = rustix::fs::mknodat(CWD, &path, kind, Mode::empty(), 0);
                    let _ = made;
                }
            }
        }
        for folder in ["a", "b"] {
            let path = root.join(folder).join("c");
            if layer == "high" && path.is_dir() {
                let family = if crate::ground::in_a_user_namespace() { "user" } else { "trusted" };
                let mark = format!("{family}.overlay.opaque");
                rustix::fs::setxattr(&path, mark, b"y", XattrFlags::empty()).expect("opaque");
            }
        }
    }
    // Set times, so that they are compared.
    for (path, _) in view(&ground.dir) {
        let time = Timespec { tv_sec: 500_000_000, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time, last_modification: time };
        if !ground.dir.join(&path).symlink_metadata().is_ok_and(|m| m.is_file()) {
            let _ = rustix::fs::utimensat(CWD, ground.dir.join(path), &times, AtFlags::SYMLINK_NOFOLLOW);
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("VENEER_SEED").ok().and_then(|s| s.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        now.as_nanos() as u64
    })
}

fn run(dir: &Path, seed: u64, ops: u64) {
    let mut kernel = Ground::in_full(&dir.join("kernel"), Driver::Kernel);
    let mut fuse = Ground::in_full(&dir.join("fuse"), Driver::Fuse);
    for ground in [&kernel, &fuse] {
        fill(ground, &mut Dice(seed | 1));
        ground.mount();
    }
    let mut dice = Dice(seed.rotate_left(17) | 1);
    let mut open = [BTreeMap::new(), BTreeMap::new()];
    let mut history: Vec<String> = Vec::new();
    let mut record = std::env::var_os("VENEER_HISTORY").map(|path| File::create(path).expect("the record"));
    let check = |kernel: &Ground, fuse: &Ground, history: &[String]| {
        let trees = [kernel, fuse].map(|g| view(&g.dir.join("m")));
        let told = differences(&trees[0], &trees[1]);
        let recent = history[history.len().saturating_sub(60)..].join("\n");
        assert!(told.is_empty(), "seed {seed}, after\n{recent}\nthe trees differ:\n{}", told.join("\n"));
    };
    check(&kernel, &fuse, &history);
    for count in 1..=ops {
        let op = choose(&mut dice);
        let theirs = apply(&kernel.dir.join("m"), &op, &mut open[0]);
        let ours = apply(&fuse.dir.join("m"), &op, &mut open[1]);
        history.push(format!("{op:?} -> {theirs:?}"));
        if let Some(file) = &mut record {
            std::io::Write::write_all(file, format!("{count} {op:?} -> {theirs:?}\n").as_bytes()).expect("the record");
        }
        let recent = || history[history.len().saturating_sub(60)..].join("\n");
        assert_eq!(ours, theirs, "seed {seed}, operation {count}: ours, the kernel's; the last were\n{}", recent());
        if count % 50 == 0 {
            check(&kernel, &fuse, &history);
        }
        if count % 400 == 0 {
            open.iter_mut().for_each(BTreeMap::clear);
            kernel.umount();
            fuse.umount();
            // Not whether directories are opaque: the kernel marks some that have nothing below them. What the mark does is
            // seen when the other driver goes on.
            let uppers = [&kernel, &fuse].map(|g| view(&g.dir.join("u")));
            let told = differences(&uppers[0], &uppers[1]);
            assert!(told.is_empty(), "seed {seed}, after {count}: uppers differ:\n{}\n{}", told.join("\n"), recent());
            // Each goes on where the other stopped.
            std::mem::swap(&mut kernel.driver, &mut fuse.driver);
            std::mem::swap(&mut kernel, &mut fuse);
            kernel.mount();
            fuse.mount();
            check(&kernel, &fuse, &history);
        }
    }
}

#[test]
fn random_operations_give_what_the_kernel_gives() {
    need!(root, fuse, overlay);
    let ops = std::env::var("VENEER_OPS").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    let first = seed();
    for round in 0..(ops / 2000_u64).max(1) {
        let seed = first.wrapping_add(round);
        let line = format!("seed {seed}\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        alone(|dir| run(dir, seed, ops.min(2000)));
    }
}
