//! One tree into the tar: the upper of an overlay with its whiteouts in any spelling, or a plain tree, in which there are none.

use super::PackOptions;
use super::ahead::{Ahead, Asked};
use super::emit::Emitter;
use super::found::{Found, Look, STILL, Thing};
use super::ladder::{Ladder, Names, as_hidden};
use crate::error::{Fault, Kind};
use spec::whiteout::{self, Name};
use std::os::fd::{BorrowedFd, OwnedFd};

/// A directory we are in.
struct Here {
    path_bytes: usize,
    files_hide: bool,
    asked: Asked,
}

/// Adds the tree at `root`.
pub(super) fn add(
    root: BorrowedFd<'_>,
    look: &Look,
    options: &PackOptions<'_>,
    out: &mut Emitter<'_, '_>,
) -> Result<(), Fault> {
    let found = look.root(root)?;
    std::thread::scope(|scope| {
        let ahead = Ahead::start(scope);
        let (ladder, here, path) = (Ladder::default(), Vec::new(), Vec::new());
        let mut walk = Walk { look, options, out, ladder, here, path, ahead };
        walk.enter(found)?;
        while walk.ladder.depth() > 0 {
            walk.step()?;
        }
        Ok(())
    })
}

struct Walk<'w, 'a, 'b> {
    look: &'w Look,
    options: &'w PackOptions<'w>,
    out: &'w mut Emitter<'a, 'b>,
    ladder: Ladder,
    here: Vec<Here>,
    /// Of the directory we are in, or of what is looked at in it.
    path: Vec<u8>,
    ahead: Ahead,
}

impl Walk<'_, '_, '_> {
    /// The next name of the directory we are in, or back up.
    fn step(&mut self) -> Result<(), Fault> {
        let (Some(here), Some((dir, names))) = (self.here.last_mut(), self.ladder.here()) else { return Ok(()) };
        let (dir_bytes, files_hide) = (here.path_bytes, here.files_hide);
        self.ahead.ask(dir, names, &mut here.asked);
        let Some((name, told)) = names.peek() else { return self.leave() };
        if dir_bytes > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        let last = self.path.len() - name.count_bytes();
        let found = match whiteout::parse_name(name.to_bytes()) {
            Name::Opaque | Name::Reserved if !self.options.plain => None,
            _ if self.options.excludes(&self.path) => None,
            _ => match self.look.at(dir, name, told, &self.path)? {
                Some(found) => Some(found),
                None if self.options.lively => None,
                None => {
                    return Err(Fault::entry(Kind::System, &self.path, "vanished while it was packed").hint(STILL));
                }
            },
        };
        names.step();
        if let Some(found) = found {
            if found.thing == Thing::Directory {
                return self.enter(found);
            }
            self.add(&found, dir_bytes, last, files_hide)?;
        } else if !self.options.plain
            && self.path[last..] != *whiteout::OPAQUE
            && whiteout::parse_name(&self.path[last..]) == Name::Reserved
        {
            self.out.skip(&self.path, "a name that layers keep for themselves");
        }
        self.path.truncate(dir_bytes);
        Ok(())
    }

    /// What is no directory.
    fn add(&mut self, found: &Found, dir_bytes: usize, last: usize, files_hide: bool) -> Result<(), Fault> {
        let path = &self.path[..];
        let (dir, name) = (&path[..dir_bytes], &path[last..]);
        let zero = found.thing == Thing::Char(0, 0);
        if self.options.literal {
            // Whatever it is called.
        } else if self.options.plain {
            plain_name(path, name)?;
            if zero {
                return Err(Fault::entry(Kind::Unsupported, path, "a device 0:0, which is a whiteout to an overlay")
                    .hint(
                        "if the tree is an overlay's upper, pack it without --tree; else leave it out with --exclude",
                    ));
            }
        } else {
            let empty = found.thing == Thing::File && found.size == 0;
            let hidden = match whiteout::parse_name(name) {
                Name::Whiteout(hidden) if empty || zero => Some(hidden),
                Name::Whiteout(_) => {
                    return Err(Fault::entry(
                        Kind::Unsupported,
                        path,
                        "its name is that of a whiteout, but it is no empty file",
                    )
                    .hint("a layer cannot hold such a name; rename it, or leave it out with --exclude"));
                }
                _ if zero || empty && files_hide && found.marks.whiteout => Some(name),
                _ => None,
            };
            if let Some(hidden) = hidden {
                let as_entry = [dir, if dir.is_empty() { b"" } else { b"/" }, whiteout::PREFIX, hidden].concat();
                return if self.options.takes(&as_entry) { self.out.whiteout(dir, hidden) } else { Ok(()) };
            }
            refuse_what_lies_below(path, found)?;
        }
        if self.options.takes(path) { self.out.add(path, found) } else { Ok(()) }
    }

    /// Into the directory at `self.path`.
    fn enter(&mut self, mut found: Found) -> Result<(), Fault> {
        let path = &self.path[..];
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if self.options.literal {
            // Whatever it is called.
        } else if self.options.plain {
            plain_name(path, name)?;
        } else {
            if whiteout::parse_name(name) != Name::Plain(name) {
                return Err(Fault::entry(
                    Kind::Unsupported,
                    path,
                    "its name is that of a whiteout, but it is a directory",
                )
                .hint("a layer cannot hold such a name; rename it, or leave it out with --exclude"));
            }
            refuse_what_lies_below(path, &found)?;
        }
        let fd = directory(&mut found, path)?;
        let key = if self.options.plain { super::ladder::plain } else { as_hidden };
        let names =
            Names::read(std::os::fd::AsFd::as_fd(&fd), key).map_err(|e| Fault::system(path, "read directory", e))?;
        let opaque = !self.options.plain && (found.marks.opaque || names.has(whiteout::OPAQUE));
        let opaque_taken = || {
            let entry =
                if path.is_empty() { whiteout::OPAQUE.to_vec() } else { [path, b"/", whiteout::OPAQUE].concat() };
            self.options.takes(&entry)
        };
        let opaque = opaque && opaque_taken();
        self.here.push(Here { path_bytes: path.len(), files_hide: found.marks.files_hide, asked: Asked::default() });
        let id = found.id;
        self.out.enter(path, found, opaque);
        if opaque || self.options.takes(path) {
            self.out.reach(path)?;
        }
        self.ladder.push(fd, id, names);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Fault> {
        self.ladder.pop(&self.path)?;
        self.out.leave();
        self.here.pop();
        self.path.truncate(self.here.last().map_or(0, |h| h.path_bytes));
        Ok(())
    }
}

/// The open directory out of what was found.
pub(super) fn directory(found: &mut Found, path: &[u8]) -> Result<OwnedFd, Fault> {
    found.fd.take().ok_or_else(|| Fault::entry(Kind::System, path, "changes while it is looked at").hint(STILL))
}

/// In a plain tree no name may mean a whiteout.
pub(super) fn plain_name(path: &[u8], name: &[u8]) -> Result<(), Fault> {
    match whiteout::parse_name(name) {
        Name::Plain(_) => Ok(()),
        _ => Err(Fault::entry(Kind::Unsupported, path, "its name means a whiteout in a layer")
            .hint("a layer cannot hold such a name; rename it, or leave it out with --exclude")),
    }
}

fn refuse_what_lies_below(path: &[u8], found: &Found) -> Result<(), Fault> {
    let why = match (found.marks.redirect, found.marks.metacopy) {
        (_, true) => "its content is in a layer below (overlay.metacopy), which a layer cannot say",
        (true, _) => "it has another name in the layers below (overlay.redirect), which a layer cannot say",
        _ => return Ok(()),
    };
    Err(Fault::entry(Kind::Unsupported, path, why).hint(
        "make it complete with ovl-mount convert --lowerdir LOWER UPPER, or mount without redirect_dir and metacopy",
    ))
}
