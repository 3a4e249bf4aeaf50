//! Between our terms and fuser's: attributes, times, device numbers, error numbers.

use crate::layer::{Errno, Stat, Time};
use crate::union::When;
use fuser::{FileAttr, INodeNo, TimeOrNow};
use rustix::fs::FileType;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kernel may keep names, their absence and attributes: for ever, as only we change them.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

pub(crate) fn error(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

pub(crate) fn kind(kind: FileType) -> fuser::FileType {
    match kind {
        FileType::Directory => fuser::FileType::Directory,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::Socket => fuser::FileType::Socket,
        FileType::CharacterDevice => fuser::FileType::CharDevice,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        FileType::RegularFile | FileType::Unknown => fuser::FileType::RegularFile,
    }
}

pub(crate) fn attributes(id: u64, stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(id),
        size: stat.size_bytes,
        blocks: stat.blocks,
        atime: system_time(stat.accessed),
        mtime: system_time(stat.modified),
        ctime: system_time(stat.changed),
        crtime: UNIX_EPOCH,
        kind: kind(stat.kind()),
        perm: (stat.mode & 0o7777) as u16,
        nlink: stat.links,
        uid: stat.uid,
        gid: stat.gid,
        rdev: encode_device(stat.rdev),
        blksize: stat.block_bytes,
        flags: 0,
    }
}

/// An answer that says there is nothing, to be kept like any other.
pub(crate) fn nothing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: fuser::FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

fn system_time(time: Time) -> SystemTime {
    let part = Duration::from_nanos(u64::from(time.nanoseconds));
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let at = if time.seconds >= 0 { UNIX_EPOCH.checked_add(whole) } else { UNIX_EPOCH.checked_sub(whole) };
    at.and_then(|at| at.checked_add(part)).unwrap_or(UNIX_EPOCH)
}

/// A time to set. fuser 0.18 counts the nanoseconds of a time before 1970 backwards; this undoes it.
pub(crate) fn when(time: TimeOrNow) -> When {
    match time {
        TimeOrNow::Now => When::Now,
        TimeOrNow::SpecificTime(at) => When::At(match at.duration_since(UNIX_EPOCH) {
            Ok(after) => {
                Time { seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX), nanoseconds: after.subsec_nanos() }
            }
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                Time { seconds: -seconds, nanoseconds: before.subsec_nanos() }
            }
        }),
    }
}

/// Device numbers as the kernel writes them in FUSE: 12 bits of major, 20 of minor.
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
    fn times_before_1970_keep_their_nanoseconds() {
        let time = Time { seconds: -2, nanoseconds: 300_000_000 };
        let shown = system_time(time);
        assert_eq!(UNIX_EPOCH.duration_since(shown).unwrap(), Duration::from_millis(1700));
        // What fuser makes of (-2, 300 ms) on the way in.
        let decoded = UNIX_EPOCH - Duration::new(2, 300_000_000);
        assert_eq!(when(TimeOrNow::SpecificTime(decoded)), When::At(time));
    }
}
