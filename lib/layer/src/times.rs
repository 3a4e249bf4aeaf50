//! Times as `utimensat(2)` takes them.

use crate::archive::Time;
use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT};

/// Those that `stat` tells, to be set again.
pub fn of(stat: &Stat) -> Timestamps {
    let time = |tv_sec, nanoseconds: u64| Timespec { tv_sec, tv_nsec: nanoseconds.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Modified at `mtime`; the last access stays.
pub(crate) fn modified(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) },
    }
}
