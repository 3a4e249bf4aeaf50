//! Where paths of `cp` are resolved: on this machine as for any program, in a container below the descriptor of its root.
//!
//! In a container `openat2(2)` resolves with RESOLVE_IN_ROOT, so that absolute links and `..` stay inside, and RESOLVE_NO_MAGICLINKS, so
//! that nothing in its `/proc` leads to somebody else's files.

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, openat, openat2};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One end of a copy.
#[derive(Debug)]
pub enum Tree {
    /// This machine.
    Machine,
    /// A container.
    Container {
        /// Its root.
        root: OwnedFd,
        /// What the user called it.
        name: String,
    },
}

/// openat2 gives up with EAGAIN where a rename raced with a `..`; so often it is tried again.
const TRIES: usize = 128;

impl Tree {
    pub(super) fn is_machine(&self) -> bool {
        matches!(self, Self::Machine)
    }

    /// What errors call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Machine => "this machine".into(),
            Self::Container { name, .. } => format!("container {name}"),
        }
    }

    /// What errors call `path` in it.
    pub(super) fn told(&self, path: &Path) -> String {
        match self {
            Self::Machine => path.display().to_string(),
            Self::Container { name, .. } => format!("{name}:{}", path.display()),
        }
    }

    /// Opens `path`, close-on-exec.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let Self::Container { root, .. } = self else { return openat(CWD, path, flags, Mode::empty()) };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let inside = path.as_os_str().as_bytes();
        let first = inside.iter().position(|&b| b != b'/').unwrap_or(inside.len());
        let inside = if first == inside.len() { b"." } else { &inside[first..] };
        for _ in 0..TRIES {
            match openat2(root, inside, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// What is at `path` itself, and where it leads if it is a link.
    pub(super) fn look(&self, path: &Path) -> rustix::io::Result<(Stat, Option<PathBuf>)> {
        let found = self.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = rustix::fs::fstat(&found)?;
        let is_link = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Symlink;
        if !is_link {
            return Ok((stat, None));
        }
        let target = rustix::fs::readlinkat(&found, c"", Vec::new())?;
        Ok((stat, Some(PathBuf::from(std::ffi::OsStr::from_bytes(target.to_bytes())))))
    }
}
