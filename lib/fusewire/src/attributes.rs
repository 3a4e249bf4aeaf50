//! What is said of a file on the wire: `struct fuse_attr`, `fuse_entry_out`, `fuse_attr_out`, `fuse_statx_out`.

use crate::wire::Writer;
use std::time::Duration;

/// Seconds and nanoseconds since 1970; nanoseconds count forward also before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// A file's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The inode number that is shown: nothing to do with the node id.
    pub inode: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of content.
    pub modified: Timestamp,
    /// Last change of anything.
    pub changed: Timestamp,
    /// Type and permission bits.
    pub mode: u32,
    /// Hard links.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device node.
    pub rdev: (u32, u32),
    /// Preferred size of a read.
    pub block_bytes: u32,
    /// `FUSE_ATTR_*`.
    pub flags: u32,
}

/// Bytes of `struct fuse_attr`.
const ATTRIBUTES: usize = 88;
/// Bytes of `struct fuse_entry_out`.
pub(crate) const ENTRY: usize = 40 + ATTRIBUTES;

impl Attributes {
    pub(crate) fn put(&self, out: &mut Writer<'_>) {
        // Gathered first and copied once: this is in nearly every answer.
        let mut raw = [0_u8; ATTRIBUTES];
        let long = [
            self.inode,
            self.size_bytes,
            self.blocks,
            self.accessed.seconds as u64,
            self.modified.seconds as u64,
            self.changed.seconds as u64,
        ];
        let short = [
            self.accessed.nanoseconds,
            self.modified.nanoseconds,
            self.changed.nanoseconds,
            self.mode,
            self.links,
            self.uid,
            self.gid,
            encode_device(self.rdev),
            self.block_bytes,
            self.flags,
        ];
        let (first, second) = raw.split_at_mut(long.len() * 8);
        for (room, number) in first.as_chunks_mut::<8>().0.iter_mut().zip(long) {
            *room = number.to_ne_bytes();
        }
        for (room, number) in second.as_chunks_mut::<4>().0.iter_mut().zip(short) {
            *room = number.to_ne_bytes();
        }
        out.bytes(&raw);
    }
}

/// A name's answer: which node it is and how long that, and what is said of the node, may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// The node id; 0 says that there is nothing, to be kept for `entry_valid` too. In a listing: that the node is not
    /// told, only the name.
    pub node: u64,
    /// Tells apart different objects that had the same node id.
    pub generation: u64,
    /// How long the name stands for this node.
    pub entry_valid: Duration,
    /// How long the attributes hold.
    pub attributes_valid: Duration,
    /// The attributes.
    pub attributes: Attributes,
}

impl Entry {
    pub(crate) fn put(&self, out: &mut Writer<'_>) {
        out.u64(self.node);
        out.u64(self.generation);
        out.u64(self.entry_valid.as_secs());
        out.u64(self.attributes_valid.as_secs());
        out.u32(self.entry_valid.subsec_nanos());
        out.u32(self.attributes_valid.subsec_nanos());
        self.attributes.put(out);
    }
}

/// Attributes and how long they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// How long the attributes hold.
    pub valid: Duration,
    /// The attributes.
    pub attributes: Attributes,
}

impl Known {
    pub(crate) fn put(&self, out: &mut Writer<'_>) {
        out.u64(self.valid.as_secs());
        out.u32(self.valid.subsec_nanos());
        out.u32(0);
        self.attributes.put(out);
    }
}

/// An answer to statx(2): what [`Known`] says, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extended {
    /// The plain attributes.
    pub known: Known,
    /// When it was made, if that is known.
    pub born: Option<Timestamp>,
    /// `STATX_ATTR_*` that are set.
    pub flags: u64,
    /// `STATX_ATTR_*` that could be.
    pub flags_mask: u64,
}

/// `STATX_BASIC_STATS` and `STATX_BTIME`.
const BASIC: u32 = 0x7ff;
const BIRTH: u32 = 0x800;

impl Extended {
    pub(crate) fn put(&self, out: &mut Writer<'_>) {
        let a = &self.known.attributes;
        out.u64(self.known.valid.as_secs());
        out.u32(self.known.valid.subsec_nanos());
        out.u32(0);
        out.zeros(16);
        out.u32(BASIC | self.born.map_or(0, |_| BIRTH));
        out.u32(a.block_bytes);
        out.u64(self.flags);
        out.u32(a.links);
        out.u32(a.uid);
        out.u32(a.gid);
        out.u16(a.mode as u16);
        out.u16(0);
        out.u64(a.inode);
        out.u64(a.size_bytes);
        out.u64(a.blocks);
        out.u64(self.flags_mask);
        for time in [a.accessed, self.born.unwrap_or_default(), a.changed, a.modified] {
            out.i64(time.seconds);
            out.u32(time.nanoseconds);
            out.u32(0);
        }
        out.u32(a.rdev.0);
        out.u32(a.rdev.1);
        out.u32(0);
        out.u32(0);
        out.zeros(14 * 8);
    }
}

/// A file system's totals: `struct fuse_kstatfs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Blocks of `fragment_bytes`.
    pub blocks: u64,
    /// Free ones.
    pub blocks_free: u64,
    /// Free ones that users may take.
    pub blocks_available: u64,
    /// Inodes.
    pub files: u64,
    /// Free ones.
    pub files_free: u64,
    /// Preferred size of a transfer.
    pub block_bytes: u32,
    /// Longest name.
    pub name_bytes: u32,
    /// Unit of `blocks`.
    pub fragment_bytes: u32,
}

impl Totals {
    pub(crate) fn put(&self, out: &mut Writer<'_>) {
        for number in [self.blocks, self.blocks_free, self.blocks_available, self.files, self.files_free] {
            out.u64(number);
        }
        for number in [self.block_bytes, self.name_bytes, self.fragment_bytes] {
            out.u32(number);
        }
        out.zeros(7 * 4);
    }
}

/// Device numbers as the kernel writes them in FUSE (`new_encode_dev`): 12 bits of major, 20 of minor.
pub(crate) fn encode_device((major, minor): (u32, u32)) -> u32 {
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

pub(crate) fn decode_device(device: u32) -> (u32, u32) {
    ((device & 0xfff00) >> 8, device & 0xff | device >> 12 & 0xfff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_survive_the_wire() {
        for device in [(0, 0), (1, 3), (8, 257), (259, 70_000)] {
            assert_eq!(decode_device(encode_device(device)), device);
        }
    }

    #[test]
    fn structures_have_the_kernels_sizes() {
        let size = |put: &dyn Fn(&mut Writer<'_>)| {
            let mut buffer = [0_u8; 512];
            let mut out = Writer::new(&mut buffer);
            put(&mut out);
            out.finish()
        };
        assert_eq!(size(&|o| Entry::default().put(o)), Some(128));
        assert_eq!(size(&|o| Known::default().put(o)), Some(104));
        assert_eq!(size(&|o| Extended::default().put(o)), Some(32 + 256));
        assert_eq!(size(&|o| Totals::default().put(o)), Some(80));
    }

    #[test]
    fn attributes_lie_where_the_kernel_looks() {
        let attributes = Attributes { inode: 7, mode: 0o100_644, flags: 3, block_bytes: 4096, ..Attributes::default() };
        let mut buffer = [0_u8; 88];
        attributes.put(&mut Writer::new(&mut buffer));
        assert_eq!(buffer[..8], 7_u64.to_ne_bytes());
        assert_eq!(buffer[60..64], 0o100_644_u32.to_ne_bytes());
        assert_eq!(buffer[80..84], 4096_u32.to_ne_bytes());
        assert_eq!(buffer[84..], 3_u32.to_ne_bytes());
    }
}
