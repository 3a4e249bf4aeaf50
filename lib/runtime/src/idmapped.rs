//! Id-mapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP): a mount that shows the owners of its files shifted by the map of a
//! user namespace that exists only for this.

use crate::error::{Error, Result, failed, invalid};
use crate::idmap::{self, IdRange, Ids};
use crate::rootfs::options::{IDMAP, IdMapped};
use rustix::fs::{CWD, Mode, OFlags};
use spec::runtime::Mount;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount_attr::{MountAttr, mount_setattr};
use sys::spawn::{Clone3, Fork};

/// An error that still wants to know which mount it was about.
#[derive(Debug)]
pub(crate) struct Unplaced(Error);

impl Unplaced {
    pub(crate) fn at(self, destination: &str) -> Error {
        let Self(mut error) = self;
        error.subject = if error.subject.is_empty() { destination.to_owned() } else { format!("{destination}: {}", error.subject) };
        error
    }
}

impl From<Error> for Unplaced {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Maps the ids of a detached mount as its entry says.
pub(crate) fn apply(mount: BorrowedFd<'_>, entry: &Mount, mode: Option<IdMapped>) -> std::result::Result<(), Unplaced> {
    let (users, groups) = (idmap::of_config(entry.uid_mappings().as_ref()), idmap::of_config(entry.gid_mappings().as_ref()));
    if users.is_empty() || groups.is_empty() {
        return Err(Unplaced(invalid("idmap mount", "", "needs both uidMappings and gidMappings")));
    }
    let namespace = user_namespace(&users, &groups)?;
    let attr = MountAttr { set: IDMAP, user_namespace: Some(namespace.as_fd()), ..MountAttr::default() };
    let recursive = mode == Some(IdMapped::Tree);
    mount_setattr(mount, c"", recursive, &attr).map_err(|e| Unplaced(failed("idmap mount", "", e)))
}

/// A user namespace with this map, alive as long as the descriptor.
fn user_namespace(users: &[IdRange], groups: &[IdRange]) -> Result<OwnedFd> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed("pipe", "", e))?;
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
            let made = idmap::write(pid, Ids::Users, users).and_then(|()| idmap::write(pid, Ids::Groups, groups)).and_then(|()| {
                let path = format!("/proc/{pid}/ns/user");
                rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|e| failed("open", path, e))
            });
            drop(writer);
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            made
        }
    }
}
