//! Choosing the next operation: by chance, but with an eye on the model, so that most of them have something to work on.

use super::layers::{FOLDER_MODES, MODES, TARGETS, any_name};
use super::operation::{Allocation, Flag, How, NodeKind, Op, XattrFlag};
use super::tree::{Id, Model, ROOT};
use testkit::dice::Dice;

/// Kinds of operation that are not chosen where the FUSE driver has a turn, because something is known to be wrong with them;
/// printed with each run.
pub(crate) const LEFT_OUT: &[&str] = &["d_ino without root"];

/// More objects than this, and nothing is made any more.
const MOST_OBJECTS: usize = 70;
const MODES_OF_ALL: [u32; 12] =
    [0o644, 0o600, 0o755, 0o4755, 0o2755, 0o6711, 0o400, 0o666, 0o2644, 0o4644, 0o000, 0o7700];
const SLOTS: u64 = 6;

/// The next operation. Remounts and the like are chosen by [`super::run`].
pub(crate) fn next(dice: &mut Dice, model: &Model, left_out: &[&str]) -> Op {
    loop {
        let op = any(dice, model);
        if !left_out.contains(&op.name().as_str()) {
            return op;
        }
    }
}

fn any(dice: &mut Dice, model: &Model) -> Op {
    let full = model.objects.len() > MOST_OBJECTS;
    let slot = slot(dice, model);
    let there = existing(dice, model);
    let length = size(dice);
    let salt = dice.roll(256) as u8;
    let seconds = dice.roll(2_000_000_000).cast_signed() - 500_000_000;
    let nanoseconds = dice.roll(1_000_000_000).cast_signed();
    let lesser = dice.once_in(4);
    match dice.roll(if full { 90 } else { 118 }) {
        0..=3 => Op::Unlink { path: there },
        4..=6 => Op::Rmdir { path: there },
        7..=13 => {
            let to = if dice.once_in(2) { existing(dice, model) } else { new(dice, model) };
            let flag = dice.of(&[
                Flag::Plain,
                Flag::Plain,
                Flag::Plain,
                Flag::NoReplace,
                Flag::Exchange,
                Flag::Exchange,
                Flag::Whiteout,
            ]);
            Op::Rename { from: there, to, flag }
        }
        14 | 15 => Op::Chmod { path: there, mode: mode(dice) },
        16 | 17 => {
            Op::Chown { path: there, uid: dice.roll(3) as u32, gid: dice.roll(3) as u32, follow: dice.once_in(2) }
        }
        18 | 19 => Op::Times { path: there, seconds, nanoseconds, follow: dice.once_in(2) },
        20 | 21 => {
            let flag = dice.of(&[XattrFlag::Any, XattrFlag::Any, XattrFlag::Create, XattrFlag::Replace]);
            let name = xattr(dice, model, &there);
            Op::SetXattr { path: there, name, length: dice.roll(60) as usize, salt, flag }
        }
        22 => Op::RemoveXattr { name: xattr(dice, model, &there), path: there },
        23 => Op::GetXattr { name: xattr(dice, model, &there), path: there },
        24 => {
            let mut bits = || dice.of(&[0, 1, 4, 5]);
            let (user, group, mask, other) = (bits() | 2, bits(), bits(), bits());
            Op::SetAcl { path: there, default: dice.once_in(2), user, group, mask, other }
        }
        25 => Op::RemoveAcl { path: there, default: dice.once_in(2) },
        26..=29 => Op::List { path: there },
        30..=32 => Op::Look { path: there },
        33 | 34 => Op::Read { path: there },
        35..=38 => {
            let how = How {
                create: dice.once_in(4),
                truncate: dice.once_in(4),
                append: dice.once_in(3),
                nofollow: dice.once_in(8),
            };
            Op::Write { path: there, how, at: place(dice), length: length.max(1), salt, lesser }
        }
        39 | 40 => Op::Truncate { path: there, size: place(dice), lesser },
        41..=45 => {
            let (read, write) = dice.of(&[(true, false), (true, false), (true, true), (true, true), (false, true)]);
            let how = How {
                create: write && dice.once_in(4),
                truncate: write && dice.once_in(5),
                append: write && dice.once_in(4),
                nofollow: false,
            };
            Op::Open { slot, path: there, how, read, write }
        }
        46 | 47 => Op::LinkOpen { slot, path: new(dice, model) },
        48..=50 => Op::ReadOpen { slot, at: place(dice), length: length.max(1) },
        51..=55 => Op::WriteOpen { slot, at: place(dice), length: length.max(1), salt, lesser },
        56 | 57 => Op::TruncateOpen { slot, size: place(dice) },
        58 => Op::ChmodOpen { slot, mode: mode(dice) },
        59 => Op::ChownOpen { slot, uid: dice.roll(3) as u32, gid: dice.roll(3) as u32 },
        60 => Op::TimesOpen { slot, seconds, nanoseconds },
        61 => Op::SetXattrOpen { slot, name: format!("user.{}", any_name(dice)), length: dice.roll(60) as usize, salt },
        62..=64 => {
            let what = dice.of(&[Allocation::Grow, Allocation::Keep, Allocation::Punch, Allocation::Punch]);
            Op::Allocate { slot, what, at: place(dice), length: 1 + dice.roll(12_000) }
        }
        65..=67 => {
            let to = self::slot(dice, model);
            Op::CopyRange { from: slot, to, at: place(dice), to_at: place(dice), length: length.max(1) }
        }
        68 | 69 => Op::MapWrite { slot, at: place(dice), length: length.max(1), salt },
        70 => Op::Holes { slot },
        71 => Op::Sync { slot },
        72 | 73 => Op::StatOpen { slot },
        74 | 75 => Op::Close { slot },
        76 | 77 => Op::OpenFolder { slot, path: folder(dice, model) },
        78..=84 => Op::NextNames { slot: stream(dice, model), bytes: [64, 100, 300][dice.roll(3) as usize] },
        85 => Op::CloseFolder { slot },
        86 => Op::Umask { mask: dice.of(&[0o022, 0o022, 0, 0o077]) },
        87..=89 => Op::Unlink { path: existing(dice, model) },
        90..=96 => Op::Create { path: new(dice, model), mode: mode(dice), length, salt },
        97..=104 => Op::Mkdir { path: new(dice, model), mode: dice.of(&FOLDER_MODES) },
        105..=109 => Op::Link { from: there, to: new(dice, model), follow: dice.once_in(3) },
        110..=112 => Op::Symlink { path: new(dice, model), target: dice.of(&TARGETS).to_owned() },
        113 | 114 => {
            let kinds = [
                NodeKind::Fifo,
                NodeKind::Socket,
                NodeKind::Char,
                NodeKind::Block,
                NodeKind::Whiteout,
                NodeKind::Regular,
            ];
            Op::Mknod { path: new(dice, model), node: dice.of(&kinds), mode: dice.of(&MODES) }
        }
        115 | 116 => Op::Tmpfile { slot, path: folder(dice, model), mode: dice.of(&MODES), exclusive: dice.once_in(4) },
        _ => {
            let how = How { create: true, append: dice.once_in(2), ..How::default() };
            Op::Write { path: new(dice, model), how, at: place(dice), length: length.max(1), salt, lesser }
        }
    }
}

/// One that holds a file, nearly always.
fn slot(dice: &mut Dice, model: &Model) -> u8 {
    let held: Vec<u8> = model.open.keys().copied().collect();
    if held.is_empty() || dice.once_in(4) { dice.roll(SLOTS) as u8 } else { dice.of(&held) }
}

fn stream(dice: &mut Dice, model: &Model) -> u8 {
    let held: Vec<u8> = model.streams.keys().copied().collect();
    if held.is_empty() { dice.roll(SLOTS) as u8 } else { dice.of(&held) }
}

fn mode(dice: &mut Dice) -> u32 {
    dice.of(&MODES_OF_ALL)
}

/// Mostly small, now and then many pages; around the sizes where copy-up, pages and requests begin and end.
fn size(dice: &mut Dice) -> usize {
    match dice.roll(8) {
        0 => 0,
        1..=4 => dice.roll(300) as usize,
        5 | 6 => dice.roll(9000) as usize,
        _ => dice.roll(40_000) as usize,
    }
}

fn place(dice: &mut Dice) -> u64 {
    match dice.roll(6) {
        0 => 0,
        1 | 2 => dice.roll(200),
        3 => 4096 * dice.roll(6),
        _ => dice.roll(24_000),
    }
}

/// A path that leads to something, nearly always: down from the root by chance.
fn existing(dice: &mut Dice, model: &Model) -> String {
    if dice.once_in(8) {
        return new(dice, model);
    }
    walk(dice, model, false).0
}

fn folder(dice: &mut Dice, model: &Model) -> String {
    walk(dice, model, true).0
}

/// A name in a directory that is there, most probably free.
fn new(dice: &mut Dice, model: &Model) -> String {
    let (above, _) = walk(dice, model, true);
    let name = any_name(dice);
    if above == "." { name } else { format!("{above}/{name}") }
}

fn walk(dice: &mut Dice, model: &Model, only_folders: bool) -> (String, Id) {
    let mut at = (String::from("."), ROOT);
    // The root itself is renamed and removed by nobody.
    let deep = if only_folders { dice.roll(4) } else { 1 + dice.roll(4) };
    for _ in 0..deep {
        let Some(entries) = model.entries(at.1) else { break };
        let wanted = |id: &Id| !only_folders || model.at(*id).is_folder();
        let names: Vec<(&String, Id)> = entries.iter().filter(|(_, id)| wanted(id)).map(|(n, id)| (n, *id)).collect();
        if names.is_empty() {
            break;
        }
        let (name, id) = dice.of(&names);
        at = (if at.0 == "." { name.clone() } else { format!("{}/{name}", at.0) }, id);
    }
    if at.0 == "." && !only_folders { (any_name(dice), ROOT) } else { at }
}

fn xattr(dice: &mut Dice, model: &Model, path: &str) -> String {
    let name = any_name(dice);
    let file = model.look(path, false).is_ok_and(|id| model.at(id).is_file());
    match dice.roll(8) {
        0 => format!("trusted.{name}"),
        1 if file && model.rules.root => "security.capability".into(),
        _ => format!("user.{name}"),
    }
}
