//! Making files, directories, links, devices; hard links.
//!
//! What is new is made in the upper directory itself. Where a whiteout stands under the name, it is made in the work
//! folder and takes the whiteout's place by one rename; a directory made so is opaque, or the layers below would show
//! through it (overlayfs, "whiteouts and opaque directories").

use super::Stack;
use super::branch::Branch;
use super::copy_up::Content;
use super::handle::OpenFile;
use super::lock::{held, read};
use super::node::{Body, Node, Seat, UPPER};
use super::search::{Found, refuse_reserved};
use crate::layer::{Answer, Directory, Errno, Folder, Stat, stat_of};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Who makes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maker {
    /// Their user id.
    pub uid: u32,
    /// Their group id.
    pub gid: u32,
    /// Permission bits their files do not get.
    pub umask: u32,
}

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum New<'a> {
    /// A regular file, to be opened at once.
    File,
    /// A directory.
    Folder,
    /// A symbolic link to this.
    Link(&'a OsStr),
    /// A fifo, socket, device or regular file; device number as major and minor.
    Node(FileType, (u32, u32)),
}

impl Stack {
    /// Makes `name` in `parent` with permission bits `mode`. Gives its node and attributes, and a regular file's
    /// descriptor when [`New::File`] was asked for.
    pub fn make(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        new: New<'_>,
        mode: u32,
        maker: Maker,
    ) -> Answer<(Arc<Node>, Stat, Option<OpenFile>)> {
        if matches!(new, New::Node(FileType::CharacterDevice, (0, 0))) {
            // As overlayfs: that is a whiteout.
            return Err(Errno::PERM);
        }
        refuse_reserved(name)?;
        if parent.is_gone() {
            return Err(Errno::NOENT);
        }
        let above = self.raise_folder(parent)?;
        let fd = above.descriptor().ok_or(Errno::IO)?;
        let wish = self.wish(parent, fd, new, mode, maker)?;
        let (made, stat) = match self.make_at(fd, name, &wish) {
            Ok(made) => {
                let stat = self.dress(&made, &wish).inspect_err(|_| unmake(fd, name, new))?;
                (made, stat)
            }
            // Usually there is nothing; so what is there is looked at only when it is in the way.
            Err(Errno::EXIST) if above.find(name)?.is_some_and(|s| s.is_whiteout()) => {
                self.make_over_whiteout(fd, name, &wish)?
            }
            Err(e) => return Err(e),
        };
        let mut found = Found::upper(stat, self.layers.numbers.of(stat.identity()));
        let mut file = None;
        match new {
            New::Folder => {
                let folder: Arc<dyn Folder> = Arc::new(Directory::new(made, false)?);
                found.branches.push(Branch::new(UPPER, stat.identity(), Some(folder)));
            }
            New::File => file = Some(made),
            New::Link(_) | New::Node(..) => {}
        }
        self.changed(parent);
        let node = self.adopt(parent, name, found);
        node.lacks_capability();
        let open = file.map(|file| {
            node.opens.fetch_add(1, Ordering::AcqRel);
            OpenFile::new(node.clone(), file, true, true)
        });
        let stat = Stat { inode: node.number(), ..self.shown(&stat, UPPER, false) };
        Ok((node, stat, open))
    }

    /// Makes and opens a regular file that has no name in `parent` yet; [`link`](Self::link) gives it one. EOPNOTSUPP where
    /// the upper's file system has no such files.
    pub fn make_unnamed(&self, parent: &Arc<Node>, mode: u32, maker: Maker) -> Answer<(Arc<Node>, Stat, OpenFile)> {
        if parent.is_gone() {
            return Err(Errno::NOENT);
        }
        let above = self.raise_folder(parent)?;
        let fd = above.descriptor().ok_or(Errno::IO)?;
        let wish = self.wish(parent, fd, New::File, mode, maker)?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let made = rustix::fs::openat(fd, c".", flags, Mode::from_raw_mode(wish.mode)).map_err(|e| match e {
            Errno::ISDIR | Errno::INVAL => Errno::OPNOTSUPP,
            e => e,
        })?;
        let stat = self.dress(&made, &wish)?;
        let kept = Arc::new(made.try_clone().map_err(|_| Errno::MFILE)?);
        let number = self.layers.numbers.of(stat.identity());
        let seat = Seat { orphan: Some(kept), ..Seat::new(UPPER, stat.identity()) };
        let node = self.nodes.add_unnamed(|id| Node::new(id, number, FileType::RegularFile, Body::File(seat)));
        node.opens.fetch_add(1, Ordering::AcqRel);
        let open = OpenFile::new(node.clone(), made, true, true);
        let stat = Stat { inode: node.number(), ..self.shown(&stat, UPPER, false) };
        Ok((node, stat, open))
    }

    /// What something new in the directory `parent`, whose upper part is `above`, gets.
    fn wish<'a>(
        &self,
        parent: &Node,
        above: BorrowedFd<'_>,
        new: New<'a>,
        mode: u32,
        maker: Maker,
    ) -> Answer<Wish<'a>> {
        let (group, has_acl) = self.bequest(parent, above)?;
        let mut mode = mode & 0o7777;
        if !has_acl {
            mode &= !maker.umask;
        }
        let mut owner = (self.owners.stored_uid(maker.uid)?, self.owners.stored_gid(maker.gid)?);
        if let Some(group) = group {
            owner.1 = group;
            if new == New::Folder {
                mode |= libc::S_ISGID;
            }
        }
        Ok(Wish { new, mode, owner, has_acl })
    }

    /// The group that a set-group-id directory hands down, and whether it hands down an access list. Remembered until the
    /// directory's attributes change.
    fn bequest(&self, parent: &Node, above: BorrowedFd<'_>) -> Answer<(Option<u32>, bool)> {
        const KNOWN: u64 = 1 << 63;
        const GROUP: u64 = 1 << 62;
        const LIST: u64 = 1 << 61;
        let branch = parent.branch(UPPER).ok_or(Errno::STALE)?;
        let mut known = branch.bequest.load(Ordering::Acquire);
        if known == 0 {
            let around = stat_of(above)?;
            known = KNOWN | u64::from(around.gid);
            if around.mode & libc::S_ISGID != 0 {
                known |= GROUP;
            }
            if self.has_default_acl(above) {
                known |= LIST;
            }
            branch.bequest.store(known, Ordering::Release);
        }
        let group = u32::try_from(known & u64::from(u32::MAX)).unwrap_or_default();
        Ok(((known & GROUP != 0).then_some(group), known & LIST != 0))
    }

    /// The attributes of a directory change: so may what it hands down.
    pub(crate) fn forget_bequest(&self, node: &Node) {
        if node.is_folder()
            && let Some(branch) = node.branch(UPPER)
        {
            branch.bequest.store(0, Ordering::Release);
        }
    }

    /// Makes the thing bare: owner and mode come after.
    fn make_at(&self, folder: BorrowedFd<'_>, name: &OsStr, wish: &Wish<'_>) -> Answer<OwnedFd> {
        let mode = Mode::from_raw_mode(wish.mode);
        let point = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match wish.new {
            New::File => {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return rustix::fs::openat(folder, name, flags, mode);
            }
            New::Folder => {
                rustix::fs::mkdirat(folder, name, mode)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match rustix::fs::openat(folder, name, flags, Mode::empty()) {
                    Err(Errno::ACCESS) => {}
                    other => return other.inspect_err(|_| unmake(folder, name, wish.new)),
                }
                // Not readable even for its owner: an ordinary user's server must look through O_PATH.
            }
            New::Link(target) => rustix::fs::symlinkat(target, folder, name)?,
            New::Node(kind, (major, minor)) => {
                rustix::fs::mknodat(folder, name, kind, mode, rustix::fs::makedev(major, minor))?;
            }
        }
        rustix::fs::openat(folder, name, point, Mode::empty()).inspect_err(|_| unmake(folder, name, wish.new))
    }

    /// Gives the new thing its owner and the mode that creation may have cut (umask) or chown taken (set-id bits).
    fn dress(&self, made: &OwnedFd, wish: &Wish<'_>) -> Answer<Stat> {
        let mut stat = stat_of(made.as_fd())?;
        let mut changed = false;
        if (stat.uid, stat.gid) != wish.owner {
            match self.give(made.as_fd(), Some(wish.owner.0), Some(wish.owner.1), Some(wish.mode)) {
                // An owner without a number in our user namespace: another is shown anyway.
                Err(Errno::INVAL | Errno::PERM) if self.owners.ignores_unknown() => {}
                other => other?,
            }
            changed = true;
        }
        let is_link = matches!(wish.new, New::Link(_));
        // An access list has decided the permission bits, but in the work folder it knows of no set-group-id above.
        let ours = if wish.has_acl { 0o7000 } else { 0o7777 };
        let lost = (stat.mode ^ wish.mode) & ours != 0;
        let cut = changed && wish.mode & (libc::S_ISUID | libc::S_ISGID) != 0;
        if !is_link && (lost || cut) {
            let mode = if wish.has_acl { stat.mode & 0o777 | wish.mode & 0o7000 } else { wish.mode };
            self.set_mode(made.as_fd(), mode)?;
            changed = true;
        }
        if changed {
            stat = stat_of(made.as_fd())?;
        }
        Ok(self.dressed_fd(stat, UPPER, made.as_fd()))
    }

    fn make_over_whiteout(&self, above: BorrowedFd<'_>, name: &OsStr, wish: &Wish<'_>) -> Answer<(OwnedFd, Stat)> {
        let work = self.work()?;
        let temporary = work.name();
        let nursery = if wish.has_acl { Some(self.nursery(above)?) } else { None };
        let place = nursery.as_ref().map_or(work.fd(), |n| n.fd.as_fd());
        let result = (|| {
            let made = self.make_at(place, &temporary, wish)?;
            let stat = self.dress(&made, wish)?;
            if wish.new == New::Folder {
                self.set_opaque(made.as_fd())?;
                rustix::fs::renameat_with(place, &temporary, above, name, RenameFlags::EXCHANGE)?;
            } else {
                rustix::fs::renameat(place, &temporary, above, name)?;
            }
            Ok((made, stat))
        })();
        if nursery.is_none() && (result.is_err() || wish.new == New::Folder) {
            // After the exchange this is the whiteout.
            work.discard(&temporary);
        }
        if let Some(nursery) = nursery {
            work.discard(&nursery.name);
        }
        result
    }

    /// A directory in the work folder that hands down the same access list as `above`.
    fn nursery(&self, above: BorrowedFd<'_>) -> Answer<Nursery> {
        let work = self.work()?;
        let name = work.name();
        rustix::fs::mkdirat(work.fd(), &name, Mode::from_raw_mode(0o700))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(work.fd(), &name, flags, Mode::empty())?;
        self.copy_default_acl(above, fd.as_fd())?;
        Ok(Nursery { name, fd })
    }

    /// Gives `node` a further name.
    pub fn link(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &OsStr) -> Answer<Stat> {
        if node.is_folder() {
            return Err(Errno::PERM);
        }
        refuse_reserved(name)?;
        let work = self.work()?;
        let _turn = held(&node.turn);
        self.raise_held(node, Content::Attributes)?;
        if let Some(place) = node.place() {
            // Where the content lies below, every name must lead to it.
            let _still = read(&self.moving);
            if node.seat().is_some_and(|s| s.data.is_some()) {
                let spot = self.spot(node)?;
                match self.set_redirect(spot.fd()?, &place.parent, &place.name, false) {
                    Err(Errno::XDEV) => self.complete(node, Content::Whole)?,
                    other => other?,
                }
            }
        }
        let above = self.raise_folder(parent)?;
        self.mark_if_copied(node, parent)?;
        let fd = above.descriptor().ok_or(Errno::IO)?;
        let whiteout = match above.find(name)? {
            None => false,
            Some(stat) if stat.is_whiteout() => true,
            Some(_) => return Err(Errno::EXIST),
        };
        let spot = self.spot(node)?;
        let source = Self::proc_name(spot.fd()?);
        let link = |folder: BorrowedFd<'_>, name: &OsStr| {
            rustix::fs::linkat(&self.proc, &*source, folder, name, AtFlags::SYMLINK_FOLLOW)
        };
        if whiteout {
            let temporary = work.name();
            link(work.fd(), &temporary)?;
            rustix::fs::renameat(work.fd(), &temporary, fd, name).inspect_err(|_| work.discard(&temporary))?;
        } else {
            link(fd, name)?;
        }
        self.nodes.add_place(node, parent, name);
        // A file that had no name is found by it from now on.
        node.clear_orphan();
        self.stat(node)
    }
}

/// What could not be finished goes.
fn unmake(folder: BorrowedFd<'_>, name: &OsStr, new: New<'_>) {
    let flags = if new == New::Folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    let _ = rustix::fs::unlinkat(folder, name, flags);
}

#[derive(Debug)]
struct Wish<'a> {
    new: New<'a>,
    mode: u32,
    owner: (u32, u32),
    has_acl: bool,
}

#[derive(Debug)]
struct Nursery {
    name: OsString,
    fd: OwnedFd,
}
