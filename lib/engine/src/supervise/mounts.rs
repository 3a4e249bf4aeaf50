//! Mounts of the machine that a supervisor need not keep.
//!
//! Its mount namespace is a copy of the machine's. Mounts that were shared are slaves here, and go when the machine unmounts
//! them; a mount that was private there would stay, and its disk with it. So what is private, and neither ours nor needed, is
//! detached as soon as the container has its own. Before another run the supervisor goes back to where it came from.

use rustix::mount::{UnmountFlags, unmount};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
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
    let mut doomed: Vec<PathBuf> = text.lines().filter_map(|line| doomed(line, needed, ours)).collect();
    // Those on top first.
    doomed.reverse();
    for point in doomed {
        // What may not be detached (locked ones of a user namespace) stays.
        let _ = unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}

/// The mount point that a line of mountinfo (proc(5)) tells of, if it is to go.
fn doomed(line: &str, needed: &[&Path], ours: &Path) -> Option<PathBuf> {
    let (mount, source) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let point = PathBuf::from(unescape(fields.nth(4)?));
    let is_tied = fields.skip(1).any(|tag| tag.starts_with("shared:") || tag.starts_with("master:"));
    let kind = source.split(' ').next()?;
    let is_needed = needed.iter().copied().chain(PROGRAMS.map(Path::new)).any(|path| path.starts_with(&point));
    let programs = PROGRAMS.iter().any(|path| point.starts_with(path));
    let stays = is_tied || is_needed || programs || KERNELS.contains(&kind) || point.starts_with(ours);
    (!stays && point != Path::new("/")).then_some(point)
}

/// `\040` and the like are bytes.
fn unescape(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten();
        match octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_mounts_go_but_for_ours_and_what_is_needed() {
        let gone = |line: &str| doomed(line, &[Path::new("/var/lib/veneer")], Path::new("/run/veneer/ab"));
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
