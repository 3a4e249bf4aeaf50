//! A folder that is either complete and has its name, or is gone.
//!
//! ```text
//! DIR/.unpack-<random>.tmp/     while it is filled, locked by flock(2)
//! DIR/<name>/                   once it is complete: syncfs(2), then rename(2)
//! ```
//!
//! A [`Stage`] that is dropped removes its folder. What `kill -9` leaves is told by its lock being free, and removed by the
//! next [`sweep`].

use crate::error::{Result, system};
use crate::remove;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: &[u8] = b".unpack-";
const SUFFIX: &[u8] = b".tmp";

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A name that nobody else uses: `.unpack-<pid>-<counter>-<random>.tmp`.
pub(crate) fn temporary_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 8];
    let _ = rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::NONBLOCK);
    let random = u64::from_ne_bytes(random);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!(".unpack-{}-{count}-{random:016x}.tmp", std::process::id())
}

/// A folder on its way to a name.
#[derive(Debug)]
pub struct Stage {
    parent: OwnedFd,
    name: CString,
    fd: OwnedFd,
    done: bool,
}

impl Stage {
    /// A new folder (mode 0755) below `parent`.
    pub fn new(parent: BorrowedFd<'_>) -> Result<Self> {
        // Between mkdir and flock somebody's sweep may take the folder for one that was left behind: then another one.
        for _ in 0..100 {
            if let Some(stage) = Self::try_new(parent)? {
                return Ok(stage);
            }
        }
        Err(system("lock", "a temporary folder", Errno::WOULDBLOCK))
    }

    fn try_new(parent: BorrowedFd<'_>) -> Result<Option<Self>> {
        let name = temporary_name();
        let fail = |op, e: Errno| system(op, &name, e);
        let parent = parent.try_clone_to_owned().map_err(|e| system("duplicate descriptor", "", e))?;
        let c_name = CString::new(name.clone()).unwrap_or_default();
        rustix::fs::mkdirat(&parent, &c_name, Mode::RWXU).map_err(|e| fail("mkdir", e))?;
        let opened = rustix::fs::openat(&parent, &c_name, FOLDER, Mode::empty()).and_then(|fd| {
            rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
            if rustix::fs::fstat(&fd)?.st_nlink == 0 { Err(Errno::NOENT) } else { Ok(fd) }
        });
        match opened {
            Ok(fd) => Ok(Some(Self { parent, name: c_name, fd, done: false })),
            Err(Errno::NOENT | Errno::WOULDBLOCK) => Ok(None),
            Err(e) => {
                let _ = rustix::fs::unlinkat(&parent, &c_name, AtFlags::REMOVEDIR);
                Err(fail("open", e))
            }
        }
    }

    /// The folder.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives the folder its name below the parent. If something of that name is there already (somebody else was as fast),
    /// that stays and ours goes; false then. Sync before: [`sync`].
    pub fn commit(mut self, name: &CStr) -> Result<bool> {
        match rustix::fs::renameat_with(&self.parent, &self.name, &self.parent, name, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.done = true;
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(system("rename to", name.to_string_lossy(), e)),
        }
    }
}

impl Stage {
    /// Gives the folder its name below the parent, in the place of an empty folder if there is one.
    pub(crate) fn commit_over(mut self, name: &CStr) -> Result<()> {
        rustix::fs::renameat(&self.parent, &self.name, &self.parent, name).map_err(|e| {
            let error = system("rename to", name.to_string_lossy(), e);
            match e {
                Errno::NOTEMPTY | Errno::EXIST => error.hint("somebody else has put something there meanwhile"),
                _ => error,
            }
        })?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.done {
            let _ = remove::remove_tree(self.parent.as_fd(), &self.name);
        }
    }
}

/// Brings everything on the file system of `dir` to disk.
pub fn sync(dir: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::syncfs(dir).map_err(|e| system("syncfs", "", e))
}

/// Removes what runs that were killed have left below `parent`; what a living one is at stays. That something cannot be
/// removed is not an error: it is in nobody's way.
pub fn sweep(parent: BorrowedFd<'_>) {
    let Ok(entries) = Dir::read_from(parent) else { return };
    let names: Vec<CString> = entries
        .filter_map(|e| Some(e.ok()?.file_name().to_owned()))
        .filter(|n| n.as_bytes().starts_with(PREFIX) && n.as_bytes().ends_with(SUFFIX))
        .collect();
    for name in names {
        let Ok(fd) = rustix::fs::openat(parent, &name, FOLDER, Mode::empty()) else { continue };
        if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = remove::remove_tree(parent, &name);
        }
    }
}
