//! `/sys/fs/cgroup` inside a container: its own groups and nothing above them.
//!
//! cgroup v2: a new cgroup2 mount where the container has a cgroup namespace (its group is the root of it), else the group's
//! folder bound. v1 and hybrid trees: a tmpfs with one folder a hierarchy, each the group's own folder, as runc lays it out; which
//! they are, [`crate::cgroup::View`] tells.

use super::masks::QUIET;
use super::mounts::{Site, clone_tree};
use super::options::{Attributes, Options};
use super::tree::Make;
use super::{entries, fsmount};
use crate::cgroup::{Folder, View};
use crate::error::{Result, failed};
use rustix::fs::Mode;
use spec::runtime::Linux;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mount_attr::{MountAttr, mount_setattr};

/// Clones the folders of `view` before a mount namespace is joined where its names may lead elsewhere or nowhere.
pub(crate) fn clone_now(view: &mut View, linux: Option<&Linux>) -> Result<()> {
    for folder in view.folders_mut() {
        let name = folder.path.display().to_string();
        match clone_tree(&folder.path, true) {
            Ok(cloned) => {
                entries::set_propagation(&cloned, linux, &name)?;
                folder.cloned = Some(cloned);
            }
            // In the container's own user namespace it is tried again by its name.
            Err(e) if entries::is_for_the_container(&e) => {}
            Err(e) => return Err(failed("bind mount", name, e)),
        }
    }
    Ok(())
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
    for (group, _) in &site.cgroups.groups {
        rustix::fs::mkdirat(&tmpfs, group.as_str(), Mode::from_raw_mode(0o755))
            .map_err(|e| failed("make", group, e))?;
        if group.contains(',') {
            for one in group.split(',') {
                let _ = super::tree::link_if_absent(tmpfs.as_fd(), one, group);
            }
        }
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
        let copy = match clone(folder, options.attributes) {
            // Nothing of that name in a mount namespace that is joined.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            copy => copy.map_err(|e| failed("bind mount", folder.path.display(), e))?,
        };
        super::attach_below(copy.as_fd(), tmpfs.as_fd(), group)
            .map_err(|e| failed("mount", destination.join(group).display(), e))?;
    }
    if !top.attributes.is_empty() {
        let attr = MountAttr { set: top.attributes.set, clear: top.attributes.clear, ..MountAttr::default() };
        mount_setattr(tmpfs.as_fd(), c"", false, &attr).map_err(|e| failed("set mount attributes of", name, e))?;
    }
    Ok(())
}

fn unified(site: &Site<'_>, folder: &Folder, name: &str, options: &Options) -> Result<OwnedFd> {
    if site.own_cgroup_namespace {
        let fresh = Options { attributes: options.attributes, ..Options::default() };
        match fsmount::detached("cgroup2", "cgroup", &fresh) {
            Ok(fd) => return Ok(fd),
            Err(refused) if refused.is(libc::EPERM) || refused.is(libc::EBUSY) => {}
            Err(refused) => return Err(refused.at(name)),
        }
    }
    clone(folder, options.attributes).map_err(|e| failed("bind mount", folder.path.display(), e))
}

fn clone(folder: &Folder, attributes: Attributes) -> std::io::Result<OwnedFd> {
    let copy = match &folder.cloned {
        // Before Linux 6.15 a detached mount has no copies: then it goes itself, and what comes later is a copy of it where it is.
        Some(cloned) => match super::copy_of(cloned.as_fd(), true) {
            Err(_) => rustix::io::fcntl_dupfd_cloexec(cloned, 3)?,
            Ok(copy) => copy,
        },
        None => clone_tree(&folder.path, true)?,
    };
    let attr = MountAttr { set: attributes.set, clear: attributes.clear, ..MountAttr::default() };
    if !attributes.is_empty() {
        mount_setattr(copy.as_fd(), c"", true, &attr)?;
    }
    Ok(copy)
}
