//! Which cgroup hierarchies this machine has and where: v1, v2 or both.
//!
//! Told by the type of what is mounted on `/sys/fs/cgroup` (two or three `statfs`) and by `/proc/self/cgroup`, not by
//! mountinfo, which on a machine with a thousand containers takes longer to read than a container to start.

use super::group::read_file;
use crate::error::{Result, failed};
use rustix::fs::{CWD, statfs};
use std::path::{Component, Path, PathBuf};

const CGROUP_SUPER_MAGIC: i64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
const ROOT: &str = "/sys/fs/cgroup";
const OWN: &str = "/proc/self/cgroup";

/// One hierarchy: its controllers, its root folder and where in it this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) controllers: Vec<String>,
    pub(super) root: PathBuf,
    pub(super) own: PathBuf,
}

impl Hierarchy {
    /// The folder of the group `path`: from the root of the hierarchy where it is absolute, else below our own group.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        let base = if path.is_absolute() { self.root.clone() } else { self.root.join(inside(&self.own)) };
        base.join(inside(path))
    }

    /// The same in v2, where a relative path lies beside our own group: processes are in that one, so it passes no
    /// controllers on to groups below it.
    pub(super) fn place_beside(&self, path: &Path) -> PathBuf {
        if path.is_absolute() {
            return self.place(path);
        }
        let own = inside(&self.own);
        self.root.join(own.parent().unwrap_or(Path::new(""))).join(inside(path))
    }

    /// The folder of this hierarchy that shows the group `path` of `/proc/PID/cgroup`.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        self.root.join(inside(path))
    }

    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

/// The machine's hierarchies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// v1, one a controller or set of them; named ones are not among them.
    pub(super) v1: Vec<Hierarchy>,
    /// Those of v1 without controllers: systemd's own.
    pub(super) named: Vec<Hierarchy>,
    /// v2; beside v1 it usually has no controllers.
    pub(super) v2: Option<Hierarchy>,
}

impl Layout {
    /// This machine's. Where nothing is mounted it is empty.
    pub(crate) fn detect() -> Result<Self> {
        let own = read_file(CWD, OWN).map_err(|e| failed("read", OWN, e))?;
        let own = String::from_utf8_lossy(&own).into_owned();
        Ok(Self::from(&own, Path::new(ROOT), magic, |root| {
            let listed = read_file(CWD, root.join("cgroup.controllers")).unwrap_or_default();
            String::from_utf8_lossy(&listed).into_owned()
        }))
    }

    fn from(own: &str, root: &Path, magic: impl Fn(&Path) -> i64, controllers: impl Fn(&Path) -> String) -> Self {
        let unified_root = match magic(root) {
            CGROUP2_SUPER_MAGIC => Some(root.to_owned()),
            _ => Some(root.join("unified")).filter(|unified| magic(unified) == CGROUP2_SUPER_MAGIC),
        };
        let mut layout = Self::default();
        for line in own.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(list), Some(own)) = (fields.next(), fields.next()) else { continue };
            let own = PathBuf::from(own);
            if list.is_empty() {
                layout.v2 = unified_root.clone().map(|root| {
                    let controllers = controllers(&root).split_whitespace().map(str::to_owned).collect();
                    Hierarchy { controllers, root, own }
                });
            } else {
                let controllers: Vec<String> = list.split(',').map(str::to_owned).collect();
                let name = list.strip_prefix("name=");
                let folders = std::iter::once(name.unwrap_or(list)).chain(list.split(','));
                let folder = folders.map(|name| root.join(name)).find(|folder| magic(folder) == CGROUP_SUPER_MAGIC);
                let of_its_kind = if name.is_some() { &mut layout.named } else { &mut layout.v1 };
                of_its_kind.extend(folder.map(|root| Hierarchy { controllers, root, own }));
            }
        }
        layout
    }

    /// Whether v2 is all there is.
    pub(super) fn is_v2(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }

    /// The hierarchy that has `controller`, and whether it is v2.
    pub(super) fn with(&self, controller: &str) -> Option<(&Hierarchy, bool)> {
        let v1 = self.v1.iter().find(|h| h.has(controller)).map(|h| (h, false));
        v1.or_else(|| self.v2.as_ref().filter(|h| h.has(controller)).map(|h| (h, true)))
    }
}

/// `path` as something to append: without its root, and never upwards.
pub(super) fn inside(path: &Path) -> PathBuf {
    path.components().filter(|c| matches!(c, Component::Normal(_))).collect()
}

#[expect(clippy::unnecessary_cast, reason = "the type of f_type differs between architectures")]
fn magic(path: &Path) -> i64 {
    statfs(path).map_or(0, |fs| fs.f_type as i64)
}

#[cfg(test)]
mod tests {
    use super::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, Layout};
    use std::path::Path;

    fn none(_: &Path) -> String {
        String::new()
    }

    #[test]
    fn v1_beside_an_empty_v2() {
        let own = "9:name=systemd:/\n4:memory:/job\n3:cpu,cpuacct:/\n0::/\n";
        let magic = |path: &Path| match path.to_str() {
            Some("/c/memory" | "/c/cpu,cpuacct") => CGROUP_SUPER_MAGIC,
            Some("/c/unified") => CGROUP2_SUPER_MAGIC,
            _ => 0,
        };
        let layout = Layout::from(own, Path::new("/c"), magic, none);
        assert!(!layout.is_v2());
        let (memory, v2) = layout.with("memory").expect("memory");
        assert!(!v2);
        assert_eq!(memory.place(Path::new("/veneer/a")), Path::new("/c/memory/veneer/a"));
        assert_eq!(memory.place(Path::new("a")), Path::new("/c/memory/job/a"));
        assert_eq!(memory.place(Path::new("/../../etc")), Path::new("/c/memory/etc"));
        assert_eq!(layout.with("cpuacct").expect("cpuacct").0.root, Path::new("/c/cpu,cpuacct"));
        assert!(layout.with("pids").is_none());
        assert_eq!(layout.v2.expect("v2").root, Path::new("/c/unified"));
    }

    #[test]
    fn v2_alone() {
        let magic = |path: &Path| if path == Path::new("/c") { CGROUP2_SUPER_MAGIC } else { 0 };
        let layout = Layout::from("0::/user.slice\n", Path::new("/c"), magic, |_| "cpu memory pids\n".to_owned());
        assert!(layout.is_v2());
        assert!(layout.with("pids").expect("pids").1);
    }

    #[test]
    fn none_at_all() {
        assert_eq!(Layout::from("", Path::new("/c"), |_| 0, none), Layout::default());
    }
}
