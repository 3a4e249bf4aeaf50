//! Answers to READDIR and READDIRPLUS: entries one after the other, each padded to eight bytes, until the kernel's buffer is
//! full (`struct fuse_dirent`, `fuse_direntplus`).

use crate::attributes::{ENTRY, Entry};
use crate::wire::{Reader, Writer};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Bytes of `struct fuse_dirent` before the name.
const HEAD: usize = 24;

/// An entry as it stands in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// The name.
    pub name: &'a OsStr,
    /// The inode number that is shown.
    pub inode: u64,
    /// The type: `DT_*`.
    pub kind: u32,
    /// Where reading goes on after it.
    pub next: u64,
}

impl Name<'_> {
    fn padding(&self) -> usize {
        (HEAD + self.name.len()).wrapping_neg() % 8
    }

    fn put(&self, out: &mut Writer<'_>) {
        out.u64(self.inode);
        out.u64(self.next);
        out.u32(u32::try_from(self.name.len()).unwrap_or(u32::MAX));
        out.u32(self.kind);
        out.bytes(self.name.as_bytes());
        out.zeros(self.padding());
    }
}

/// A listing of names.
#[derive(Debug)]
pub struct Listing<'b>(pub(crate) Writer<'b>);

impl Listing<'_> {
    /// Adds an entry; `false` where there is no room for it.
    pub fn add(&mut self, name: &Name<'_>) -> bool {
        let fits = self.0.room() >= HEAD + name.name.len() + name.padding();
        if fits {
            name.put(&mut self.0);
        }
        fits
    }
}

/// A listing of names and what they are.
#[derive(Debug)]
pub struct ListingPlus<'b>(pub(crate) Writer<'b>);

impl ListingPlus<'_> {
    /// Whether an entry of this name would fit: asked before the node is looked up.
    pub fn has_room_for(&self, name: &OsStr) -> bool {
        let length = HEAD + name.len();
        self.0.room() >= ENTRY + length + length.wrapping_neg() % 8
    }

    /// Adds an entry; `false` where there is no room for it. An `entry` with node 0 tells the name alone.
    pub fn add(&mut self, name: &Name<'_>, entry: &Entry) -> bool {
        let fits = self.has_room_for(name.name);
        if fits {
            entry.put(&mut self.0);
            name.put(&mut self.0);
        }
        fits
    }
}

/// The nodes a listing tells of: to be forgotten should the kernel not take it.
pub(crate) fn told(listing: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = Reader(listing);
    std::iter::from_fn(move || {
        let node = rest.u64()?;
        rest.skip(ENTRY - 8 + 16)?;
        let name = rest.u32()? as usize + 4;
        rest.skip(name + (HEAD - 4 + name).wrapping_neg() % 8)?;
        Some(node)
    })
    .filter(|node| *node != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_stop_when_full() {
        let mut buffer = [0_u8; 70];
        let mut listing = Listing(Writer::new(&mut buffer));
        let name = |name| Name { name: OsStr::new(name), inode: 5, kind: 8, next: 1 };
        assert!(listing.add(&name("a")));
        assert!(listing.add(&name("12345678")));
        assert!(!listing.add(&name("b")));
        assert_eq!(listing.0.finish(), Some(64));
    }

    #[test]
    fn a_node_told_of_is_noted() {
        let mut buffer = [0_u8; 640];
        let mut listing = ListingPlus(Writer::new(&mut buffer));
        let name = |name| Name { name: OsStr::new(name), inode: 5, kind: 8, next: 1 };
        assert!(listing.add(&name("a"), &Entry { node: 8, ..Entry::default() }));
        assert!(listing.add(&name("12345678"), &Entry::default()));
        assert!(listing.add(&name("123456789"), &Entry { node: 9, ..Entry::default() }));
        assert_eq!(listing.0.finish(), Some(3 * 128 + 32 + 32 + 40));
        assert_eq!(told(&buffer[..488]).collect::<Vec<_>>(), [8, 9]);
    }
}
