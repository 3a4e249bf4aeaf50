//! What a container sees of its groups, at /sys/fs/cgroup: decided when they are made, by what the configuration asks for.
//!
//! A hierarchy of v1 is shown where the container has a group of its own in it, never one in which it is where its caller was, perhaps the root
//! of the machine. Who may make no group at all, an ordinary user on v1, sees in the container what it sees outside, as with crun.

use super::group::Group;
use super::layout::{Hierarchy, Layout};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Folders of this machine's, to be bound.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Hierarchies: the name of the folder below /sys/fs/cgroup, and the folder of the group.
    pub(crate) groups: Vec<(String, Folder)>,
    /// Where v2 is all there is: the group, to be shown at /sys/fs/cgroup itself.
    pub(crate) unified: Option<Folder>,
}

/// The folder of a group.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Its name in the mount namespace of who made the view.
    pub(crate) path: PathBuf,
    /// The same as a detached mount, for a namespace where that name leads elsewhere.
    pub(crate) cloned: Option<OwnedFd>,
}

impl From<PathBuf> for Folder {
    fn from(path: PathBuf) -> Self {
        Self { path, cloned: None }
    }
}

impl View {
    /// Of these groups; of the caller's where there are none.
    pub(super) fn of<'a>(layout: &Layout, groups: impl Iterator<Item = &'a Group>) -> Self {
        let mut view = Self::own(layout);
        for group in groups {
            if layout.is_v2() {
                view.unified = if group.v2 { Some(group.path.clone().into()) } else { view.unified };
                continue;
            }
            let hierarchy = all(layout).find(|hierarchy| group.path.starts_with(&hierarchy.root));
            view.groups.extend(hierarchy.and_then(name_of).map(|name| (name, group.path.clone().into())));
        }
        if view.groups.is_empty() && view.unified.is_none() {
            let callers = |hierarchy: &Hierarchy| Some((name_of(hierarchy)?, callers_group(hierarchy).into()));
            view.groups = all(layout).filter_map(callers).collect();
        }
        view
    }

    /// Without groups, by choice: on v2 the one it stays in, as every process is in one.
    fn own(layout: &Layout) -> Self {
        let v2 = layout.v2.as_ref().filter(|_| layout.is_v2());
        Self { groups: Vec::new(), unified: v2.map(|hierarchy| callers_group(hierarchy).into()) }
    }

    /// All its folders.
    pub(crate) fn folders_mut(&mut self) -> impl Iterator<Item = &mut Folder> {
        self.groups.iter_mut().map(|(_, folder)| folder).chain(&mut self.unified)
    }

    /// The same of this process; nothing where there is no cgroup tree.
    pub(crate) fn load_own() -> Self {
        Layout::detect().map(|layout| Self::own(&layout)).unwrap_or_default()
    }
}

/// The folder of the caller's own group. Where the machine's path of it leads nowhere, only a part of the tree is mounted here (in a container
/// without a cgroup namespace): then what it sees itself.
fn callers_group(hierarchy: &Hierarchy) -> PathBuf {
    let shown = hierarchy.shown(&hierarchy.own);
    if rustix::fs::stat(&shown).is_ok() { shown } else { hierarchy.root.clone() }
}

fn all(layout: &Layout) -> impl Iterator<Item = &Hierarchy> {
    layout.v1.iter().chain(&layout.named).chain(&layout.v2)
}

fn name_of(hierarchy: &Hierarchy) -> Option<String> {
    Some(hierarchy.root.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Group, Hierarchy, Layout, View};
    use std::path::{Path, PathBuf};

    fn hierarchy(controllers: &[&str], root: &str, own: &str) -> Hierarchy {
        let controllers = controllers.iter().map(|c| (*c).to_owned()).collect();
        Hierarchy { controllers, root: root.into(), own: own.into() }
    }

    fn group(path: &str, v2: bool) -> Group {
        Group { controllers: Vec::new(), v2, path: path.into(), made: Vec::new() }
    }

    fn shown(view: &View) -> Vec<(&str, &Path)> {
        view.groups.iter().map(|(name, folder)| (name.as_str(), folder.path.as_path())).collect()
    }

    fn unified(layout: &Layout, groups: &[Group]) -> Option<PathBuf> {
        View::of(layout, groups.iter()).unified.map(|folder| folder.path)
    }

    #[test]
    fn of_v1_only_groups_of_the_containers_are_shown() {
        let layout = Layout {
            v1: vec![hierarchy(&["cpu", "cpuacct"], "/c/cpu,cpuacct", "/"), hierarchy(&["memory"], "/c/memory", "/")],
            named: vec![hierarchy(&["name=systemd"], "/c/systemd", "/")],
            v2: Some(hierarchy(&[], "/c/unified", "/")),
        };
        let groups =
            [group("/c/cpu,cpuacct/a/b", false), group("/c/systemd/a/b", false), group("/c/unified/a/b", true)];
        let view = View::of(&layout, groups.iter());
        let want =
            [("cpu,cpuacct", "/c/cpu,cpuacct/a/b"), ("systemd", "/c/systemd/a/b"), ("unified", "/c/unified/a/b")];
        assert_eq!(shown(&view), want.map(|(name, path)| (name, Path::new(path))));
        assert!(view.unified.is_none());
        let callers = View::of(&layout, [].iter());
        assert_eq!(callers.groups.len(), 4);
        assert_eq!(shown(&callers).get(1), Some(&("memory", Path::new("/c/memory"))));
    }

    #[test]
    fn of_v2_the_group_is_shown_or_else_the_callers() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        rustix::fs::mkdir(path("user.slice"), 0o755.into()).unwrap();
        let layout = |own| Layout {
            named: vec![hierarchy(&["name=systemd"], "/c/systemd", "/")],
            v2: Some(hierarchy(&["pids"], root.path().to_str().unwrap(), own)),
            ..Layout::default()
        };
        let made = path("x").display().to_string();
        let groups = [group(&made, true), group("/c/systemd/x", false)];
        assert_eq!(unified(&layout("/user.slice"), &groups), Some(path("x")));
        assert_eq!(unified(&layout("/user.slice"), &[]), Some(path("user.slice")));
        // A part of the tree is mounted, in which the machine's paths are not found.
        assert_eq!(unified(&layout("/docker/1"), &[]), Some(root.path().to_owned()));
    }
}
