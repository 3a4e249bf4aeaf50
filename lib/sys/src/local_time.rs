//! Calendar time where the user is (`localtime_r(3)`).

/// A moment as a calendar and a clock show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Year, 1 BC being 0.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 60.
    pub second: u32,
}

/// Which zone a moment is told in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of Greenwich.
    pub offset_seconds: i64,
    /// What it is called then: `UTC`, `CEST`.
    pub name: String,
}

/// The zone of the user at `seconds` since 1970. `None` where the year does not fit.
pub fn local_zone(seconds: i64) -> Option<Zone> {
    // SAFETY: as in `local_time`.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: as in `local_time`.
    let done = unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) };
    if done.is_null() || tm.tm_zone.is_null() {
        return None;
    }
    // SAFETY: `localtime_r` set the pointer to a text of the C library's that ends in NUL and stays until the zone is
    // changed, which nothing here does; it is copied at once.
    let name = unsafe { std::ffi::CStr::from_ptr(tm.tm_zone) };
    Some(Zone { offset_seconds: tm.tm_gmtoff, name: name.to_string_lossy().into_owned() })
}

/// What `TZ` or else the machine's time zone makes of `seconds` since 1970. `None` where the year does not fit.
pub fn local_time(seconds: i64) -> Option<LocalTime> {
    // SAFETY: `tm` is plain data for which zeros are a value: integers and a pointer that may be null.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, and the result is not kept. It reads the environment, which nothing in
    // this workspace changes (`set_var` is barred).
    let done = unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) };
    if done.is_null() {
        return None;
    }
    let small = |value: libc::c_int| u32::try_from(value).unwrap_or_default();
    Some(LocalTime {
        year: i64::from(tm.tm_year) + 1900,
        month: small(tm.tm_mon) + 1,
        day: small(tm.tm_mday),
        hour: small(tm.tm_hour),
        minute: small(tm.tm_min),
        second: small(tm.tm_sec),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_zone_of_a_moment() {
        let zone = local_zone(1_700_000_000).expect("a year of ours");
        assert!(!zone.name.is_empty() && zone.offset_seconds.abs() <= 14 * 3600, "{zone:?}");
        assert_eq!(local_zone(i64::MAX), None);
    }

    #[test]
    fn tells_time_everywhere_and_gives_up_where_there_is_no_year() {
        let time = local_time(1_700_000_000).expect("a year of ours");
        assert_eq!((time.year, time.month, time.second), (2023, 11, 20));
        assert!(local_time(-10_000_000_000).is_some_and(|t| t.year < 1700));
        assert_eq!(local_time(i64::MAX), None);
    }
}
