//! Network namespaces: found by path, process or name, and worked in.
//!
//! A thread can change its network namespace, and a socket keeps the one it was opened in. So work inside a container's
//! namespace is a short-lived thread that enters it, opens a socket and hands that back: the calling thread never leaves
//! its own namespace, and no failure can leave it in the wrong one.

use crate::error::{Error, Kind, Result, failed};
use crate::socket::Socket;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where `ip netns` keeps the namespaces it gives names to.
const NAMED: &str = "/run/netns";
/// The magic number of the kernel's file system of namespaces.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Of each link what IPv6 does with it; of the namespace of who looks.
const V6_SETTINGS: &str = "/proc/sys/net/ipv6/conf";

/// How a namespace is told on the command line: a path, a process id, or a name that `ip netns` gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A file that is a network namespace.
    Path(PathBuf),
    /// The namespace of a process.
    Process(u32),
    /// A file in `/run/netns`.
    Name(String),
}

impl Reference {
    /// Reads it: what has a slash is a path, what is a number a process, all else a name.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.contains('/') {
            return Ok(Self::Path(text.into()));
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Process).map_err(|_| format!("`{text}` is no process id"));
        }
        if text.is_empty() || text == "." || text == ".." || text.contains('\0') {
            return Err(format!("`{text}` is neither a path, nor a process id, nor the name of a network namespace"));
        }
        Ok(Self::Name(text.to_owned()))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Process(id) => format!("/proc/{id}/ns/net").into(),
            Self::Name(name) => Path::new(NAMED).join(name),
        }
    }

    /// Its path with every link in it followed but the last, so that it is the same path also when nothing is there any more.
    pub(crate) fn place(&self) -> PathBuf {
        place(&self.path())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Process(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn place(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// What a namespace is known by on disk: the path it was found at, and its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The path.
    pub path: PathBuf,
    /// The number of its file; unique among those alive.
    pub inode: u64,
}

impl Identity {
    /// What is at `path` now; the number is 0 where nothing is.
    pub(crate) fn at(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { path: path.to_owned(), inode: std::fs::metadata(path).map_or(0, |m| m.ino()) }
    }

    /// See [`Reference::place`].
    pub(crate) fn place(&self) -> PathBuf {
        place(&self.path)
    }

    /// Whether the path still leads to that namespace.
    pub fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&self.path).is_ok_and(|m| m.ino() == self.inode)
    }
}

/// An open network namespace, which lives at least as long as this.
#[derive(Debug)]
pub struct Namespace {
    handle: OwnedFd,
    identity: Identity,
}

impl Namespace {
    /// Opens the namespace that `reference` means.
    pub fn open(reference: &Reference) -> Result<Self> {
        const OP: &str = "open network namespace";
        let path = reference.path();
        Self::open_path(&path).map_err(|e| match (e.kind(), reference) {
            (io::ErrorKind::NotFound, Reference::Process(id)) => {
                Error::new(Kind::NotFound, OP, id).because("no such process")
            }
            (io::ErrorKind::NotFound, Reference::Name(name)) => Error::new(Kind::NotFound, OP, name)
                .because(format!("no such name in {NAMED}"))
                .hint("give the path of a namespace, a process id, or a name made by `ip netns add`"),
            (io::ErrorKind::InvalidInput, _) => Error::new(Kind::Invalid, OP, path.display()).because(e),
            _ => failed(OP, path.display(), e),
        })
    }

    /// The calling thread's own.
    pub fn own() -> Result<Self> {
        let path = Path::new("/proc/thread-self/ns/net");
        Self::open_path(path).map_err(|e| failed("open network namespace", path.display(), e))
    }

    fn open_path(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = File::open(path)?;
        if rustix::fs::fstatfs(&file)?.f_type as u64 != NSFS_MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a network namespace"));
        }
        let identity = Identity { path: path.to_path_buf(), inode: file.metadata()?.ino() };
        Ok(Self { handle: file.into(), identity })
    }

    /// What it is known by.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A socket for links, addresses and routes inside.
    pub fn route_socket(&self) -> Result<Socket> {
        self.within(Socket::open_route)?
    }

    /// As [`Namespace::route_socket`], and with it the folder of IPv6's settings inside, where there is IPv6. What is in it
    /// belongs to the namespace of who opened it, whoever looks further (proc_sys_lookup in fs/proc/proc_sysctl.c).
    pub fn route_socket_and_settings(&self) -> Result<(Socket, Option<OwnedFd>)> {
        self.within(|| {
            let folder =
                rustix::fs::open(V6_SETTINGS, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
            Ok((Socket::open_route()?, folder.ok()))
        })?
    }

    /// Runs `work` on a thread inside this namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let handle = self.handle.as_fd();
        let entered = std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(handle, CloneFlags::CLONE_NEWNET)?;
                Ok::<_, nix::Error>(work())
            });
            inside.join()
        });
        match entered {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(errno)) => Err(failed("enter network namespace", self.identity.path.display(), errno)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{Namespace, Reference};

    #[test]
    fn three_ways_to_name_one() {
        assert_eq!(Reference::parse("12"), Ok(Reference::Process(12)));
        assert_eq!(Reference::parse("web"), Ok(Reference::Name("web".into())));
        assert_eq!(Reference::parse("/proc/1/ns/net"), Ok(Reference::Path("/proc/1/ns/net".into())));
        for wrong in ["", "..", "99999999999"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_none_is_named() {
        let open = |text: &str| Namespace::open(&Reference::parse(text).unwrap()).unwrap_err();
        assert_eq!(open("no-such").to_string(), "open network namespace no-such: no such name in /run/netns");
        assert_eq!(open("/dev/null").to_string(), "open network namespace /dev/null: this is not a network namespace");
        assert_eq!(open("4194305").to_string(), "open network namespace 4194305: no such process");
        assert!(Namespace::own().unwrap().identity().is_there());
    }
}
