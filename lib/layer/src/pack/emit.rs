//! Entries into the tar: owners and times as asked, names of one file as hard links, the directories on the way to an entry.
//!
//! A directory is announced by [`Emitter::enter`], and written when it is wanted itself or when something in it is: an overlay
//! takes a directory's attributes from the uppermost layer that has it, so a layer with `etc/conf` needs `etc/` too.

use super::format::{self, Head, Type};
use super::found::{Found, Thing};
use super::sink::Blocks;
use super::{Mtimes, PackOptions, content};
use crate::archive::Time;
use crate::error::{Fault, Kind, shown};
use crate::extract::SKIPPED_LINES;
use crate::owners::Run;
use spec::whiteout;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::AsFd;

/// Mode of the entries that stand for whiteouts, as docker writes it.
const WHITEOUT_MODE: u32 = 0o600;

/// A directory above the entry that comes next.
#[derive(Debug)]
struct Parent {
    path_bytes: usize,
    found: Found,
    opaque: bool,
}

/// A file with several names: the first of them, and how many are still to come.
#[derive(Debug)]
struct FirstName {
    path: Vec<u8>,
    left: u64,
}

/// What writes the entries.
pub(super) struct Emitter<'a, 'b> {
    blocks: &'a mut Blocks<'b>,
    options: &'a PackOptions<'a>,
    head: Vec<u8>,
    /// Directories from the root down; the first `written` of them are in the tar.
    parents: Vec<Parent>,
    written: usize,
    first_names: HashMap<(u64, u64), FirstName>,
    pub(super) entries: u64,
    pub(super) data_bytes: u64,
    pub(super) skipped: Vec<String>,
    pub(super) skipped_count: u64,
}

impl<'a, 'b> Emitter<'a, 'b> {
    pub(super) fn new(blocks: &'a mut Blocks<'b>, options: &'a PackOptions<'a>) -> Self {
        Self {
            blocks,
            options,
            head: Vec::new(),
            parents: Vec::new(),
            written: 0,
            first_names: HashMap::new(),
            entries: 0,
            data_bytes: 0,
            skipped: Vec::new(),
            skipped_count: 0,
        }
    }

    /// What comes next is in the directory `path`, which is `found`.
    pub(super) fn enter(&mut self, path: &[u8], found: Found, opaque: bool) {
        self.parents.push(Parent { path_bytes: path.len(), found, opaque });
    }

    /// What comes next is no longer in the directory entered last.
    pub(super) fn leave(&mut self) {
        self.parents.pop();
        self.written = self.written.min(self.parents.len());
    }

    /// Writes the directories on the way to `path` (or `path` itself, if it was entered last) that are not in the tar yet.
    pub(super) fn reach(&mut self, path: &[u8]) -> Result<(), Fault> {
        let parents = std::mem::take(&mut self.parents);
        let reached = self.reach_all(&parents, path);
        self.parents = parents;
        reached
    }

    fn reach_all(&mut self, parents: &[Parent], path: &[u8]) -> Result<(), Fault> {
        while let Some(parent) = parents.get(self.written) {
            let dir = path.get(..parent.path_bytes).unwrap_or(path);
            if !dir.is_empty() || self.options.root {
                let head = self.head_of(dir, &parent.found, Type::Directory)?;
                self.put(&head)?;
            }
            self.written += 1;
            if parent.opaque {
                self.mark(dir, whiteout::OPAQUE)?;
            }
        }
        Ok(())
    }

    /// Writes what is at `path` and is no directory.
    pub(super) fn add(&mut self, path: &[u8], found: &Found) -> Result<(), Fault> {
        let kind = match found.thing {
            Thing::File if self.options.itself == Some(found.id) => {
                self.skip(path, "the layer itself");
                return Ok(());
            }
            Thing::File => Type::File,
            Thing::Symlink => Type::Symlink,
            Thing::Char(major, minor) => Type::Char(major, minor),
            Thing::Block(major, minor) => Type::Block(major, minor),
            Thing::Fifo => Type::Fifo,
            Thing::Directory => Type::Directory,
            Thing::Socket => {
                self.skip(path, "a socket");
                return Ok(());
            }
        };
        self.reach(path)?;
        if found.names > 1 && kind != Type::Directory {
            if let Some(first) = self.first_names.get_mut(&found.id) {
                first.left -= 1;
                let link = if first.left == 0 {
                    self.first_names.remove(&found.id).map(|f| f.path).unwrap_or_default()
                } else {
                    first.path.clone()
                };
                // With owner and xattrs again: some readers change the owner by each name, which takes capabilities away.
                let mut head = self.head_of(path, found, Type::HardLink)?;
                (head.link, head.size) = (&link, 0);
                return self.put(&head);
            }
            self.first_names.insert(found.id, FirstName { path: path.to_vec(), left: found.names - 1 });
        }
        let mut head = self.head_of(path, found, kind)?;
        let (Type::File, Some(fd)) = (&head.kind, &found.fd) else {
            head.link = &found.link;
            return self.put(&head);
        };
        head.size = found.size;
        let extents =
            if self.options.sparse { content::extents(fd.as_fd(), found.size, found.disk_bytes) } else { None };
        head.extents = extents.as_deref();
        self.put(&head)?;
        content::copy(self.blocks, fd.as_fd(), found, extents.as_deref(), path, self.options.lively)
    }

    /// Writes that `name` in the directory `dir` of the layers below is gone.
    pub(super) fn whiteout(&mut self, dir: &[u8], name: &[u8]) -> Result<(), Fault> {
        self.reach(dir)?;
        self.mark(dir, &[whiteout::PREFIX, name].concat())
    }

    /// Leaves out what a layer cannot hold, with a line.
    pub(super) fn skip(&mut self, path: &[u8], why: impl fmt::Display) {
        self.skipped_count += 1;
        if self.skipped.len() < SKIPPED_LINES {
            self.skipped.push(format!("{}: {why}", shown(path)));
        }
    }

    /// The end of the tar.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.blocks.write(&format::END)
    }

    fn mark(&mut self, dir: &[u8], name: &[u8]) -> Result<(), Fault> {
        let path = if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() };
        // A whiteout has no owner and no time of its own: when something was removed is nobody's business.
        let head = Head {
            path: &path,
            kind: Type::File,
            link: b"",
            mode: WHITEOUT_MODE,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            size: 0,
            extents: None,
            xattrs: &[],
        };
        self.put(&head)
    }

    fn head_of<'h>(&self, path: &'h [u8], found: &'h Found, kind: Type) -> Result<Head<'h>, Fault> {
        let (uid, gid) = self.options.owner_of(found, path)?;
        let mtime = self.options.mtimes.of(found.mtime);
        let xattrs = &found.xattrs[..];
        Ok(Head { path, kind, link: b"", mode: found.mode, uid, gid, mtime, size: 0, extents: None, xattrs })
    }

    fn put(&mut self, head: &Head<'_>) -> Result<(), Fault> {
        let mut bytes = std::mem::take(&mut self.head);
        bytes.clear();
        if self.options.prefix.is_empty() {
            self.data_bytes += head.write(&mut bytes)?.next_multiple_of(512);
        } else {
            let path = below(self.options.prefix, head.path);
            let link =
                if head.kind == Type::HardLink { below(self.options.prefix, head.link) } else { head.link.to_vec() };
            let head = Head { path: &path, link: &link, ..head.clone() };
            self.data_bytes += head.write(&mut bytes)?.next_multiple_of(512);
        }
        self.entries += 1;
        let written = self.blocks.write(&bytes);
        self.head = bytes;
        written
    }
}

fn below(prefix: &[u8], path: &[u8]) -> Vec<u8> {
    if path.is_empty() { prefix.to_vec() } else { [prefix, b"/", path].concat() }
}

impl Mtimes {
    fn of(self, mtime: Time) -> Time {
        let later = |a: Time, b: Time| (a.seconds, a.nanoseconds) > (b.seconds, b.nanoseconds);
        match self {
            Self::Set(time) => time,
            Self::Clamp(time) if later(mtime, time) => time,
            Self::Clamp(_) | Self::Keep => mtime,
        }
    }
}

impl PackOptions<'_> {
    fn owner_of(&self, found: &Found, path: &[u8]) -> Result<(u32, u32), Fault> {
        let back = |what: &str, runs: &[Run], id: u32| {
            inside(runs, id).ok_or_else(|| {
                Fault::entry(Kind::Unsupported, path, format_args!("{what} {id} is in none of the ranges of the map"))
                    .hint("give a map that has it, or all to one with --owner and --group")
            })
        };
        let none: &[Run] = &[];
        let (uids, gids) = self.ids.map_or((none, none), |ids| (&ids.uids, &ids.gids));
        let uid = match self.owner {
            Some(uid) => uid,
            None => back("owner", uids, found.uid)?,
        };
        let gid = match self.group {
            Some(gid) => gid,
            None => back("group", gids, found.gid)?,
        };
        Ok((uid, gid))
    }
}

/// The container's id for `id` of this machine.
pub(crate) fn inside(runs: &[Run], id: u32) -> Option<u32> {
    if runs.is_empty() {
        return Some(id);
    }
    let run = runs.iter().find(|run| id.checked_sub(run.host).is_some_and(|at| at < run.count))?;
    Some(run.container + (id - run.host))
}
