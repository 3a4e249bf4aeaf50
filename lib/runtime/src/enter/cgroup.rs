//! `--join-cgroup`: the cgroups that a process is in, in every hierarchy that the caller sees mounted, v1 and v2.

use crate::error::{Error, Kind, Result, failed};
use crate::file;
use rustix::fs::{CWD, Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The way in, opened before anything else is entered.
#[derive(Debug)]
pub(super) struct Entrance(Vec<(PathBuf, OwnedFd)>);

impl Entrance {
    /// Moves this process in, which must have one thread.
    pub(super) fn enter(&self) -> Result<()> {
        for (path, file) in &self.0 {
            // Itself: another process would wait for a grace period.
            rustix::io::retry_on_intr(|| rustix::io::write(file, b"0"))
                .map_err(|e| failed("join", path.display(), e))?;
        }
        Ok(())
    }
}

/// Opens the groups of process `pid`.
pub(super) fn open(pid: i32) -> Result<Entrance> {
    let path = format!("/proc/{pid}/cgroup");
    let groups = file::read_text(&path).map_err(|e| failed("read", path, e))?;
    let own = file::read_text("/proc/self/cgroup").map_err(|e| failed("read", "/proc/self/cgroup", e))?;
    let mounts = file::read_text("/proc/self/mountinfo").map_err(|e| failed("read", "/proc/self/mountinfo", e))?;
    let mut opened = Vec::new();
    for (folder, v2) in differing(&groups, &own, &mounts) {
        let file = folder.join(if v2 { "cgroup.procs" } else { "tasks" });
        let fd = rustix::fs::openat(CWD, &file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|e| {
            let error = failed("open", file.display(), e);
            if e == rustix::io::Errno::ACCESS {
                error.hint("joining a cgroup takes root, or that it is ours")
            } else {
                error
            }
        })?;
        opened.push((file, fd));
    }
    if opened.is_empty() && groups != own {
        return Err(Error::new(Kind::Failed, "join cgroups of", pid).because("none of them is mounted here".to_owned()));
    }
    Ok(Entrance(opened))
}

/// The folders of the groups in `groups` (as /proc/PID/cgroup tells them) that are not in `own`, and whether each is v2.
fn differing(groups: &str, own: &str, mountinfo: &str) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    for line in groups.lines().filter(|line| !own.lines().any(|l| l == *line)) {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let place = mountinfo.lines().find_map(|mount| {
            let (left, right) = mount.split_once(" - ")?;
            let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
            let (root, point) = (left.next()?, left.next()?);
            let (kind, options) = (right.next()?, right.nth(1)?);
            let fits = match kind {
                "cgroup2" => controllers.is_empty(),
                "cgroup" => {
                    !controllers.is_empty() && controllers.split(',').all(|c| options.split(',').any(|o| o == c))
                }
                _ => false,
            };
            let below = Path::new(path).strip_prefix(root).ok().filter(|_| fits)?;
            Some((Path::new(point).join(below), kind == "cgroup2"))
        });
        found.extend(place);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::differing;

    const MOUNTS: &str = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
        31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        32 30 0:28 /a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

    #[test]
    fn groups_are_found_below_what_is_mounted() {
        let groups = "3:cpu,cpuacct:/x\n2:memory:/a/y\n1:name=systemd:/z\n0::/u\n";
        let folders: Vec<String> = differing(groups, "3:cpu,cpuacct:/x\n", MOUNTS)
            .into_iter()
            .map(|(folder, v2)| format!("{} {v2}", folder.display()))
            .collect();
        assert_eq!(folders, ["/sys/fs/cgroup/memory/y false", "/sys/fs/cgroup/unified/u true"]);
    }
}
