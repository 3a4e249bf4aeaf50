//! Masked and read-only paths: what of /proc and /sys a container may not see or change.
//!
//! A masked file is covered by the machine's /dev/null, a masked folder by an empty read-only tmpfs. The null device is taken
//! by descriptor from outside and checked, never from the container's /dev (CVE-2025-31133).

use super::options::{NODEV, NOEXEC, NOSUID, RDONLY};
use super::tree::{Tree, is_dir};
use super::{attach, copy_of, fsmount, mounts};
use crate::defence::{Defence, by_name, is_off};
use crate::error::{Result, failed, invalid};
use rustix::fs::{FileType, Mode, OFlags, makedev};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mount_attr::{MountAttr, mount_setattr};

fn absent(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// Makes each of `paths` that exists read-only, with all below it.
pub(crate) fn readonly(tree: &Tree, paths: &[String]) -> Result<()> {
    for path in paths.iter().filter(|_| !is_off(Defence::ReadOnly)) {
        let place = match tree.open(Path::new(path), OFlags::PATH) {
            Err(e) if absent(&e) => continue,
            done => done.map_err(|e| failed("open read-only path", path, e))?,
        };
        let copy = copy_of(place.as_fd(), true).map_err(|e| failed("make read-only", path, e))?;
        let attr = MountAttr { set: RDONLY, ..MountAttr::default() };
        mount_setattr(copy.as_fd(), c"", true, &attr).map_err(|e| failed("make read-only", path, e))?;
        attach(copy.as_fd(), place.as_fd()).map_err(|e| failed("make read-only", path, e))?;
    }
    Ok(())
}

/// Covers each of `paths` that exists.
pub(crate) fn mask(tree: &Tree, paths: &[String]) -> Result<()> {
    let mut null: Option<OwnedFd> = None;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let place = match tree.open(Path::new(path), OFlags::PATH) {
            Err(e) if absent(&e) => continue,
            done => done.map_err(|e| failed("open masked path", path, e))?,
        };
        let say = |e: std::io::Error| failed("mask", path, e);
        if is_dir(&place).map_err(say)? {
            // One tmpfs serves all: it is empty and stays so.
            let cover = match &empty {
                Some(first) => copy_of(first.as_fd(), false).map_err(say)?,
                None => fsmount::empty()?,
            };
            attach(cover.as_fd(), place.as_fd()).map_err(say)?;
            empty.get_or_insert(cover);
        } else {
            if null.is_none() {
                null = Some(open_null(tree)?);
            }
            let Some(null) = &null else { continue };
            mounts::bind_file(null.as_fd(), place.as_fd()).map_err(say)?;
        }
    }
    Ok(())
}

/// The machine's null device by descriptor, made sure of.
fn open_null(tree: &Tree) -> Result<OwnedFd> {
    if let Some(named) = by_name(Defence::Null, tree.as_fd(), Path::new("/dev/null")) {
        return named.map_err(|e| failed("open", "/dev/null", e));
    }
    let null = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed("open", "/dev/null", e))?;
    let stat = rustix::fs::fstat(&null).map_err(|e| failed("stat", "/dev/null", e))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || stat.st_rdev != makedev(1, 3) {
        return Err(invalid("open", "/dev/null", "is not the null device"));
    }
    Ok(null)
}

/// What a fresh mount that programs have no business with gets.
pub(crate) const QUIET: u64 = NOSUID | NODEV | NOEXEC;
