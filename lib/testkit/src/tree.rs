//! Two directories compared entry by entry: type, mode, owner, size, time to the nanosecond, xattrs, link target, device
//! number, hard-link groups and content.
//!
//! [`snapshot`] reads a tree without following links; [`Tree::differences`] says in lines what another has otherwise. What a
//! comparison should not see is taken out before, with [`Tree::without_times`], [`Tree::keep_only`] or
//! [`Tree::without_xattrs`].

use rustix::fs::{AtFlags, CWD, FileType, Stat};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::hash::Hasher;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `file`, `directory`, `link`, `char`, `block`, `fifo` or `socket`.
    pub kind: &'static str,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Bytes of a regular file; 0 for all else.
    pub size: u64,
    /// Last modification: seconds and nanoseconds; `None` once [`Tree::without_times`] has been called.
    pub mtime: Option<(i64, u64)>,
    /// Extended attributes, names in order.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// Where a symbolic link points.
    pub target: Option<PathBuf>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// For a file of several names, the first of them in this tree.
    pub same_as: Option<PathBuf>,
    /// A hash of a regular file's content.
    pub content: Option<u64>,
}

/// A directory and all below it, by path; the directory itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// All entries.
    pub nodes: BTreeMap<PathBuf, Node>,
}

/// Reads the tree at `root`. Panics with the path where something cannot be read: that is a test's failure.
pub fn snapshot(root: &Path) -> Tree {
    let mut tree = Tree::default();
    let mut first_names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut to_do = vec![PathBuf::new()];
    while let Some(path) = to_do.pop() {
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let stat = rustix::fs::statat(CWD, &full, AtFlags::SYMLINK_NOFOLLOW)
            .unwrap_or_else(|e| panic!("stat {}: {e}", full.display()));
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let entries = std::fs::read_dir(&full).unwrap_or_else(|e| panic!("read {}: {e}", full.display()));
            to_do.extend(entries.map(|e| path.join(e.expect("a directory entry").file_name())));
        }
        let node = node(&full, &stat, kind);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let first = first_names.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.clone());
            if path < *first {
                first.clone_from(&path);
            }
        }
        tree.nodes.insert(path, node);
    }
    for (path, node) in &mut tree.nodes {
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) };
        if let Ok(stat) = rustix::fs::statat(CWD, &full, AtFlags::SYMLINK_NOFOLLOW) {
            node.same_as = first_names.get(&(stat.st_dev, stat.st_ino)).cloned();
        }
    }
    tree
}

fn node(path: &Path, stat: &Stat, kind: FileType) -> Node {
    let name = match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::CharacterDevice => "char",
        FileType::BlockDevice => "block",
        FileType::Fifo => "fifo",
        _ => "socket",
    };
    let file = kind == FileType::RegularFile;
    let device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
        .then(|| (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)));
    let target = (kind == FileType::Symlink)
        .then(|| std::fs::read_link(path).unwrap_or_else(|e| panic!("read link {}: {e}", path.display())));
    Node {
        kind: name,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        size: if file { stat.st_size.cast_unsigned() } else { 0 },
        mtime: Some((stat.st_mtime, stat.st_mtime_nsec)),
        xattrs: xattrs(path),
        target,
        device,
        same_as: None,
        content: file.then(|| content(path)),
    }
}

fn content(path: &Path) -> u64 {
    let mut file = std::fs::File::open(path).unwrap_or_else(|e| panic!("open {}: {e}", path.display()));
    let mut hash = std::hash::DefaultHasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        // Whole buffers, since the hash depends on where they end.
        let mut have = 0;
        while have < buffer.len() {
            match file.read(&mut buffer[have..]).unwrap_or_else(|e| panic!("read {}: {e}", path.display())) {
                0 => break,
                count => have += count,
            }
        }
        hash.write(&buffer[..have]);
        if have < buffer.len() {
            return hash.finish();
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0_u8; 64 << 10];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names) else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for name in names[..length].split(|&b| b == 0).filter(|n| !n.is_empty()) {
        let mut value = vec![0_u8; 64 << 10];
        if let Ok(length) = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value) {
            all.insert(String::from_utf8_lossy(name).into_owned(), value[..length].to_vec());
        }
    }
    all
}

impl Tree {
    /// The entry at `path`. Panics with what there is if it is not there.
    #[track_caller]
    pub fn at(&self, path: impl AsRef<Path>) -> &Node {
        let path = path.as_ref();
        match self.nodes.get(path) {
            Some(node) => node,
            None => panic!("no {} among {:?}", path.display(), self.nodes.keys().collect::<Vec<_>>()),
        }
    }

    /// Whether there is something at `path`.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.nodes.contains_key(path.as_ref())
    }

    /// Without the times of entries that `which` picks.
    #[must_use]
    pub fn without_times(mut self, which: impl Fn(&Path, &Node) -> bool) -> Self {
        for (path, node) in &mut self.nodes {
            if which(path, node) {
                node.mtime = None;
            }
        }
        self
    }

    /// Without the entries that `which` does not pick.
    #[must_use]
    pub fn keep_only(mut self, which: impl Fn(&Path, &Node) -> bool) -> Self {
        self.nodes.retain(|path, node| which(path, node));
        self
    }

    /// Without the extended attributes whose name `which` picks.
    #[must_use]
    pub fn without_xattrs(mut self, which: impl Fn(&str) -> bool) -> Self {
        for node in self.nodes.values_mut() {
            node.xattrs.retain(|name, _| !which(name));
        }
        self
    }

    /// What `other` has otherwise, a line each; none where the two are equal.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, ours) in &self.nodes {
            match other.nodes.get(path) {
                None => lines.push(format!("- {}: {ours}", shown(path))),
                Some(theirs) if theirs != ours => lines.push(format!("! {}: {}", shown(path), ours.against(theirs))),
                Some(_) => {}
            }
        }
        for (path, theirs) in other.nodes.iter().filter(|(path, _)| !self.nodes.contains_key(*path)) {
            lines.push(format!("+ {}: {theirs}", shown(path)));
        }
        lines
    }

    /// Fails, with the differences, unless `other` is equal. `self` is the reference.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        let lines = self.differences(other);
        let shown = lines.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
        assert!(lines.is_empty(), "{what}: {} entries differ (- missing, + too much, ! other):\n{shown}", lines.len());
    }
}

fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        format!("{:?}", path.as_os_str()).trim_matches('"').to_owned()
    }
}

impl Node {
    /// Each member that differs, as `name ours -> theirs`.
    fn against(&self, other: &Self) -> String {
        let mut parts = Vec::new();
        let mut member = |name: &str, ours: String, theirs: String| {
            if ours != theirs {
                parts.push(format!("{name} {ours} -> {theirs}"));
            }
        };
        member("type", self.kind.into(), other.kind.into());
        member("mode", format!("{:o}", self.mode), format!("{:o}", other.mode));
        member("owner", format!("{:?}", self.owner), format!("{:?}", other.owner));
        member("size", self.size.to_string(), other.size.to_string());
        member("mtime", format!("{:?}", self.mtime), format!("{:?}", other.mtime));
        member("target", format!("{:?}", self.target), format!("{:?}", other.target));
        member("device", format!("{:?}", self.device), format!("{:?}", other.device));
        member("hard link of", format!("{:?}", self.same_as), format!("{:?}", other.same_as));
        member("content", format!("{:x?}", self.content), format!("{:x?}", other.content));
        for name in self.xattrs.keys().chain(other.xattrs.keys()) {
            let value = |node: &Self| node.xattrs.get(name).map(|v| String::from_utf8_lossy(v).into_owned());
            member(&format!("xattr {name}"), format!("{:?}", value(self)), format!("{:?}", value(other)));
        }
        parts.dedup();
        parts.join(", ")
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:04o} {}:{} {} bytes", self.kind, self.mode, self.owner.0, self.owner.1, self.size)?;
        if let Some(target) = &self.target {
            write!(f, " -> {}", target.display())?;
        }
        if let Some((major, minor)) = self.device {
            write!(f, " {major}:{minor}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn says_what_differs() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [a.path(), b.path()] {
            std::fs::write(dir.join("f"), "one").unwrap();
            std::fs::hard_link(dir.join("f"), dir.join("g")).unwrap();
            symlink("f", dir.join("l")).unwrap();
        }
        let always = |_: &Path, _: &Node| true;
        let read = |dir: &tempfile::TempDir| snapshot(dir.path()).without_times(always);
        read(&a).assert_same(&read(&b), "equal trees");
        assert_eq!(read(&a).at("g").same_as.as_deref(), Some(Path::new("f")));

        std::fs::remove_file(b.path().join("l")).unwrap();
        std::fs::write(b.path().join("f"), "two").unwrap();
        std::fs::write(b.path().join("new"), "").unwrap();
        let lines = read(&a).differences(&read(&b));
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].starts_with("! f: content Some("), "{}", lines[0]);
        assert!(lines[2].starts_with("- l: link 0777") && lines[3].starts_with("+ new: file"), "{lines:?}");
    }
}
