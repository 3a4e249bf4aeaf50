//! The work folder: where things are made before they take their place by one rename or link.
//!
//! As overlayfs does, everything lies in a folder `work` in the folder given; what a crash left there is removed when the
//! overlay is opened. A lock on it keeps a second server away from the same upper.
//!
//! A volatile overlay leaves the mark `incompat/volatile/dirty` in it while it is open, as the kernel's does: with the mark
//! there no overlay is opened, by the kernel or by us. The kernel never takes it away. We do at an orderly end: what was
//! written is then as safe as any file that nobody synced.

use super::lock::held;
use crate::layer::{Answer, Errno};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, RenameFlags};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long a server that is just ending may still hold the upper.
const PATIENCE: Duration = Duration::from_secs(2);
/// Deeper than this nothing of ours lies in the work folder.
const DEEPEST: usize = 4096;

/// The work folder.
#[derive(Debug)]
pub(crate) struct Work {
    folder: OwnedFd,
    next: AtomicU64,
    /// The mark of a volatile overlay is to be taken away at the end.
    marked: AtomicBool,
    /// One whiteout that all others are links of, as overlayfs does: it costs no inode each, and inherits no group from a
    /// set-group-id directory.
    whiteout: Mutex<Option<OsString>>,
    /// How often something was copied up.
    copies: AtomicU64,
    /// Whether whiteouts can be devices here.
    devices: OnceLock<bool>,
    /// The user's work folder, which holds this one; locked.
    given: OwnedFd,
}

impl Work {
    /// Takes `given`, the user's work folder. EBUSY when another server has it, EUCLEAN when a volatile overlay was not
    /// ended in order.
    pub(crate) fn open(given: OwnedFd, volatile: bool) -> Answer<Self> {
        let started = Instant::now();
        loop {
            match rustix::fs::flock(&given, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(Errno::WOULDBLOCK) => return Err(Errno::BUSY),
                Err(e) => return Err(e),
            }
        }
        match rustix::fs::mkdirat(&given, c"work", Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&given, c"work", flags, Mode::empty());
        let folder = match open() {
            // The kernel's overlay leaves it with mode 0; an ordinary user must open it up first.
            Err(Errno::ACCESS) => {
                rustix::fs::chmodat(&given, c"work", Mode::from_raw_mode(0o700), AtFlags::empty())?;
                open()?
            }
            other => other?,
        };
        if is_marked(folder.as_fd())? {
            return Err(Errno::UCLEAN);
        }
        empty(folder.as_fd(), 0)?;
        if volatile {
            mark(folder.as_fd())?;
        }
        Ok(Self {
            folder,
            next: AtomicU64::new(0),
            copies: AtomicU64::default(),
            devices: OnceLock::new(),
            marked: AtomicBool::new(volatile),
            whiteout: Mutex::default(),
            given,
        })
    }

    /// Something could not be written: the mark of a volatile overlay stays.
    pub(crate) fn distrust(&self) {
        self.marked.store(false, Ordering::Relaxed);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The user's work folder, around this one.
    pub(crate) fn given(&self) -> BorrowedFd<'_> {
        self.given.as_fd()
    }

    /// A name that is free in the work folder.
    pub(crate) fn name(&self) -> OsString {
        OsString::from(format!("#{:x}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// One more was copied up.
    pub(crate) fn count_copy(&self) {
        self.copies.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was copied up.
    pub(crate) fn copies(&self) -> u64 {
        self.copies.load(Ordering::Relaxed)
    }

    /// Whether whiteouts can be what the kernel makes them: tried when the first is needed.
    pub(crate) fn makes_devices(&self) -> bool {
        *self.devices.get_or_init(|| {
            let source = self.name();
            match make_whiteout(self.fd(), &source) {
                Ok(()) => {
                    // The first of those that all others are links of.
                    held(&self.whiteout).get_or_insert(source);
                    true
                }
                Err(e) => !matches!(e, Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL),
            }
        })
    }

    /// A whiteout under a name of the work folder.
    pub(crate) fn whiteout(&self) -> Answer<OsString> {
        let name = self.name();
        self.place_whiteout(self.fd(), &name)?;
        Ok(name)
    }

    /// A whiteout as `name` in `folder`, where nothing is.
    pub(crate) fn place_whiteout(&self, folder: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
        let mut shared = held(&self.whiteout);
        if let Some(source) = &*shared {
            match rustix::fs::linkat(&self.folder, source, folder, name, AtFlags::empty()) {
                // Too many links, or a file system or rule without them.
                Err(Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP | Errno::NOENT) => {}
                other => return other,
            }
        }
        let source = self.name();
        make_whiteout(self.fd(), &source)?;
        if rustix::fs::linkat(&self.folder, &source, folder, name, AtFlags::empty()).is_ok() {
            if let Some(full) = shared.replace(source) {
                let _ = rustix::fs::unlinkat(&self.folder, &full, AtFlags::empty());
            }
            return Ok(());
        }
        rustix::fs::renameat_with(&self.folder, &source, folder, name, RenameFlags::NOREPLACE)
            .inspect_err(|_| self.discard(&source))
    }

    /// Removes a file, or a directory with all in it; a failure leaves it for the next opening.
    pub(crate) fn discard(&self, name: &OsStr) {
        let removed = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
        if matches!(removed, Err(Errno::ISDIR | Errno::PERM)) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(folder) = rustix::fs::openat(&self.folder, name, flags, Mode::empty()) {
                let _ = empty(folder.as_fd(), 0);
            }
            let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::REMOVEDIR);
        }
    }
}

impl Work {
    /// An orderly end: a volatile overlay's mark goes.
    pub(crate) fn end(&self) {
        if self.marked.swap(false, Ordering::Relaxed) {
            self.discard(OsStr::new(INCOMPATIBLE));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.end();
    }
}

/// What no overlay that does not know all names in it may be opened with.
const INCOMPATIBLE: &str = "incompat";

/// Whether the work folder holds a mark of something that keeps it from being opened.
fn is_marked(work: BorrowedFd<'_>) -> Answer<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(work, INCOMPATIBLE, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        // Whoever made it did not mean us to go on.
        Err(Errno::ACCESS) => return Ok(true),
        other => other?,
    };
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Marks the work folder as a volatile overlay's.
fn mark(work: BorrowedFd<'_>) -> Answer<()> {
    for name in ["incompat", "incompat/volatile"] {
        match rustix::fs::mkdirat(work, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(work, "incompat/volatile/dirty", flags, Mode::from_raw_mode(0o600)).map(drop)
}

/// Makes a whiteout: a character device 0:0, which needs no privilege since Linux 5.8.
fn make_whiteout(folder: BorrowedFd<'_>, name: &OsStr) -> Answer<()> {
    rustix::fs::mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// Removes everything in `folder`, entering no link and no mount.
fn empty(folder: BorrowedFd<'_>, depth: usize) -> Answer<()> {
    if depth > DEEPEST {
        return Err(Errno::NAMETOOLONG);
    }
    let mut names: Vec<OsString> = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    for name in names {
        match rustix::fs::unlinkat(folder, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(e),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = match rustix::fs::openat(folder, &name, flags, Mode::empty()) {
            Err(Errno::ACCESS) => {
                rustix::fs::chmodat(folder, &name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
                rustix::fs::openat(folder, &name, flags, Mode::empty())?
            }
            other => other?,
        };
        empty(inner.as_fd(), depth + 1)?;
        rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}
