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
pub(crate) mod elsewhere;
pub(crate) mod entries;
pub(crate) mod fsmount;
pub(crate) mod masks;
pub(crate) mod mounts;
pub(crate) mod nodes;
pub(crate) mod options;
pub(crate) mod tree;

use crate::cgroup::View;
use crate::error::{Result, failed, invalid};
use entries::Entry;
use rustix::fs::{AtFlags, StatxFlags};
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use spec::runtime::LinuxDevice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount_attr::{MountAttr, mount_setattr};
use tree::Tree;

/// Everything about the root file system that a configuration says.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The folder that becomes the root.
    pub(crate) root: &'a Path,
    /// The same as a detached mount, where it was cloned already.
    pub(crate) cloned: Option<&'a OwnedFd>,
    pub(crate) readonly: bool,
    pub(crate) mounts: &'a [Entry],
    /// Beyond the six that every container has.
    pub(crate) devices: &'a [LinuxDevice],
    pub(crate) masked: &'a [String],
    pub(crate) readonly_paths: &'a [String],
    pub(crate) propagation: Option<&'a str>,
    /// What is shown of its groups.
    pub(crate) cgroups: &'a View,
    /// Devices and links are supplied also where /dev is a plain folder of the root file system.
    pub(crate) supplies_devices: bool,
    /// In the mount namespace of the machine, where nothing may be mounted.
    pub(crate) among_the_machines: bool,
    /// Mounting cgroup2 anew shows the own group as root.
    pub(crate) own_cgroup_namespace: bool,
}

impl Plan<'_> {
    /// Whether mounts may travel to the machine.
    fn is_shared(&self) -> bool {
        matches!(self.propagation.and_then(options::parse_propagation), Some((libc::MS_SHARED, _)))
    }
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
    let say = |e: std::io::Error| failed("open root", plan.root.display(), e);
    if plan.among_the_machines {
        let tree = Tree::new(crate::file::open_dir(plan.root).map_err(say)?);
        nodes::populate(&tree, plan.devices, nodes::Way::Nodes)?;
        return Ok(Assembled { tree, own_dev: true });
    }
    set_propagation(plan)?;

    // A root that cannot be reached by name is put over the present one: it only has to be somewhere to become the root.
    let (root, over) = match plan.cloned {
        Some(cloned) => (rustix::io::fcntl_dupfd_cloexec(cloned, 3).map_err(|e| say(e.into()))?, Path::new("/")),
        None => (mounts::clone_tree(plan.root, true).map_err(say)?, plan.root),
    };
    let place = crate::file::open_dir(over).map_err(say)?;
    attach(root.as_fd(), place.as_fd()).map_err(|e| failed("bind root", plan.root.display(), e))?;
    let tree = Tree::new(root);

    let site = mounts::Site { tree: &tree, cgroups: plan.cgroups, own_cgroup_namespace: plan.own_cgroup_namespace };
    for entry in plan.mounts {
        site.mount(entry)?;
    }
    let mut at_dev = plan.mounts.iter().filter(|entry| entry.is_dev()).peekable();
    let own_dev = if at_dev.peek().is_some() { at_dev.all(|entry| !entry.is_bind()) } else { plan.supplies_devices };
    if own_dev {
        nodes::populate(&tree, plan.devices, nodes::Way::Any)?;
    }
    masks::readonly(&tree, plan.readonly_paths)?;
    masks::mask(&tree, plan.masked)?;
    Ok(Assembled { tree, own_dev })
}

/// Slave unless told otherwise, not private: what the machine mounts below a volume later still arrives; nothing ever travels back. Only with
/// `shared` it may, through mounts that say so: then all stays as the machine has it but for the mount the root lies on, which must be private
/// for the root to become one (pivot_root(2)) and for nothing of it to be seen there.
fn set_propagation(plan: &Plan<'_>) -> Result<()> {
    let change = |at: &Path, flags| rustix::mount::mount_change(at, flags);
    let all = Path::new("/");
    if !plan.is_shared() {
        let private = matches!(plan.propagation.and_then(options::parse_propagation), Some((libc::MS_PRIVATE, _)));
        let kind = if private { MountPropagationFlags::PRIVATE } else { MountPropagationFlags::DOWNSTREAM };
        return change(all, kind | MountPropagationFlags::REC).map_err(|e| failed("make slave", "/", e));
    }
    for above in plan.root.ancestors() {
        match change(above, MountPropagationFlags::PRIVATE) {
            // Not where a mount begins.
            Err(rustix::io::Errno::INVAL) => {}
            done => return done.map_err(|e| failed("make private", above.display(), e)),
        }
    }
    Ok(())
}

/// Makes an assembled tree the root of this process and its mount namespace.
pub(crate) fn switch(plan: &Plan<'_>, assembled: &Assembled) -> Result<()> {
    let root = assembled.tree.as_fd();
    if plan.among_the_machines {
        return change_root(root, plan.root);
    }
    if plan.readonly {
        let attr = MountAttr { set: options::RDONLY, ..MountAttr::default() };
        mount_setattr(root, c"", false, &attr).map_err(|e| failed("make read-only", "/", e))?;
    }
    if plan.is_shared() {
        pivot_out_of_shared(root, plan.root)?;
    } else {
        pivot(root, plan.root)?;
    }
    if let Some(word) = plan.propagation {
        let (flag, recursive) = options::parse_propagation(word)
            .ok_or_else(|| invalid("linux.rootfsPropagation", word, "is none of shared, slave, private, unbindable"))?;
        let attr = MountAttr { propagation: flag, ..MountAttr::default() };
        mount_setattr(root, c"", recursive, &attr).map_err(|e| failed("set propagation", word, e))?;
    }
    Ok(())
}

/// chroot(2) to a folder that was opened.
pub(crate) fn change_root(root: BorrowedFd<'_>, name: &Path) -> Result<()> {
    rustix::process::fchdir(root).map_err(|e| failed("enter root", name.display(), e))?;
    rustix::process::chroot(".").map_err(|e| failed("chroot", name.display(), e))
}

/// pivot_root(2) without a place for the old root: it ends up mounted on top of the new one, and is detached from there; before it what
/// was mounted over it, as the new root of a sandbox was and what that lay on.
pub(crate) fn pivot(root: BorrowedFd<'_>, name: &Path) -> Result<()> {
    rustix::process::fchdir(root).map_err(|e| failed("enter root", name.display(), e))?;
    rustix::process::pivot_root(".", ".").map_err(|e| failed("pivot_root", name.display(), e))?;
    uncover(name)
}

/// Detaches all that is mounted over the new root, in which this process is, and enters it.
fn uncover(name: &Path) -> Result<()> {
    loop {
        rustix::mount::unmount(".", UnmountFlags::DETACH)
            .map_err(|e| failed("detach the old root of", name.display(), e))?;
        if !is_covered().map_err(|e| failed("look at", "/", e))? {
            break;
        }
    }
    rustix::process::chdir("/").map_err(|e| failed("enter", "/", e))
}

/// Whether something is mounted over the root, where this process is: `.` is the directory itself, `..` leads to what lies on it.
fn is_covered() -> rustix::io::Result<bool> {
    let mount = |path: &str| {
        let stat = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?;
        Ok::<_, rustix::io::Errno>(stat.stx_mnt_id)
    };
    Ok(mount(".")? != mount("..")?)
}

/// The same where the old root may be shared with the machine: made a slave first, with what was mounted over it, or the machine would
/// lose its mounts with us.
fn pivot_out_of_shared(root: BorrowedFd<'_>, name: &Path) -> Result<()> {
    let old = crate::file::open_dir(Path::new("/")).map_err(|e| failed("open", "/", e))?;
    rustix::process::fchdir(root).map_err(|e| failed("enter root", name.display(), e))?;
    rustix::process::pivot_root(".", ".").map_err(|e| failed("pivot_root", name.display(), e))?;
    rustix::process::fchdir(&old).map_err(|e| failed("enter", "the old root", e))?;
    rustix::mount::mount_change(".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|e| failed("make slave", "the old root", e))?;
    rustix::process::fchdir(root).map_err(|e| failed("enter root", name.display(), e))?;
    uncover(name)
}

/// Puts the detached mount `from` over the file or folder `to`.
pub(crate) fn attach(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> std::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(from, "", to, "", flags)?)
}

/// Puts the detached mount `from` over `name` in the folder `to`, which must be one of our own making.
pub(crate) fn attach_below(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &str) -> std::io::Result<()> {
    Ok(rustix::mount::move_mount(from, "", to, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// A detached copy of the mount (tree) at `fd`.
pub(crate) fn copy_of(fd: BorrowedFd<'_>, recursive: bool) -> std::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(fd, "", flags)?)
}
