//! Half-done things: folders and files in `tmp/`, each under a `flock` of its maker, removed on drop unless kept.
//!
//! Whoever finds an entry of `tmp/` that nobody has locked may remove it ([`Root::collect_garbage`]). Between making an
//! entry and locking it a collector can come; so the maker looks again, once it has the lock, whether the name still is
//! what it made, and else begins anew. The lock follows the entry when it is renamed into place and ends with the value.

use crate::error::{Kind, Result, system};
use crate::{Error, Root, remove};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::fs::{flock, fstat, fsync, mkdirat, openat, renameat_with, statat};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a file is written at once, in bytes: a page. A process that is killed stops writing between two of them.
pub(crate) const AT_ONCE: usize = 4096;

/// A folder in `tmp/`, removed with all it holds on drop unless [kept](TempDir::keep).
#[derive(Debug)]
pub struct TempDir {
    folder: OwnedFd,
    path: PathBuf,
    kept: bool,
}

/// A file in `tmp/`, removed on drop unless [kept](TempFile::keep).
#[derive(Debug)]
pub struct TempFile {
    file: File,
    path: PathBuf,
    kept: bool,
}

/// A name nobody else uses: process, count and clock.
fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    format!("{}-{count}-{nanos:x}", std::process::id())
}

/// Locks what we just made, and tells whether it still is what `name` means.
fn claim(tmp: BorrowedFd<'_>, name: &str, made: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    match flock(made, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        Err(e) => return Err(e),
    }
    let ours = fstat(made)?;
    match statat(tmp, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

impl Root {
    /// A new empty folder (mode 0700) in `tmp/`.
    pub fn temp_dir(&self) -> Result<TempDir> {
        let tmp = self.tmp()?;
        loop {
            let name = fresh_name();
            let path = self.path().join("tmp").join(&name);
            let fail = |e| system("make", &path, e);
            mkdirat(&tmp, &*name, Mode::from_raw_mode(0o700)).map_err(fail)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = match openat(&tmp, &*name, flags, Mode::empty()) {
                Ok(folder) => folder,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(e) => return Err(fail(e)),
            };
            if claim(tmp.as_fd(), &name, folder.as_fd()).map_err(fail)? {
                return Ok(TempDir { folder, path, kept: false });
            }
        }
    }

    /// A new empty file (mode 0644) in `tmp/`, open for reading and writing.
    pub fn temp_file(&self) -> Result<TempFile> {
        let tmp = self.tmp()?;
        loop {
            let name = fresh_name();
            let path = self.path().join("tmp").join(&name);
            let fail = |e| system("make", &path, e);
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = openat(&tmp, &*name, flags, Mode::from_raw_mode(0o600)).map_err(fail)?;
            if claim(tmp.as_fd(), &name, file.as_fd()).map_err(fail)? {
                // Whatever the umask: hosts and resolv.conf are read inside by users who are not root.
                rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).map_err(fail)?;
                return Ok(TempFile { file: file.into(), path, kept: false });
            }
        }
    }

    /// A new file in `tmp/` that holds `bytes`. What goes wrong is told of the store: the file's name means nothing to anybody.
    pub(crate) fn temp_file_of(&self, bytes: &[u8]) -> Result<TempFile> {
        use std::io::Write;
        let mut temp = self.temp_file()?;
        temp.file.write_all(bytes).map_err(|e| system("write below", self.path(), e))?;
        Ok(temp)
    }

    fn tmp(&self) -> Result<OwnedFd> {
        let path = self.path().join("tmp");
        if self.is_read_only() {
            return Err(
                Error::new(Kind::ReadOnly, "write to", self.path().display()).because("the store can only be read")
            );
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| system("open", &path, e))
    }

    /// Replaces the file `relative` (below the root) by one that holds `bytes` (mode 0644): readers see the old bytes or
    /// the new ones, also after a crash or a power cut. Its folder must be there.
    pub fn write_atomic(&self, relative: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        self.temp_file_of(bytes)?.replace(self, relative)
    }

    /// The same for what means nothing after a reboot: readers see the old bytes or the new ones, but nobody waits for the disk,
    /// and after a power cut the file may be empty.
    pub fn write_volatile(&self, relative: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        let mut temp = self.temp_file_of(bytes)?;
        let to = self.path().join(relative);
        // ext4 begins to write a file out that is renamed over another one, not one that changes places with it; what was there is
        // garbage then, and goes with `temp`.
        if renameat_with(rustix::fs::CWD, &temp.path, rustix::fs::CWD, &to, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
        moved(&temp.path, &to, RenameFlags::empty())?;
        temp.kept = true;
        Ok(())
    }

    /// Writes the JSON document `bytes` over the one in `relative` where it lies, in the blocks it has: for a disk without room for a new
    /// file. What the old one was longer stays behind it ([`leading`]), since to cut it off would be a second step. Up to [`AT_ONCE`]
    /// bytes are written all or not at all, also by who is killed over it; of more some may be. Who reads meanwhile may see parts of
    /// both. [`Kind::Full`] if it needs more blocks.
    pub(crate) fn write_over(&self, relative: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let path = self.path().join(relative);
        let fail = |e| system("write", &path, e);
        let file = std::fs::OpenOptions::new().write(true).open(&path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        // What fits where it is needs no room.
        let room = meta.len().max(meta.blocks() * 512);
        if bytes.len() as u64 > room {
            return Err(fail(rustix::io::Errno::NOSPC.into()));
        }
        file.write_all_at(bytes, 0).map_err(fail)?;
        file.sync_data().map_err(fail)
    }

    /// The bytes of the file `relative` (below the root).
    pub fn read(&self, relative: impl AsRef<Path>) -> Result<Vec<u8>> {
        let path = self.path().join(relative);
        std::fs::read(&path).map_err(|e| system("read", &path, e))
    }

    /// Removes trees of the store. They are renamed away first, all, and only then deleted, which may take long: what a crash leaves
    /// of them is garbage in `tmp/`, not half of something. Where the disk has no room for that they go where they lie, one after the
    /// other. That one is not there is no error.
    pub(crate) fn discard(&self, trees: &[PathBuf]) -> Result<()> {
        // Ours until the end: it takes the rights of who may remove it.
        let away = match self.temp_dir() {
            Err(e) if e.kind == Kind::Full => None,
            other => Some(other?),
        };
        let mut doomed: Vec<PathBuf> = away.iter().map(|away| away.path().to_owned()).collect();
        for (number, tree) in trees.iter().enumerate() {
            match away.as_ref().map(|away| std::fs::rename(tree, away.path().join(number.to_string()))) {
                Some(Ok(())) => {}
                Some(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
                Some(Err(_)) | None => doomed.push(tree.clone()),
            }
        }
        doomed.iter().try_for_each(|tree| remove::tree(tree).map_err(|e| system("remove", tree, e)))
    }

    /// Removes what dead processes left in `tmp/`; how many entries that were. What cannot be removed is left to who has the rights.
    pub fn collect_garbage(&self) -> Result<usize> {
        let tmp = self.tmp()?;
        let path = self.path().join("tmp");
        let mut removed = 0;
        let fail = |e| system("read", &path, e);
        for entry in rustix::fs::Dir::read_from(&tmp).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if name.to_bytes() == b"." || name.to_bytes() == b".." {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let held = match openat(&tmp, name, flags, Mode::empty()) {
                Ok(held) => Some(held),
                Err(rustix::io::Errno::NOENT) => continue,
                // Nothing of ours: our entries can be opened. Symbolic links and the like go without a lock.
                Err(_) => None,
            };
            let free = held.as_ref().is_none_or(|h| flock(h, FlockOperation::NonBlockingLockExclusive).is_ok());
            if free {
                removed += usize::from(remove::tree_at(tmp.as_fd(), name).is_ok());
            }
        }
        Ok(removed)
    }
}

/// The JSON document that `bytes` begin with: what a longer one left behind it is no part of it ([`Root::write_over`]).
pub(crate) fn leading<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(bytes))
}

/// Brings the folder that holds `path` to the disk, so that a rename in it survives a power cut.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(parent, flags, Mode::empty()).map_err(|e| system("open", parent, e))?;
    fsync(&folder).map_err(|e| system("fsync", parent, e))
}

/// Writes `bytes` to `relative` unless something is there.
pub(crate) fn keep_bytes(root: &Root, relative: &str, bytes: &[u8]) -> Result<()> {
    root.temp_file_of(bytes)?.keep(root, relative)
}

/// Renames; that the disk knows of it is for the caller.
fn moved(from: &Path, to: &Path, flags: RenameFlags) -> Result<()> {
    let here = rustix::fs::CWD;
    renameat_with(here, from, here, to, flags).map_err(|e| system("rename to", to, e))
}

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> Result<()> {
    moved(from, to, flags)?;
    sync_parent(to)
}

impl TempDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Renames it to `relative` below the root. [`Kind::Exists`] where something is there already (then it is removed
    /// like any other that was not kept). What it holds must have been brought to the disk before.
    pub fn keep(mut self, root: &Root, relative: impl AsRef<Path>) -> Result<()> {
        rename(&self.path, &root.path().join(relative), RenameFlags::NOREPLACE)?;
        self.kept = true;
        Ok(())
    }

    /// The same, but nobody waits for the disk to know of it, and it stays locked as long as this value lives.
    pub(crate) fn give(&mut self, root: &Root, relative: impl AsRef<Path>) -> Result<()> {
        moved(&self.path, &root.path().join(relative), RenameFlags::NOREPLACE)?;
        self.kept = true;
        Ok(())
    }

    /// Writes a new file in it; it is not brought to the disk yet.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<File> {
        use std::io::Write;
        let path = self.path.join(name);
        let fail = |e| system("write", &path, e);
        let mut file = File::create_new(&path).map_err(fail)?;
        file.write_all(bytes).map_err(fail)?;
        Ok(file)
    }

    /// The same as [`keep`](Self::keep) where `file` is all that matters of what it holds, and has not been brought to the disk. That is
    /// done after the rename, in one with it: half the time, and a power cut meanwhile leaves the folder with an empty file.
    pub fn keep_with(mut self, root: &Root, relative: impl AsRef<Path>, file: &File) -> Result<()> {
        let to = root.path().join(relative);
        moved(&self.path, &to, RenameFlags::NOREPLACE)?;
        self.path = to;
        fsync(file).map_err(|e| system("fsync", &self.path, e))?;
        sync_parent(&self.path)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now stays in tmp/, where the next command tries again.
            let _ = remove::tree(&self.path);
        }
    }
}

impl TempFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, to be written and read.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Brings it to the disk and renames it to `relative` below the root, in place of what is there.
    pub fn replace(self, root: &Root, relative: impl AsRef<Path>) -> Result<()> {
        self.place(root, relative.as_ref(), RenameFlags::empty())
    }

    /// The same, but [`Kind::Exists`] where something is there already.
    pub fn keep(self, root: &Root, relative: impl AsRef<Path>) -> Result<()> {
        self.place(root, relative.as_ref(), RenameFlags::NOREPLACE)
    }

    /// Like [`keep`](Self::keep) for a file that has been brought to the disk already; the folder it comes into is left
    /// for the caller to sync.
    pub(crate) fn keep_synced(mut self, root: &Root, relative: impl AsRef<Path>) -> Result<()> {
        moved(&self.path, &root.path().join(relative), RenameFlags::NOREPLACE)?;
        self.kept = true;
        Ok(())
    }

    fn place(mut self, root: &Root, relative: &Path, flags: RenameFlags) -> Result<()> {
        fsync(&self.file).map_err(|e| system("fsync", &self.path, e))?;
        rename(&self.path, &root.path().join(relative), flags)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::tests::scratch;
    use std::io::Write;

    #[test]
    fn what_is_not_kept_goes_and_what_is_stays() {
        let (_keep, root) = scratch();
        let dir = root.temp_dir().unwrap();
        std::fs::write(dir.path().join("a"), "a").unwrap();
        dir.keep(&root, "build/kept").unwrap();
        drop(root.temp_dir().unwrap());
        drop(root.temp_file().unwrap());
        assert!(root.path().join("build/kept/a").exists());
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_taken_name_is_told_and_leaves_nothing() {
        let (_keep, root) = scratch();
        root.temp_dir().unwrap().keep(&root, "build/x").unwrap();
        assert_eq!(root.temp_dir().unwrap().keep(&root, "build/x").unwrap_err().kind, Kind::Exists);
        let mut file = root.temp_file().unwrap();
        file.file().write_all(b"1").unwrap();
        file.keep(&root, "build/f").unwrap();
        assert_eq!(root.temp_file().unwrap().keep(&root, "build/f").unwrap_err().kind, Kind::Exists);
        assert_eq!(root.read("build/f").unwrap(), b"1");
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn garbage_is_what_nobody_holds() {
        let (_keep, root) = scratch();
        let held = root.temp_dir().unwrap();
        std::fs::create_dir_all(root.path().join("tmp/dead/deep")).unwrap();
        std::fs::write(root.path().join("tmp/dead/deep/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("tmp/link")).unwrap();
        assert_eq!(root.collect_garbage().unwrap(), 2);
        assert!(held.path().exists());
        assert_eq!(std::fs::read_dir(root.path().join("tmp")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let (_keep, root) = scratch();
        root.write_atomic("build/a", b"one").unwrap();
        root.write_atomic("build/a", b"two").unwrap();
        assert_eq!(root.read("build/a").unwrap(), b"two");
    }
}
