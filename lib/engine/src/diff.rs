//! What a container changed: its writable layer, read as an overlay's upper folder.
//!
//! docker's three letters: `A` added, `C` changed, `D` deleted. A folder counts as changed where something in it is.
//! Whiteouts are character devices 0:0, opaque folders carry `overlay.opaque` = `y` (see [`spec::whiteout`]).

use crate::Result;
use crate::life::Asked;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use store::{Record, Root};

/// How an entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added,
    /// It was there, and is another now.
    Changed,
    /// It is gone.
    Deleted,
}

impl Change {
    /// docker's letter.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// Compares the writable layer `upper` with `layers` (lowest first); paths are absolute in the container. `hidden` are
/// paths where the runtime mounts something of its own: what it made there to mount on is no change of the container's.
pub fn compare(upper: &Path, layers: &[PathBuf], hidden: &[PathBuf]) -> Result<BTreeMap<PathBuf, Change>> {
    let mut changes = BTreeMap::new();
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| crate::error::system("open layer", path.display(), e))
    };
    let lowers = layers.iter().rev().map(|layer| open(layer)).collect::<Result<Vec<_>>>()?;
    let top = match open(upper) {
        Ok(top) => top,
        // never started: nothing was changed
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(changes),
        Err(e) => return Err(e),
    };
    let mut walk = Walk { lowers: &lowers, hidden, changes: &mut changes };
    walk.folder(&top, Path::new("/"), false).map_err(|e| crate::error::system("read", upper.display(), e))?;
    Ok(changes)
}

/// Where the runtime mounts something of its own in every container.
const MOUNTED_ON: [&str; 8] =
    ["/proc", "/sys", "/dev", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/.dockerenv", "/run/.containerenv"];

/// What a container changed.
pub fn of(root: &Root, record: &Record, asked: &Asked) -> Result<BTreeMap<PathBuf, Change>> {
    compare(&root.container_layer(&record.id).join("diff"), &record.layers, &hidden(asked))
}

/// Paths where the runtime mounts something.
fn hidden(asked: &Asked) -> Vec<PathBuf> {
    let volumes = asked.request.volumes.iter().map(|v| PathBuf::from(&v.target));
    MOUNTED_ON.iter().map(PathBuf::from).chain(volumes).collect()
}

/// What is in the writable layer only because something was mounted on it: those paths, and folders that had to be copied
/// up on the way to them.
pub fn made_to_mount_on(root: &Root, record: &Record, asked: &Asked) -> Result<Vec<PathBuf>> {
    let changes = of(root, record, asked)?;
    let mut all = hidden(asked);
    let on_the_way: Vec<PathBuf> = all.iter().flat_map(|p| p.ancestors().skip(1).map(Path::to_owned)).collect();
    all.extend(on_the_way.into_iter().filter(|p| p != Path::new("/") && !changes.contains_key(p)));
    all.sort();
    all.dedup();
    Ok(all)
}

struct Walk<'a> {
    lowers: &'a [OwnedFd],
    hidden: &'a [PathBuf],
    changes: &'a mut BTreeMap<PathBuf, Change>,
}

impl Walk<'_> {
    /// `fresh`: nothing of the layers below shows through here.
    fn folder(&mut self, folder: &OwnedFd, at: &Path, fresh: bool) -> rustix::io::Result<bool> {
        let readable = openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut any = false;
        for entry in Dir::new(readable)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = at.join(OsStr::from_bytes(name.to_bytes()));
            let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let below = !fresh && self.is_below(&path);
            if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                if below {
                    self.note(&path, Change::Deleted);
                    any = true;
                }
                continue;
            }
            let change = if below { Change::Changed } else { Change::Added };
            if kind != FileType::Directory {
                any |= self.note(&path, change);
                continue;
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = openat(folder, name, flags, Mode::empty())?;
            let opaque = is_opaque(child.as_fd());
            if opaque && below {
                any |= self.deleted_below(&child, &path);
            }
            let inside = self.folder(&child, &path, fresh || opaque || !below)?;
            // a folder that only had to be copied up so that something below could be mounted on is no change
            let only_carries = below && !inside && !opaque && self.hidden.iter().any(|h| h.starts_with(&path));
            if !only_carries {
                any |= self.note(&path, change);
            }
        }
        Ok(any)
    }

    fn note(&mut self, path: &Path, change: Change) -> bool {
        if self.hidden.iter().any(|hidden| hidden == path) {
            return false;
        }
        self.changes.insert(path.to_owned(), change);
        true
    }

    /// What an opaque folder hides and does not have again.
    fn deleted_below(&mut self, upper: &OwnedFd, at: &Path) -> bool {
        let mut any = false;
        for lower in self.lowers {
            let Ok(folder) = open_in(lower, at, OFlags::RDONLY | OFlags::DIRECTORY) else { continue };
            let Ok(entries) = Dir::new(folder) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let again = statat(upper, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
                let path = at.join(OsStr::from_bytes(name.to_bytes()));
                if !matches!(name.to_bytes(), b"." | b"..") && !again && self.is_below(&path) {
                    any |= self.note(&path, Change::Deleted);
                }
            }
        }
        any
    }

    /// Whether the layers below show something at `path`.
    fn is_below(&self, path: &Path) -> bool {
        for lower in self.lowers {
            match open_in(lower, path, OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(found) => {
                    let stat = rustix::fs::fstat(&found).ok();
                    let whiteout = |s: &rustix::fs::Stat| {
                        FileType::from_raw_mode(s.st_mode) == FileType::CharacterDevice && s.st_rdev == 0
                    };
                    return !stat.as_ref().is_some_and(whiteout);
                }
                Err(_) if self.is_cut_off(lower, path) => return false,
                Err(_) => {}
            }
        }
        false
    }

    /// Whether `layer` hides what lies below it at `path`: a whiteout, a file or an opaque folder on the way.
    fn is_cut_off(&self, layer: &OwnedFd, path: &Path) -> bool {
        let parents: Vec<&Path> = path.ancestors().skip(1).filter(|p| *p != Path::new("/")).collect();
        parents.into_iter().rev().any(|parent| match open_in(layer, parent, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) => {
                let folder =
                    rustix::fs::fstat(&found).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
                !folder || is_opaque(found.as_fd())
            }
            Err(_) => false,
        })
    }
}

fn open_in(layer: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(layer, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Whether the folder hides what the layers below have in it.
fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    // an O_PATH descriptor takes no xattr call: by its name in /proc
    use std::os::fd::AsRawFd;
    let Ok(path) = CString::new(format!("/proc/self/fd/{}", folder.as_raw_fd())) else { return false };
    ["trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"].iter().any(|name| {
        let mut value = [0_u8; 4];
        matches!(rustix::fs::getxattr(path.as_c_str(), *name, &mut value), Ok(1) if value[0] == b'y')
    })
}
