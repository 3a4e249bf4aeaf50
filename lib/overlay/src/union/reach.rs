//! From a node to the object below: descriptors of directories, kept while they last, and what is reached through them.
//!
//! A directory's descriptor is opened once and kept in its branch; when more are open than allowed, those not asked for
//! lately are closed again (second chance), and reopened through the parent when needed. An object found under a
//! remembered name counts only if it is the one remembered: else the tree was just changed, and the place is read again.

use super::Stack;
use super::branch::Branch;
use super::lock::held;
use super::node::{Node, Seat, UPPER};
use crate::layer::{Answer, Errno, Folder, Stat, stat_of};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

/// How often a place that was changed meanwhile is read again.
const TRIES: usize = 64;

/// The directories that are held open.
#[derive(Debug)]
pub(crate) struct Folders {
    ring: Mutex<VecDeque<Weak<Branch>>>,
    limit: usize,
}

impl Folders {
    pub(crate) fn new() -> Self {
        // Half of what the process may open: the rest is for files.
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
        let limit = usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(64, 1 << 16);
        Self { ring: Mutex::default(), limit }
    }

    pub(crate) fn keep(&self, branch: &Arc<Branch>) {
        let mut ring = held(&self.ring);
        ring.push_back(Arc::downgrade(branch));
        let mut looks = ring.len() * 2;
        while ring.len() > self.limit && looks > 0 {
            looks -= 1;
            let Some(oldest) = ring.pop_front() else { break };
            let Some(old) = oldest.upgrade() else { continue };
            if old.used.swap(false, Ordering::Relaxed) {
                ring.push_back(oldest);
            } else {
                held(&old.folder).take();
            }
        }
    }
}

/// What a node is reached by: a descriptor that may be O_PATH.
#[derive(Debug)]
pub(crate) enum Spot {
    Folder(Arc<dyn Folder>),
    File(OwnedFd),
    Orphan(Arc<OwnedFd>),
}

impl Spot {
    pub(crate) fn fd(&self) -> Answer<BorrowedFd<'_>> {
        match self {
            Self::Folder(folder) => folder.descriptor().ok_or(Errno::OPNOTSUPP),
            Self::File(fd) => Ok(fd.as_fd()),
            Self::Orphan(fd) => Ok(fd.as_fd()),
        }
    }
}

impl Stack {
    /// The directory `node` in `layer`, held open.
    pub(crate) fn folder(&self, node: &Node, layer: usize) -> Answer<Arc<dyn Folder>> {
        let branch = node.branch(layer).ok_or(Errno::NOENT)?;
        self.part_folder(node, &branch)
    }

    /// One of the parts of `node`, held open. After it the part's books are known.
    pub(crate) fn part_folder(&self, node: &Node, part: &Arc<Branch>) -> Answer<Arc<dyn Folder>> {
        part.used.store(true, Ordering::Relaxed);
        if let Some(folder) = part.opened() {
            return Ok(folder);
        }
        let layer = part.layer;
        for _ in 0..TRIES {
            let branch = node.branch(layer).ok_or(Errno::NOENT)?;
            if let Some(folder) = branch.opened() {
                return Ok(folder);
            }
            // Lower layers do not change, so there the directory of that name is the one that was found: if the name is
            // still right, see below.
            let known = (layer != UPPER).then_some(branch.identity);
            let opened = match &branch.at {
                Some(path) => self.layer_root(layer)?.folder(path.as_os_str(), known),
                None => {
                    let place = node.place().ok_or(Errno::NOENT)?;
                    self.folder(&place.parent, layer)?.folder(&place.name, known)
                }
            };
            if !node.branch(layer).is_some_and(|now| Arc::ptr_eq(&now, &branch)) {
                // Renamed meanwhile.
                continue;
            }
            match opened {
                Ok(folder) if folder.identity() == branch.identity => {
                    if !branch.checked.load(Ordering::Acquire) && (layer == UPPER || self.may_redirect(layer)) {
                        branch.note(&folder.marks(self.xattrs)?);
                    }
                    *held(&branch.folder) = Some(folder.clone());
                    self.folders.keep(&branch);
                    return Ok(folder);
                }
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => std::thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
        Err(Errno::STALE)
    }

    /// The directory in which a file is to be found, and under which name; `None` where it has none any more.
    pub(crate) fn way(&self, node: &Node, seat: &Seat) -> Answer<Option<(Arc<dyn Folder>, OsString)>> {
        if let Some(indexed) = self.index_place(seat) {
            return Ok(Some(indexed));
        }
        let Some(place) = node.place() else { return Ok(None) };
        Ok(Some((self.folder(&place.parent, seat.layer)?, place.name.into())))
    }

    /// The directory's part in the upper layer, if it has one.
    pub(crate) fn upper_folder(&self, node: &Node) -> Answer<Option<Arc<dyn Folder>>> {
        if node.branch(UPPER).is_none() { Ok(None) } else { self.folder(node, UPPER).map(Some) }
    }

    /// The attributes of what `node` is made of, as they are below.
    pub(crate) fn raw_stat(&self, node: &Node) -> Answer<Stat> {
        let gone = node.gone();
        if node.is_folder() {
            if let Some(stat) = gone {
                return Ok(stat);
            }
            let top = node.top().ok_or(Errno::STALE)?;
            let folder = self.folder(node, top)?;
            let mut stat = folder.stat()?;
            if let Some(fd) = folder.descriptor() {
                stat = self.dressed_fd(stat, top, fd);
            }
            if node.is_merged() {
                // As overlayfs: the number of subdirectories of a merged directory is not known.
                stat.links = 1;
            }
            return Ok(stat);
        }
        for _ in 0..TRIES {
            let seat = node.seat().ok_or(Errno::STALE)?;
            if let Some(orphan) = seat.orphan {
                let mut stat = stat_of(orphan.as_fd())?;
                // Names that upper layers hide are the union's still.
                stat.links = self.union_links(&stat);
                return Ok(self.dressed_fd(stat, seat.layer, orphan.as_fd()));
            }
            let Some((above, name)) = self.way(node, &seat)? else { break };
            match above.find(&name)? {
                Some(mut stat) if stat.identity() == seat.identity => {
                    stat.links = self.union_links(&stat);
                    return self.dressed_at(stat, seat.layer, &*above, &name);
                }
                _ => std::thread::yield_now(),
            }
        }
        gone.or_else(|| node.gone()).ok_or(Errno::STALE)
    }

    /// A descriptor of what `node` is made of, for attributes, xattrs and links.
    pub(crate) fn spot(&self, node: &Node) -> Answer<Spot> {
        if node.is_folder() {
            return Ok(Spot::Folder(self.folder(node, node.top().ok_or(Errno::STALE)?)?));
        }
        Ok(self.file_spot(node)?.0)
    }

    /// The same for what is not a directory, with its attributes as they are below.
    pub(crate) fn file_spot(&self, node: &Node) -> Answer<(Spot, Stat)> {
        for _ in 0..TRIES {
            let seat = node.seat().ok_or(Errno::STALE)?;
            if let Some(orphan) = seat.orphan {
                let stat = stat_of(orphan.as_fd())?;
                return Ok((Spot::Orphan(orphan), stat));
            }
            let (above, name) = self.way(node, &seat)?.ok_or(Errno::STALE)?;
            match above.point_at(&name) {
                Ok(fd) => {
                    let stat = stat_of(fd.as_fd())?;
                    if stat.identity() == seat.identity {
                        return Ok((Spot::File(fd), stat));
                    }
                    std::thread::yield_now();
                }
                Err(Errno::NOENT) => std::thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
        Err(Errno::STALE)
    }

    /// `fd`, possibly O_PATH, as a name below `/proc/self/fd`.
    pub(crate) fn proc_name(fd: BorrowedFd<'_>) -> String {
        use std::os::fd::AsRawFd;
        fd.as_raw_fd().to_string()
    }

    /// A second descriptor of what `fd` is, opened with `flags`.
    pub(crate) fn reopen(&self, fd: BorrowedFd<'_>, flags: rustix::fs::OFlags) -> Answer<OwnedFd> {
        let flags = flags | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NOCTTY;
        rustix::fs::openat(&self.proc, Self::proc_name(fd), flags, rustix::fs::Mode::empty())
    }
}
