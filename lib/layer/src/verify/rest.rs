//! The end of a comparison: what the layer hides, and what the directory has beyond the layer.

use super::Difference;
use super::compare::Comparison;
use super::paths::{Findings, Paths, join};
use crate::error::Fault;
use crate::extract::resolve::split;
use crate::pack::found::{Found, Thing};
use crate::pack::ladder::{Ladder, Names, plain};
use rustix::fs::FileType;
use spec::whiteout::{self, Name};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// Finishes it.
pub(super) fn finish(mut comparison: Comparison<'_>) -> Result<Findings, Fault> {
    let mut may_be_opaque = Paths::default();
    whiteouts(&mut comparison, &mut may_be_opaque)?;
    let mut walk = Walk { comparison, may_be_opaque, ladder: Ladder::default(), lengths: Vec::new(), path: Vec::new() };
    let root = walk.comparison.look.root(walk.comparison.dir)?;
    walk.enter(root)?;
    while !walk.lengths.is_empty() {
        walk.step()?;
    }
    Ok(walk.comparison.findings)
}

/// What the layer hides must be hidden, in one form or another.
fn whiteouts(comparison: &mut Comparison<'_>, may_be_opaque: &mut Paths) -> Result<(), Fault> {
    for path in std::mem::take(&mut comparison.hidden) {
        let (dir, name) = split(&path);
        let as_file = join(dir, &[whiteout::PREFIX, name].concat());
        let found = comparison.at(&path)?;
        let by_itself = found.as_ref().is_some_and(hides);
        let hidden = by_itself || comparison.at(&as_file)?.is_some_and(|f| f.thing == Thing::File && f.size == 0);
        // Where the layer has something of that name itself, that hides what is below; a directory does so if it is opaque.
        let own = comparison.seen.has(&path) || comparison.implied.has(&path);
        let needs_mark = !own || found.as_ref().is_some_and(|f| f.thing == Thing::Directory && !f.marks.opaque);
        if own {
            may_be_opaque.insert(&path);
        } else if by_itself {
            comparison.seen.insert(&path);
        }
        comparison.seen.insert(&as_file);
        if needs_mark && !hidden {
            comparison.findings.add(&as_file, Difference::Missing);
        }
    }
    for path in std::mem::take(&mut comparison.opaque) {
        let as_file = join(&path, whiteout::OPAQUE);
        let marked = match &path[..] {
            b"" => Some(comparison.look.root(comparison.dir)?),
            path => comparison.at(path)?,
        };
        if !marked.is_some_and(|f| f.marks.opaque) && comparison.at(&as_file)?.is_none() {
            comparison.findings.change(&path, "opaque", "no", "yes");
        }
        may_be_opaque.insert(&path);
        comparison.seen.insert(&as_file);
    }
    Ok(())
}

/// Whether it stands for nothing.
fn hides(found: &Found) -> bool {
    found.thing == Thing::Char(0, 0) || found.thing == Thing::File && found.size == 0 && found.marks.whiteout
}

/// Over the directory, for what the layer has not.
struct Walk<'a> {
    comparison: Comparison<'a>,
    may_be_opaque: Paths,
    ladder: Ladder,
    /// Of the paths of the directories we are in.
    lengths: Vec<usize>,
    path: Vec<u8>,
}

impl Walk<'_> {
    fn step(&mut self) -> Result<(), Fault> {
        let (Some(length), Some((dir, names))) = (self.lengths.last().copied(), self.ladder.here()) else {
            return Ok(());
        };
        let Some((name, told)) = names.peek() else {
            self.ladder.pop(&self.path)?;
            self.lengths.pop();
            self.path.truncate(self.lengths.last().copied().unwrap_or(0));
            return Ok(());
        };
        if length > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        let comparison = &self.comparison;
        let wanted = comparison.options.select.is_none_or(|select| select.takes(&self.path));
        let known = comparison.seen.has(&self.path) || comparison.implied.has(&self.path);
        let found = if wanted && !known {
            let extra = extra(comparison, dir, name, told, &self.path, length)?;
            self.comparison.findings.add(&extra, Difference::Extra);
            None
        } else if matches!(told, FileType::Directory | FileType::Unknown) {
            comparison.look.at(dir, name, told, &self.path)?.filter(|f| f.thing == Thing::Directory)
        } else {
            None
        };
        names.step();
        match found {
            Some(found) => self.enter(found)?,
            None => self.path.truncate(length),
        }
        Ok(())
    }

    fn enter(&mut self, mut found: Found) -> Result<(), Fault> {
        let path = &self.path[..];
        if found.marks.opaque && !self.may_be_opaque.has(path) {
            self.comparison.findings.change(path, "opaque", "yes", "no");
        }
        self.lengths.push(path.len());
        let id = found.id;
        let Some(fd) = found.fd.take() else { return Ok(()) };
        let names = Names::read(fd.as_fd(), plain).map_err(|e| Fault::system(path, "read directory", e))?;
        self.ladder.push(fd, id, names);
        Ok(())
    }
}

/// How what is at `path` would be called in a layer: a whiteout has a name of its own.
fn extra(
    comparison: &Comparison<'_>,
    dir: BorrowedFd<'_>,
    name: &CStr,
    told: FileType,
    path: &[u8],
    dir_bytes: usize,
) -> Result<Vec<u8>, Fault> {
    let plain = matches!(whiteout::parse_name(name.to_bytes()), Name::Plain(_));
    let may_hide = plain && !matches!(told, FileType::Directory | FileType::Symlink);
    if may_hide && comparison.look.at(dir, name, told, path)?.is_some_and(|found| hides(&found)) {
        return Ok(join(&path[..dir_bytes], &[whiteout::PREFIX, name.to_bytes()].concat()));
    }
    Ok(path.to_vec())
}
