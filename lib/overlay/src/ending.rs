//! A server that is told to end takes its mount along, although it lives in another mount namespace.
//!
//! It holds no descriptor of the namespaces that show its mount, or they could not die. So it looks through `/proc` for processes
//! whose table of mounts has its device, enters each namespace in turn and unmounts there. What could still be written out is
//! written out before.
//!
//! Device numbers are used again as soon as a file system is gone, and somebody else's overlay must not be unmounted in the
//! place of ours. So whatever has our number is held open first, which keeps the number, and only then is our own
//! connection looked at: if that is still there the number is ours.

use crate::fusermount;
use crate::mounts;
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, StatxFlags, openat, statx};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where a server's mount is.
#[derive(Debug)]
pub(crate) struct Place {
    /// The device number of its files.
    pub(crate) device: (u32, u32),
    /// The mount point, as the starter saw it.
    pub(crate) target: PathBuf,
    /// fusermount3 made it, and has to take it away: the server is in the mount's namespace, without rights.
    pub(crate) by_fusermount: bool,
    /// The connection, which tells whether the file system is still there.
    pub(crate) connection: OwnedFd,
    /// `/proc` of the starter's namespace.
    pub(crate) proc: Option<OwnedFd>,
}

/// Unmounts it wherever it is mounted, lazily, so that it is out of sight at once. To be called by a thread that does nothing
/// else afterwards: it stays in the last namespace.
pub(crate) fn unmount_everywhere(place: &Place) {
    if place.by_fusermount {
        sync(&place.target);
        fusermount::unmount(&place.target);
        return;
    }
    // Threads share a root and a working folder, which entering a mount namespace changes.
    let (Some(proc), Ok(())) = (&place.proc, unshare(CloneFlags::CLONE_FS)) else { return };
    // Whatever is held keeps the number ours until all namespaces are done.
    let mut held = None;
    let mut done = BTreeSet::new();
    for process in numbers_in(proc, c".") {
        // A thread may be in a namespace that its process is not in.
        let threads = format!("{process}/task");
        for thread in numbers_in(proc, &CString::new(threads.clone()).unwrap_or_default()) {
            let thread = format!("{threads}/{thread}");
            let Ok(namespace) = rustix::fs::readlinkat(proc, in_process(&thread, "ns/mnt").as_c_str(), Vec::new())
            else {
                continue;
            };
            if !done.contains(&namespace) && unmount_in(proc, &thread, place, &mut held) {
                done.insert(namespace);
            }
        }
    }
}

/// Unmounts all mounts of the file system in the namespace of a thread; whether there were any.
fn unmount_in(proc: &OwnedFd, thread: &str, place: &Place, held: &mut Option<OwnedFd>) -> bool {
    let open =
        |name: &str| openat(proc, in_process(thread, name).as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let Ok(table) = open("mountinfo").and_then(|file| mounts::read(&file)) else { return false };
    let mut points: Vec<PathBuf> =
        mounts::parse(&table).into_iter().filter(|m| m.device == place.device).map(|m| m.mount_point).collect();
    // What was mounted last comes off first.
    points.reverse();
    let Some(first) = points.first() else { return false };
    let Ok(namespace) = open("ns/mnt") else { return false };
    if setns(&namespace, CloneFlags::CLONE_NEWNS).is_err() {
        return false;
    }
    drop(namespace);
    if held.is_none() {
        let root = rustix::fs::open(first, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        *held = root.ok().filter(|root| device_number(root, Path::new("")) == place.device && is_connected(place));
        if held.is_none() {
            return false;
        }
        sync(first);
    }
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    points.iter().filter(|point| umount2(point.as_path(), flags).is_ok()).count() > 0
}

/// The kernel reports an error on the connection of a file system that is gone.
fn is_connected(place: &Place) -> bool {
    let mut watched = [PollFd::new(place.connection.as_fd(), PollFlags::empty())];
    let _ = poll(&mut watched, PollTimeout::ZERO);
    watched.iter().all(|w| w.revents().is_none_or(|events| !events.contains(PollFlags::POLLERR)))
}

/// The number of the file system there, of which its server is not asked.
pub(crate) fn device_number(at: impl AsFd, path: &Path) -> (u32, u32) {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    statx(at, path, flags, StatxFlags::empty()).map_or((0, 0), |s| (s.stx_dev_major, s.stx_dev_minor))
}

/// Has the kernel hand over what it gathered of writes; the other threads take it.
fn sync(target: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Ok(root) = rustix::fs::open(target, flags, Mode::empty()) {
        let _ = rustix::fs::syncfs(&root);
    }
}

fn in_process(process: &str, name: &str) -> CString {
    CString::new(format!("{process}/{name}")).unwrap_or_default()
}

/// The entries of a folder below /proc that are numbers: processes, or threads.
fn numbers_in(proc: &OwnedFd, folder: &CStr) -> Vec<String> {
    let mut found = Vec::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = openat(proc, folder, flags, Mode::empty()) else { return found };
    let mut space = [MaybeUninit::uninit(); 8192];
    let mut listing = RawDir::new(folder, &mut space);
    while let Some(Ok(entry)) = listing.next() {
        found.extend(number(entry.file_name()));
    }
    found
}

fn number(name: &CStr) -> Option<String> {
    let name = name.to_str().ok()?;
    name.bytes().all(|b| b.is_ascii_digit()).then(|| name.to_owned())
}

/// `/proc`, for later.
pub(crate) fn open_proc() -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(OsString::from("/proc"), flags, Mode::empty()).ok()
}
