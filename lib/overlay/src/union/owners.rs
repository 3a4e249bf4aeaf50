//! Owners and modes that show otherwise than the layers have them, as fuse-overlayfs' options say.
//!
//! - `uidmapping`, `gidmapping`: runs of ids; what has no number inside shows as nobody (65534) and cannot be given.
//! - `squash_to_root`, `squash_to_uid`, `squash_to_gid`: all is shown as one's, and what is made or given belongs to that one.
//! - The machine's own files in a user namespace ([`Owners::machine`]): what lies below, and what has no number here, shows as
//!   root's.
//! - A layer whose root has an [`override_stat`] xattr keeps owner and mode of each file in one, since whoever wrote it could not give files away: rootless podman on network file systems, or
//!   `xattr_permissions` (1 in `security.*`, 2 in `user.*`), by which the upper is written so too. Files in such a layer cost
//!   a call more each; in others nothing.

use super::Stack;
use super::node::UPPER;
use crate::layer::{Answer, Errno, Folder, Stat, stat_of};
use crate::options::IdRun;
use rustix::fs::{AtFlags, FileType, Gid, Uid, XattrFlags};
use spec::override_stat::{self, Kind, Record};
use std::ffi::{CStr, OsStr};
use std::os::fd::BorrowedFd;

/// Shown by the kernel for an owner that has no number in our user namespace.
const OVERFLOW_ID: u32 = 65534;

/// Where owners may be kept, in the order in which a layer's root is asked.
const KEPT: [&CStr; 3] =
    [override_stat::FUSE_OVERLAYFS_PRIVILEGED, override_stat::FUSE_OVERLAYFS, override_stat::CONTAINERS];

/// Where `xattr_permissions` keeps owner and mode of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// `xattr_permissions=1`: `security.fuseoverlayfs.override_stat`.
    Privileged,
    /// `xattr_permissions=2`: `user.containers.override_stat`.
    Unprivileged,
}

impl Keeping {
    fn xattr(self) -> &'static CStr {
        match self {
            Self::Privileged => override_stat::FUSE_OVERLAYFS_PRIVILEGED,
            Self::Unprivileged => override_stat::CONTAINERS,
        }
    }
}

/// How owners show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// What lies below shows as root's, and so does what has no number in our user namespace.
    pub machine: bool,
    /// Everything shows as this user's.
    pub squash_uid: Option<u32>,
    /// Everything shows as this group's.
    pub squash_gid: Option<u32>,
    /// User ids as they show and as the layers hold them.
    pub uid_map: Vec<IdRun>,
    /// Group ids.
    pub gid_map: Vec<IdRun>,
    /// Owners of what is written are kept in an xattr.
    pub keeping: Option<Keeping>,
}

impl Owners {
    fn show_one(map: &[IdRun], squash: Option<u32>, machine: bool, id: u32) -> u32 {
        if let Some(all) = squash {
            return all;
        }
        if machine {
            return 0;
        }
        if map.is_empty() {
            return id;
        }
        let run = map.iter().find(|run| id.checked_sub(run.outside).is_some_and(|at| at < run.length));
        run.map_or(OVERFLOW_ID, |run| run.inside + (id - run.outside))
    }

    fn store_one(map: &[IdRun], squash: Option<u32>, id: u32) -> Answer<u32> {
        if let Some(all) = squash {
            return Ok(all);
        }
        if map.is_empty() {
            return Ok(id);
        }
        let run = map.iter().find(|run| id.checked_sub(run.inside).is_some_and(|at| at < run.length));
        run.map(|run| run.outside + (id - run.inside)).ok_or(Errno::INVAL)
    }

    /// As attributes of an object of `layer` show.
    pub(crate) fn show(&self, stat: &mut Stat, layer: usize) {
        let machine = |id| self.machine && (layer != UPPER || id == OVERFLOW_ID);
        stat.uid = Self::show_one(&self.uid_map, self.squash_uid, machine(stat.uid), stat.uid);
        stat.gid = Self::show_one(&self.gid_map, self.squash_gid, machine(stat.gid), stat.gid);
    }

    /// Whom a copy of an object of `layer` is to belong to.
    pub(crate) fn copy(&self, mut stat: Stat, layer: usize) -> Stat {
        let whole = Self { uid_map: Vec::new(), gid_map: Vec::new(), ..*self };
        whole.show(&mut stat, layer);
        stat
    }

    /// The user id that is written where `uid` is meant; EINVAL where there is none.
    pub(crate) fn stored_uid(&self, uid: u32) -> Answer<u32> {
        Self::store_one(&self.uid_map, self.squash_uid, uid)
    }

    /// The group id that is written where `gid` is meant.
    pub(crate) fn stored_gid(&self, gid: u32) -> Answer<u32> {
        Self::store_one(&self.gid_map, self.squash_gid, gid)
    }

    /// Whether an owner without a number here does not matter, since another is shown anyway.
    pub(crate) fn ignores_unknown(&self) -> bool {
        self.machine || self.squash_uid.is_some() || self.squash_gid.is_some()
    }
}

/// The xattr in which the layer below `root` keeps owners, if it does.
pub(crate) fn kept_by(root: &dyn Folder) -> Option<&'static CStr> {
    let fd = root.descriptor()?;
    KEPT.into_iter().find(|name| rustix::fs::fgetxattr(fd, *name, &mut [0_u8; 0]).is_ok())
}

/// Whether this xattr keeps an owner.
pub(crate) fn keeps_owner(xattr: &[u8]) -> bool {
    KEPT.iter().any(|name| name.to_bytes() == xattr)
}

/// What is no owner, or an unknown type, is passed over: a file system cannot refuse to show what it holds.
fn dressed(mut stat: Stat, value: &[u8]) -> Stat {
    let Some(record) = Record::parse(value) else { return stat };
    (stat.uid, stat.gid) = (record.uid, record.gid);
    stat.mode = stat.mode & libc::S_IFMT | record.mode;
    let kind = match record.kind {
        Ok(Some(Kind::Fifo)) => Some((libc::S_IFIFO, (0, 0))),
        Ok(Some(Kind::Socket)) => Some((libc::S_IFSOCK, (0, 0))),
        Ok(Some(Kind::Char(major, minor))) => Some((libc::S_IFCHR, (major, minor))),
        Ok(Some(Kind::Block(major, minor))) => Some((libc::S_IFBLK, (major, minor))),
        _ => None,
    };
    if let Some((kind, device)) = kind.filter(|_| stat.mode & libc::S_IFMT == libc::S_IFREG) {
        stat.mode = stat.mode & 0o7777 | kind;
        stat.rdev = device;
    }
    stat
}

impl Stack {
    /// What the copy of a directory of `layer` is to have.
    pub(crate) fn to_copy(&self, folder: &dyn Folder, layer: usize) -> Answer<Stat> {
        let mut stat = folder.stat()?;
        if let Some(fd) = folder.descriptor() {
            stat = self.dressed_fd(stat, layer, fd);
        }
        Ok(self.owners.copy(stat, layer))
    }

    fn kept_in(&self, layer: usize) -> Option<&'static CStr> {
        *self.layers.keeps.get(layer)?
    }

    /// The attributes of `name` in `folder`, with the owner the layer keeps for it.
    pub(crate) fn dressed_at(&self, stat: Stat, layer: usize, folder: &dyn Folder, name: &OsStr) -> Answer<Stat> {
        let Some(xattr) = self.kept_in(layer) else { return Ok(stat) };
        Ok(self.xattr_at(folder, name, xattr)?.map_or(stat, |value| dressed(stat, &value)))
    }

    /// The same for what `fd` is.
    pub(crate) fn dressed_fd(&self, stat: Stat, layer: usize, fd: BorrowedFd<'_>) -> Stat {
        let Some(xattr) = self.kept_in(layer) else { return stat };
        self.get_stored(fd, xattr).map_or(stat, |value| dressed(stat, &value))
    }

    /// Gives an upper object to another user or group, whose ids are as they are to be on disk; also its mode, where that
    /// is kept with them.
    pub(crate) fn give(&self, fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>, mode: Option<u32>) -> Answer<()> {
        let Some(xattr) = self.layers.keeps.first().copied().flatten().filter(|_| self.owners.keeping.is_some()) else {
            return rustix::fs::chownat(fd, c"", uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::EMPTY_PATH);
        };
        let own = stat_of(fd)?;
        let now = self.dressed_fd(own, UPPER, fd);
        let mut mode = mode.unwrap_or(now.mode) & 0o7777;
        if own.kind() == FileType::RegularFile && (uid.is_some() || gid.is_some()) {
            mode = super::attributes::kept_by_write(mode);
        }
        let record = Record { uid: uid.unwrap_or(now.uid), gid: gid.unwrap_or(now.gid), mode, kind: Ok(None) };
        match self.set_stored(fd, xattr, record.to_string().as_bytes()) {
            // Links and devices take no `user.*`: they stay ours.
            Err(Errno::PERM) if !matches!(own.kind(), FileType::RegularFile | FileType::Directory) => Ok(()),
            other => other,
        }
    }

    /// Whether modes of upper objects are kept with their owners.
    pub(crate) fn keeps_modes(&self) -> bool {
        self.owners.keeping.is_some()
    }

    /// From its root on the upper keeps owners, if that was asked for.
    pub(crate) fn begin_keeping(&mut self) -> Answer<()> {
        let Some(keeping) = self.owners.keeping.filter(|_| self.work.is_some()) else { return Ok(()) };
        let root = self.layer_root(UPPER)?;
        let fd = root.descriptor().ok_or(Errno::IO)?;
        let xattr = match self.kept_in(UPPER) {
            Some(xattr) => xattr,
            None => {
                let stat = root.stat()?;
                let record = Record { uid: stat.uid, gid: stat.gid, mode: stat.mode & 0o7777, kind: Ok(None) };
                rustix::fs::fsetxattr(fd, keeping.xattr(), record.to_string().as_bytes(), XattrFlags::empty())?;
                keeping.xattr()
            }
        };
        if let Some(first) = self.layers.keeps.first_mut() {
            *first = Some(xattr);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_each_way() {
        let run = |inside, outside, length| IdRun { inside, outside, length };
        let map = vec![run(0, 1000, 1), run(1, 100_000, 65_536)];
        let owners = Owners { uid_map: map, ..Owners::default() };
        let show = |id| Owners::show_one(&owners.uid_map, None, false, id);
        assert_eq!((show(1000), show(100_004), show(70)), (0, 5, OVERFLOW_ID));
        assert_eq!((owners.stored_uid(0), owners.stored_uid(5)), (Ok(1000), Ok(100_004)));
        assert_eq!(owners.stored_uid(70_000), Err(Errno::INVAL));
        assert_eq!(owners.stored_gid(7), Ok(7));
    }

    #[test]
    fn kept_owners_are_shown_with_what_may_follow() {
        let file = tempfile::tempfile().unwrap();
        let own = stat_of(std::os::fd::AsFd::as_fd(&file)).unwrap();
        let shown = |value: &str| {
            let stat = dressed(own, value.as_bytes());
            (stat.uid, stat.gid, stat.mode, stat.rdev)
        };
        assert_eq!(shown("12:34:0751"), (12, 34, libc::S_IFREG | 0o751, own.rdev));
        assert_eq!(shown("0:0:755:dir"), (0, 0, libc::S_IFREG | 0o755, own.rdev));
        assert_eq!(shown("0:0:755:block-8-1"), (0, 0, libc::S_IFBLK | 0o755, (8, 1)));
        assert_eq!(shown("0:0:755:pipe"), (0, 0, libc::S_IFIFO | 0o755, (0, 0)));
        for unknown in ["0:0:755:char-8", "0:0:755:tape"] {
            assert_eq!(shown(unknown), (0, 0, libc::S_IFREG | 0o755, own.rdev));
        }
        for wrong in ["", "1:2", "1:2:9", "a:b:c"] {
            assert_eq!(shown(wrong), (own.uid, own.gid, own.mode, own.rdev), "{wrong}");
        }
    }
}
