//! Mounts of the machine that a supervisor need not keep.
//!
//! Its mount namespace is a copy of the machine's. Mounts that were shared are slaves here, and go when the machine unmounts
//! them; a mount that was private there would stay, and its disk with it. So what is private, and neither ours nor needed, is
//! detached as soon as the container has its own. Before another run the supervisor goes back to where it came from.

use crate::mountinfo::{self, Mount};
use rustix::mount::{UnmountFlags, unmount};
use std::path::{Path, PathBuf};

/// File systems of the kernel's own, which keep no disk busy and are needed.
const KERNELS: [&str; 9] =
    ["proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "mqueue", "securityfs", "binfmt_misc"];

/// Folders of programs, of their settings, and of the kernel's file systems: what is mounted there stays.
const PROGRAMS: [&str; 11] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/nix", "/opt", "/sys", "/proc", "/dev"];

/// Detaches what is not needed: everything private but what `needed` paths are on and what lies below `ours`.
pub(super) fn leave(needed: &[&Path], ours: &Path) {
    let Ok(text) = std::fs::read_to_string("/proc/self/mountinfo") else { return };
    // The kernel's names have no links in them.
    let needed: Vec<PathBuf> = needed.iter().map(|path| crate::place::real(path)).collect();
    let ours = crate::place::real(ours);
    let mut doomed: Vec<PathBuf> = mountinfo::parse(&text).filter_map(|mount| doomed(mount, &needed, &ours)).collect();
    // Those on top first.
    doomed.reverse();
    for point in doomed {
        // What may not be detached (locked ones of a user namespace) stays.
        let _ = unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}

/// The mount point, if it is to go.
fn doomed(mount: Mount<'_>, needed: &[PathBuf], ours: &Path) -> Option<PathBuf> {
    let is_tied = mount.has("shared:") || mount.has("master:");
    let Mount { point, kind, .. } = mount;
    let is_needed =
        needed.iter().map(PathBuf::as_path).chain(PROGRAMS.map(Path::new)).any(|path| path.starts_with(&point));
    let programs = PROGRAMS.iter().any(|path| point.starts_with(path));
    let stays = is_tied || is_needed || programs || KERNELS.contains(&kind) || point.starts_with(ours);
    (!stays && point != Path::new("/")).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_mounts_go_but_for_ours_and_what_is_needed() {
        let needed = [PathBuf::from("/var/lib/veneer")];
        let gone = |line: &str| doomed(mountinfo::parse(line).next().unwrap(), &needed, Path::new("/run/veneer/ab"));
        let line =
            |point: &str, tags: &str, kind: &str| format!("36 35 98:0 / {point} rw,noatime{tags} - {kind} /dev/x rw");
        assert_eq!(gone(&line("/mnt/a\\040b", "", "ext4")), Some("/mnt/a b".into()));
        assert_eq!(gone(&line("/mnt/disk", " master:3", "ext4")), None, "the machine's unmounts reach it");
        assert_eq!(gone(&line("/mnt/disk", " shared:3", "ext4")), None);
        assert_eq!(gone(&line("/", "", "ext4")), None);
        assert_eq!(gone(&line("/var", "", "ext4")), None);
        assert_eq!(gone(&line("/proc", "", "proc")), None);
        assert_eq!(gone(&line("/run/veneer/ab/root", "", "overlay")), None);
        assert_eq!(gone(&line("/run/veneer/abc", "", "tmpfs")), Some("/run/veneer/abc".into()));
    }
}
