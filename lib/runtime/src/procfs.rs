//! Writing to the machine's /proc: sysctl, and what a process says of itself there.
//!
//! A write to a path below /proc lands wherever the image, or a racing container that shares a volume, has put something else:
//! then a label is not applied, or a sysctl becomes another one (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881). So all of them go
//! through a descriptor of the machine's own procfs, taken before anything of the image is in reach
//! ([`crate::process::open_proc`]), and nothing mounted over a part of it, and no magic link, is passed on the way.

use crate::defence::{Defence, is_off};
use crate::file;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Writes `bytes`, in one go, to the existing file `path` below `proc_dir`.
pub(crate) fn write(proc_dir: BorrowedFd<'_>, path: &str, bytes: &[u8]) -> io::Result<()> {
    if is_off(Defence::Proc) {
        return file::write_existing(Path::new("/proc").join(path), bytes);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(proc_dir, path, flags, Mode::empty(), resolve)?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, bytes))?;
    Ok(())
}
