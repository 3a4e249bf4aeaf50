//! The folders of an overlay, looked at before any driver is tried, so that what is wrong with them is said once and
//! plainly; the kernel alone would say "invalid argument" and put the reason into its log.

use crate::error::{Error, Kind, Result};
use crate::options::Options;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, StatxFlags, flock, mkdir, open, statfs, statx};
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `OVERLAYFS_SUPER_MAGIC`
const OVERLAYFS: i64 = 0x794c_7630;
/// How long a server that is just ending may still hold the upper.
const PATIENCE: Duration = Duration::from_secs(2);

/// A folder that was there when looked at.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Its absolute path, symbolic links as the user gave them.
    pub path: PathBuf,
    /// Device and inode: which folder it is, however it is called.
    pub id: (u32, u32, u64),
    /// The mount it is on.
    pub mount_id: u64,
}

/// All folders of one overlay.
#[derive(Debug)]
pub struct Folders {
    /// Lower layers, uppermost first; at least one.
    pub lowers: Vec<Folder>,
    /// Data-only layers below them, uppermost first.
    pub data_lowers: Vec<Folder>,
    /// The writable layer and its work folder.
    pub upper: Option<(Folder, Folder)>,
    /// Where it is to be mounted.
    pub target: Folder,
    /// The same, held open.
    pub target_fd: OwnedFd,
}

impl Folder {
    fn look(what: &'static str, path: &Path) -> Result<Self> {
        let absolute =
            std::path::absolute(path).map_err(|e| Error::new(Kind::Request, what, path.display()).because(e))?;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let stat = statx(CWD, &absolute, AtFlags::empty(), wanted).map_err(|errno| {
            let error = Error::new(Kind::Request, what, path.display()).because(std::io::Error::from(errno));
            match errno {
                Errno::NOENT => error.hint(format!("mkdir -p {}", path.display())),
                Errno::NOTCONN | Errno::CONNABORTED => {
                    let replace = if what == "mount point" { ", or --replace" } else { "" };
                    error.hint(format!("its server is gone: umount -l {}{replace}", path.display()))
                }
                _ => error,
            }
        })?;
        if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
            return Err(Error::new(Kind::Request, what, path.display()).because("not a directory"));
        }
        Ok(Self {
            path: absolute,
            id: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
            mount_id: stat.stx_mnt_id,
        })
    }

    /// Opens it for use as a place, not for reading.
    pub fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(&self.path, flags, Mode::empty())
            .map_err(|e| Error::new(Kind::Failed, "open", self.path.display()).because(std::io::Error::from(e)))
    }

    /// The type of the file system it is on, as `statfs(2)` numbers them.
    pub fn file_system(&self) -> Option<i64> {
        statfs(&self.path).ok().map(|s| s.f_type)
    }

    /// Whether it is on a kernel overlay.
    pub fn on_overlayfs(&self) -> bool {
        self.file_system() == Some(OVERLAYFS)
    }
}

impl Folders {
    /// Looks at every folder that `options` name and at `target`. A missing work folder is made; nothing else is.
    pub fn look(options: &Options, target: &Path) -> Result<Self> {
        if options.lowers.is_empty() {
            return Err(Error::new(Kind::Request, "no lower layer named", "")
                .hint("name at least one: -o lowerdir=A:B, or --layers FILE"));
        }
        let lowers = options.lowers.iter().map(|p| Folder::look("lower layer", p)).collect::<Result<Vec<_>>>()?;
        let data_lowers =
            options.data_lowers.iter().map(|p| Folder::look("data-only layer", p)).collect::<Result<Vec<_>>>()?;
        let upper = match (&options.upper, &options.work) {
            (Some(upper), work) => Some(look_upper(upper, work.as_deref())?),
            (None, Some(work)) => {
                return Err(Error::new(Kind::Request, "work folder", work.display())
                    .because("useless without an upper layer")
                    .hint("add upperdir=, or leave workdir= out for a read-only overlay"));
            }
            (None, None) => None,
        };
        let target = Folder::look("mount point", target)?;
        let target_fd = target.open()?;
        let folders = Self { lowers, data_lowers, upper, target, target_fd };
        folders.refuse_repeats()?;
        Ok(folders)
    }

    /// Keeps every server away from the upper while the lock is held, and fails when one has it: then it is in use. A server
    /// that is just ending is waited for.
    pub fn lock_work(&self) -> Result<Option<OwnedFd>> {
        let Some((upper, work)) = &self.upper else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Who may not even read it may not serve it either.
        let Ok(folder) = open(&work.path, flags, Mode::empty()) else { return Ok(None) };
        let started = Instant::now();
        loop {
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::new(Kind::Request, "upper layer", upper.path.display())
                        .because("in use by another overlay")
                        .hint("unmount that one first: an upper belongs to one overlay at a time"));
                }
                _ => return Ok(Some(folder)),
            }
        }
    }

    /// One folder in two places makes changes in one show up in the other; the kernel refuses it with ELOOP.
    fn refuse_repeats(&self) -> Result<()> {
        let mut seen = HashMap::new();
        let upper = self.upper.iter().flat_map(|(upper, work)| [upper, work]);
        for folder in self.lowers.iter().chain(&self.data_lowers).chain(upper) {
            if let Some(first) = seen.insert(folder.id, &folder.path) {
                let error = Error::new(Kind::Request, "layer", folder.path.display());
                return Err(if *first == folder.path {
                    error.because("named twice")
                } else {
                    error.because(format!("the same folder as {}", first.display()))
                }
                .hint("each layer can stand in an overlay once"));
            }
        }
        Ok(())
    }
}

fn look_upper(upper: &Path, work: Option<&Path>) -> Result<(Folder, Folder)> {
    let upper_folder = Folder::look("upper layer", upper)?;
    let Some(work) = work else {
        return Err(Error::new(Kind::Request, "upper layer", upper.display())
            .because("has no work folder")
            .hint("add workdir=DIR, an empty folder on the same file system"));
    };
    match mkdir(work, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => {
            let error = Error::new(Kind::Request, "work folder", work.display()).because(std::io::Error::from(errno));
            return Err(match errno {
                Errno::NOENT => error.hint("the folder it would be made in is missing"),
                _ => error,
            });
        }
    }
    let work_folder = Folder::look("work folder", work)?;
    let wrong = |why: String| Error::new(Kind::Request, "work folder", work.display()).because(why);
    if work_folder.mount_id != upper_folder.mount_id
        || (work_folder.id.0, work_folder.id.1) != (upper_folder.id.0, upper_folder.id.1)
    {
        return Err(wrong(format!("not on the same mount as the upper layer {}", upper.display()))
            .hint("a finished file is moved from one to the other, which works within one file system only"));
    }
    let nested = work_folder.path.starts_with(&upper_folder.path) || upper_folder.path.starts_with(&work_folder.path);
    if nested && work_folder.id != upper_folder.id {
        return Err(wrong(format!("and the upper layer {}, one lies in the other", upper.display()))
            .hint("put them side by side"));
    }
    // The kernel leaves it behind at a volatile mount and never takes it away.
    let mark = work_folder.path.join("work/incompat/volatile");
    if rustix::fs::stat(&mark).is_ok() {
        return Err(Error::new(Kind::Request, "upper layer", upper.display())
            .because("was written by a volatile overlay, which may have lost some of it")
            .hint(format!("start with an empty upper, or trust it as it is: rm -r {}", mark.display())));
    }
    Ok((upper_folder, work_folder))
}
