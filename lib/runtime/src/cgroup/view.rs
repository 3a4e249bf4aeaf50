//! What a container sees of its groups, at /sys/fs/cgroup: decided when they are made, by what the configuration asks for.
//!
//! A hierarchy of v1 is shown where the container has a group of its own in it, never one in which it is where its caller was, perhaps the root
//! of the machine. Who may make no group at all, an ordinary user on v1, sees in the container what it sees outside, as with crun.

use super::group::Group;
use super::layout::{Hierarchy, Layout};
use std::path::PathBuf;

/// Folders of this machine's, to be bound.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Hierarchies: the name of the folder below /sys/fs/cgroup, and the folder of the group.
    pub(crate) groups: Vec<(String, PathBuf)>,
    /// Where v2 is all there is: the group, to be shown at /sys/fs/cgroup itself.
    pub(crate) unified: Option<PathBuf>,
}

impl View {
    /// Of these groups; of the caller's where there are none.
    pub(super) fn of<'a>(layout: &Layout, groups: impl Iterator<Item = &'a Group>) -> Self {
        let mut view = Self::own(layout);
        for group in groups {
            if layout.is_v2() {
                view.unified = Some(group.path.clone());
                continue;
            }
            let hierarchy = all(layout).find(|hierarchy| group.path.starts_with(&hierarchy.root));
            view.groups.extend(hierarchy.and_then(name_of).map(|name| (name, group.path.clone())));
        }
        if view == Self::default() {
            let callers = |hierarchy: &Hierarchy| Some((name_of(hierarchy)?, hierarchy.shown(&hierarchy.own)));
            view.groups = all(layout).filter_map(callers).collect();
        }
        view
    }

    /// Without groups, by choice: on v2 the one it stays in, as every process is in one.
    fn own(layout: &Layout) -> Self {
        let v2 = layout.v2.as_ref().filter(|_| layout.is_v2());
        Self { groups: Vec::new(), unified: v2.map(|hierarchy| hierarchy.shown(&hierarchy.own)) }
    }

    /// The same of this process; nothing where there is no cgroup tree.
    pub(crate) fn load_own() -> Self {
        Layout::detect().map(|layout| Self::own(&layout)).unwrap_or_default()
    }
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

    fn hierarchy(controllers: &[&str], root: &str, own: &str) -> Hierarchy {
        let controllers = controllers.iter().map(|c| (*c).to_owned()).collect();
        Hierarchy { controllers, root: root.into(), own: own.into() }
    }

    fn group(path: &str, v2: bool) -> Group {
        Group { controllers: Vec::new(), v2, path: path.into(), made: Vec::new() }
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
        assert_eq!(view.groups, want.map(|(name, path)| (name.to_owned(), path.into())));
        assert_eq!(view.unified, None);
        let callers = View::of(&layout, [].iter()).groups;
        assert_eq!(callers.len(), 4);
        assert_eq!(callers.get(1), Some(&("memory".to_owned(), "/c/memory".into())));
    }

    #[test]
    fn of_v2_the_group_is_shown_or_else_the_callers() {
        let layout = Layout { v2: Some(hierarchy(&["pids"], "/c", "/user.slice")), ..Layout::default() };
        assert_eq!(View::of(&layout, [group("/c/unified/x", true)].iter()).unified, Some("/c/unified/x".into()));
        assert_eq!(View::of(&layout, [].iter()).unified, Some("/c/user.slice".into()));
    }
}
