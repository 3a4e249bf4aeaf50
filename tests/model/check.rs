//! A real tree compared with the model: one object, one descriptor, or everything.

use super::act::World;
use super::operation::Op;
use super::tree::{Body, Id, Model, Moment, Object, ROOT, Time};
use rustix::fs::Stat;
use rustix::io::Errno;
use std::collections::BTreeMap;

/// What is wrong, in words.
pub(crate) type Wrong = String;
type Checked = Result<(), Wrong>;

/// Compares what an operation can have changed: its paths, the directories above them, and what its slots hold.
pub(crate) fn after(model: &mut Model, world: &World, op: &Op) -> Checked {
    for path in op.paths() {
        place(model, world, path)?;
        let above = path.rsplit_once('/').map_or(".", |(above, _)| above);
        place(model, world, above)?;
    }
    for slot in op.slots() {
        let Some(open) = model.open.get(&slot) else { continue };
        let id = open.id;
        let stat = rustix::fs::fstat(&world.files[&slot]).map_err(|e| format!("slot {slot}: fstat: {e}"))?;
        let removed_below = model.at(id).links == 0 && model.at(id).lower;
        if !removed_below {
            {
                let numbers = model.numbers_stay();
                attributes(model.get(id), &stat, numbers)
            }
            .map_err(|e| format!("slot {slot}: {e}"))?;
        }
    }
    match op {
        Op::Look { path } => match model.look(path, false) {
            Ok(id) => inside(model, world, path, id),
            Err(_) => Ok(()),
        },
        Op::NextNames { slot, .. } => stream(model, world, *slot),
        Op::Holes { slot } => holes(model, world, *slot),
        _ => Ok(()),
    }
}

/// What `path` names, itself: whether it is there, and its attributes.
fn place(model: &mut Model, world: &World, path: &str) -> Checked {
    one(model, world, path, false)?;
    let leads_on = model.look(path, false).is_ok_and(|id| model.at(id).is_link());
    if leads_on { one(model, world, path, true) } else { Ok(()) }
}

fn one(model: &mut Model, world: &World, path: &str, follow: bool) -> Checked {
    match (model.look(path, follow), world.stat(path, follow)) {
        (Ok(id), Ok(stat)) => {
            let numbers = model.numbers_stay();
            attributes(model.get(id), &stat, numbers)
        }
        .map_err(|e| format!("{path}: {e}")),
        (Err(expected), Err(got)) if expected == got => Ok(()),
        (expected, got) => {
            let got = got.map(|s| format!("{:o}", s.st_mode));
            Err(format!(
                "{path}: expected {}, got {got:?}",
                expected.map_or_else(|e| e.to_string(), |_| "it there".into())
            ))
        }
    }
}

/// Compares `fstat` or `lstat` with what is known, and learns what is not: times, st_ino.
fn attributes(object: &mut Object, stat: &Stat, numbers: bool) -> Checked {
    let mut wrong = Vec::new();
    let mut same = |what: &str, expected: u64, got: u64, octal: bool| {
        if expected != got {
            wrong.push(if octal {
                format!("{what} {got:o}, not {expected:o}")
            } else {
                format!("{what} {got}, not {expected}")
            });
        }
    };
    same("type", object.kind().into(), u64::from(stat.st_mode >> 12), false);
    same("mode", object.mode.into(), u64::from(stat.st_mode & 0o7777), true);
    same("uid", object.uid.into(), stat.st_uid.into(), false);
    same("gid", object.gid.into(), stat.st_gid.into(), false);
    if object.unsure && object.fragile.is_some() {
        object.unsure = false;
        if stat.st_nlink == 1 {
            (object.fragile, object.links, object.lower, object.inode) = (None, 1, false, None);
        }
    }
    if !object.is_folder() {
        let shown = if object.links == 0 { 0 } else { object.fragile.unwrap_or(object.links) };
        same("links", shown.into(), stat.st_nlink, false);
    }
    match &object.body {
        Body::File(content) => same("size", content.len() as u64, stat.st_size.cast_unsigned(), false),
        Body::Link(target) => same("size", target.len() as u64, stat.st_size.cast_unsigned(), false),
        Body::Char(device) | Body::Block(device) => same("device", *device, stat.st_rdev, false),
        _ => {}
    }
    if object.fragile.is_none() && numbers {
        match object.inode {
            Some(inode) => same("st_ino", inode, stat.st_ino, false),
            None => object.inode = Some(stat.st_ino),
        }
    }
    let mtime: Moment = (stat.st_mtime, stat.st_mtime_nsec as i64);
    match object.mtime {
        Time::Exactly(time) if time != mtime => wrong.push(format!("mtime {mtime:?}, not {time:?}")),
        Time::Since(time) if mtime < time => wrong.push(format!("mtime {mtime:?}, before {time:?}")),
        _ => object.mtime = Time::Exactly(mtime),
    }
    let ctime: Moment = (stat.st_ctime, stat.st_ctime_nsec as i64);
    if ctime < object.changed {
        wrong.push(format!("ctime {ctime:?}, before {:?}", object.changed));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// What is behind an object's attributes: xattrs, content, target.
fn inside(model: &Model, world: &World, path: &str, id: Id) -> Checked {
    let object = model.at(id);
    let failed = |what: &str, e: Errno| format!("{path}: {what}: {e}");
    let xattrs = world.xattrs(path).map_err(|e| failed("xattrs", e))?;
    if xattrs != object.xattrs {
        return Err(format!("{path}: xattrs {}, not {}", shown(&xattrs), shown(&object.xattrs)));
    }
    match &object.body {
        Body::File(content) => {
            let got = world.content(path).map_err(|e| failed("reading", e))?;
            same_bytes(content, &got).map_err(|e| format!("{path}: {e}"))
        }
        Body::Link(target) => {
            let got = world.target(path).map_err(|e| failed("readlink", e))?;
            if got == *target { Ok(()) } else { Err(format!("{path}: to {got}, not {target}")) }
        }
        _ => Ok(()),
    }
}

fn shown(xattrs: &BTreeMap<String, Vec<u8>>) -> String {
    let each: Vec<_> = xattrs
        .iter()
        .map(|(name, value)| format!("{name}={}:{:02x?}", value.len(), &value[..value.len().min(44)]))
        .collect();
    format!("{{{}}}", each.join(", "))
}

/// Where two contents differ first.
pub(crate) fn same_bytes(expected: &[u8], got: &[u8]) -> Checked {
    if expected == got {
        return Ok(());
    }
    let at = expected.iter().zip(got).position(|(a, b)| a != b).unwrap_or(expected.len().min(got.len()));
    let some = |bytes: &[u8]| format!("{:?}", &bytes[at.min(bytes.len())..bytes.len().min(at + 4)]);
    let (size, its) = (expected.len(), got.len());
    Err(format!("content of {its} bytes, not {size}; from byte {at} on {}, not {}", some(got), some(expected)))
}

/// The whole tree, everything of it.
pub(crate) fn whole(model: &mut Model, world: &World) -> Checked {
    let mut numbers = BTreeMap::new();
    let mut to_do = vec![(String::from("."), ROOT)];
    while let Some((path, id)) = to_do.pop() {
        place(model, world, &path)?;
        inside(model, world, &path, id)?;
        let object = model.at(id);
        if let Some(inode) = object.inode
            && let Some((other, before)) = numbers.insert(inode, (id, path.clone()))
            && other != id
        {
            return Err(format!("{path} and {before} both have st_ino {inode}"));
        }
        if let Body::Folder { entries, .. } = &object.body {
            let entries = entries.clone();
            listing(model, world, &path, id)?;
            to_do.extend(entries.iter().map(|(name, id)| (format!("{path}/{name}"), *id)));
        }
    }
    Ok(())
}

/// A complete listing: every name once, with its type and number.
fn listing(model: &mut Model, world: &World, path: &str, id: Id) -> Checked {
    let listed = world.list(path).map_err(|e| format!("{path}: listing: {e}"))?;
    let mut names: Vec<&str> = listed.iter().map(|e| e.name.as_str()).collect();
    names.sort_unstable();
    let expected: Vec<&String> = model.entries(id).map(|e| e.keys().collect()).unwrap_or_default();
    if names != expected {
        return Err(format!("{path}: lists {names:?}, not {expected:?}"));
    }
    for entry in &listed {
        let child = model.entries(id).expect("a folder")[&entry.name];
        let object = model.at(child);
        if entry.kind != 0 && entry.kind != object.kind() {
            return Err(format!("{path}: lists {} as type {}, not {}", entry.name, entry.kind, object.kind()));
        }
        if let Some(inode) = object.inode
            && entry.inode != inode
            && !(object.relinked && model.kernel_serves)
            && (model.rules.root || !model.unchecked.contains(&"d_ino without root"))
        {
            return Err(format!("{path}: lists {} with d_ino {}, but st_ino is {inode}", entry.name, entry.inode));
        }
    }
    Ok(())
}

/// One piece of a listing that goes on while things change.
fn stream(model: &mut Model, world: &World, slot: u8) -> Checked {
    let Some(stream) = model.streams.get_mut(&slot) else { return Ok(()) };
    let Some(listed) = &world.listed else {
        let lost: Vec<_> = stream.must.difference(&stream.seen).collect();
        return if lost.is_empty() { Ok(()) } else { Err(format!("stream {slot} ended without {lost:?}")) };
    };
    for entry in listed {
        if !stream.may.contains(&entry.name) {
            return Err(format!("stream {slot} lists {}, which was not there while it was open", entry.name));
        }
        if !stream.seen.insert(entry.name.clone()) && stream.must.contains(&entry.name) {
            return Err(format!("stream {slot} lists {} twice", entry.name));
        }
    }
    Ok(())
}

fn holes(model: &Model, world: &World, slot: u8) -> Checked {
    let Some(content) = model.open.get(&slot).and_then(|o| model.content(o.id)) else { return Ok(()) };
    let runs = match world.data_runs(slot) {
        // FUSE does not bring written pages to its server before it asks for holes, so ours does not say where someone writes.
        Err(Errno::INVAL) if !model.kernel_serves => return Ok(()),
        runs => runs.map_err(|e| format!("slot {slot}: lseek: {e}"))?,
    };
    let mut at = 0;
    for (start, end) in runs.iter().copied().chain([(content.len() as u64, 0)]) {
        let hole = content.get(at as usize..start as usize).unwrap_or_default();
        if hole.iter().any(|b| *b != 0) {
            return Err(format!("slot {slot}: data in the hole before {start}: runs {runs:?}"));
        }
        at = end;
    }
    Ok(())
}
