//! `/sys/fs/cgroup` inside a container: its own groups and nothing above them.
//!
//! cgroup v2: a new cgroup2 mount where the container has a cgroup namespace (its group is the root of it), else the group's
//! folder bound. v1 and hybrid trees: a tmpfs with one folder a hierarchy, each the group's own folder, as runc lays it out.

use super::fsmount;
use super::masks::QUIET;
use super::mounts::Site;
use super::options::{Attributes, Options};
use super::tree::Make;
use crate::error::{Result, failed};
use crate::file;
use rustix::fs::{CWD, Mode};
use rustix::mount::OpenTreeFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount_attr::{MountAttr, mount_setattr};

/// The groups this process is in, by where the machine shows them.
#[derive(Debug, Default, Clone)]
pub(crate) struct View {
    /// Hierarchies: the name of the folder below /sys/fs/cgroup, and the folder of the own group.
    pub(crate) groups: Vec<(String, PathBuf)>,
    /// The one hierarchy there is, at /sys/fs/cgroup itself.
    pub(crate) unified: Option<PathBuf>,
}

/// Reads what /proc says of this process's groups; nothing where there is no cgroup tree.
pub(crate) fn load_view() -> View {
    let mounts = file::read_text("/proc/self/mountinfo").unwrap_or_default();
    let groups = file::read_text("/proc/self/cgroup").unwrap_or_default();
    parse_view(&mounts, &groups)
}

fn parse_view(mountinfo: &str, own: &str) -> View {
    let mut view = View::default();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut fields = left.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next().unwrap_or_default(), right.nth(1).unwrap_or_default());
        let Some(below) = Path::new(point).strip_prefix("/sys/fs/cgroup").ok() else { continue };
        let path = match kind {
            "cgroup2" => own.lines().find_map(|l| l.strip_prefix("0::")),
            "cgroup" => own.lines().find_map(|l| {
                let mut f = l.splitn(3, ':').skip(1);
                let (controllers, path) = (f.next()?, f.next()?);
                let listed: Vec<&str> = options.split(',').collect();
                (!controllers.is_empty() && controllers.split(',').all(|c| listed.contains(&c))).then_some(path)
            }),
            _ => continue,
        };
        let Some(path) = path else { continue };
        // The mount may show a part of the hierarchy only; `/..` stands for a group outside the cgroup namespace.
        let inside =
            Path::new(path).strip_prefix(root).or_else(|_| Path::new(path).strip_prefix("/")).unwrap_or(Path::new(""));
        if inside.components().any(|c| c == std::path::Component::ParentDir) {
            continue;
        }
        let folder = Path::new(point).join(inside);
        match below.to_str() {
            Some("") => view.unified = (kind == "cgroup2").then_some(folder),
            Some(name) if !name.contains('/') => {
                view.groups.retain(|(n, _)| n != name);
                view.groups.push((name.to_owned(), folder));
            }
            _ => {}
        }
    }
    view
}

/// Mounts the container's view at `destination`.
pub(crate) fn mount(site: &Site<'_>, name: &str, destination: &Path, options: &Options) -> Result<()> {
    let top =
        Options { attributes: options.attributes, propagation: options.propagation.clone(), ..Options::default() };
    if let Some(folder) = &site.cgroups.unified {
        let detached = unified(site, folder, name, options)?;
        return site.finish(detached, destination, name, Make::Directory, &top);
    }
    let data = ["mode=755".to_owned()];
    let tmpfs = Options { data: data.to_vec(), attributes: Attributes { set: QUIET, clear: 0 }, ..Options::default() };
    let tmpfs = fsmount::detached("tmpfs", "tmpfs", &tmpfs).map_err(|e| e.at(name))?;
    for (group, folder) in &site.cgroups.groups {
        rustix::fs::mkdirat(&tmpfs, group.as_str(), Mode::from_raw_mode(0o755))
            .map_err(|e| failed("make", group, e))?;
        if group.contains(',') {
            for one in group.split(',') {
                let _ = super::tree::link_if_absent(tmpfs.as_fd(), one, group);
            }
        }
        let _ = folder;
    }
    // Attached while writable only to us: nothing runs in the container yet.
    site.finish(
        rustix::io::fcntl_dupfd_cloexec(&tmpfs, 3).map_err(|e| failed("mount", name, e))?,
        destination,
        name,
        Make::Directory,
        &Options::default(),
    )?;
    for (group, folder) in &site.cgroups.groups {
        let Ok(copy) = clone(folder, options.attributes) else { continue };
        super::attach_below(copy.as_fd(), tmpfs.as_fd(), group)
            .map_err(|e| failed("mount", destination.join(group).display(), e))?;
    }
    if !top.attributes.is_empty() {
        let attr = MountAttr { set: top.attributes.set, clear: top.attributes.clear, ..MountAttr::default() };
        mount_setattr(tmpfs.as_fd(), c"", false, &attr).map_err(|e| failed("set mount attributes of", name, e))?;
    }
    Ok(())
}

fn unified(site: &Site<'_>, folder: &Path, name: &str, options: &Options) -> Result<OwnedFd> {
    if site.own_cgroup_namespace {
        let fresh = Options { attributes: options.attributes, ..Options::default() };
        match fsmount::detached("cgroup2", "cgroup", &fresh) {
            Ok(fd) => return Ok(fd),
            Err(refused) if refused.is(libc::EPERM) || refused.is(libc::EBUSY) => {}
            Err(refused) => return Err(refused.at(name)),
        }
    }
    clone(folder, options.attributes).map_err(|e| failed("bind mount", folder.display(), e))
}

fn clone(folder: &Path, attributes: Attributes) -> std::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
    let copy = rustix::mount::open_tree(CWD, folder, flags)?;
    let attr = MountAttr { set: attributes.set, clear: attributes.clear, ..MountAttr::default() };
    if !attributes.is_empty() {
        mount_setattr(copy.as_fd(), c"", true, &attr)?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::parse_view;
    use std::path::PathBuf;

    #[test]
    fn a_hybrid_tree_is_read() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "3:cpu:/a/b\n2:name=systemd:/\n0::/x\n";
        let view = parse_view(mounts, own);
        assert_eq!(view.unified, None);
        let want = [
            ("cpu", "/sys/fs/cgroup/cpu/a/b"),
            ("systemd", "/sys/fs/cgroup/systemd/"),
            ("unified", "/sys/fs/cgroup/unified/x"),
        ];
        let want: Vec<(String, PathBuf)> = want.iter().map(|(a, b)| ((*a).to_owned(), b.into())).collect();
        assert_eq!(view.groups, want);
    }

    #[test]
    fn a_unified_tree_is_read() {
        let view = parse_view("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/c\n");
        assert_eq!(view.unified, Some(PathBuf::from("/sys/fs/cgroup/user.slice/c")));
        assert!(view.groups.is_empty());
    }
}
