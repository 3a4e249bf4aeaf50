//! Between our terms and the wire's: attributes, times, types.

use crate::layer::{Stat, Time};
use crate::union::When;
use fusewire::{Attributes, SetTime, Timestamp};
use rustix::fs::FileType;

/// `DT_*`, as a listing shows the type.
pub(crate) fn kind(kind: FileType) -> u32 {
    u32::from(match kind {
        FileType::Directory => libc::DT_DIR,
        FileType::Symlink => libc::DT_LNK,
        FileType::Fifo => libc::DT_FIFO,
        FileType::Socket => libc::DT_SOCK,
        FileType::CharacterDevice => libc::DT_CHR,
        FileType::BlockDevice => libc::DT_BLK,
        FileType::RegularFile => libc::DT_REG,
        FileType::Unknown => libc::DT_UNKNOWN,
    })
}

pub(crate) fn attributes(stat: &Stat) -> Attributes {
    let time = |t: Time| Timestamp { seconds: t.seconds, nanoseconds: t.nanoseconds };
    Attributes {
        inode: stat.inode,
        size_bytes: stat.size_bytes,
        blocks: stat.blocks,
        accessed: time(stat.accessed),
        modified: time(stat.modified),
        changed: time(stat.changed),
        mode: stat.mode,
        links: stat.links,
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev,
        block_bytes: stat.block_bytes,
        flags: 0,
    }
}

/// A time to set.
pub(crate) fn when(time: SetTime) -> When {
    match time {
        SetTime::Now => When::Now,
        SetTime::At(at) => When::At(Time { seconds: at.seconds, nanoseconds: at.nanoseconds }),
    }
}
