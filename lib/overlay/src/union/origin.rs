//! Where a file of the upper layer was copied from: `overlay.origin`, and `overlay.impure` on the directory it is in.
//!
//! On disk, as the kernel writes it (fs/overlayfs/overlayfs.h, `struct ovl_fb`):
//!
//! ```text
//! version 0 | magic fb | length of all | flags | kind of handle | uuid of the file system (16) | handle
//! ```
//!
//! An empty value says "copied from somewhere". The same bytes in hexadecimal name a file in the index folder
//! ([`super::index`]). The origin gives a file the inode number it had before; it is never used to open anything.

use super::Stack;
use super::node::{Node, UPPER};
use crate::layer::{Answer, Errno, Folder};
use rustix::fs::XattrFlags;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `OVL_FH_MAGIC`
const MAGIC: u8 = 0xfb;
/// Bytes before the handle.
const HEADER_BYTES: usize = 21;
/// `OVL_FH_FLAG_CPU_ENDIAN`
const ENDIAN: u8 = if cfg!(target_endian = "big") { 1 } else { 0 };
/// `OVL_FH_FLAG_PATH_UPPER`
const IS_UPPER: u8 = 4;

/// What identifies a file of a lower layer for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(Vec<u8>);

impl Origin {
    fn encode(uuid: &[u8; 16], kind: u8, handle: &[u8]) -> Option<Self> {
        let length = u8::try_from(HEADER_BYTES + handle.len()).ok()?;
        let mut bytes = vec![0, MAGIC, length, ENDIAN, kind];
        bytes.extend_from_slice(uuid);
        bytes.extend_from_slice(handle);
        Some(Self(bytes))
    }

    /// Reads an xattr's value; `None` where it is empty, or not one that this machine can read.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let [0, MAGIC, length, flags, ..] = *value else { return None };
        let whole = usize::from(length) <= value.len() && usize::from(length) > HEADER_BYTES;
        // Made on this kind of machine, and not the name of an upper file.
        let ours = flags & (1 | IS_UPPER) == ENDIAN || flags & 2 != 0 && flags & IS_UPPER == 0;
        (whole && ours).then(|| Self(value.get(..usize::from(length)).unwrap_or_default().to_vec()))
    }

    /// As an xattr holds it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its name in the index folder.
    pub(crate) fn index_name(&self) -> String {
        use std::fmt::Write;
        let mut name = String::with_capacity(self.0.len() * 2);
        for byte in &self.0 {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// Opens the file, on the file system of `layer_root`, by O_PATH. Needs CAP_DAC_READ_SEARCH.
    pub(crate) fn open(&self, layer_root: BorrowedFd<'_>) -> Answer<OwnedFd> {
        let (header, bytes) = self.0.split_at_checked(HEADER_BYTES).ok_or(Errno::STALE)?;
        let kind = header.get(4).copied().unwrap_or_default();
        let handle = sys::file_handle::FileHandle { kind: i32::from(kind), bytes: bytes.to_vec() };
        sys::file_handle::open_handle(layer_root, &handle, libc::O_PATH | libc::O_NOFOLLOW)
            .map_err(|e| Errno::from_raw_os_error(e.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// The identifier of its file system, the kind of handle, and the handle.
    pub(crate) fn parts(&self) -> Option<(&[u8], u8, &[u8])> {
        let (header, handle) = self.0.split_at_checked(HEADER_BYTES)?;
        Some((header.get(5..)?, *header.get(4)?, handle))
    }

    /// Whether it is of the file system with this identifier.
    pub(crate) fn is_of(&self, uuid: &[u8; 16]) -> bool {
        self.0.get(5..HEADER_BYTES) == Some(uuid.as_slice())
    }
}

/// The identifier of each layer's file system, by the layer's number; `None` where file handles of the layer cannot be told
/// from another's, because two file systems have the same. One alone may have none at all (all zero), as overlayfs allows
/// where it must follow origins (`ovl_lower_uuid_ok`).
#[derive(Debug, Default)]
pub(crate) struct Uuids(Vec<Option<FileSystem>>);

#[derive(Debug, Clone, Copy)]
struct FileSystem {
    device: u64,
    uuid: [u8; 16],
}

impl Uuids {
    /// Asks each layer's root.
    pub(crate) fn add(&mut self, root: &dyn Folder) {
        let asked = root.descriptor().map(sys::file_handle::file_system_uuid);
        let own = asked.map(|uuid| FileSystem { device: root.identity().device, uuid: uuid.unwrap_or_default() });
        let mut unclear = false;
        for lower in self.0.iter_mut().skip(1) {
            if let (Some(own), Some(other)) = (&own, &lower)
                && other.uuid == own.uuid
                && other.device != own.device
            {
                *lower = None;
                unclear = true;
            }
        }
        self.0.push(own.filter(|_| !unclear));
    }

    pub(crate) fn of(&self, layer: usize) -> Option<&[u8; 16]> {
        // Without an upper the lower layers are 1 and up all the same.
        Some(&self.0.get(layer)?.as_ref()?.uuid)
    }

    /// The device of the lower layers' file system with this identifier.
    pub(crate) fn device(&self, uuid: &[u8]) -> Option<u64> {
        self.0.iter().skip(1).flatten().find(|layer| layer.uuid == uuid).map(|layer| layer.device)
    }

    /// The upper layer's place where there is none.
    pub(crate) fn add_nothing(&mut self) {
        self.0.push(None);
    }
}

impl Stack {
    /// What identifies the file `source` of `layer`; `None` where its file system gives no lasting names.
    pub(crate) fn origin_of(&self, layer: usize, source: BorrowedFd<'_>) -> Option<Origin> {
        let uuid = self.uuids.of(layer)?;
        let handle = sys::file_handle::handle_of(source).ok()?;
        Origin::encode(uuid, u8::try_from(handle.kind).ok()?, &handle.bytes)
    }

    /// Writes down where the copy `target` comes from.
    pub(crate) fn set_origin(&self, target: BorrowedFd<'_>, origin: Option<&Origin>) -> Answer<()> {
        let value = origin.map_or(&[][..], Origin::bytes);
        match self.set_stored(target, self.xattrs.origin(), value) {
            // No xattrs there, or not on this type of file: its number will be another after a remount.
            Err(Errno::NOTSUP | Errno::PERM) => Ok(()),
            other => other,
        }
    }

    /// Notes that the upper part of `node` holds copies, whose numbers are not their own.
    pub(crate) fn set_impure(&self, node: &Arc<Node>) -> Answer<()> {
        let Some(branch) = node.branch(UPPER) else { return Ok(()) };
        if branch.impure.load(Ordering::Relaxed) {
            return Ok(());
        }
        let folder = self.folder(node, UPPER)?;
        let fd = folder.descriptor().ok_or(Errno::IO)?;
        match rustix::fs::fsetxattr(fd, self.xattrs.impure(), b"y", XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::BADF) => {}
            Err(e) => return Err(e),
        }
        branch.impure.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn an_origin_is_written_as_the_kernel_writes_it() {
        let origin = Origin::encode(&[7; 16], 1, &[1, 2, 3, 4]).expect("an origin");
        assert_eq!(origin.bytes().get(..5), Some(&[0, 0xfb, 25, ENDIAN, 1][..]));
        assert_eq!(Origin::decode(origin.bytes()), Some(origin.clone()));
        assert!(origin.index_name().starts_with("00fb19"));
        assert!(origin.is_of(&[7; 16]));
        assert_eq!(Origin::decode(b""), None);
        assert_eq!(Origin::decode(&[0, 0xfb, 99, ENDIAN, 1, 2]), None);
        let mut upper = origin.bytes().to_vec();
        upper[3] |= IS_UPPER;
        assert_eq!(Origin::decode(&upper), None);
    }

    #[test]
    fn a_file_has_the_same_origin_under_two_descriptors() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || rustix::fs::open(dir.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).expect("open");
        let handle = |fd: OwnedFd| sys::file_handle::handle_of(fd.as_fd()).ok();
        assert_eq!(handle(open()), handle(open()));
    }
}
