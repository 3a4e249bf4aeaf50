//! How layers become one tree: the rules, without any file system below.
//!
//! A name is looked for from the top layer down ([`Merge`]). A whiteout hides all below it. What is not a directory hides
//! all below it. Directories lie over each other until one is opaque or something else is met
//! (Documentation/filesystems/overlayfs.rst, "Directories", "whiteouts and opaque directories").
//! A listing is the union of names, the topmost first ([`Listing`]).

use rustix::fs::FileType;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

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
}

/// The listing of a merged directory, fed from the top layer down.
#[derive(Debug, Default)]
pub struct Listing {
    /// What shows, topmost layer first.
    pub entries: Vec<Entry>,
    seen: HashSet<OsString>,
}

impl Listing {
    /// Takes an entry of the next layer. `only`: there is no other layer, so nothing need be remembered.
    pub fn add(&mut self, entry: Entry, whiteout: bool, only: bool) {
        if only {
            if !whiteout {
                self.entries.push(entry);
            }
            return;
        }
        if self.seen.contains(&entry.name) {
            return;
        }
        self.seen.insert(entry.name.clone());
        if !whiteout {
            self.entries.push(entry);
        }
    }

    /// Whether a name of a layer above hides `name`.
    pub fn hides(&self, name: &OsStr) -> bool {
        self.seen.contains(name)
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
        let entry =
            |name: &str, layer| Entry { name: name.into(), kind: FileType::RegularFile, inode: layer as u64, layer };
        let mut listing = Listing::default();
        listing.add(entry("a", 0), false, false);
        listing.add(entry("gone", 0), true, false);
        listing.add(entry("a", 1), false, false);
        listing.add(entry("gone", 1), false, false);
        listing.add(entry("b", 1), false, false);
        let names: Vec<_> = listing.entries.iter().map(|e| (e.name.to_str().unwrap(), e.layer)).collect();
        assert_eq!(names, [("a", 0), ("b", 1)]);
    }
}
