//! Inode numbers as the union shows them: the same before and after copy-up, renaming and remounting.
//!
//! The rule is overlayfs' (`ovl_getattr`, `ovl_map_dev_ino`). What was copied up shows the number of what it was copied
//! from, read from `overlay.origin`; a merged directory shows that of its topmost lower part; everything else its own. With
//! all layers on one file system these are the real numbers; else the file system's index, in the order of the layers, is in
//! the high bits (`xino`). A number that leaves no room for that is made from a hash and marked by the highest bit.
//!
//! Only directories marked `overlay.impure` hold copies, so elsewhere no origin is asked for. Where none can be written (no
//! xattrs, or `user.*` ones on a link) the number is kept in memory while mounted.

use super::Stack;
use super::lock::{held, read, write};
use super::node::Node;
use super::origin::Origin;
use crate::XattrNamespace;
use crate::layer::{Answer, Errno, Folder, Identity};
use rustix::fs::FileType;
use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};

/// Bits of an inode number that fit beside the file system's index.
const INODE_BITS: u32 = 48;
/// Set in numbers of our own making.
const MADE: u64 = 1 << 63;

/// A file system some layer is on.
#[derive(Debug, Clone, Copy)]
struct Device {
    number: u64,
    /// Its type (statfs(2)): tells how its file handles hold an inode number.
    magic: u64,
}

/// Nodes whose attributes the kernel has wrong, and whether there are any.
#[derive(Debug, Default)]
pub(crate) struct Outdated(Mutex<Vec<u64>>, AtomicBool);

/// The rule, and what it must remember.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    devices: RwLock<Vec<Device>>,
    /// Upper objects whose number was not theirs and is written nowhere.
    moved: Mutex<HashMap<Identity, u64>>,
}

impl Numbers {
    /// Gives the file system behind `root` its index.
    pub(crate) fn add(&self, root: &dyn Folder) {
        let number = root.identity().device;
        let magic = root.descriptor().and_then(|fd| rustix::fs::fstatfs(fd).ok()).map_or(0, |s| s.f_type as u64);
        let mut devices = write(&self.devices);
        if devices.iter().all(|d| d.number != number) {
            devices.push(Device { number, magic });
        }
    }

    /// What an object shows that has no origin.
    pub(crate) fn of(&self, identity: Identity) -> u64 {
        let known = read(&self.devices).iter().position(|d| d.number == identity.device);
        let index = known.unwrap_or_else(|| {
            let mut devices = write(&self.devices);
            devices.push(Device { number: identity.device, magic: 0 });
            devices.len() - 1
        });
        if index == 0 && identity.inode & MADE == 0 {
            return identity.inode;
        }
        if identity.inode >> INODE_BITS == 0 && index < 1 << 14 {
            return (index as u64) << INODE_BITS | identity.inode;
        }
        MADE | BuildHasherDefault::<DefaultHasher>::default().hash_one(identity)
    }

    /// What an object of the upper layer shows in a directory without copies.
    pub(crate) fn of_upper(&self, identity: Identity) -> u64 {
        held(&self.moved).get(&identity).copied().unwrap_or_else(|| self.of(identity))
    }

    /// The upper object is shown under this number, which is written nowhere.
    pub(crate) fn remember(&self, identity: Identity, number: u64) {
        if self.of(identity) != number {
            held(&self.moved).insert(identity, number);
        }
    }

    /// The upper object is no more: its inode number may come again for another.
    pub(crate) fn removed(&self, identity: Identity) {
        held(&self.moved).remove(&identity);
    }

    /// What a file of `device` shows that has this handle; `None` where that cannot be told.
    fn of_handle(&self, device: u64, kind: u8, handle: &[u8]) -> Option<u64> {
        let magic = read(&self.devices).iter().find(|d| d.number == device)?.magic;
        Some(self.of(Identity { device, inode: inode_of(magic, kind, handle)? }))
    }
}

/// The inode number in a file handle (each file system's `encode_fh`; include/linux/exportfs.h).
fn inode_of(magic: u64, kind: u8, handle: &[u8]) -> Option<u64> {
    let word = |at: usize| {
        let bytes = handle.get(at * 4..at * 4 + 4)?;
        Some(u64::from(u32::from_ne_bytes(bytes.try_into().ok()?)))
    };
    let long = || Some(u64::from_ne_bytes(handle.get(..8)?.try_into().ok()?));
    match (magic, kind) {
        // FILEID_INO32_GEN of ext4, f2fs and xfs.
        (0xef53 | 0xf2f5_2010 | 0x5846_5342, 1) => word(0),
        // xfs with 64-bit numbers; btrfs.
        (0x5846_5342, 0x81) | (0x9123_683e, 0x4d) => long(),
        // tmpfs: generation, then the number.
        (0x0102_1994, 1) => Some(word(1)? | word(2)? << 32),
        _ => None,
    }
}

impl Stack {
    /// What a file of the upper layer shows that may be a copy.
    pub(crate) fn upper_number(&self, folder: &dyn Folder, name: &OsStr, own: Identity) -> Answer<u64> {
        let kept = self.layers.numbers.of_upper(own);
        if kept != self.layers.numbers.of(own) {
            return Ok(kept);
        }
        let value = self.xattr_at(folder, name, self.xattrs.origin())?;
        let origin = value.and_then(|value| Origin::decode(&value));
        Ok(origin.and_then(|origin| self.number_of_origin(&origin)).unwrap_or(kept))
    }

    /// The file `node` was copied up and is this object now. `origin`: what was written down as such, if anything.
    pub(crate) fn settle_number(&self, node: &Node, copy: Identity, origin: Option<Option<&Origin>>) {
        match origin {
            // One of several names of a lower file, parted from the others: as overlayfs a file of its own.
            None => {
                node.set_number(self.layers.numbers.of(copy));
                self.outdate(node);
            }
            // User xattrs are for files and directories alone.
            Some(Some(_)) if self.xattrs == XattrNamespace::Trusted || node.kind == FileType::RegularFile => {}
            Some(_) => self.layers.numbers.remember(copy, node.number()),
        }
    }

    /// What the kernel knows of the attributes of `node` is not right any more, and no answer tells it.
    fn outdate(&self, node: &Node) {
        held(&self.outdated.0).push(node.id());
        self.outdated.1.store(true, Ordering::Release);
    }

    /// The node numbers whose attributes the kernel is to ask for again.
    pub fn outdated(&self) -> Vec<u64> {
        if !self.outdated.1.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *held(&self.outdated.0))
    }

    /// The number of what a copy was made from; `None` where that cannot be told.
    fn number_of_origin(&self, origin: &Origin) -> Option<u64> {
        let (uuid, kind, handle) = origin.parts()?;
        self.layers.numbers.of_handle(self.uuids.device(uuid)?, kind, handle)
    }

    /// An xattr of `name` in `folder`; `None` where there is none.
    pub(crate) fn xattr_at(&self, folder: &dyn Folder, name: &OsStr, xattr: &CStr) -> Answer<Option<Vec<u8>>> {
        let Some(dir) = folder.descriptor() else { return Ok(None) };
        let none = |e: Errno| match e {
            Errno::NODATA | Errno::NOTSUP | Errno::NOENT => Ok(None),
            e => Err(e),
        };
        if self.layers.has_xattrat.load(Ordering::Relaxed) {
            let path = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
            let mut value = [0_u8; 512];
            let failure = match sys::xattrat::get(dir, &path, xattr, &mut value) {
                Ok(length) => return Ok(Some(value.get(..length).unwrap_or_default().to_vec())),
                Err(e) => Errno::from_raw_os_error(e.raw_os_error().unwrap_or(libc::EIO)),
            };
            match failure {
                Errno::NOSYS | Errno::PERM => self.layers.has_xattrat.store(false, Ordering::Relaxed),
                Errno::RANGE => {}
                e => return none(e),
            }
        }
        match folder.point_at(name) {
            Ok(fd) => self.get_stored(fd.as_fd(), xattr).map(Some).or_else(none),
            Err(e) => none(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_system_has_its_own_numbers_and_others_an_index() {
        let numbers = Numbers::default();
        let at = |device, inode| numbers.of(Identity { device, inode });
        assert_eq!(at(5, 77), 77);
        assert_eq!(at(6, 77), 1 << 48 | 77);
        assert_eq!(at(5, 1 << 50), 1 << 50);
        assert_ne!(at(6, 1 << 50) & MADE, 0);
        assert_eq!(at(6, 1 << 50), at(6, 1 << 50));
    }

    #[test]
    fn a_copy_that_is_written_nowhere_keeps_its_number_until_it_is_removed() {
        let numbers = Numbers::default();
        let copy = Identity { device: 1, inode: 9 };
        numbers.remember(copy, 4);
        assert_eq!(numbers.of_upper(copy), 4);
        numbers.removed(copy);
        assert_eq!(numbers.of_upper(copy), 9);
    }

    #[test]
    fn handles_of_known_file_systems_hold_the_number() {
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(inode_of(0xef53, 1, &words(&[12, 99])), Some(12));
        assert_eq!(inode_of(0x0102_1994, 1, &words(&[99, 12, 1])), Some(1 << 32 | 12));
        assert_eq!(inode_of(0x9123_683e, 0x4d, &words(&[12, 0, 5, 0, 1])), Some(12));
        assert_eq!(inode_of(0x6573_5546, 0x81, &words(&[0, 12, 1])), None);
        assert_eq!(inode_of(0xef53, 1, &[1]), None);
    }
}
