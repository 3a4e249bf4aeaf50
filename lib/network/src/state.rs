//! The folders of this room, their locks, and how files in them are replaced.
//!
//! ```text
//! DEFINITIONS/NAME.json     a network's definition; kept for good
//! DEFINITIONS/.overlay/…    how this host is a member of overlay networks; kept for good
//! LEASES/.overlay/…         what is known of their other hosts, and the locks of who follows them
//! LEASES/NAME.json          who has which of its addresses; means nothing after a reboot
//! LEASES/NAME.INODE.dns     the name server of a network, in the network namespace INODE (see [`crate::dns`])
//! LEASES/NAME.lock          the lock of one network: its leases, its bridge
//! LEASES/.lock              the lock of the folder: which networks there are
//! LEASES/user/              what carries packets for those without root: see [`crate::rootless`]
//! ```
//!
//! A file is replaced by rename, so that a reader needs no lock and `kill -9` leaves the old one or the new one. Names of
//! networks begin with a letter or digit, so nothing of the room's own can be taken for one.

use crate::error::{Error, Kind, Result, failed};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The two folders.
#[derive(Debug, Clone)]
pub struct State {
    definitions: PathBuf,
    leases: PathBuf,
}

/// A lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl State {
    /// Definitions in one folder, leases and locks in another. Both are made when something is written.
    pub fn new(definitions: PathBuf, leases: PathBuf) -> Self {
        Self { definitions, leases }
    }

    /// Where the definition of `network` is.
    pub fn definition_path(&self, network: &str) -> PathBuf {
        self.definitions.join(format!("{network}.json"))
    }

    /// Where the leases of `network` are.
    pub fn lease_path(&self, network: &str) -> PathBuf {
        self.leases.join(format!("{network}.json"))
    }

    /// The folder for what the network `name` has of its own and does not outlive a reboot.
    pub fn run_folder(&self, name: &str) -> PathBuf {
        self.leases.join(name)
    }

    /// Where the record of the name server of `network` is, for the network namespace with number `caller`.
    pub(crate) fn server_path(&self, network: &str, caller: u64) -> PathBuf {
        self.leases.join(format!("{network}.{caller}.dns"))
    }

    /// The same folders by absolute paths, for a process that works elsewhere.
    pub(crate) fn absolute(&self) -> std::io::Result<Self> {
        Ok(Self { definitions: std::path::absolute(&self.definitions)?, leases: std::path::absolute(&self.leases)? })
    }

    /// The options that make netwire find these folders.
    pub(crate) fn options(&self) -> Vec<std::ffi::OsString> {
        let above = |folder: &Path| folder.parent().unwrap_or(Path::new("/")).as_os_str().to_owned();
        let mut options = vec!["--state".into(), above(&self.definitions)];
        if self.leases != self.definitions.join("run") {
            options.extend(["--run".into(), above(&self.leases)]);
        }
        options
    }

    /// The file that is locked by [`Self::lock_network`].
    pub(crate) fn open_network_lock(&self, network: &str) -> Result<File> {
        let path = self.leases.join(format!("{network}.lock"));
        open_lock(&self.leases, &path).map_err(|e| failed("open", path.display(), e))
    }

    /// Where it is written how this host is a member of the overlay network `network`.
    pub fn membership_path(&self, network: &str) -> PathBuf {
        self.definitions.join(".overlay").join(format!("{network}.json"))
    }

    /// Where it is written what is known of the other hosts of `network`.
    pub fn view_path(&self, network: &str) -> PathBuf {
        self.leases.join(".overlay").join(format!("{network}.json"))
    }

    /// The lock that the server of `network` holds while it lives.
    pub fn server_lock_path(&self, network: &str) -> PathBuf {
        self.leases.join(".overlay").join(format!("{network}.lock"))
    }

    /// All folders that files of this room are in.
    pub(crate) fn folders(&self) -> [PathBuf; 4] {
        let overlay = |folder: &Path| folder.join(".overlay");
        [self.definitions.clone(), overlay(&self.definitions), self.leases.clone(), overlay(&self.leases)]
    }

    /// The names of all networks that are defined, in order.
    pub fn list(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.definitions) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed("list networks in", self.definitions.display(), e)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Locks which networks there are.
    pub fn lock_folder(&self) -> Result<Lock> {
        self.lock(&self.leases.join(".lock"))
    }

    /// Locks one network: its leases and its bridge.
    pub fn lock_network(&self, network: &str) -> Result<Lock> {
        self.lock(&self.leases.join(format!("{network}.lock")))
    }

    /// The same for who finishes behind somebody's back: none where the run folder is gone, which is not made again.
    pub(crate) fn relock_network(&self, network: &str) -> Result<Option<Lock>> {
        let path = self.leases.join(format!("{network}.lock"));
        match open_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => {
                let wrong = |e: io::Error| failed("lock", path.display(), e);
                Self::locked(file.map_err(wrong)?, &path).map(Some)
            }
        }
    }

    fn lock(&self, path: &Path) -> Result<Lock> {
        let wrong = |e: io::Error| failed("lock", path.display(), e);
        Self::locked(open_lock(&self.leases, path).map_err(wrong)?, path)
    }

    fn locked(mut file: File, path: &Path) -> Result<Lock> {
        let wrong = |e: io::Error| failed("lock", path.display(), e);
        loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(locked) => return Ok(Lock { _file: locked }),
                Err((again, nix::Error::EINTR)) => file = again,
                Err((_, errno)) => return Err(wrong(errno.into())),
            }
        }
    }
}

/// How much a file must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The machine's next boot.
    Disk,
    /// This process.
    Run,
}

/// What the file is called while it is written by who is alone with it: whoever writes next begins it anew, so that what was
/// killed leaves nothing for long.
pub(crate) const HALF_DONE: &str = "new";
/// How often a file is begun anew that somebody tidied away as an abandoned one. That takes one that is old, so once is
/// enough, and more is chance.
const TRIES: usize = 100;

/// Replaces the file at `path`, or makes it, as a whole.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    write_whole(path, bytes, durability, &std::process::id().to_string())
}

/// The same for a file under a lock that the caller holds.
pub fn replace_locked(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    write_whole(path, bytes, durability, HALF_DONE)
}

fn write_whole(path: &Path, bytes: &[u8], durability: Durability, suffix: &str) -> Result<()> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("/"));
        ensure_folder(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let half_done = folder.join(format!(".{name}.{suffix}"));
        for tried in 1.. {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&half_done)?;
            let done = file.write_all(bytes).and_then(|()| match durability {
                Durability::Disk => file.sync_all(),
                Durability::Run => Ok(()),
            });
            match done.and_then(|()| std::fs::rename(&half_done, path)) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::NotFound && tried < TRIES => {}
                Err(e) => {
                    let _ = std::fs::remove_file(&half_done);
                    return Err(e);
                }
            }
        }
        if durability == Durability::Disk { File::open(folder)?.sync_all() } else { Ok(()) }
    };
    write().map_err(|e: io::Error| failed("write", path.display(), e))
}

/// The file at `path`, if there is one.
pub fn load(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", path.display(), e)),
    }
}

/// Removes the file at `path`; that there is none is fine.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path.display(), e)),
        _ => Ok(()),
    }
}

/// A file of ours that cannot be read as what it should be.
pub(crate) fn damaged(path: &Path, source: serde_json::Error) -> Error {
    Error::new(Kind::Invalid, "read", path.display())
        .because(source)
        .hint("the file is not what netwire wrote; move it away to begin anew")
}

/// Makes the folder that the file at `path` is in.
pub(crate) fn ensure_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    ensure_folder(folder).map_err(|e| failed("make", folder.display(), e))
}

fn open_lock(folder: &Path, path: &Path) -> io::Result<File> {
    ensure_folder(folder)?;
    open_file(path)
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn ensure_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

#[cfg(test)]
mod tests {
    use super::{Durability, replace_locked};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_half_done_file_may_be_tidied_away_while_it_is_written() {
        let folder = std::env::temp_dir().join(format!("state-test-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (path, half_done, over) = (folder.join("x.json"), folder.join(".x.json.new"), AtomicBool::new(false));
        let written = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = std::fs::remove_file(&half_done);
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
            });
            let written = (0..2000).try_for_each(|n: u32| replace_locked(&path, &n.to_ne_bytes(), Durability::Run));
            over.store(true, Ordering::Relaxed);
            written
        });
        written.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), 1999_u32.to_ne_bytes());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
