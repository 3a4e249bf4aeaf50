//! One mount of the configuration (runtime-spec "Mounts").
//!
//! What a user namespace may not mount is bound from the machine instead, as crun does: sysfs without a network namespace of
//! the own, mqueue without an ipc namespace, proc where the machine's own is partly covered, cgroup2.

use super::entries::Entry;
use super::fsmount::{self, Refused};
use super::options::{self, Options};
use super::tree::{Make, Tree, is_dir};
use super::{attach, cgroups, copy_of};
use crate::cgroup::View;
use crate::defence::{Defence, by_name, is_off};
use crate::error::{Error, Kind, Result, failed, invalid};
use rustix::fs::{CWD, OFlags};
use rustix::mount::OpenTreeFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mount_attr::{MountAttr, mount_setattr};

/// The usual cause (moby's words).
const MISMATCH: &str = "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the \
                        expected type";

/// Where mounts go, and what they need to know.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) cgroups: &'a View,
    pub(crate) own_cgroup_namespace: bool,
}

impl Site<'_> {
    /// Mounts one entry.
    pub(crate) fn mount(&self, entry: &Entry) -> Result<()> {
        if entry.options.remount {
            return self.change(&entry.destination, &entry.name, &entry.options);
        }
        if let Some(recursive) = entry.options.bind {
            return self.bind(entry, recursive);
        }
        match entry.kind.as_str() {
            "cgroup" | "cgroup2" => cgroups::mount(self, &entry.name, &entry.destination, &entry.options),
            kind => self.file_system(entry, kind),
        }
    }

    fn bind(&self, entry: &Entry, recursive: bool) -> Result<()> {
        let source = entry.source.as_deref().unwrap_or(Path::new(""));
        let say = |e: std::io::Error| {
            Error::new(Kind::Failed, "bind mount", format!("{} on {}", source.display(), entry.name)).because(e)
        };
        let detached = match &entry.detached {
            Some(cloned) => rustix::io::fcntl_dupfd_cloexec(cloned, 3).map_err(|e| say(e.into()))?,
            None => clone_tree(source, recursive).map_err(say)?,
        };
        let make = if is_dir(&detached).map_err(|e| failed("stat", source.display(), e))? {
            Make::Directory
        } else {
            Make::File
        };
        self.finish(detached, &entry.destination, &entry.name, make, &entry.options)
    }

    /// Gives a detached mount its attributes and puts it in place.
    pub(crate) fn finish(
        &self,
        detached: OwnedFd,
        destination: &Path,
        name: &str,
        make: Make,
        options: &Options,
    ) -> Result<()> {
        let attributes = [(options.recursive, true), (options.attributes, false)];
        for (attributes, recursive) in attributes.into_iter().filter(|(a, _)| !a.is_empty()) {
            let attr = MountAttr { set: attributes.set, clear: attributes.clear, ..MountAttr::default() };
            mount_setattr(detached.as_fd(), c"", recursive, &attr)
                .map_err(|e| failed("set mount attributes of", name, e))?;
        }
        let mut place = self.tree.ensure(destination, make).map_err(|e| failed("make mount point", name, e))?;
        if let Some(named) = by_name(Defence::MountPoint, self.tree.as_fd(), destination) {
            place = named.map_err(|e| failed("open mount point", name, e))?;
        }
        attach(detached.as_fd(), place.as_fd()).map_err(|e| {
            let error = failed("mount", name, e);
            match error.raw_os_error() {
                Some(libc::EINVAL | libc::ENOTDIR) => error.hint(MISMATCH),
                _ => error,
            }
        })?;
        for (propagation, recursive) in &options.propagation {
            let attr = MountAttr { propagation: *propagation, ..MountAttr::default() };
            mount_setattr(detached.as_fd(), c"", *recursive, &attr)
                .map_err(|e| failed("set propagation of", name, e))?;
        }
        Ok(())
    }

    fn file_system(&self, entry: &Entry, kind: &str) -> Result<()> {
        let (destination, name) = (entry.destination.as_path(), entry.name.as_str());
        let source = entry.source.as_ref().map(|s| s.display().to_string()).unwrap_or_else(|| kind.to_owned());
        // What the runtime itself trusts must not be led elsewhere by a link of the image (CVE-2019-19921).
        let trusted = matches!(kind, "proc" | "sysfs") || entry.is_dev();
        if trusted && !is_off(Defence::PlainDirectory) {
            self.plain_directory(destination, name)?;
        }
        let mut options = entry.options.clone();
        if kind == "tmpfs" {
            self.keep_mode(destination, &mut options);
        }
        let detached = match fsmount::detached(kind, &source, &options) {
            Ok(fd) => fd,
            Err(refused) => self.instead(kind, &source, name, &mut options, refused)?,
        };
        if options.copy_up
            && let Ok(below) = self.tree.open(destination, OFlags::RDONLY | OFlags::DIRECTORY)
        {
            super::copyup::copy(below.as_fd(), detached.as_fd()).map_err(|e| failed("copy into tmpfs", name, e))?;
        }
        if let Some(ids) = &entry.ids {
            crate::idmapped::apply(detached.as_fd(), ids.as_fd(), options.id_mapped).map_err(|e| {
                failed("map ids of mount", name, e).hint("not every file system can: see mount_setattr(2)")
            })?;
        }
        // fsmount(2) has set them already; propagation is left.
        options.attributes = options::Attributes::default();
        self.finish(detached, destination, name, Make::Directory, &options)
    }

    /// The machine's own, or fewer options, where mounting anew is refused in a user namespace.
    fn instead(
        &self,
        kind: &str,
        source: &str,
        name: &str,
        options: &mut Options,
        refused: Refused,
    ) -> Result<OwnedFd> {
        if kind == "devpts" && refused.is(libc::EINVAL) && options.data.iter().any(|d| d.starts_with("gid=")) {
            options.data.retain(|d| !d.starts_with("gid="));
            return fsmount::detached(kind, source, options).map_err(|e| e.at(name));
        }
        let own = match kind {
            "sysfs" => "/sys",
            "proc" => "/proc",
            "mqueue" => "/dev/mqueue",
            _ => return Err(refused.at(name)),
        };
        if !refused.is(libc::EPERM) && !refused.is(libc::EBUSY) {
            return Err(refused.at(name));
        }
        let detached = clone_tree(Path::new(own), true).map_err(|e| failed("bind mount", own, e))?;
        let attributes = options.attributes;
        let attr = MountAttr { set: attributes.set, ..MountAttr::default() };
        mount_setattr(detached.as_fd(), c"", true, &attr).map_err(|e| failed("set mount attributes of", name, e))?;
        Ok(detached)
    }

    /// Fails unless `destination` is, or can be made, a folder reached without any link.
    fn plain_directory(&self, destination: &Path, name: &str) -> Result<()> {
        match self.tree.open_plain(destination, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
                self.tree.ensure(destination, Make::Directory).map_err(|e| failed("make mount point", name, e))?;
                let again = self.tree.open_plain(destination, OFlags::PATH | OFlags::DIRECTORY);
                again.map(drop).map_err(|e| failed("mount", name, e))
            }
            Err(_) => Err(invalid("mount", name, "must be an ordinary directory in the root file system")),
        }
    }

    /// A tmpfs over a folder of the image keeps that folder's mode and owner unless told otherwise.
    fn keep_mode(&self, destination: &Path, options: &mut Options) {
        if options.data.iter().any(|d| d.starts_with("mode=")) {
            return;
        }
        let Ok(below) = self.tree.open(destination, OFlags::PATH) else { return };
        let Ok(stat) = rustix::fs::fstat(&below) else { return };
        options.data.push(format!("mode={:o}", stat.st_mode & 0o7777));
        for (key, id) in [("uid", stat.st_uid), ("gid", stat.st_gid)] {
            if id != 0 && id != 65534 && !options.data.iter().any(|d| d.starts_with(&format!("{key}="))) {
                options.data.push(format!("{key}={id}"));
            }
        }
    }

    /// `remount`: changes the attributes of what is mounted there.
    fn change(&self, destination: &Path, name: &str, options: &Options) -> Result<()> {
        let place = self.tree.open(destination, OFlags::PATH).map_err(|e| failed("remount", name, e))?;
        if options.bind.is_none() && !(options.data.is_empty() && options.file_system_flags.is_empty()) {
            fsmount::reconfigure(place.as_fd(), options).map_err(|e| e.at(name))?;
        }
        for (attributes, recursive) in [(options.recursive, true), (options.attributes, false)] {
            if !attributes.is_empty() {
                let attr = MountAttr { set: attributes.set, clear: attributes.clear, ..MountAttr::default() };
                mount_setattr(place.as_fd(), c"", recursive, &attr).map_err(|e| failed("remount", name, e))?;
            }
        }
        Ok(())
    }
}

/// A detached copy of what is mounted at `source` of the machine. A tree with locked mounts (of a less privileged mount
/// namespace) is copied whole or not at all (mount_namespaces(7)).
pub(crate) fn clone_tree(source: &Path, recursive: bool) -> std::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE;
    if recursive {
        return Ok(rustix::mount::open_tree(CWD, source, flags | OpenTreeFlags::AT_RECURSIVE)?);
    }
    match rustix::mount::open_tree(CWD, source, flags) {
        Err(rustix::io::Errno::INVAL) => {
            Ok(rustix::mount::open_tree(CWD, source, flags | OpenTreeFlags::AT_RECURSIVE)?)
        }
        done => Ok(done?),
    }
}

/// A file of the machine bound over a file inside.
pub(crate) fn bind_file(
    source: std::os::fd::BorrowedFd<'_>,
    place: std::os::fd::BorrowedFd<'_>,
) -> std::io::Result<()> {
    attach(copy_of(source, false)?.as_fd(), place)
}
