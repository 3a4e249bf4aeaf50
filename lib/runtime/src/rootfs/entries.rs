//! The entries of `mounts` (runtime-spec "Mounts"), read by the parent before anything exists: what is wrong with one is said then, and what the
//! container's first process could not do from inside its user namespace is done already.
//!
//! That is the shifting of owners (mount_setattr(2), MOUNT_ATTR_IDMAP), which takes CAP_SYS_ADMIN where the file system belongs to: a bind mount with
//! an id map is cloned and shifted here, and reaches the first process as a detached mount. So does every bind mount, and the root file system
//! itself, where the container has another user namespace: there the first process is nobody to a folder that only its owner may pass.

use super::elsewhere;
use super::options::{self, Options};
use crate::error::{Error, Kind, Result, failed, invalid};
use crate::idmapped;
use crate::namespace::{Namespace, Namespaces};
use spec::runtime::{Linux, Mount};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use sys::mount_attr::{MountAttr, mount_setattr};

/// One mount, ready to be made.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Absolute.
    pub(crate) destination: PathBuf,
    /// The destination as it was written.
    pub(crate) name: String,
    /// The type, `none` where none was given.
    pub(crate) kind: String,
    /// Absolute for a bind mount; anything for a file system.
    pub(crate) source: Option<PathBuf>,
    pub(crate) options: Options,
    /// By whose map its owners are shifted.
    pub(crate) ids: Option<OwnedFd>,
    /// A bind mount that was cloned already.
    pub(crate) detached: Option<OwnedFd>,
}

/// Reads `mounts` of the bundle at `bundle`; what has no effect becomes a warning.
pub(crate) fn read(
    mounts: &[Mount],
    bundle: &Path,
    linux: Option<&Linux>,
    namespaces: &Namespaces,
    warnings: &mut Vec<Error>,
) -> Result<Vec<Entry>> {
    let label = linux.and_then(|l| l.mount_label().as_deref()).filter(|label| !label.is_empty());
    mounts
        .iter()
        .map(|mount| {
            let mut entry = read_one(mount, bundle, warnings)?;
            if let Some(label) = label
                && entry.takes_label()
            {
                entry.options.data.push(format!("context={label}"));
            }
            entry.ids = idmapped::namespace_of(mount, entry.options.id_mapped.is_some(), linux, namespaces)?;
            let elsewhere = entry.source.as_deref().is_some_and(|source| elsewhere::is_in(source).is_some());
            if entry.ids.is_some() || elsewhere || namespaces.apart(Namespace::User) {
                entry.clone_now(linux)?;
            }
            Ok(entry)
        })
        .collect()
}

/// What a container has by default.
pub(crate) fn of_defaults() -> Result<Vec<Entry>> {
    let mounts = spec::defaults::mounts(spec::defaults::SHM_SIZE_BYTES);
    mounts.iter().map(|mount| read_one(mount, Path::new("/"), &mut Vec::new())).collect()
}

fn read_one(mount: &Mount, bundle: &Path, warnings: &mut Vec<Error>) -> Result<Entry> {
    let name = mount.destination().display().to_string();
    let kind = mount.typ().as_deref().filter(|kind| !kind.is_empty()).unwrap_or("none");
    let options = options::parse(&name, kind, mount.options().iter().flatten().map(String::as_str))?;
    let mut warn = |why: String| warnings.push(Error::new(Kind::Invalid, "mounts", &name).because(why));
    if mount.destination().is_relative() {
        warn("is relative, which is deprecated: it is taken from /".to_owned());
    }
    let destination = Path::new("/").join(mount.destination());
    if destination.components().all(|c| matches!(c, Component::RootDir | Component::CurDir)) {
        return Err(invalid("mount", name, "the root itself cannot be covered"));
    }
    let mut source = mount.source().clone();
    if options.bind.is_some() && !options.remount {
        let given = source.ok_or_else(|| invalid("mount", &name, "a bind mount needs a source"))?;
        source = Some(bundle.join(given));
        let idle: Vec<&str> =
            options.data.iter().map(String::as_str).chain(options.file_system_flags.iter().copied()).collect();
        if !idle.is_empty() {
            warn(format!("{} has no effect: it is the file system's, which a bind mount only shows", idle.join(",")));
        }
    }
    Ok(Entry { destination, name, kind: kind.to_owned(), source, options, ids: None, detached: None })
}

impl Entry {
    /// Whether it is at /dev.
    pub(crate) fn is_dev(&self) -> bool {
        self.destination.components().filter(|c| *c != Component::CurDir).eq(Path::new("/dev").components())
    }

    /// Whether it shows groups.
    pub(crate) fn is_cgroup(&self) -> bool {
        matches!(self.kind.as_str(), "cgroup" | "cgroup2")
    }

    /// Whether it shows something of the machine.
    pub(crate) fn is_bind(&self) -> bool {
        self.options.bind.is_some() || self.kind == "none"
    }

    /// File systems that SELinux labels by an option of the mount; the others have labels of their own (runc: `mountToRootfs`).
    fn takes_label(&self) -> bool {
        let own = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"].contains(&self.kind.as_str());
        !self.is_bind() && !self.options.remount && !own
    }

    /// Clones a bind mount, and shifts it where it is to be. What it is cloned from may be shared with the whole machine, so that goes
    /// first.
    fn clone_now(&mut self, linux: Option<&Linux>) -> Result<()> {
        let (Some(recursive), Some(source)) = (self.options.bind.filter(|_| !self.options.remount), &self.source)
        else {
            return Ok(());
        };
        let cloned = match elsewhere::is_in(source) {
            Some((pid, path)) => elsewhere::clone_tree(pid, path, recursive),
            None => super::mounts::clone_tree(source, recursive),
        };
        if self.ids.is_none() && cloned.as_ref().is_err_and(is_for_the_container) {
            return Ok(());
        }
        let detached = cloned.map_err(|e| {
            Error::new(Kind::Failed, "bind mount", format!("{} on {}", source.display(), self.name)).because(e)
        })?;
        if let Some(ids) = &self.ids {
            idmapped::apply(detached.as_fd(), ids.as_fd(), self.options.id_mapped).map_err(|e| {
                failed("map ids of mount", &self.name, e).hint("not every file system can: see mount_setattr(2)")
            })?;
        }
        set_propagation(&detached, linux, &self.name)?;
        self.detached = Some(detached);
        Ok(())
    }
}

/// The root file system `path` as a detached mount, where the container's first process could not reach it by name: in a user
/// namespace of its own it is nobody to the folders above. None where it can.
pub(crate) fn clone_root(path: &Path, linux: Option<&Linux>, namespaces: &Namespaces) -> Result<Option<OwnedFd>> {
    if !namespaces.apart(Namespace::User) || !namespaces.apart(Namespace::Mnt) {
        return Ok(None);
    }
    let detached = match super::mounts::clone_tree(path, true) {
        Err(e) if is_for_the_container(&e) => return Ok(None),
        cloned => cloned.map_err(|e| failed("open root", path.display(), e))?,
    };
    set_propagation(&detached, linux, &path.display().to_string())?;
    Ok(Some(detached))
}

/// Who has no rights over mounts here gets them in the container's own user namespace: there it is tried again.
pub(super) fn is_for_the_container(e: &std::io::Error) -> bool {
    e.kind() == std::io::ErrorKind::PermissionDenied
}

/// As [`super::assemble`] gives it to all mounts of the container.
pub(super) fn set_propagation(detached: &OwnedFd, linux: Option<&Linux>, name: &str) -> Result<()> {
    let word = linux.and_then(|l| l.rootfs_propagation().as_deref()).and_then(options::parse_propagation);
    let propagation = match word {
        Some((libc::MS_SHARED, _)) => return Ok(()),
        Some((libc::MS_PRIVATE, _)) => libc::MS_PRIVATE,
        _ => libc::MS_SLAVE,
    };
    let attr = MountAttr { propagation, ..MountAttr::default() };
    mount_setattr(detached.as_fd(), c"", true, &attr).map_err(|e| failed("make slave", name, e))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::namespace::Namespaces;
    use spec::runtime::Mount;
    use std::path::Path;

    fn of(json: serde_json::Value) -> (Result<Vec<super::Entry>, String>, Vec<String>) {
        let mount: Mount = serde_json::from_value(json).unwrap();
        let mut warnings = Vec::new();
        let read = read(&[mount], Path::new("/b"), None, &Namespaces::default(), &mut warnings);
        (read.map_err(|e| e.to_string()), warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn relative_places_are_taken_from_the_root_or_the_bundle() {
        let (entries, warnings) = of(serde_json::json!({ "destination": "dev", "source": "x", "options": ["rbind"] }));
        let entries = entries.unwrap();
        assert_eq!((entries[0].destination.as_path(), entries[0].is_dev()), (Path::new("/dev"), true));
        assert_eq!(entries[0].source.as_deref(), Some(Path::new("/b/x")));
        assert_eq!(warnings, ["mounts dev: is relative, which is deprecated: it is taken from /"]);
    }

    #[test]
    fn what_a_bind_mount_cannot_have_is_told() {
        let (_, warnings) =
            of(serde_json::json!({ "destination": "/x", "source": "/", "options": ["bind", "sync", "mode=755"] }));
        assert_eq!(
            warnings,
            ["mounts /x: mode=755,sync has no effect: it is the file system's, which a bind mount only shows"]
        );
    }

    #[test]
    fn what_makes_no_mount_is_refused() {
        let refused = |json| of(json).0.unwrap_err();
        assert_eq!(refused(serde_json::json!({ "destination": "/" })), "mount /: the root itself cannot be covered");
        assert_eq!(
            refused(serde_json::json!({ "destination": "/x", "type": "bind" })),
            "mount /x: a bind mount needs a source"
        );
        assert_eq!(
            refused(serde_json::json!({ "destination": "/x", "type": "tmpfs", "options": ["idmap"] })),
            "idmap mount /x: needs uidMappings and gidMappings, or a user namespace of the container's own"
        );
        let one = serde_json::json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        assert_eq!(
            refused(
                serde_json::json!({ "destination": "/x", "source": "/", "options": ["bind", "idmap"], "uidMappings": one })
            ),
            "idmap mount /x: needs both uidMappings and gidMappings"
        );
    }
}
