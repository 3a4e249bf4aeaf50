//! What changed from one tree to another, as a layer.
//!
//! Both are walked together, name by name in order. Names of one file need a look at all of them first ([`Groups`]): if one was
//! added, taken away or now names another file, all must be in the layer, for a hard link can name only what is in the same layer.

use super::PackOptions;
use super::content;
use super::emit::Emitter;
use super::found::{Found, Look, STILL, Thing};
use super::ladder::{Ladder, Names, plain};
use super::upper::{directory, plain_name};
use crate::error::{Fault, Kind};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

type Id = (u64, u64);

/// Adds what is otherwise in `upper` than in `lower`, each with how to look at it.
pub(super) fn add(
    lower: (BorrowedFd<'_>, Look),
    upper: (BorrowedFd<'_>, Look),
    options: &PackOptions<'_>,
    out: &mut Emitter<'_, '_>,
) -> Result<(), Fault> {
    let whole = |root: BorrowedFd<'_>, look: &Look| Side::groups(root, look, options);
    let regrouped = regrouped(&whole(lower.0, &lower.1)?, &whole(upper.0, &upper.1)?);
    let roots = (lower.1.root(lower.0)?, upper.1.root(upper.0)?);
    let mut walk = Walk {
        lower: Side::new(lower.1),
        upper: Side::new(upper.1),
        paired: Vec::new(),
        path: Vec::new(),
        options,
        regrouped,
        out,
    };
    walk.enter(roots.1, Some(roots.0))?;
    while walk.upper.ladder.depth() > 0 {
        walk.step()?;
    }
    Ok(())
}

/// One of the trees.
struct Side {
    look: Look,
    ladder: Ladder,
}

impl Side {
    fn new(look: Look) -> Self {
        Self { look, ladder: Ladder::default() }
    }

    fn enter(&mut self, found: &mut Found, path: &[u8]) -> Result<(), Fault> {
        let fd = directory(found, path)?;
        let names = Names::read(fd.as_fd(), plain).map_err(|e| Fault::system(path, "read directory", e))?;
        self.ladder.push(fd, found.id, names);
        Ok(())
    }

    fn name(&mut self) -> Option<CString> {
        self.ladder.here()?.1.peek().map(|(name, _)| name.to_owned())
    }

    fn found(&mut self, path: &[u8]) -> Result<Found, Fault> {
        let vanished = || Fault::entry(Kind::System, path, "vanished while it was compared").hint(STILL);
        let (dir, names) = self.ladder.here().ok_or_else(vanished)?;
        let (name, told) = names.peek().ok_or_else(vanished)?;
        self.look.at(dir, name, told, path)?.ok_or_else(vanished)
    }

    fn step(&mut self) {
        if let Some((_, names)) = self.ladder.here() {
            names.step();
        }
    }

    /// The files with several names in the tree at `root`: which names each has.
    fn groups(
        root: BorrowedFd<'_>,
        look: &Look,
        options: &PackOptions<'_>,
    ) -> Result<HashMap<Id, Vec<Vec<u8>>>, Fault> {
        let mut side = Self::new(*look);
        let mut groups: HashMap<Id, Vec<Vec<u8>>> = HashMap::new();
        let mut path = Vec::new();
        let mut lengths = vec![0];
        side.enter(&mut look.root(root)?, b"")?;
        while let Some(length) = lengths.last().copied() {
            let Some(name) = side.name() else {
                side.ladder.pop(&path)?;
                lengths.pop();
                path.truncate(lengths.last().copied().unwrap_or(0));
                continue;
            };
            push(&mut path, name.to_bytes());
            let mut entered = false;
            if !options.excludes(&path) {
                let mut found = side.found(&path)?;
                if found.thing == Thing::Directory {
                    side.step();
                    side.enter(&mut found, &path)?;
                    lengths.push(path.len());
                    entered = true;
                } else if found.names > 1 {
                    groups.entry(found.id).or_default().push(path.clone());
                }
            }
            if !entered {
                side.step();
                path.truncate(length);
            }
        }
        Ok(groups)
    }
}

/// The files of `upper` whose names are not the same ones that one file of `lower` has.
fn regrouped(lower: &HashMap<Id, Vec<Vec<u8>>>, upper: &HashMap<Id, Vec<Vec<u8>>>) -> HashSet<Id> {
    let by_first: HashMap<&[u8], &Vec<Vec<u8>>> =
        lower.values().filter_map(|names| Some((names.first()?.as_slice(), names))).collect();
    // Both lists come from a walk in the same order.
    let same =
        |names: &Vec<Vec<u8>>| names.first().and_then(|f| by_first.get(f.as_slice())).is_some_and(|l| *l == names);
    upper.iter().filter(|(_, names)| !same(names)).map(|(id, _)| *id).collect()
}

struct Walk<'w, 'a, 'b> {
    lower: Side,
    upper: Side,
    /// For each directory we are in: whether `lower` has it too; and how long its path is.
    paired: Vec<(bool, usize)>,
    path: Vec<u8>,
    options: &'w PackOptions<'w>,
    regrouped: HashSet<Id>,
    out: &'w mut Emitter<'a, 'b>,
}

impl Walk<'_, '_, '_> {
    fn step(&mut self) -> Result<(), Fault> {
        let Some((paired, dir_bytes)) = self.paired.last().copied() else { return Ok(()) };
        let old = if paired { self.lower.name() } else { None };
        let new = self.upper.name();
        let order = match (&old, &new) {
            (None, None) => return self.leave(),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.cmp(new),
        };
        if order == Ordering::Less {
            self.lower.step();
            let Some(old) = old else { return Ok(()) };
            push(&mut self.path, old.to_bytes());
            let taken = self.options.takes(&self.path);
            self.path.truncate(dir_bytes);
            return if taken { self.out.whiteout(&self.path, old.to_bytes()) } else { Ok(()) };
        }
        let Some(new) = new else { return Ok(()) };
        push(&mut self.path, new.to_bytes());
        if self.options.excludes(&self.path) {
            self.path.truncate(dir_bytes);
            self.upper.step();
            if order == Ordering::Equal {
                self.lower.step();
            }
            return Ok(());
        }
        plain_name(&self.path, new.to_bytes())?;
        let found = self.upper.found(&self.path)?;
        self.upper.step();
        let before = if order == Ordering::Equal { Some(self.lower.found(&self.path)?) } else { None };
        if order == Ordering::Equal {
            self.lower.step();
        }
        if found.thing == Thing::Char(0, 0) {
            return Err(Fault::entry(Kind::Unsupported, &self.path, "a device 0:0, which is a whiteout to an overlay")
                .hint("compare merged trees, not uppers; or leave it out with --exclude"));
        }
        if found.thing == Thing::Directory {
            return self.enter(found, before);
        }
        if self.options.takes(&self.path) {
            let same = match &before {
                Some(before) => self.same(&found, before)?,
                None => false,
            };
            if !same {
                self.out.add(&self.path, &found)?;
            }
        }
        self.path.truncate(dir_bytes);
        Ok(())
    }

    fn enter(&mut self, mut found: Found, before: Option<Found>) -> Result<(), Fault> {
        let before = before.filter(|b| b.thing == Thing::Directory);
        let changed = match &before {
            Some(before) => !self.same(&found, before)?,
            None => true,
        };
        self.upper.enter(&mut found, &self.path)?;
        self.paired.push((before.is_some(), self.path.len()));
        if let Some(mut before) = before {
            self.lower.enter(&mut before, &self.path)?;
        }
        self.out.enter(&self.path, found, false);
        if changed && self.options.takes(&self.path) {
            self.out.reach(&self.path)?;
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Fault> {
        self.upper.ladder.pop(&self.path)?;
        if let Some((true, _)) = self.paired.pop() {
            self.lower.ladder.pop(&self.path)?;
        }
        self.out.leave();
        self.path.truncate(self.paired.last().map_or(0, |p| p.1));
        Ok(())
    }

    fn same(&self, a: &Found, b: &Found) -> Result<bool, Fault> {
        let alike = a.thing == b.thing
            && (a.mode, a.uid, a.gid, a.size, a.mtime) == (b.mode, b.uid, b.gid, b.size, b.mtime)
            && a.link == b.link
            && a.xattrs == b.xattrs
            && !(a.names > 1 && self.regrouped.contains(&a.id));
        if !alike {
            return Ok(false);
        }
        match (&a.fd, &b.fd) {
            (Some(a_fd), Some(b_fd)) if a.thing == Thing::File && a.id != b.id && !self.options.trust_times => {
                content::same(a_fd.as_fd(), b_fd.as_fd(), &self.path)
            }
            _ => Ok(true),
        }
    }
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
