//! Id-mapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP): a mount that shows the owners of its files shifted by the map of a
//! user namespace that exists only for this.

use crate::error::{Result, failed, invalid};
use crate::idmap::{self, IdRange, Ids};
use crate::rootfs::options::{IDMAP, IdMapped};
use rustix::fs::{CWD, Mode, OFlags};
use spec::runtime::Mount;
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::mount_attr::{MountAttr, mount_setattr};
use sys::spawn::{Clone3, Fork};

/// The user namespaces that `mounts` need, one place an entry. Made by the process that sees its children in its own /proc, so
/// before the container's first process is.
pub(crate) fn prepare(mounts: &[Mount]) -> Result<Vec<Option<OwnedFd>>> {
    let one = |entry: &Mount| {
        let listed = entry.uid_mappings().is_some() || entry.gid_mappings().is_some();
        let asked = entry.options().iter().flatten().any(|o| o == "idmap" || o == "ridmap");
        if !listed && !asked {
            return Ok(None);
        }
        let name = entry.destination().display();
        let users = idmap::of_config(entry.uid_mappings().as_ref());
        let groups = idmap::of_config(entry.gid_mappings().as_ref());
        if users.is_empty() || groups.is_empty() {
            return Err(invalid("idmap mount", name, "needs both uidMappings and gidMappings"));
        }
        user_namespace(&users, &groups).map(Some)
    };
    mounts.iter().map(one).collect()
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
