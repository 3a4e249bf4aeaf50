//! Id-mapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP): a mount that shows the owners of its files shifted by the map of a
//! user namespace that exists only for this.

use crate::error::{Result, failed, invalid};
use crate::idmap::{self, IdRange, Ids};
use crate::namespace::{Namespace, Namespaces};
use crate::rootfs::options::{IDMAP, IdMapped};
use rustix::fs::{CWD, Mode, OFlags};
use spec::runtime::{Linux, Mount};
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::mount_attr::{MountAttr, mount_setattr};
use sys::spawn::{Clone3, Fork};

/// The user namespace by whose map the owners on `mount` are shifted: one with the map listed there, else the container's own where it is `asked`
/// for. Made by the process that sees its children in its own /proc, so before the container's first process is.
pub(crate) fn namespace_of(
    mount: &Mount,
    asked: bool,
    linux: Option<&Linux>,
    namespaces: &Namespaces,
) -> Result<Option<OwnedFd>> {
    let (users, groups) = (mount.uid_mappings().as_ref(), mount.gid_mappings().as_ref());
    if users.is_none() && groups.is_none() && !asked {
        return Ok(None);
    }
    let refused = |why: &str| Err(invalid("idmap mount", mount.destination().display(), why));
    let (users, groups) = (idmap::of_config(users), idmap::of_config(groups));
    match (users.is_empty(), groups.is_empty()) {
        (false, false) => return user_namespace(&users, &groups).map(Some),
        (true, true) => {}
        _ => return refused("needs both uidMappings and gidMappings"),
    }
    if let Some((_, path, joined)) = namespaces.join.iter().find(|(kind, ..)| *kind == Namespace::User) {
        return rustix::io::fcntl_dupfd_cloexec(joined, 3).map(Some).map_err(|e| failed("duplicate", path, e));
    }
    let Some(linux) = linux.filter(|_| namespaces.makes(Namespace::User)) else {
        return refused("needs uidMappings and gidMappings, or a user namespace of the container's own");
    };
    let (users, groups) = (linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref());
    user_namespace(&idmap::of_config(users), &idmap::of_config(groups)).map(Some)
}

/// Shifts the owners on a detached mount by the map of `namespace`.
pub(crate) fn apply(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>, mode: Option<IdMapped>) -> std::io::Result<()> {
    let attr = MountAttr { set: IDMAP, user_namespace: Some(namespace), ..MountAttr::default() };
    mount_setattr(mount, c"", mode == Some(IdMapped::Tree), &attr)
}

/// A user namespace with this map, alive as long as the descriptor.
fn user_namespace(users: &[IdRange], groups: &[IdRange]) -> Result<OwnedFd> {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed("pipe", "", e))?;
    let what = Clone3 { flags: libc::CLONE_NEWUSER as u64, cgroup: None };
    match sys::spawn::clone3(&what).map_err(|e| failed("clone3", "user namespace", e))? {
        Fork::Child => {
            drop(writer);
            // Ends when the parent closes its side, or is gone.
            let _ = rustix::io::read(&reader, &mut [0_u8; 1][..]);
            sys::spawn::exit_now(0)
        }
        Fork::Parent(pid, _) => {
            drop(reader);
            let made = idmap::write(pid, Ids::Users, users)
                .and_then(|()| idmap::write(pid, Ids::Groups, groups))
                .and_then(|()| {
                    let path = format!("/proc/{pid}/ns/user");
                    rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|e| failed("open", path, e))
                });
            drop(writer);
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            made
        }
    }
}
