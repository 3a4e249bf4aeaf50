//! Devices and links in a container's own /dev (runtime-spec "Default Devices", "Dev symbolic links").
//!
//! Real root makes nodes; in a user namespace, where mknod(2) is refused, they are bound from the machine's /dev, unless the mount
//! namespace is the machine's.

use super::mounts::bind_file;
use super::tree::{Make, Tree, link_if_absent};
use crate::error::{Result, failed, invalid};
use rustix::fs::{AtFlags, CWD, Dev, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use spec::runtime::{LinuxDevice, LinuxDeviceType};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Character devices every container has: name, major, minor.
pub(crate) const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links every container has: name, target.
pub(crate) const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
];

struct Node<'a> {
    path: &'a Path,
    kind: FileType,
    device: Dev,
    mode: Mode,
    owner: (u32, u32),
}

/// How devices come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As nodes, and where that is refused as bind mounts.
    Any,
    /// As nodes: what is mounted here would be seen by all, and stay.
    Nodes,
}

/// Makes the default devices, the listed ones, and the links.
pub(crate) fn populate(tree: &Tree, listed: &[LinuxDevice], way: Way) -> Result<()> {
    let dev = tree.ensure(Path::new("/dev"), Make::Directory).map_err(|e| failed("open", "/dev", e))?;
    let old = rustix::process::umask(Mode::empty());
    let done = populate_all(tree, dev.as_fd(), listed, way);
    rustix::process::umask(old);
    done?;
    for (name, target) in LINKS {
        if name == "core" && rustix::fs::access(target, rustix::fs::Access::EXISTS).is_err() {
            continue;
        }
        link_if_absent(dev.as_fd(), name, target).map_err(|e| failed("make link", format!("/dev/{name}"), e))?;
    }
    // Always the container's own pts, whatever the image put there (runtime-spec: /dev/ptmx is a link or bind to pts/ptmx).
    super::tree::remove_if_present(dev.as_fd(), "ptmx").map_err(|e| failed("remove", "/dev/ptmx", e))?;
    link_if_absent(dev.as_fd(), "ptmx", "pts/ptmx").map_err(|e| failed("make link", "/dev/ptmx", e))
}

fn populate_all(tree: &Tree, dev: BorrowedFd<'_>, listed: &[LinuxDevice], way: Way) -> Result<()> {
    let mut may_make = true;
    for (name, major, minor) in DEFAULT {
        let path = Path::new("/dev").join(name);
        if listed.iter().any(|d| d.path() == &path) {
            continue;
        }
        let (kind, mode) = (FileType::CharacterDevice, Mode::from_raw_mode(0o666));
        let node = Node { path: &path, kind, device: makedev(major, minor), mode, owner: (0, 0) };
        make(tree, dev, &node, way, &mut may_make)?;
    }
    for device in listed {
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => {
                return Err(invalid("linux.devices", device.path().display(), "has no type c, b, u or p"));
            }
        };
        let number = |n: i64| {
            u32::try_from(n).map_err(|_| invalid("linux.devices", device.path().display(), "has a negative number"))
        };
        let device_number =
            if kind == FileType::Fifo { 0 } else { makedev(number(device.major())?, number(device.minor())?) };
        let node = Node {
            path: device.path(),
            kind,
            device: device_number,
            mode: Mode::from_raw_mode(device.file_mode().unwrap_or(0o666) & 0o7777),
            owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
        };
        make(tree, dev, &node, way, &mut may_make)?;
    }
    Ok(())
}

fn make(tree: &Tree, dev: BorrowedFd<'_>, node: &Node<'_>, way: Way, may_make: &mut bool) -> Result<()> {
    let name = node.path.display();
    if *may_make || node.kind == FileType::Fifo {
        let elsewhere;
        let (dir, file) = match (node.path.parent(), node.path.file_name()) {
            (Some(parent), Some(file)) if parent == Path::new("/dev") => (dev, file.to_owned()),
            _ => {
                let (dir, file) = tree.parent(node.path).map_err(|e| failed("make device", &name, e))?;
                elsewhere = dir;
                (elsewhere.as_fd(), file)
            }
        };
        let mut made = rustix::fs::mknodat(dir, file.as_os_str(), node.kind, node.mode, node.device);
        if made == Err(Errno::EXIST) && is_same(dir, &file, node) {
            made = Ok(());
        }
        match made {
            Ok(()) => {
                if node.owner != (0, 0) {
                    let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
                    rustix::fs::chownat(dir, file.as_os_str(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|e| failed("set owner of", &name, e))?;
                }
                return Ok(());
            }
            Err(Errno::PERM) if way == Way::Any => *may_make = false,
            Err(Errno::PERM) => {
                let why = "only with a mount namespace in linux.namespaces can it be bound from the machine's";
                return Err(failed("make device", &name, Errno::PERM).hint(why));
            }
            Err(e) => return Err(failed("make device", &name, e)),
        }
    }
    let source = rustix::fs::openat(CWD, node.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|e| {
        failed("bind device", &name, e).hint("in a user namespace only devices of the machine can be used")
    })?;
    let stat = rustix::fs::fstat(&source).map_err(|e| failed("stat", &name, e))?;
    if stat.st_rdev != node.device || FileType::from_raw_mode(stat.st_mode) != node.kind {
        return Err(invalid("bind device", name, "is another device on this machine"));
    }
    let place = tree.ensure(node.path, Make::File).map_err(|e| failed("make device", &name, e))?;
    bind_file(source.as_fd(), place.as_fd()).map_err(|e| failed("bind device", &name, e))
}

/// What a bind-mounted or listed-twice name already is.
fn is_same(dir: impl AsFd, file: &std::ffi::OsStr, node: &Node<'_>) -> bool {
    rustix::fs::statat(dir, file, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|s| s.st_rdev == node.device && FileType::from_raw_mode(s.st_mode) == node.kind)
}
