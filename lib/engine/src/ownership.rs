//! Giving files to a container's users. No link is ever followed: what is in a volume is not trusted.

use crate::Result;
use crate::error::system;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Gives `path`, and where it is a folder all that is in it, to user and group `owner`.
pub(crate) fn give(path: &Path, owner: (u32, u32)) -> Result<()> {
    let failed = |e: Errno| system("set owner of", path.display(), e);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    chownat(&place, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(failed)?;
    match openat(&place, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(folder) => below(folder.as_fd(), uid, gid).map_err(failed),
        Err(Errno::NOTDIR) => Ok(()),
        Err(e) => Err(failed(e)),
    }
}

fn below(folder: BorrowedFd<'_>, uid: Uid, gid: Gid) -> rustix::io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let found = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            found => found?,
        };
        if (found.st_uid, found.st_gid) != (uid.as_raw(), gid.as_raw()) {
            chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            below(openat(folder, name, flags, Mode::empty())?.as_fd(), uid, gid)?;
        }
    }
    Ok(())
}

/// Writes a file of `owner`'s with `mode`, which nobody can read before that is so.
pub(crate) fn write(path: &Path, content: &[u8], owner: (u32, u32), mode: u32) -> Result<()> {
    let failed = |e: Errno| system("write", path.display(), e);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest)).map_err(failed)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1))).map_err(failed)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)
}
