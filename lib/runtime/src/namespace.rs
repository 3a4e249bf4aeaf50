//! The eight kinds of namespace, and which of them a container makes, joins, or shares with its caller.
//!
//! Order (namespaces(7), user_namespaces(7)): what is joined by path is joined before a new user namespace is made, while the
//! caller's privileges still reach it; a user namespace that is itself joined comes before all others; new namespaces come
//! last, and the kernel makes the user namespace first, so that it owns the rest.

use crate::error::{Result, failed, invalid};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use std::os::fd::{AsFd, OwnedFd};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Ids and capabilities.
    User,
    /// The view of the cgroup tree.
    Cgroup,
    /// System V and POSIX message queues, semaphores, shared memory.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Links, addresses, routes.
    Net,
    /// Process ids.
    Pid,
    /// Mounts.
    Mnt,
    /// Offsets of the monotonic and boot clocks.
    Time,
}

impl Namespace {
    /// All kinds, in the order in which nsenter(1) enters them: the user namespace first, the mount namespace last but for
    /// time, so that paths of the caller can be opened until then.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Cgroup, Self::Ipc, Self::Uts, Self::Net, Self::Pid, Self::Mnt, Self::Time];

    /// The `CLONE_NEW*` bit.
    pub const fn flag(self) -> u64 {
        (match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Net => libc::CLONE_NEWNET,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Mnt => libc::CLONE_NEWNS,
            Self::Time => 0x80,
        }) as u64
    }

    /// Its file in `/proc/PID/ns`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::Mnt => "mnt",
            Self::Time => "time",
        }
    }

    fn link_type(self) -> LinkNameSpaceType {
        match self {
            Self::User => LinkNameSpaceType::User,
            Self::Cgroup => LinkNameSpaceType::ControlGroup,
            Self::Ipc => LinkNameSpaceType::InterProcessCommunication,
            Self::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            Self::Net => LinkNameSpaceType::Network,
            Self::Pid => LinkNameSpaceType::ProcessID,
            Self::Mnt => LinkNameSpaceType::Mount,
            Self::Time => LinkNameSpaceType::Time,
        }
    }

    /// Moves this process (its children, for pid and time) into the namespace behind `fd`.
    pub fn enter(self, fd: impl AsFd) -> rustix::io::Result<()> {
        move_into_link_name_space(fd.as_fd(), Some(self.link_type()))
    }

    /// The file of this kind of process `pid` (`"self"` too).
    pub fn path_of(self, pid: impl std::fmt::Display) -> String {
        format!("/proc/{pid}/ns/{}", self.name())
    }

    /// Whether `fd` is the namespace of this kind that this process is in.
    fn is_ours(self, fd: &OwnedFd) -> Result<bool> {
        let own = self.path_of("self");
        let theirs = rustix::fs::fstat(fd).map_err(|e| failed("look at namespace", self.name(), e))?;
        let ours = rustix::fs::stat(&own).map_err(|e| failed("look at", own, e))?;
        Ok((theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino))
    }

    /// Whether process `pid` and this one are in the same namespace of this kind.
    pub fn shared_with(self, pid: i32) -> std::io::Result<bool> {
        let (a, b) = (rustix::fs::stat(self.path_of("self"))?, rustix::fs::stat(self.path_of(pid))?);
        Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }
}

impl From<LinuxNamespaceType> for Namespace {
    fn from(kind: LinuxNamespaceType) -> Self {
        match kind {
            LinuxNamespaceType::User => Self::User,
            LinuxNamespaceType::Cgroup => Self::Cgroup,
            LinuxNamespaceType::Ipc => Self::Ipc,
            LinuxNamespaceType::Uts => Self::Uts,
            LinuxNamespaceType::Network => Self::Net,
            LinuxNamespaceType::Pid => Self::Pid,
            LinuxNamespaceType::Mount => Self::Mnt,
            LinuxNamespaceType::Time => Self::Time,
        }
    }
}

/// What a container's configuration says of namespaces.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// To be made.
    pub(crate) new: Vec<Namespace>,
    /// To be joined, opened already.
    pub(crate) join: Vec<(Namespace, String, OwnedFd)>,
}

impl Namespaces {
    /// Opens the paths of the configuration. One that leads to where the caller is already is not joined but inherited, as if it were not
    /// listed: nothing there is the container's own, to be mounted in, named or written to.
    pub(crate) fn open(listed: &[LinuxNamespace]) -> Result<Self> {
        let mut all = Self::default();
        let mut seen = Vec::new();
        for one in listed {
            let kind = Namespace::from(one.typ());
            if seen.contains(&kind) {
                return Err(invalid("linux.namespaces", kind.name(), "is listed twice"));
            }
            seen.push(kind);
            match one.path().as_ref().filter(|p| !p.as_os_str().is_empty()) {
                None => all.new.push(kind),
                Some(path) => {
                    let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|e| failed("open namespace", path.display(), e))?;
                    if !kind.is_ours(&fd)? {
                        all.join.push((kind, path.display().to_string(), fd));
                    }
                }
            }
        }
        all.join.sort_by_key(|(kind, ..)| *kind);
        Ok(all)
    }

    /// Whether one of this kind is made.
    pub(crate) fn makes(&self, kind: Namespace) -> bool {
        self.new.contains(&kind)
    }

    /// Whether one of this kind is joined.
    pub(crate) fn joins(&self, kind: Namespace) -> bool {
        self.join.iter().any(|(k, ..)| *k == kind)
    }

    /// Whether the container's one of this kind is not the caller's.
    pub(crate) fn apart(&self, kind: Namespace) -> bool {
        self.makes(kind) || self.joins(kind)
    }

    /// The flags for clone3: all new ones but cgroup, whose root is the group at that moment and so comes after the join,
    /// and time, which takes effect for children only.
    pub(crate) fn clone_flags(&self) -> u64 {
        self.new.iter().filter(|k| !matches!(k, Namespace::Cgroup | Namespace::Time)).fold(0, |all, k| all | k.flag())
    }

    /// Joins what is joined by path. A namespace that belongs to a user namespace which is joined here as well opens up only
    /// after that one; one that does not may only be reached before: so those that fail are tried again at the end.
    pub(crate) fn join_all(&self) -> Result<()> {
        let mut later = Vec::new();
        for (kind, path, fd) in self.join.iter().filter(|(k, ..)| *k != Namespace::User) {
            match kind.enter(fd) {
                Ok(()) => {}
                Err(rustix::io::Errno::PERM) if self.joins(Namespace::User) => later.push((kind, path, fd)),
                Err(e) => return Err(failed("setns", path, e)),
            }
        }
        if let Some((kind, path, fd)) = self.join.iter().find(|(k, ..)| *k == Namespace::User) {
            kind.enter(fd).map_err(|e| failed("setns", path, e))?;
            become_root()?;
        }
        for (kind, path, fd) in later {
            kind.enter(fd).map_err(|e| failed("setns", path, e))?;
        }
        Ok(())
    }
}

/// Becomes root of the user namespace just entered, as far as its map has a root.
pub(crate) fn become_root() -> Result<()> {
    use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
    // Refused where setgroups is denied (user_namespaces(7)): then the groups of the caller stay, as everywhere.
    let _ = setgroups(&[]);
    let gid = Gid::from_raw(0);
    let uid = Uid::from_raw(0);
    match setresgid(gid, gid, gid) {
        Ok(()) | Err(nix::Error::EINVAL) => {}
        Err(e) => return Err(failed("setresgid", 0, e)),
    }
    match setresuid(uid, uid, uid) {
        Ok(()) | Err(nix::Error::EINVAL) => Ok(()),
        Err(e) => Err(failed("setresuid", 0, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Namespace, Namespaces};
    use spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType};

    #[test]
    fn a_kind_listed_twice_is_refused() {
        let one = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Pid).build().unwrap();
        let error = Namespaces::open(&[one.clone(), one]).unwrap_err();
        assert_eq!(error.to_string(), "linux.namespaces pid: is listed twice");
    }

    #[test]
    fn a_path_to_the_callers_own_is_inherited() {
        let listed = [
            (LinuxNamespaceType::Mount, Namespace::Mnt),
            (LinuxNamespaceType::User, Namespace::User),
            (LinuxNamespaceType::Cgroup, Namespace::Cgroup),
        ];
        for (typ, kind) in listed {
            let one = LinuxNamespaceBuilder::default().typ(typ).path(kind.path_of("self")).build().unwrap();
            let all = Namespaces::open(std::slice::from_ref(&one)).unwrap();
            assert!(!all.apart(kind) && all.join.is_empty(), "{kind:?}");
            let error = Namespaces::open(&[one.clone(), one]).unwrap_err();
            assert_eq!(error.to_string(), format!("linux.namespaces {}: is listed twice", kind.name()));
        }
    }

    #[test]
    fn cgroup_and_time_are_not_cloned() {
        let all = Namespaces { new: vec![Namespace::Pid, Namespace::Cgroup, Namespace::Time], join: Vec::new() };
        assert_eq!(all.clone_flags(), Namespace::Pid.flag());
    }
}
