//! A container's root file system, built in its own mount namespace and then made the root.
//!
//! Order of [`assemble`] and [`switch`] (docs/privilege.md): propagation of everything to slave; the root bound on itself; the
//! mounts of the configuration as listed; devices and links in /dev; the console; masked and read-only paths; hooks run by
//! the caller; the root read-only; pivot_root; the old root detached.
//!
//! Invariants: no path inside the root is ever resolved but through [`Tree`]; a mount is made detached, gets its
//! attributes, and only then becomes visible (move_mount(2)), so there is no moment when it is writable and should not be;
//! devices and masks are taken from the machine by descriptor, never from a name the image could have replaced.

pub(crate) mod cgroups;
pub(crate) mod copyup;
pub(crate) mod fsmount;
pub(crate) mod masks;
pub(crate) mod mounts;
pub(crate) mod nodes;
pub(crate) mod options;
pub(crate) mod tree;

use crate::error::{Result, failed, invalid};
use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use spec::runtime::{LinuxDevice, Mount};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount_attr::{MountAttr, mount_setattr};
use tree::Tree;

/// Everything about the root file system that a configuration says.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The folder that becomes the root.
    pub(crate) root: &'a Path,
    /// What relative sources of bind mounts are relative to.
    pub(crate) bundle: &'a Path,
    pub(crate) readonly: bool,
    pub(crate) mounts: &'a [Mount],
    /// The user namespaces of id-mapped mounts, one place an entry.
    pub(crate) id_maps: &'a [Option<OwnedFd>],
    /// Beyond the six that every container has.
    pub(crate) devices: &'a [LinuxDevice],
    pub(crate) masked: &'a [String],
    pub(crate) readonly_paths: &'a [String],
    pub(crate) propagation: Option<&'a str>,
    /// The groups this process is in, as /sys/fs/cgroup shows them, read before a cgroup namespace was made.
    pub(crate) cgroups: &'a cgroups::View,
    /// Devices and links are supplied also where /dev is a plain folder of the root file system.
    pub(crate) supplies_devices: bool,
    /// Mounting cgroup2 anew shows the own group as root.
    pub(crate) own_cgroup_namespace: bool,
}

/// A root file system with its mounts, not yet the root.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) tree: Tree,
    /// Whether /dev is the container's own, not a folder of the machine bound there, and so gets devices and links.
    pub(crate) own_dev: bool,
}

/// Builds the root file system in the mount namespace this process has to itself.
pub(crate) fn assemble(plan: &Plan<'_>) -> Result<Assembled> {
    // Slave, not private: what the machine mounts below a volume later still arrives; nothing ever travels back.
    let propagation = match plan.propagation.and_then(options::parse_propagation) {
        Some((libc::MS_PRIVATE, _)) => MountPropagationFlags::PRIVATE,
        _ => MountPropagationFlags::DOWNSTREAM,
    };
    rustix::mount::mount_change("/", propagation | MountPropagationFlags::REC)
        .map_err(|e| failed("make slave", "/", e))?;

    let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
    let root =
        rustix::mount::open_tree(CWD, plan.root, flags).map_err(|e| failed("open root", plan.root.display(), e))?;
    let place = crate::file::open_dir(plan.root).map_err(|e| failed("open root", plan.root.display(), e))?;
    attach(root.as_fd(), place.as_fd()).map_err(|e| failed("bind root", plan.root.display(), e))?;
    let tree = Tree::new(root);

    let site = mounts::Site {
        tree: &tree,
        bundle: plan.bundle,
        cgroups: plan.cgroups,
        own_cgroup_namespace: plan.own_cgroup_namespace,
    };
    for (at, mount) in plan.mounts.iter().enumerate() {
        site.mount(mount, plan.id_maps.get(at).and_then(Option::as_ref))?;
    }
    let mut at_dev = plan.mounts.iter().filter(|mount| is_at_dev(mount)).peekable();
    let own_dev = if at_dev.peek().is_some() { at_dev.all(|mount| !is_bind(mount)) } else { plan.supplies_devices };
    if own_dev {
        nodes::populate(&tree, plan.devices)?;
    }
    masks::readonly(&tree, plan.readonly_paths)?;
    masks::mask(&tree, plan.masked)?;
    Ok(Assembled { tree, own_dev })
}

fn is_at_dev(mount: &Mount) -> bool {
    let plain: std::path::PathBuf = mount.destination().components().collect();
    plain == Path::new("/dev")
}

fn is_bind(mount: &Mount) -> bool {
    let bound = mount.options().iter().flatten().any(|o| o == "bind" || o == "rbind");
    bound || mount.typ().as_deref().is_none_or(|t| t == "bind" || t == "none")
}

/// Makes an assembled tree the root of this process and its mount namespace.
pub(crate) fn switch(plan: &Plan<'_>, assembled: &Assembled) -> Result<()> {
    let root = assembled.tree.as_fd();
    if plan.readonly {
        let attr = MountAttr { set: options::RDONLY, ..MountAttr::default() };
        mount_setattr(root, c"", false, &attr).map_err(|e| failed("make read-only", "/", e))?;
    }
    pivot(root, plan.root)?;
    if let Some(word) = plan.propagation {
        let (flag, recursive) = options::parse_propagation(word)
            .ok_or_else(|| invalid("linux.rootfsPropagation", word, "is none of shared, slave, private, unbindable"))?;
        let attr = MountAttr { propagation: flag, ..MountAttr::default() };
        mount_setattr(root, c"", recursive, &attr).map_err(|e| failed("set propagation", word, e))?;
    }
    Ok(())
}

/// pivot_root(2) without a place for the old root: it ends up mounted on top of the new one, and is detached from there.
pub(crate) fn pivot(root: BorrowedFd<'_>, name: &Path) -> Result<()> {
    rustix::process::fchdir(root).map_err(|e| failed("enter root", name.display(), e))?;
    rustix::process::pivot_root(".", ".").map_err(|e| failed("pivot_root", name.display(), e))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)
        .map_err(|e| failed("detach the old root of", name.display(), e))?;
    rustix::process::chdir("/").map_err(|e| failed("enter", "/", e))
}

/// Puts the detached mount `from` over the file or folder `to`.
pub(crate) fn attach(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> std::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(from, "", to, "", flags)?)
}

/// A detached copy of the mount (tree) at `fd`.
pub(crate) fn copy_of(fd: BorrowedFd<'_>, recursive: bool) -> std::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(fd, "", flags)?)
}
