//! From an entry's name to the directory it goes into, without ever leaving the layer's directory.
//!
//! A path is walked a component at a time. A component that is a known directory costs a look into a table. Else it is opened
//! below its parent's descriptor, never through a link; a link is read and walked in its stead, by the same rules. So `..`
//! in a link goes to the directory above it in this tree, and where there is none the entry is refused. An absolute link is
//! read as it will be inside the container, provided that its target is in the layer; where it is not, the entry is refused:
//! read as tar reads it, it would leave the layer. No path is too long but for its depth ([`DEEPEST`]), and no link that somebody else puts there while we
//! work leads out.

use super::dirs::Dir;
use super::nodes::{NodeId, ROOT};
use super::tree::{Place, Tree, stat};
use crate::error::{Fault, Kind, shown};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Links on the way, as many as the kernel follows (MAXSYMLINKS).
const LINKS: usize = 40;

/// Directories above what is made; the kernel takes paths of 4096 bytes.
const DEEPEST: u16 = 4096;

/// What becomes of directories that are missing on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// They are made.
    Make,
    /// Then there is no such directory.
    Tell,
}

/// A link that is being walked: where it is, where it points.
struct Link {
    at: Vec<u8>,
    target: Vec<u8>,
}

impl Link {
    fn climbs_out(&self, entry: &[u8]) -> Fault {
        let why =
            format!("climbs out of the layer through the symbolic link {} -> {}", shown(&self.at), shown(&self.target));
        Fault::entry(Kind::Escape, entry, why).hint("the layer is hostile or broken; do not use this image")
    }
}

/// Components still to walk: of the path, and of links on the way. What is told about a link is told about the first, which is
/// on the path itself.
struct Way {
    /// The last of them is walked first.
    parts: Vec<Vec<u8>>,
    /// Of each link being walked: how many parts were left when it was met.
    links: Vec<(usize, Link)>,
}

impl Way {
    /// The link whose target the next part belongs to.
    fn link(&mut self) -> Option<&Link> {
        while self.links.last().is_some_and(|(left, _)| self.parts.len() < *left) {
            self.links.pop();
        }
        self.links.last().filter(|(left, _)| self.parts.len() >= *left).map(|(_, link)| link)
    }
}

impl Tree<'_> {
    /// The directory `path` (normalised) as a node; `None` where it is not there, or no directory, and is not to be made.
    pub(super) fn descend(&mut self, path: &[u8], entry: &[u8], missing: Missing) -> Result<Option<NodeId>, Fault> {
        if path.is_empty() {
            return Ok(Some(ROOT));
        }
        if let Some((_, node)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(Some(*node));
        }
        let mut node = ROOT;
        let mut parts = path.split(|&b| b == b'/');
        let mut straight = true;
        // Most paths are of known directories alone.
        while let Some(part) = parts.next() {
            match self.dirs.nodes.child(node, part) {
                Some(child) => node = child,
                None => {
                    let mut rest: Vec<Vec<u8>> = parts.by_ref().map(<[u8]>::to_vec).collect();
                    rest.push(part.to_vec());
                    let last = rest.len() - 1;
                    rest[..last].reverse();
                    match self.walk(node, Way { parts: rest, links: Vec::new() }, entry, missing)? {
                        Some((end, links)) => (node, straight) = (end, links == 0),
                        None => return Ok(None),
                    }
                    break;
                }
            }
        }
        // Known directories are no links; what was reached by one may be another directory tomorrow.
        self.last = straight.then(|| (path.to_vec(), node));
        Ok(Some(node))
    }

    /// Walks on from `node`; gives the end and the number of links there were.
    fn walk(
        &mut self,
        mut node: NodeId,
        mut way: Way,
        entry: &[u8],
        missing: Missing,
    ) -> Result<Option<(NodeId, usize)>, Fault> {
        let mut links = 0;
        let mut absolute = false;
        loop {
            let inside_link = way.link().is_some();
            let Some(part) = way.parts.pop() else { return Ok(Some((node, links))) };
            match &part[..] {
                b"" | b"." => continue,
                b".." if node == ROOT && absolute => continue,
                b".." if node == ROOT => {
                    let fault = way.links.first().map(|(_, link)| link.climbs_out(entry));
                    return Err(fault.unwrap_or_else(|| changed(entry)));
                }
                b".." => {
                    node = self.dirs.nodes.parent(node);
                    continue;
                }
                _ => {}
            }
            if let Some(child) = self.dirs.nodes.child(node, &part) {
                node = child;
                continue;
            }
            let name = CString::new(&part[..]).map_err(|_| nul(entry))?;
            self.settle(node, &part)?;
            let dir = self.dir(node, entry)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&*dir, &name, flags, Mode::empty()) {
                Ok(fd) => {
                    node = self.dirs.nodes.add(node, &part, false);
                    self.dirs.keep(node, fd).map_err(|e| Fault::system(entry, "stat", e))?;
                    continue;
                }
                Err(Errno::NOENT) => {}
                Err(Errno::NOTDIR | Errno::LOOP) => match rustix::fs::readlinkat(&*dir, &name, Vec::new()) {
                    Ok(target) => {
                        links += 1;
                        if links > LINKS {
                            let why = "too many symbolic links on the way to it";
                            return Err(Fault::entry(Kind::Corrupt, entry, why));
                        }
                        let target = target.into_bytes();
                        let mut at = self.dirs.nodes.path(node);
                        if !at.is_empty() {
                            at.push(b'/');
                        }
                        at.extend_from_slice(&part);
                        if target.first() == Some(&b'/') {
                            absolute = true;
                            node = ROOT;
                        }
                        let left = way.parts.len() + 1;
                        way.parts.extend(target.split(|&b| b == b'/').rev().map(<[u8]>::to_vec));
                        way.links.push((left, Link { at, target }));
                        continue;
                    }
                    Err(Errno::INVAL) if missing == Missing::Make => {
                        node = self.unhide(node, &part, &name, entry)?;
                        continue;
                    }
                    Err(Errno::INVAL) => return Ok(None),
                    Err(e) => return Err(Fault::system(entry, "read link", e)),
                },
                Err(e) => return Err(Fault::system(entry, "open directory", e)),
            }
            // It is not there.
            if inside_link {
                let Some((_, link)) = way.links.first() else { return Err(changed(entry)) };
                // An absolute one among them leads out, read as tar reads it.
                let leads_out = way.links.iter().any(|(_, link)| link.target.first() == Some(&b'/'));
                return match missing {
                    _ if leads_out => Err(link.climbs_out(entry)),
                    Missing::Tell => Ok(None),
                    Missing::Make => {
                        let why = format!("{} is a link to nothing", shown(&link.at));
                        let fault = Fault::entry(Kind::Corrupt, entry, why);
                        Err(fault.hint("the layer is broken; fetch or build the image again"))
                    }
                };
            }
            if missing == Missing::Tell {
                return Ok(None);
            }
            node = self.imply(node, &part, &name, &dir, entry)?;
        }
    }

    /// Makes the directory `name` in `node`, which no entry has named.
    fn imply(
        &mut self,
        node: NodeId,
        part: &[u8],
        name: &CString,
        dir: &Arc<Dir>,
        entry: &[u8],
    ) -> Result<NodeId, Fault> {
        self.count_entry(entry)?;
        self.check_depth(node, entry)?;
        self.touch(node, entry)?;
        rustix::fs::mkdirat(dir, name, Mode::RWXU).map_err(|e| Fault::system(entry, "mkdir", e))?;
        let child = self.made_directory(node, part)?;
        self.dirs.nodes.set_due(child, self.ways.implied());
        Ok(child)
    }

    /// Nothing is made deeper than this: no program could name it, and taking it away costs more than making it.
    pub(super) fn check_depth(&self, node: NodeId, entry: &[u8]) -> Result<(), Fault> {
        if self.dirs.nodes.depth(node) < DEEPEST {
            return Ok(());
        }
        let start = entry.get(..64).map_or_else(|| entry.to_vec(), |start| [start, b"..."].concat());
        Err(Fault::entry(Kind::Limit, &start, format_args!("lies deeper than {DEEPEST} directories"))
            .hint("the layer is hostile or broken; do not use this image"))
    }

    /// A directory in the place of a whiteout of ours. Anything else there that is no directory is a fault.
    fn unhide(&mut self, node: NodeId, part: &[u8], name: &CString, entry: &[u8]) -> Result<NodeId, Fault> {
        let dir = self.dir(node, entry)?;
        let there = stat(dir.as_fd(), name).map_err(|e| Fault::system(entry, "stat", e))?;
        if !self.is_whiteout(&there) || FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            let mut at = self.dirs.nodes.path(node);
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(part);
            return Err(Fault::entry(Kind::Corrupt, entry, format_args!("{} is not a directory", shown(&at))));
        }
        let place = Place { node, dir: Arc::clone(&dir), last: name.clone() };
        self.make_way(&place, entry)?;
        let child = self.imply(node, part, name, &dir, entry)?;
        self.make_opaque(child, entry)?;
        Ok(child)
    }

    /// The descriptor of a known directory.
    pub(super) fn dir(&mut self, node: NodeId, entry: &[u8]) -> Result<Arc<Dir>, Fault> {
        self.dirs.get(node).map_err(|e| match e {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => changed(entry),
            e => Fault::system(entry, "open directory", e),
        })
    }
}

/// Somebody else is at work in the directory.
pub(super) fn changed(entry: &[u8]) -> Fault {
    Fault::entry(Kind::System, entry, "somebody else changed the directory while it was unpacked")
        .hint("unpack into a directory that nobody else writes to")
}

pub(super) fn nul(entry: &[u8]) -> Fault {
    Fault::entry(Kind::Corrupt, entry, "a name with a NUL in it")
}

/// An entry's name as a path below the root: no `/` before it, no `.`, no `..`; empty for the root itself.
pub(crate) fn normalise(name: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if path.is_empty() {
                    return None;
                }
                let end = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
                path.truncate(end);
            }
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Some(path)
}

/// A normalised path as parent and last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_below_the_root() {
        for (name, path) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("./", Some("")),
            ("a/../b", Some("b")),
            ("a/b/../c", Some("a/c")),
            ("..", None),
            ("a/../../b", None),
            ("/../b", None),
        ] {
            assert_eq!(normalise(name.as_bytes()), path.map(|p| p.as_bytes().to_vec()), "{name}");
        }
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"c"), (&b""[..], &b"c"[..]));
    }
}
