//! How layers become one tree: the rules, without any file system below.
//!
//! A name is looked for from the top layer down ([`Merge`]). A whiteout hides all below it. What is not a directory hides
//! all below it. Directories lie over each other until one is opaque or something else is met
//! (Documentation/filesystems/overlayfs.rst, "Directories", "whiteouts and opaque directories").
//! A listing is the union of names, the topmost first ([`Listing`]).

use rustix::fs::FileType;
use std::collections::HashSet;
use std::ffi::OsString;

/// What one layer has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Nothing.
    Absent,
    /// A mark that the name is gone.
    Whiteout,
    /// Anything but a directory.
    File,
    /// A directory; opaque or not.
    Folder {
        /// Nothing below it shows through.
        opaque: bool,
    },
}

/// The search for one name, fed from the top layer down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merge {
    /// The layers whose directories lie over each other, or the single one of a file.
    pub layers: Vec<usize>,
    /// Whether it is a file.
    pub file: bool,
    /// Nothing below counts any more.
    pub done: bool,
}

impl Merge {
    /// Takes what `layer` has. After it [`done`](Self::done) tells whether layers below matter.
    pub fn see(&mut self, layer: usize, sight: Sight) {
        match sight {
            Sight::Absent => {}
            Sight::Whiteout => self.done = true,
            Sight::File => {
                // Below a directory a file is hidden, and hides what is below it.
                if self.layers.is_empty() {
                    self.layers.push(layer);
                    self.file = true;
                }
                self.done = true;
            }
            Sight::Folder { opaque } => {
                self.layers.push(layer);
                self.done = opaque;
            }
        }
    }
}

/// An entry of a merged directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Its type.
    pub kind: FileType,
    /// Inode number to show.
    pub inode: u64,
    /// The topmost layer that has it.
    pub layer: usize,
    /// Where reading goes on behind it.
    pub offset: u64,
}

/// The listing of a merged directory, fed from the top layer down.
///
/// Names are told apart by a keyed 64-bit hash: that two of one directory have the same is not to be expected in the life of
/// a machine.
#[derive(Debug, Default)]
pub struct Listing {
    entries: Vec<Entry>,
    seen: HashSet<u64>,
}

/// Offsets up to this one are those of `.` and `..`.
const DOTS: u64 = 2;

impl Listing {
    /// Puts `.` and `..` in front, with these inode numbers.
    pub fn add_dots(&mut self, own: u64, parent: u64) {
        for (offset, (name, inode)) in [(".", own), ("..", parent)].into_iter().enumerate() {
            let offset = offset as u64 + 1;
            self.entries.push(Entry { name: name.into(), kind: FileType::Directory, inode, layer: 0, offset });
        }
    }

    /// Takes an entry of the next layer, whose name has this hash. `only`: there is no other layer, so nothing need be
    /// remembered.
    pub fn add(&mut self, entry: Entry, hash: u64, whiteout: bool, only: bool) {
        let new = only || self.seen.insert(hash);
        if new && !whiteout {
            self.entries.push(Entry { offset: (hash >> 1).max(DOTS + 1), ..entry });
        }
    }

    /// Whether a name of a layer above hides the one with this hash.
    pub fn hides(&self, hash: u64) -> bool {
        self.seen.contains(&hash)
    }

    /// Hides in the layers below the name with this hash.
    pub fn hide(&mut self, hash: u64) {
        self.seen.insert(hash);
    }

    /// What shows, ordered by offset; no two have the same.
    pub fn finish(mut self) -> Vec<Entry> {
        self.entries.sort_unstable_by(|a, b| a.offset.cmp(&b.offset).then_with(|| a.name.cmp(&b.name)));
        let mut last = 0;
        for entry in &mut self.entries {
            entry.offset = entry.offset.max(last + 1);
            last = entry.offset;
        }
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(sights: &[Sight]) -> (Vec<usize>, bool) {
        let mut merge = Merge::default();
        for (layer, sight) in sights.iter().enumerate() {
            if merge.done {
                break;
            }
            merge.see(layer, *sight);
        }
        (merge.layers, merge.file)
    }

    const DIR: Sight = Sight::Folder { opaque: false };
    const OPAQUE: Sight = Sight::Folder { opaque: true };

    #[test]
    fn directories_lie_over_each_other() {
        assert_eq!(merge(&[DIR, Sight::Absent, DIR]), (vec![0, 2], false));
    }

    #[test]
    fn an_opaque_directory_and_a_whiteout_hide_what_is_below() {
        assert_eq!(merge(&[DIR, OPAQUE, DIR]), (vec![0, 1], false));
        assert_eq!(merge(&[DIR, Sight::Whiteout, DIR]), (vec![0], false));
        assert_eq!(merge(&[Sight::Whiteout, DIR]), (vec![], false));
    }

    #[test]
    fn a_file_stands_alone() {
        assert_eq!(merge(&[Sight::File, DIR]), (vec![0], true));
        assert_eq!(merge(&[DIR, Sight::File, DIR]), (vec![0], false));
    }

    #[test]
    fn a_listing_shows_each_name_once_and_no_whiteout() {
        let entry = |name: &str, layer: usize| Entry {
            name: name.into(),
            kind: FileType::RegularFile,
            inode: layer as u64,
            layer,
            offset: 0,
        };
        let mut listing = Listing::default();
        listing.add_dots(7, 8);
        listing.add(entry("a", 0), 100, false, false);
        listing.add(entry("gone", 0), 50, true, false);
        listing.hide(70);
        listing.add(entry("a", 1), 100, false, false);
        listing.add(entry("gone", 1), 50, false, false);
        listing.add(entry("hidden", 1), 70, false, false);
        listing.add(entry("b", 1), 60, false, false);
        listing.add(entry("c", 1), 101, false, false);
        let entries = listing.finish();
        let names: Vec<_> = entries.iter().map(|e| (e.name.to_str().unwrap(), e.layer, e.offset)).collect();
        assert_eq!(names, [(".", 0, 1), ("..", 0, 2), ("b", 1, 30), ("a", 0, 50), ("c", 1, 51)]);
    }
}
