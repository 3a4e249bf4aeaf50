//! A root file system as a descriptor. Everything inside it is reached through here, so that no symbolic link, `..` or
//! `/proc` trick of the image leads out: `openat2(2)` with `RESOLVE_IN_ROOT`, and for what has to be made, a walk by
//! descriptors that opens one component at a time and follows links itself.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// What is to be made where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Directory,
    File,
}

/// A root file system, held by a descriptor of its root.
#[derive(Debug)]
pub(crate) struct Tree(OwnedFd);

impl Tree {
    /// The tree below the folder `root`.
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self(root)
    }

    /// Opens what `path` is inside, seen from the root; links lead to places inside.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_with(path, flags, ResolveFlags::empty())
    }

    /// The same where no component may be a link.
    pub(crate) fn open_plain(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_with(path, flags, ResolveFlags::NO_SYMLINKS)
    }

    fn open_with(&self, path: &Path, flags: OFlags, more: ResolveFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        // openat2 gives up with EAGAIN where a rename raced with a `..`; trying again is what it asks for.
        for _ in 0..128 {
            match rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens `path` by descriptor only, making it and the folders above where they are missing.
    pub(crate) fn ensure(&self, path: &Path, make: Make) -> io::Result<OwnedFd> {
        match self.open(path, OFlags::PATH) {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
                let (parent, name) = self.walk(path)?;
                match name {
                    None => Ok(parent),
                    Some(name) => make_in(parent.as_fd(), &name, make),
                }
            }
            done => done,
        }
    }

    /// Opens the folder that holds `path`, making folders on the way, with the last name; no name where `path` is a folder
    /// that was walked through as a whole (`/`, `a/..`).
    pub(crate) fn parent(&self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let above = path.parent().unwrap_or(Path::new("/"));
        Ok((self.ensure(above, Make::Directory)?, name))
    }

    fn walk(&self, path: &Path) -> io::Result<(OwnedFd, Option<OsString>)> {
        let mut stack: Vec<OwnedFd> = vec![rustix::io::fcntl_dupfd_cloexec(&self.0, 3)?];
        let mut rest: VecDeque<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let Some(here) = stack.last() else { return Err(Errno::INVAL.into()) };
            let found = match open_child(here.as_fd(), &name) {
                Err(Errno::NOENT) if rest.is_empty() => {
                    let here = stack.pop().ok_or(Errno::INVAL)?;
                    return Ok((here, Some(name)));
                }
                Err(Errno::NOENT) => make_in(here.as_fd(), &name, Make::Directory)?,
                done => done?,
            };
            match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = rustix::fs::readlinkat(&found, c"", Vec::new())?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        stack.truncate(1);
                    }
                    for name in names(target).into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                FileType::Directory => stack.push(found),
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        Ok((stack.pop().ok_or(Errno::INVAL)?, None))
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn open_child(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn make_in(dir: BorrowedFd<'_>, name: &OsStr, make: Make) -> io::Result<OwnedFd> {
    match make {
        Make::Directory => match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        },
        Make::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)) {
                Ok(_) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    let made = open_child(dir, name)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&made)?.st_mode);
    match (make, kind) {
        (_, FileType::Symlink) => Err(Errno::LOOP.into()),
        (Make::Directory, FileType::Directory) | (Make::File, _) => Ok(made),
        (Make::Directory, _) => Err(Errno::NOTDIR.into()),
    }
}

/// Whether the descriptor is of a folder.
pub(crate) fn is_dir(fd: impl AsFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode).is_dir())
}

/// Makes `name` in `dir` a symbolic link to `target` where nothing is there.
pub(crate) fn link_if_absent(dir: BorrowedFd<'_>, name: &str, target: &str) -> io::Result<()> {
    match rustix::fs::symlinkat(target, dir, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Removes a file of `dir`; that it is not there is fine.
pub(crate) fn remove_if_present(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Make, Tree, is_dir};
    use rustix::fs::OFlags;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn tree(dir: &Path) -> Tree {
        Tree::new(crate::file::open_dir(dir).unwrap())
    }

    #[test]
    fn links_never_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc", dir.path().join("climbing")).unwrap();
        let tree = tree(dir.path());
        for name in ["/absolute/made", "/climbing/made2"] {
            assert!(is_dir(tree.ensure(Path::new(name), Make::Directory).unwrap()).unwrap());
        }
        assert!(dir.path().join("etc/made").is_dir() && dir.path().join("etc/made2").is_dir());
        assert!(tree.open_plain(Path::new("/absolute"), OFlags::PATH).is_err());
    }

    #[test]
    fn files_are_made_with_their_folders_and_dangling_links_followed() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/run", dir.path().join("var-run")).unwrap();
        let tree = tree(dir.path());
        assert!(!is_dir(tree.ensure(Path::new("/var-run/a/b"), Make::File).unwrap()).unwrap());
        assert!(dir.path().join("run/a/b").is_file());
        symlink("loop", dir.path().join("loop")).unwrap();
        assert_eq!(tree.ensure(Path::new("/loop/x"), Make::File).unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_file_in_the_way_is_said() {
        let dir = tempfile::tempdir().unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        let tree = tree(dir.path());
        tree.ensure(Path::new("/f"), Make::File).unwrap();
        assert_eq!(tree.ensure(Path::new("/f/x"), Make::File).unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
        tree.ensure(Path::new("/dangling"), Make::File).unwrap();
        assert!(dir.path().join("nowhere").is_file());
    }
}
