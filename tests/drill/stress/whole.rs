//! Files that say themselves whether they are whole: length and seed in front, then what follows from the seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use testkit::dice::Dice;
use testkit::tree::{Tree, snapshot};

const LONGEST: usize = 24 << 10;

fn content(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let length = dice.below(LONGEST);
    let mut bytes = format!("whole {length} {seed}\n").into_bytes();
    bytes.extend(dice.bytes(length));
    bytes
}

/// Makes a file; it must not be there.
pub(super) fn write(path: &Path, seed: u64) -> std::io::Result<()> {
    let mut file = std::fs::File::options().write(true).create_new(true).open(path)?;
    file.write_all(&content(seed))
}

/// Whether these are all the bytes of such a file.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let line = bytes.iter().position(|b| *b == b'\n').and_then(|end| std::str::from_utf8(&bytes[..end]).ok());
    let seed = line.and_then(|l| l.rsplit(' ').next()).and_then(|s| s.parse().ok());
    seed.is_some_and(|seed| content(seed) == bytes)
}

/// Everything that is listed can be looked at, files are whole, and each has as many names as it says.
#[track_caller]
pub(super) fn check_tree(root: &Path) -> Tree {
    let tree = snapshot(root);
    let mut names: BTreeMap<u64, (u64, Vec<String>)> = BTreeMap::new();
    for (path, node) in &tree.nodes {
        let full = root.join(path);
        let meta = full.symlink_metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if node.kind != "file" {
            continue;
        }
        names.entry(meta.ino()).or_insert((meta.nlink(), Vec::new())).1.push(path.display().to_string());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&full).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let program = name.starts_with("prog");
        let fine = if program { bytes.starts_with(b"\x7fELF") } else { is_whole(&bytes) };
        // A process that was not done with what it wrote at its own name when it ended leaves it so; nobody else sees that.
        assert!(fine || name.starts_with(".new"), "{}: {} bytes, not whole", path.display(), bytes.len());
    }
    for (number, (links, names)) in &names {
        assert_eq!(*links, names.len() as u64, "links of the file numbered {number}: {names:?}");
    }
    tree
}
