//! Which namespaces are entered, opened; and in which order they are entered.
//!
//! Those of the target go in one setns(2) on its pidfd, the others one by one. Two rounds, as nsenter(1) makes them: first all but
//! the user namespace, whatever fails, for who has rights here and will have fewer there; then the user namespace and what is
//! left, for who gains them there.

use super::Enter;
use crate::error::{Error, Result, failed, invalid};
use crate::namespace::Namespace;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::ThreadNameSpaceType;
use std::os::fd::{AsFd, OwnedFd};

/// Namespaces to enter.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    pid: i32,
    /// The target's.
    targets: Vec<Namespace>,
    /// By descriptor, each with what to call it.
    files: Vec<(Namespace, String, OwnedFd)>,
}

/// Opens what `enter` names; `target` is its process.
pub(super) fn open(enter: &Enter, target: Option<&OwnedFd>) -> Result<Spaces> {
    let mut all = Spaces::default();
    for (kind, path) in &enter.namespaces {
        match path {
            None => all.targets.push(*kind),
            Some(path) => {
                let fd = match path.to_str().and_then(|path| path.strip_prefix(':')) {
                    Some(id) => by_id(*kind, id)?,
                    None => rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|e| failed("open namespace", path.display(), e))?,
                };
                all.files.push((*kind, path.display().to_string(), fd));
            }
        }
    }
    if let Some(number) = enter.net_socket {
        let socket = socket_of(enter, target, number)?;
        all.targets.retain(|k| *k != Namespace::Net);
        all.files.retain(|(k, ..)| *k != Namespace::Net);
        all.files.push((Namespace::Net, format!("of socket {number}"), socket));
    }
    if enter.all || !all.targets.is_empty() {
        all.pid = enter.pid("namespaces")?;
        for kind in Namespace::ALL.into_iter().filter(|_| enter.all) {
            if !all.has(kind) && !shares(kind, all.pid)? {
                all.targets.push(kind);
            }
        }
        // setns(2) refuses the user namespace one is in.
        if all.targets.contains(&Namespace::User) && shares(Namespace::User, all.pid)? {
            all.targets.retain(|k| *k != Namespace::User);
        }
    }
    if enter.user_parent {
        let parent = parent_of(enter, &all)?;
        all.targets.retain(|k| *k != Namespace::User);
        all.files.retain(|(k, ..)| *k != Namespace::User);
        all.files.push((Namespace::User, "of the parent".to_owned(), parent));
    }
    Ok(all)
}

/// The namespace with this id (NS_GET_ID of ioctl_nsfs(2); lsns(8) shows it), by the handle of a file of its file system: `struct
/// nsfs_file_handle` of <linux/nsfs.h>. The first kernels that have ids open only what the rest of the handle fits too: there it is looked
/// for among the namespaces that processes are in.
fn by_id(kind: Namespace, id: &str) -> Result<OwnedFd> {
    let number: u64 = id.parse().map_err(|_| invalid("namespace", format!(":{id}"), "is no id of a namespace"))?;
    let open = |pid: &str| rustix::fs::openat(CWD, kind.path_of(pid), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = open("self").map_err(|e| failed("open namespace", kind.name(), e))?;
    let of = |file: &OwnedFd| sys::file_handle::handle_of(file.as_fd());
    let handle = of(&own).map_err(|e| {
        failed("open namespace", format!(":{id}"), e).hint("ids are known from Linux 6.18 on: name a file or a process")
    })?;
    let bytes = [&number.to_ne_bytes()[..], &[0; 8]].concat();
    let wanted = sys::file_handle::FileHandle { kind: handle.kind, bytes };
    if let Ok(found) = sys::file_handle::open_handle(own.as_fd(), &wanted, libc::O_RDONLY) {
        return Ok(found);
    }
    let say = |e: rustix::io::Errno| failed("list", "/proc", e);
    let all = rustix::fs::openat(CWD, "/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    for entry in rustix::fs::Dir::new(all.map_err(say)?).map_err(say)? {
        let entry = entry.map_err(say)?;
        let name = entry.file_name().to_string_lossy();
        if name.parse::<i32>().is_ok()
            && let Ok(file) = open(&name)
            && of(&file).is_ok_and(|handle| handle.bytes.starts_with(&number.to_ne_bytes()))
        {
            return Ok(file);
        }
    }
    let why = format!("there is no {} namespace of that id, or no process in it", kind.name());
    Err(Error::new(crate::error::Kind::Failed, "open namespace", format!(":{id}")).because(why))
}

fn shares(kind: Namespace, pid: i32) -> Result<bool> {
    match kind.shared_with(pid) {
        // This kernel has no such kind.
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) && rustix::fs::stat(kind.path_of("self")).is_err() => Ok(true),
        done => done.map_err(|e| failed("look at namespaces of", pid, e)),
    }
}

/// The network namespace of a socket that the target has open.
fn socket_of(enter: &Enter, target: Option<&OwnedFd>, number: i32) -> Result<OwnedFd> {
    let pid = enter.pid("the namespace of a socket")?;
    let target = target.ok_or_else(|| invalid("--net-socket", number, "needs a target"))?;
    let flags = rustix::process::PidfdGetfdFlags::empty();
    let socket = rustix::process::pidfd_getfd(target, number, flags)
        .map_err(|e| failed("take descriptor", format!("{number} of process {pid}"), e))?;
    sys::namespace::of_socket(socket.as_fd()).map_err(|e| {
        let none = e.raw_os_error() == Some(libc::ENOTTY);
        let error = failed("find the namespace of socket", number, e);
        if none { error.hint("the descriptor is no socket") } else { error }
    })
}

/// The parent of the user namespace that was named, of the target's, or the owner of the first that was named.
fn parent_of(enter: &Enter, all: &Spaces) -> Result<OwnedFd> {
    let named = all.files.iter().find(|(k, ..)| *k == Namespace::User);
    let other = || all.files.iter().find(|_| enter.target.is_none());
    let parent = match named.or_else(other) {
        Some((_, _, fd)) => sys::namespace::owner_of(fd.as_fd()),
        None => {
            let path = Namespace::User.path_of(enter.pid("the parent user namespace")?);
            let fd = rustix::fs::openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| failed("open namespace", path, e))?;
            sys::namespace::owner_of(fd.as_fd())
        }
    };
    parent.map_err(|e| {
        let outside = e.raw_os_error() == Some(libc::EPERM);
        let error = failed("open", "the parent user namespace", e);
        if outside { error.hint("it lies outside of our own, or the target is in the machine's first") } else { error }
    })
}

impl Spaces {
    /// Whether nothing is entered.
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.files.is_empty()
    }

    /// Whether one of this kind is entered.
    pub(super) fn has(&self, kind: Namespace) -> bool {
        self.targets.contains(&kind) || self.files.iter().any(|(k, ..)| *k == kind)
    }

    /// Goes in.
    pub(super) fn enter(&self, target: Option<&OwnedFd>) -> Result<()> {
        let but_user: Vec<Namespace> = self.targets.iter().copied().filter(|k| *k != Namespace::User).collect();
        let mut left = self.targets.clone();
        let mut files: Vec<&(Namespace, String, OwnedFd)> = self.files.iter().collect();
        if self.has(Namespace::User) {
            if set(target, &but_user).is_ok() {
                left.retain(|k| *k == Namespace::User);
            }
            files.retain(|(kind, _, fd)| *kind == Namespace::User || kind.enter(fd).is_err());
            files.sort_by_key(|(kind, ..)| *kind);
            // One that is a file comes before what it opens up of the target.
            if let Some((kind, name, fd)) = files.first().filter(|(k, ..)| *k == Namespace::User) {
                kind.enter(fd).map_err(|e| self.refused(failed("enter namespace", name, e), e))?;
                files.remove(0);
            }
        }
        set(target, &left).map_err(|e| {
            let names: Vec<&str> = left.iter().map(|k| k.name()).collect();
            self.refused(failed("enter namespaces", format!("{} of {}", names.join(" "), self.pid), e), e)
        })?;
        for (kind, name, fd) in files {
            kind.enter(fd).map_err(|e| self.refused(failed("enter namespace", name, e), e))?;
        }
        Ok(())
    }

    fn refused(&self, error: Error, errno: rustix::io::Errno) -> Error {
        match errno {
            rustix::io::Errno::PERM if !self.has(Namespace::User) => {
                error.hint("be root, or enter the user namespace they belong to as well (--user, or --all)")
            }
            rustix::io::Errno::PERM => error.hint("be root, or the user who made that user namespace"),
            rustix::io::Errno::INVAL => error.hint("the file is no namespace of that kind, or is the one we are in"),
            rustix::io::Errno::SRCH => error.hint("the process has ended"),
            _ => error,
        }
    }
}

fn set(target: Option<&OwnedFd>, kinds: &[Namespace]) -> rustix::io::Result<()> {
    let flags = kinds.iter().fold(0, |all, kind| all | kind.flag() as u32);
    match target.filter(|_| flags != 0) {
        None => Ok(()),
        Some(target) => {
            let flags = ThreadNameSpaceType::from_bits_retain(flags);
            rustix::thread::move_into_thread_name_spaces(target.as_fd(), flags)
        }
    }
}
