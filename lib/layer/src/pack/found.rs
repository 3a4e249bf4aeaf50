//! What is at a name of a tree, as a layer would say it: attributes, xattrs, and what an overlay has noted on it.
//!
//! - The books of an overlay (`trusted.overlay.*`, `user.overlay.*`, `user.fuseoverlayfs.*`) become [`Marks`] and are no xattrs of
//!   the entry. A user's own with the prefix doubled (`trusted.overlay.overlay.x`) lose one, as they show in the overlay.
//! - In a tree that records owners (its root has an [`override_stat`]) the record is what counts: owner, mode, and for an empty
//!   file the device or pipe that it stands for. What has no record there, since links hold no `user.*`, is root's if it belongs to whoever the root
//!   of the tree belongs to.
//! - Of `system.*` only POSIX ACLs are kept; others, like `btrfs.*`, speak of one file system.
//!
//! Nothing is followed: everything is opened by one name in an open directory, with O_NOFOLLOW, and looked at by its descriptor.

use crate::archive::Time;
use crate::error::{Fault, Kind, shown};
use crate::xattrs::Of;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use spec::override_stat::{self, Record};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    File,
    Directory,
    Symlink,
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    Socket,
}

/// What an overlay has noted on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// A directory: what the layers below have in it is hidden.
    pub(crate) opaque: bool,
    /// A directory: whiteouts in it may be files.
    pub(crate) files_hide: bool,
    /// A file: stands for nothing, where its directory says so.
    pub(crate) whiteout: bool,
    /// It has another name in the layers below.
    pub(crate) redirect: bool,
    /// Its content is in a layer below.
    pub(crate) metacopy: bool,
}

/// What is at a name.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) thing: Thing,
    /// Permission bits with set-id and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// Bytes of a file; else 0.
    pub(crate) size: u64,
    /// Bytes that it takes on disk.
    pub(crate) disk_bytes: u64,
    /// Device and inode, which tell names of one file.
    pub(crate) id: (u64, u64),
    pub(crate) names: u64,
    /// Target of a symbolic link.
    pub(crate) link: Vec<u8>,
    /// Sorted by name.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) marks: Marks,
    /// Files and directories, opened for reading.
    pub(crate) fd: Option<OwnedFd>,
}

/// How to look at a tree.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    /// The xattr in which the tree keeps owners, if it does.
    pub(crate) record: Option<&'static CStr>,
    /// Who the root of the tree belongs to on disk.
    pub(crate) root_owner: (u32, u32),
    /// Leave out `security.selinux`.
    pub(crate) no_selinux: bool,
    /// Leave out all xattrs (but marks are read).
    pub(crate) no_xattrs: bool,
    /// Overlay's notes have no meaning and are left out.
    pub(crate) plain: bool,
}

/// Where owners may be kept, in the order in which the root of a tree is asked.
const RECORDS: [&CStr; 3] =
    [override_stat::CONTAINERS, override_stat::FUSE_OVERLAYFS, override_stat::FUSE_OVERLAYFS_PRIVILEGED];

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Look {
    /// How to look at the tree of `root`; whether it records owners is told by its root.
    pub(crate) fn of(root: BorrowedFd<'_>) -> Result<Self, Fault> {
        let stat = rustix::fs::fstat(root).map_err(|e| Fault::system(b".", "stat", e))?;
        let record = RECORDS.into_iter().find(|name| rustix::fs::fgetxattr(root, *name, &mut [0_u8; 0]).is_ok());
        Ok(Self { record, root_owner: (stat.st_uid, stat.st_gid), ..Self::default() })
    }

    /// The root of the tree itself.
    pub(crate) fn root(&self, root: BorrowedFd<'_>) -> Result<Found, Fault> {
        let fd = rustix::fs::openat(root, c".", FLAGS | OFlags::DIRECTORY, Mode::empty());
        self.opened(fd.map_err(|e| Fault::system(b".", "open", e))?, b".")
    }

    /// What is at `name` in `dir`; `None` where there is nothing. `told` is what the directory says it is; `path` is for messages.
    pub(crate) fn at(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        told: FileType,
        path: &[u8],
    ) -> Result<Option<Found>, Fault> {
        let mut told = told;
        // More than once only where somebody exchanges what is there while we look.
        for _ in 0..8 {
            let fail = |what, e| Fault::system(path, what, e);
            if matches!(told, FileType::RegularFile | FileType::Directory) {
                // A pipe that took the file's place would make us wait for its writer.
                match open(dir, name, FLAGS | OFlags::NONBLOCK) {
                    Ok(fd) => return self.opened(fd, path).map(Some),
                    Err(Errno::NOENT) => return Ok(None),
                    Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => {}
                    Err(Errno::ACCESS) => {
                        return Err(fail("open", Errno::ACCESS).hint(
                            "read it as its owner or as root; files of ids that are yours: nsrun --user --map-root-user --map-auto -- unpack ...",
                        ));
                    }
                    Err(e) => return Err(fail("open", e)),
                }
            }
            let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(None),
                Err(e) => return Err(fail("stat", e)),
            };
            told = FileType::from_raw_mode(stat.st_mode);
            let link = match told {
                FileType::RegularFile | FileType::Directory => continue,
                FileType::Symlink => match rustix::fs::readlinkat(dir, name, Vec::new()) {
                    Ok(link) => link.into_bytes(),
                    Err(Errno::INVAL) => continue,
                    Err(Errno::NOENT) => return Ok(None),
                    Err(e) => return Err(fail("readlink", e)),
                },
                _ => Vec::new(),
            };
            let mut found = found(&stat);
            found.link = link;
            self.dress(&mut found, Of::Name(dir, name), path)?;
            return Ok(Some(found));
        }
        Err(Fault::entry(Kind::System, path, "changes while it is looked at").hint(STILL))
    }

    fn opened(&self, fd: OwnedFd, path: &[u8]) -> Result<Found, Fault> {
        let stat = rustix::fs::fstat(&fd).map_err(|e| Fault::system(path, "stat", e))?;
        let mut found = found(&stat);
        self.dress(&mut found, Of::Fd(fd.as_fd()), path)?;
        found.fd = Some(fd);
        Ok(found)
    }

    /// Xattrs, marks, and what the record says.
    fn dress(&self, found: &mut Found, source: Of<'_>, path: &[u8]) -> Result<(), Fault> {
        let mut record = None;
        let names = source.names().map_err(|e| Fault::system(path, "listxattr", e))?;
        for name in names.split(|&b| b == 0).filter(|n| !n.is_empty()) {
            let Some(meaning) = self.meaning(name) else { continue };
            let value = match source.value(name) {
                Ok(value) => value,
                // Gone since it was listed.
                Err(Errno::NODATA) => continue,
                Err(e) => return Err(Fault::system(path, format_args!("getxattr {}", shown(name)), e)),
            };
            match meaning {
                Meaning::Record => record = Some(value),
                Meaning::Mark(mark) => found.marks.note(mark, &value),
                Meaning::Xattr(name) => found.xattrs.push((name, value)),
            }
        }
        found.xattrs.sort_unstable();
        match (self.record, record) {
            (None, _) => {}
            (Some(_), None) => {
                if found.uid == self.root_owner.0 {
                    found.uid = 0;
                }
                if found.gid == self.root_owner.1 {
                    found.gid = 0;
                }
            }
            (Some(name), Some(value)) => {
                if !Record::parse(&value).is_some_and(|record| apply(&record, found)) {
                    let name = name.to_string_lossy();
                    let why = format_args!("no owner in its xattr {name}: {}", shown(&value));
                    return Err(Fault::entry(Kind::Corrupt, path, why));
                }
            }
        }
        Ok(())
    }

    /// What the xattr `name` is here, if it is anything.
    fn meaning(&self, name: &[u8]) -> Option<Meaning> {
        if self.record.is_some_and(|record| record.to_bytes() == name) {
            return Some(Meaning::Record);
        }
        match mark(name) {
            Some(_) if self.plain => None,
            Some(mark) => Some(Meaning::Mark(mark)),
            None => self.kept(name).map(Meaning::Xattr),
        }
    }

    /// Under which name the xattr `name` is in the layer, if it is.
    fn kept(&self, name: &[u8]) -> Option<Vec<u8>> {
        if self.no_xattrs || self.no_selinux && name == b"security.selinux" {
            return None;
        }
        for books in [&b"trusted.overlay."[..], b"user.overlay."] {
            if let Some(rest) = name.strip_prefix(books) {
                let inner = rest.strip_prefix(b"overlay.")?;
                return Some([books, inner].concat());
            }
        }
        if name.starts_with(b"user.fuseoverlayfs.") || name.starts_with(b"security.fuseoverlayfs.") {
            return None;
        }
        let acl = matches!(name, b"system.posix_acl_access" | b"system.posix_acl_default");
        let known = [&b"user."[..], b"trusted.", b"security."].iter().any(|space| name.starts_with(space));
        (acl || known).then(|| name.to_vec())
    }
}

/// What to do about a tree that changes while it is read.
pub(crate) const STILL: &str = "stop what writes there, or take a snapshot of it first";

/// Opens without touching the time of the last access, where that is allowed.
fn open(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        other => other,
    }
}

fn found(stat: &Stat) -> Found {
    let device = || (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let thing = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Thing::File,
        FileType::Directory => Thing::Directory,
        FileType::Symlink => Thing::Symlink,
        FileType::CharacterDevice => Thing::Char(device().0, device().1),
        FileType::BlockDevice => Thing::Block(device().0, device().1),
        FileType::Fifo => Thing::Fifo,
        _ => Thing::Socket,
    };
    Found {
        thing,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { seconds: stat.st_mtime, nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) },
        size: if thing == Thing::File { stat.st_size.cast_unsigned() } else { 0 },
        disk_bytes: stat.st_blocks.cast_unsigned().saturating_mul(512),
        id: (stat.st_dev, stat.st_ino),
        names: stat.st_nlink,
        link: Vec::new(),
        xattrs: Vec::new(),
        marks: Marks::default(),
        fd: None,
    }
}

/// What an xattr is to us.
enum Meaning {
    /// Whose it is.
    Record,
    Mark(Mark),
    /// One of the entry, under that name.
    Xattr(Vec<u8>),
}

/// What of an overlay's books matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Opaque,
    Whiteout,
    Redirect,
    Metacopy,
}

fn mark(name: &[u8]) -> Option<Mark> {
    if name == b"user.fuseoverlayfs.opaque" {
        return Some(Mark::Opaque);
    }
    let own = [&b"trusted.overlay."[..], b"user.overlay."].iter().find_map(|books| name.strip_prefix(*books))?;
    match own {
        b"opaque" => Some(Mark::Opaque),
        b"whiteout" => Some(Mark::Whiteout),
        b"redirect" => Some(Mark::Redirect),
        b"metacopy" => Some(Mark::Metacopy),
        _ => None,
    }
}

impl Marks {
    fn note(&mut self, mark: Mark, value: &[u8]) {
        match mark {
            Mark::Opaque => {
                self.opaque |= value.first() == Some(&b'y');
                self.files_hide |= value == b"x";
            }
            Mark::Whiteout => self.whiteout = true,
            Mark::Redirect => self.redirect = true,
            Mark::Metacopy => self.metacopy = true,
        }
    }
}

/// Makes it what the record says; false where the record says a type that is none.
fn apply(record: &Record, found: &mut Found) -> bool {
    let Ok(kind) = record.kind else { return false };
    (found.uid, found.gid, found.mode) = (record.uid, record.gid, record.mode);
    // Only an empty file stands for something else.
    if found.thing == Thing::File && found.size == 0 {
        found.thing = match kind {
            Some(override_stat::Kind::Char(major, minor)) => Thing::Char(major, minor),
            Some(override_stat::Kind::Block(major, minor)) => Thing::Block(major, minor),
            Some(override_stat::Kind::Fifo) => Thing::Fifo,
            Some(override_stat::Kind::Socket) => Thing::Socket,
            _ => Thing::File,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_makes_a_device_of_an_empty_file_only_and_an_unknown_type_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let applied = |text: &str, size| {
            let mut found = found(&rustix::fs::fstat(&file).unwrap());
            found.size = size;
            let good = apply(&Record::parse(text.as_bytes()).unwrap(), &mut found);
            good.then_some((found.uid, found.gid, found.mode, found.thing))
        };
        assert_eq!(applied("12:34:4751", 0), Some((12, 34, 0o4751, Thing::File)));
        assert_eq!(applied("0:0:0666:char-1-3", 0), Some((0, 0, 0o666, Thing::Char(1, 3))));
        assert_eq!(applied("0:6:0660:block-8-16", 0), Some((0, 6, 0o660, Thing::Block(8, 16))));
        for text in ["0:0:0666:char-1-3", "0:0:0666:pipe"] {
            assert_eq!(applied(text, 1), Some((0, 0, 0o666, Thing::File)), "{text}");
        }
        assert_eq!(applied("0:0:0666:dir", 0), Some((0, 0, 0o666, Thing::File)));
        for wrong in ["1:2:644:tape-1-1", "1:2:644:char-1"] {
            assert_eq!(applied(wrong, 0), None, "{wrong}");
        }
    }

    #[test]
    fn the_books_of_overlays_are_no_xattrs_of_the_entry() {
        let look = Look { no_selinux: true, ..Look::default() };
        let kept = |name: &str| look.kept(name.as_bytes()).map(|n| String::from_utf8(n).unwrap());
        assert_eq!(kept("trusted.overlay.origin"), None);
        assert_eq!(kept("user.overlay.overlay.opaque").as_deref(), Some("user.overlay.opaque"));
        assert_eq!(kept("user.fuseoverlayfs.origin"), None);
        assert_eq!(kept("security.selinux"), None);
        assert_eq!(kept("btrfs.compression"), None);
        assert_eq!(kept("security.capability").as_deref(), Some("security.capability"));
        assert_eq!(kept("system.posix_acl_access").as_deref(), Some("system.posix_acl_access"));
        let mut marks = Marks::default();
        marks.note(Mark::Opaque, b"x");
        assert!(marks.files_hide && !marks.opaque);
    }
}
