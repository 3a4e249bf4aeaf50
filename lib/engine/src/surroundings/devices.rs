//! Device nodes of the machine, and how its mounts travel.

use crate::mountinfo::{self, Mount};
use crate::request::device::Device;
use crate::request::wrong;
use crate::{Error, Kind, Result};
use rustix::fs::{FileType, lstat, major, minor, stat};
use std::path::{Path, PathBuf};

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it is on the machine.
    pub source: PathBuf,
    /// Where it is to be in the container.
    pub target: PathBuf,
    /// `b` or `c`.
    pub kind: char,
    /// Its numbers, major and minor.
    pub number: (u32, u32),
    /// Permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// What may be done with it: of `rwm`.
    pub access: String,
}

/// Below these are no devices of the machine, or those of one terminal or container (moby `devices.GetDevices`).
const NOT_THESE: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];
/// How deep folders of devices are looked into.
const DEPTH: usize = 8;

/// The devices that `--device` names.
pub(super) fn find(device: &Device) -> Result<Vec<Node>> {
    let source = Path::new(&device.source);
    let gathering = format!("error gathering device information while adding custom device {:?}", device.source);
    let found = stat(source).map_err(|e| {
        let kind = if e == rustix::io::Errno::NOENT { Kind::CommandNotFound } else { Kind::Request };
        Error::new(kind, "", &gathering).because(std::io::Error::from(e)).hint("ls -l /dev shows what there is")
    })?;
    let target = PathBuf::from(&device.target);
    if let Some(node) = node(source, target.clone(), &device.access, &found) {
        return Ok(vec![node]);
    }
    let mut nodes = Vec::new();
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        walk(source, &target, &device.access, DEPTH, &mut nodes);
        if !nodes.is_empty() {
            return Ok(nodes);
        }
        return Err(Error::new(Kind::CommandNotFound, "", gathering).because("no such file or directory"));
    }
    Err(Error::new(Kind::Request, "", gathering).because("not a device node"))
}

/// All devices of the machine.
pub(super) fn all() -> Vec<Node> {
    let mut nodes = Vec::new();
    walk(Path::new("/dev"), Path::new("/dev"), "rwm", DEPTH, &mut nodes);
    // Each container has a console, terminals and a ptmx of its own.
    nodes.retain(|node| !["/dev/console", "/dev/ptmx", "/dev/tty"].iter().any(|own| node.target == Path::new(own)));
    nodes
}

fn walk(folder: &Path, target: &Path, access: &str, depth: usize, nodes: &mut Vec<Node>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Some(name) = path.file_name() else { continue };
        let Ok(found) = lstat(&path) else { continue };
        let inside = target.join(name);
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            if depth > 0 && !NOT_THESE.iter().any(|n| name == *n) {
                walk(&path, &inside, access, depth - 1, nodes);
            }
        } else {
            nodes.extend(node(&path, inside, access, &found));
        }
    }
}

fn node(source: &Path, target: PathBuf, access: &str, found: &rustix::fs::Stat) -> Option<Node> {
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        _ => return None,
    };
    Some(Node {
        source: source.to_owned(),
        target,
        kind,
        number: (major(found.st_rdev), minor(found.st_rdev)),
        mode: found.st_mode & 0o7777,
        owner: (found.st_uid, found.st_gid),
        access: access.to_owned(),
    })
}

/// docker: what is shared with the machine must lie on a mount that is (proc_pid_mountinfo(5), the optional fields).
pub(super) fn check_propagation(source: &Path, propagation: &str, rootless: bool) -> Result<()> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let resolved = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let Some(mount) = mount_of(&text, &resolved) else { return Ok(()) };
    let what = match propagation {
        // The kernel makes a slave of every mount that an ordinary user's namespace takes over.
        "shared" | "rshared" if !(mount.has("shared:") || rootless && mount.has("master:")) => "a shared mount",
        "slave" | "rslave" if !mount.has("shared:") && !mount.has("master:") => "a shared or slave mount",
        _ => return Ok(()),
    };
    let point = mount.point.display();
    Err(wrong(format!("path {} is mounted on {point} but it is not {what}", source.display()))
        .hint(format!("mount --make-rshared {point}")))
}

/// The mount that `path` is on: of those that lead there, the last one covers the others.
fn mount_of<'a>(mountinfo: &'a str, path: &Path) -> Option<Mount<'a>> {
    mountinfo::parse(mountinfo)
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_a_path_is_on_may_have_blanks_in_its_name() {
        let text = "1 0 8:1 / / rw shared:1 - ext4 a rw\n2 1 8:2 / /my\\040disk rw - ext4 b rw\n";
        let on = |path: &str| mount_of(text, Path::new(path)).map(|mount| mount.point);
        assert_eq!(on("/my disk/x"), Some("/my disk".into()));
        assert_eq!(on("/my"), Some("/".into()));
    }
}
