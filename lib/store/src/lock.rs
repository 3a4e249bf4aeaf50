//! Who may do what at the same time: `flock(2)` on the folders of the store themselves, so that there are no lock files
//! to leave behind and a lock ends with its process.
//!
//! The order, lowest first; who holds one takes only later ones (checked in debug builds):
//!
//! | lock | shared | exclusive |
//! |---|---|---|
//! | [`Lock::Layers`] | no layer or blob may go: held by a load from its first look at what is there until its images are named | removing layers and blobs nobody uses; only ever tried, never waited for |
//! | [`Lock::Images`] | names and images stay as they are: held from resolving an image until the container's record that uses it is written, or its tree is mounted | changing `image/index.json`; always short |
//! | [`Lock::Containers`] | reading several records as one | giving out a container's name; always short |
//! | [`Lock::Container`] | - | changing one container's record or state; always short |
//! | [`Lock::Volumes`] | - | making and removing volumes; always short |
//! | [`Lock::Build`] | - | changing the build cache's index; always short |
//! | [`Lock::Mounts`] | - | mounting an image's tree, and unmounting it |
//!
//! No lock is held while a container's process runs. Every descriptor is close-on-exec, so that a lock cannot travel into
//! a program we start; whoever forks without executing must not hold one.

use crate::error::{Kind, Result, system};
use crate::{Error, Root};
use rustix::fs::{FlockOperation, Mode as FileMode, OFlags, flock, fstat, open, stat};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// What is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock<'a> {
    /// That layers and blobs stay.
    Layers,
    /// The names of images.
    Images,
    /// The set of containers and their names.
    Containers,
    /// One container, by its full id.
    Container(&'a str),
    /// The set of volumes.
    Volumes,
    /// The build cache.
    Build,
    /// Where images' trees are mounted: `mounts/`, which not every store has.
    Mounts,
}

/// How it is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With others who only look.
    Shared,
    /// Alone.
    Exclusive,
}

impl Lock<'_> {
    fn rank(self) -> u8 {
        match self {
            Lock::Layers => 1,
            Lock::Images => 2,
            Lock::Containers => 3,
            Lock::Container(_) => 4,
            Lock::Volumes => 5,
            Lock::Build => 6,
            Lock::Mounts => 7,
        }
    }

    fn folder(self) -> PathBuf {
        match self {
            Lock::Layers => "overlay2".into(),
            Lock::Images => "image".into(),
            Lock::Containers => "containers".into(),
            Lock::Container(id) => PathBuf::from("containers").join(id),
            Lock::Volumes => "volumes".into(),
            Lock::Build => "build".into(),
            Lock::Mounts => "mounts".into(),
        }
    }
}

thread_local! {
    /// Ranks this thread holds, for the check of the order.
    static HELD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A lock that is held; dropping it lets go. Stays on the thread that took it.
#[derive(Debug)]
pub struct Guard {
    _folder: OwnedFd,
    rank: u8,
    here: PhantomData<*const ()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            if let Some(at) = held.iter().rposition(|rank| *rank == self.rank) {
                held.remove(at);
            }
        });
    }
}

impl Root {
    /// Takes `lock`, waiting for it. [`Kind::NotFound`] where it is a container that is gone, also when it went while
    /// we waited.
    pub fn lock(&self, lock: Lock<'_>, mode: Mode) -> Result<Guard> {
        match self.acquire(lock, mode, true)? {
            Some(guard) => Ok(guard),
            None => Err(Error::new(Kind::InUse, "lock", self.path().join(lock.folder()).display())),
        }
    }

    /// Takes `lock` if nobody stands in the way, else `None`.
    pub fn try_lock(&self, lock: Lock<'_>, mode: Mode) -> Result<Option<Guard>> {
        self.acquire(lock, mode, false)
    }

    fn acquire(&self, lock: Lock<'_>, mode: Mode, wait: bool) -> Result<Option<Guard>> {
        let rank = lock.rank();
        let in_order = HELD.with_borrow(|held| held.iter().all(|other| *other < rank));
        debug_assert!(in_order, "{lock:?} is taken out of order");
        let path = self.path().join(lock.folder());
        let operation = match (mode, wait) {
            (Mode::Shared, true) => FlockOperation::LockShared,
            (Mode::Shared, false) => FlockOperation::NonBlockingLockShared,
            (Mode::Exclusive, true) => FlockOperation::LockExclusive,
            (Mode::Exclusive, false) => FlockOperation::NonBlockingLockExclusive,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(&path, flags, FileMode::empty()).map_err(|e| system("lock", &path, e))?;
        loop {
            match flock(&folder, operation) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) if !wait => return Ok(None),
                Err(e) => return Err(system("lock", &path, e)),
            }
        }
        // A container's folder can be moved away while we wait; a lock on what is gone guards nothing.
        let ours = fstat(&folder).map_err(|e| system("lock", &path, e))?;
        let there = stat(&path).map_err(|e| system("lock", &path, e))?;
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino) {
            return Err(system("lock", &path, rustix::io::Errno::NOENT));
        }
        HELD.with_borrow_mut(|held| held.push(rank));
        Ok(Some(Guard { _folder: folder, rank, here: PhantomData }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::tests::scratch;

    #[test]
    fn one_alone_or_several_that_look() {
        let (_keep, root) = scratch();
        let first = root.lock(Lock::Images, Mode::Shared).unwrap();
        let tried = |mode| {
            std::thread::scope(|scope| scope.spawn(|| root.try_lock(Lock::Images, mode).unwrap().is_some()).join())
        };
        assert!(tried(Mode::Shared).unwrap());
        assert!(!tried(Mode::Exclusive).unwrap());
        drop(first);
        assert!(tried(Mode::Exclusive).unwrap());
    }

    #[test]
    fn a_container_that_is_gone_cannot_be_locked() {
        let (_keep, root) = scratch();
        let error = root.lock(Lock::Container("nobody"), Mode::Exclusive).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
    }
}
