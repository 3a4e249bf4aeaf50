//! SRC and DEST of a copy, from the words on the command line to open folders.

use super::tree::Tree;
use crate::{Error, Kind, Result};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// As many links as the kernel follows.
const LINKS: usize = 40;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// What is copied.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) what: What,
    /// What it is called where it comes to.
    pub(super) name: Vec<u8>,
    /// What it is called where it lies: otherwise than it was asked for, if a link to it was followed.
    pub(super) real_name: Vec<u8>,
    /// What the folder holds is wanted, not the folder.
    pub(super) contents: bool,
}

#[derive(Debug)]
pub(super) enum What {
    Folder(OwnedFd),
    /// A name in a folder, and no folder.
    Entry(OwnedFd, CString),
}

/// Where it goes.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) folder: OwnedFd,
    /// Its name in there; none for what a folder holds.
    pub(super) name: Vec<u8>,
    /// Whether the folder itself is in what comes.
    pub(super) with_root: bool,
}

/// A path as it was written: without slashes and dots at its end, and what those said.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    bare: PathBuf,
    /// It ends in a slash or a dot: it must be a folder, and links are followed.
    folder: bool,
    /// It ends in a dot.
    contents: bool,
}

impl Written {
    fn new(path: &Path) -> Self {
        let bytes = path.as_os_str().as_bytes();
        let contents = bytes == b"." || bytes.ends_with(b"/.");
        let folder = contents || bytes.ends_with(b"/") || bytes.is_empty();
        let mut bare = bytes;
        loop {
            bare = match bare {
                [rest @ .., b'/'] if !rest.is_empty() => rest,
                [rest @ .., b'/', b'.'] => {
                    if rest.is_empty() {
                        b"/"
                    } else {
                        rest
                    }
                }
                _ => break,
            };
        }
        let bare = if bare.is_empty() { b"/" } else { bare };
        Self { bare: PathBuf::from(OsStr::from_bytes(bare)), folder, contents }
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) => PathBuf::from("."),
        None => PathBuf::from("/"),
    }
}

/// The last name of a path, if it has one.
fn name_of(path: &Path) -> Option<&[u8]> {
    path.file_name().map(OsStr::as_bytes)
}

/// Opens what is to be copied.
pub(super) fn source(tree: &Tree, path: &Path, follow: bool) -> Result<Source> {
    let written = Written::new(path);
    let missing = |e: Errno| no_source(tree, path, e);
    let name = name_of(&written.bare).map(<[u8]>::to_vec);
    let of_folder = |folder: OwnedFd, name: Option<Vec<u8>>, real_name: Option<Vec<u8>>, contents: bool| {
        // `..` and `/` have no name of their own.
        let real = || {
            let link = rustix::fs::readlink(format!("/proc/self/fd/{}", folder.as_raw_fd()), Vec::new()).ok()?;
            let path = PathBuf::from(OsStr::from_bytes(link.to_bytes()));
            name_of(&path).map(<[u8]>::to_vec)
        };
        let is_root = written.bare == Path::new("/");
        let name = if is_root { None } else { name.or_else(real) };
        let contents = contents || name.is_none();
        let name = name.unwrap_or_default();
        let real_name = real_name.unwrap_or_else(|| name.clone());
        Source { path: path.to_owned(), what: What::Folder(folder), name, real_name, contents }
    };
    if written.folder || name.is_none() {
        let folder = tree.open(&written.bare, FOLDER).map_err(missing)?;
        return Ok(of_folder(folder, name, None, written.contents));
    }
    let mut at = written.bare.clone();
    for _ in 0..LINKS {
        let (stat, link) = tree.look(&at).map_err(missing)?;
        match link {
            Some(target) if follow => at = parent(&at).join(target),
            _ if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let folder = tree.open(&at, FOLDER).map_err(missing)?;
                return Ok(of_folder(folder, name, name_of(&at).map(<[u8]>::to_vec), false));
            }
            _ => {
                let folder = tree.open(&parent(&at), FOLDER).map_err(missing)?;
                let entry = name_of(&at).and_then(|n| CString::new(n).ok()).ok_or_else(|| missing(Errno::NOENT))?;
                let (name, real_name) = (name.unwrap_or_default(), entry.to_bytes().to_vec());
                let what = What::Entry(folder, entry);
                return Ok(Source { path: path.to_owned(), what, name, real_name, contents: false });
            }
        }
    }
    Err(missing(Errno::LOOP))
}

/// What is at DEST, its last link followed.
enum There {
    Folder(OwnedFd),
    File(PathBuf),
    Nothing(PathBuf),
}

fn there(tree: &Tree, written: &Written) -> rustix::io::Result<There> {
    let mut at = written.bare.clone();
    for _ in 0..LINKS {
        match tree.look(&at) {
            Ok((_, Some(target))) => at = parent(&at).join(target),
            Ok((stat, None)) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return tree.open(&at, FOLDER).map(There::Folder);
            }
            Ok(_) => return Ok(There::File(at)),
            Err(Errno::NOENT) => return Ok(There::Nothing(at)),
            Err(e) => return Err(e),
        }
    }
    Err(Errno::LOOP)
}

/// Opens the folder that `source` goes into, and says how it is called there.
pub(super) fn destination(tree: &Tree, path: &Path, source: &Source) -> Result<Destination> {
    let written = Written::new(path);
    let refuse = |text: &str| Error::new(Kind::Request, "", text);
    let is_folder = matches!(source.what, What::Folder(_));
    if path.as_os_str().is_empty() {
        return Err(refuse("no such directory"));
    }
    let found = there(tree, &written).map_err(|e| no_target(tree, path, e))?;
    let (at, with_root) = match found {
        There::Folder(folder) if source.contents => {
            return Ok(Destination { folder, name: Vec::new(), with_root: false });
        }
        There::Folder(folder) => {
            refuse_other_kind(&folder, source)?;
            return Ok(Destination { folder, name: source.name.clone(), with_root: true });
        }
        There::File(_) if is_folder => return Err(refuse("cannot copy directory")),
        There::File(_) if written.folder => return Err(refuse("no such directory")),
        There::File(at) => (at, true),
        There::Nothing(at) if is_folder => (at, true),
        There::Nothing(_) if written.folder => return Err(refuse("no such directory")),
        There::Nothing(at) => (at, true),
    };
    let above = parent(&at);
    let folder = tree.open(&above, FOLDER).map_err(|e| no_target(tree, &above, e))?;
    let name = name_of(&at).ok_or_else(|| no_target(tree, &at, Errno::NOENT))?;
    Ok(Destination { folder, name: name.to_vec(), with_root })
}

/// docker (`NoOverwriteDirNonDir`): a folder takes no file's place, and no file a folder's.
fn refuse_other_kind(folder: &OwnedFd, source: &Source) -> Result<()> {
    let Ok(stat) = rustix::fs::statat(folder, &*source.name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(());
    };
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let comes = matches!(source.what, What::Folder(_));
    let name = String::from_utf8_lossy(&source.name);
    match (comes, is_folder) {
        (true, false) => Err(Error::new(
            Kind::Request,
            "",
            format!("cannot overwrite non-directory {name:?} with directory {name:?}"),
        )),
        (false, true) => Err(Error::new(
            Kind::Request,
            "",
            format!("cannot overwrite directory {name:?} with non-directory {name:?}"),
        )),
        _ => Ok(()),
    }
}

/// Opens the folder that an archive is unpacked into.
pub(super) fn folder(tree: &Tree, path: &Path) -> Result<OwnedFd> {
    let written = Written::new(path);
    match tree.open(&written.bare, FOLDER) {
        Ok(folder) => Ok(folder),
        Err(Errno::NOTDIR | Errno::NOENT) => {
            let text = format!("destination {:?} must be a directory", tree.told(path));
            Err(Error::new(Kind::Request, "", text))
        }
        Err(e) => Err(no_target(tree, path, e)),
    }
}

fn no_source(tree: &Tree, path: &Path, error: Errno) -> Error {
    match (tree, error) {
        (Tree::Container { name, .. }, Errno::NOENT) => {
            Error::new(Kind::NotFound, "", format!("Could not find the file {} in container {name}", rooted(path)))
        }
        (Tree::Machine, e) => {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            crate::error::system("lstat", whole.display(), e)
        }
        (_, e) => crate::error::system("open", tree.told(path), e),
    }
}

fn no_target(tree: &Tree, path: &Path, error: Errno) -> Error {
    match (tree, error) {
        (Tree::Container { name, .. }, Errno::NOENT) => {
            Error::new(Kind::NotFound, "", format!("Could not find the file {} in container {name}", rooted(path)))
        }
        (Tree::Machine, Errno::NOENT) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let text = format!("invalid output path: directory {:?} does not exist", path.display().to_string());
            Error::new(Kind::NotFound, "", text)
        }
        (_, e) => crate::error::system("open", tree.told(path), e),
    }
}

/// A container's paths begin at its root.
fn rooted(path: &Path) -> String {
    Path::new("/").join(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_end_of_a_path_says() {
        for (text, bare, folder, contents) in [
            ("/a/b", "/a/b", false, false),
            ("/a/b/", "/a/b", true, false),
            ("/a/b//", "/a/b", true, false),
            ("/a/b/.", "/a/b", true, true),
            ("/a/b/./", "/a/b", true, false),
            (".", ".", true, true),
            ("./", ".", true, false),
            ("/", "/", true, false),
            ("/.", "/", true, true),
            ("", "/", true, false),
            ("a", "a", false, false),
        ] {
            let want = Written { bare: bare.into(), folder, contents };
            assert_eq!(Written::new(Path::new(text)), want, "{text}");
        }
        assert_eq!((parent(Path::new("a")), parent(Path::new("/a"))), (".".into(), "/".into()));
    }
}
