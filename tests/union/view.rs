//! A tree as text, one line an entry, so that two can be compared and a difference be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

const GONE: &str = "error Some(2)";

/// Every entry below `root` by path: type, mode, owner, links, size, content, target, device, xattrs; modification time
/// where a test has set it (before 2001).
pub(crate) fn view(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut lines = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let listed = std::fs::read_dir(root.join(&folder)).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in listed {
            let path = folder.join(entry.expect("an entry").file_name());
            if root.join(&path).symlink_metadata().is_ok_and(|m| m.is_dir()) {
                folders.push(path.clone());
            }
            let line = describe(&root.join(&path));
            // The kernel lists whiteouts of a directory that only one lower layer has; they cannot be looked up.
            if line != GONE {
                lines.insert(path, line);
            }
        }
    }
    lines
}

/// The same with inode numbers, those of listings too.
pub(crate) fn view_with_numbers(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut lines = view(root);
    for (path, line) in &mut lines {
        let number = root.join(path).symlink_metadata().map_or(0, |m| m.ino());
        write!(line, " number {number}").expect("text");
    }
    let folders: Vec<PathBuf> = lines.keys().filter(|path| root.join(path).is_dir()).cloned().collect();
    for folder in folders.into_iter().chain([PathBuf::new()]) {
        for entry in std::fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            if let Some(line) = lines.get_mut(&folder.join(entry.file_name())) {
                write!(line, " listed as {}", std::os::unix::fs::DirEntryExt::ino(&entry)).expect("text");
            }
        }
    }
    lines
}

/// One entry; an error where it cannot be looked at.
pub(crate) fn describe(path: &Path) -> String {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(e) => return format!("error {:?}", e.raw_os_error()),
    };
    let kind = meta.file_type();
    let mut line = format!("{:o} {}:{} ", meta.mode(), meta.uid(), meta.gid());
    // The kernel links one whiteout under many names.
    let whiteout = kind.is_char_device() && meta.rdev() == 0;
    if !kind.is_dir() && !whiteout {
        write!(line, "links {} ", meta.nlink()).expect("text");
    }
    if kind.is_file() {
        let mut hash = DefaultHasher::new();
        match std::fs::read(path) {
            Ok(bytes) => {
                assert_eq!(bytes.len() as u64, meta.len(), "{}: content and size", path.display());
                bytes.hash(&mut hash);
            }
            Err(e) => e.raw_os_error().hash(&mut hash),
        }
        write!(line, "size {} content {:x} ", meta.len(), hash.finish()).expect("text");
    }
    if kind.is_symlink() {
        write!(line, "to {:?} ", std::fs::read_link(path).ok()).expect("text");
    }
    if kind.is_char_device() || kind.is_block_device() {
        write!(line, "device {} ", meta.rdev()).expect("text");
    }
    if meta.mtime() < 1_000_000_000 {
        write!(line, "mtime {}.{:09} ", meta.mtime(), meta.mtime_nsec()).expect("text");
    }
    let mut names = vec![0_u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut xattrs = Vec::new();
    for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        if !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.") {
            let mut value = [0_u8; 256];
            let name = std::ffi::OsStr::from_bytes(name);
            let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap_or(0);
            xattrs.push(format!("{}={}", name.display(), String::from_utf8_lossy(&value[..length])));
        }
    }
    xattrs.sort();
    line + &xattrs.join(" ")
}

/// What differs, a line a side; empty where nothing does.
pub(crate) fn differences(one: &BTreeMap<PathBuf, String>, two: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut told = Vec::new();
    let paths: std::collections::BTreeSet<_> = one.keys().chain(two.keys()).collect();
    for path in paths {
        if one.get(path) != two.get(path) {
            told.push(format!("{}:\n  {:?}\n  {:?}", path.display(), one.get(path), two.get(path)));
        }
    }
    told
}
