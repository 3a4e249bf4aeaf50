//! One folder of one hierarchy, and its small files.

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A folder of ours in a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    /// The hierarchy's controllers; of v2 those this group was made for.
    pub(super) controllers: Vec<String>,
    /// Whether it is of v2.
    pub(super) v2: bool,
    /// The folder.
    pub(super) path: PathBuf,
    /// Folders above it that did not exist before, outermost first.
    pub(super) made: Vec<PathBuf>,
}

impl Group {
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// The file by writing to which processes are added. In v1 the one for single threads: a process that adds its only thread
    /// itself needs not wait for every other process's forks to pause, which takes 5 to 20 ms otherwise.
    pub(super) fn entrance(&self) -> io::Result<OwnedFd> {
        entrance_of(&self.path, self.v2)
    }

    pub(super) fn write(&self, file: &str, value: &str) -> io::Result<()> {
        write_file(&self.path.join(file), value)
    }

    pub(super) fn read(&self, file: &str) -> io::Result<String> {
        let bytes = read_file(CWD, self.path.join(file))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Process ids in this group and all below it.
    pub(super) fn processes(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        for folder in folders_below(&self.path)? {
            match read_file(CWD, folder.join("cgroup.procs")) {
                Ok(text) => {
                    pids.extend(String::from_utf8_lossy(&text).lines().filter_map(|pid| pid.parse::<i32>().ok()))
                }
                // It was removed meanwhile, or is a threaded group, whose processes its parent lists.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(pids)
    }

    /// Removes the folder with all groups below it, then what above it is ours and empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        for folder in folders_below(&self.path)?.iter().rev() {
            remove_folder(folder)?;
        }
        self.remove_above();
        Ok(())
    }

    /// The same of a group without processes and without groups below it; else it is left as it is.
    pub(super) fn remove_empty(&self) -> io::Result<()> {
        remove_folder(&self.path)?;
        self.remove_above();
        Ok(())
    }

    fn remove_above(&self) {
        let ours = self.path.parent().filter(|parent| parent.file_name().is_some_and(|name| name == super::PARENT));
        for folder in self.made.iter().rev().map(PathBuf::as_path).chain(ours) {
            // Not empty: another container's too. Gone: another's removal was first.
            let _ = remove_folder(folder);
        }
    }
}

/// The same of any folder of a hierarchy.
pub(super) fn entrance_of(folder: &Path, v2: bool) -> io::Result<OwnedFd> {
    let name = if v2 { "cgroup.procs" } else { "tasks" };
    Ok(rustix::fs::open(folder.join(name), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Writes `value` to a file in one go.
pub(super) fn write_file(file: &Path, value: &str) -> io::Result<()> {
    let fd = rustix::fs::open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&fd, value.as_bytes()))?;
    Ok(())
}

/// Everything in `path` below `dir`.
pub(super) fn read_file(dir: impl AsFd, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let fd = rustix::fs::openat(dir, path.as_ref(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut all = Vec::new();
    let mut chunk = [0_u8; 4096];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut chunk[..]))? {
            0 => return Ok(all),
            n => all.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

/// Makes the folder `path` and those between it and `root` that are missing; returns the ones above it that were, outermost first.
///
/// `prepare` is called on each new folder (and on `path`, if it existed and is empty) before anything is made below it.
pub(super) fn make_folders(
    root: &Path,
    path: &Path,
    prepare: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<Vec<PathBuf>> {
    // A parent may be removed by another container's end between two of our steps.
    for attempt in 0.. {
        let mut made = Vec::new();
        match make_once(root, path, &prepare, &mut made) {
            Ok(()) => return Ok(made),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) && attempt < 10 => {}
            Err(e) => {
                for folder in made.iter().rev() {
                    let _ = remove_folder(folder);
                }
                return Err(e);
            }
        }
    }
    Ok(Vec::new())
}

fn make_once(
    root: &Path,
    path: &Path,
    prepare: &impl Fn(&Path) -> io::Result<()>,
    made: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let below = path.strip_prefix(root).unwrap_or(path);
    let mut folder = root.to_owned();
    for name in below {
        folder.push(name);
        match rustix::fs::mkdir(&folder, Mode::from_raw_mode(0o755)) {
            Ok(()) if folder != path => made.push(folder.clone()),
            Ok(()) => {}
            Err(Errno::EXIST) if folder == path => {
                if !read_file(CWD, path.join("cgroup.procs"))?.is_empty() {
                    return Err(io::Error::other("the group exists and has processes in it"));
                }
            }
            Err(Errno::EXIST) => continue,
            Err(e) => return Err(e.into()),
        }
        prepare(&folder)?;
    }
    Ok(())
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The names of what is in a folder.
pub(super) fn names_in(path: &Path) -> io::Result<Vec<String>> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&fd)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// `path` and every folder below it, parents before children; nothing where it does not exist.
pub(super) fn folders_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![path.to_owned()];
    while let Some(folder) = left.pop() {
        let fd = match rustix::fs::open(&folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(e.into()),
        };
        // As many links as folders in it, plus two: nearly every group has none.
        if rustix::fs::fstat(&fd)?.st_nlink > 2 {
            for entry in rustix::fs::Dir::read_from(&fd)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if entry.file_type() == rustix::fs::FileType::Directory && name != b"." && name != b".." {
                    use std::os::unix::ffi::OsStrExt;
                    left.push(folder.join(std::ffi::OsStr::from_bytes(name)));
                }
            }
        }
        found.push(folder);
    }
    Ok(found)
}
