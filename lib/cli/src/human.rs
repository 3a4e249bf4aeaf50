//! Sizes and times in docker's words: `117MB`, `2 hours`.

/// Bytes, by thousands, with three digits: `0B`, `1.24kB`, `117MB`.
pub fn size(bytes: u64) -> String {
    with_digits(bytes, 3)
}

/// The same with four digits, as docker shows sums: `1.984MB`.
pub fn long(bytes: u64) -> String {
    with_digits(bytes, 4)
}

/// Go's `%.{digits}g` of the value in its unit.
fn with_digits(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // With three digits 999.5 would be written as 1000: it is 1 of the next unit.
    let most = if digits == 3 { 999.5 } else { 1000.0 };
    while value >= most && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    // what rounds up to ten, or to a hundred, has a digit less behind the point
    let rounds = |limit: f64, behind: usize| value < limit - 0.5 / 10_f64.powi(behind as i32);
    let behind = match () {
        () if rounds(10.0, digits - 1) => digits - 1,
        () if rounds(100.0, digits - 2) => digits - 2,
        () if rounds(1000.0, digits - 3) => digits - 3,
        () => 0,
    };
    let mut text = format!("{value:.behind$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text + UNITS[unit]
}

/// A span of seconds: `Less than a second`, `5 seconds`, `About a minute`, `3 weeks`.
pub fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// How long ago it was: `2 hours ago`.
pub fn ago(seconds: i64) -> String {
    format!("{} ago", duration(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, want) in [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (1240, "1.24kB"),
            (4_260_000, "4.26MB"),
            (12_345_678, "12.3MB"),
            (116_951_000, "117MB"),
            (999_600_000, "1GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), want);
        }
        for (bytes, want) in [
            (0, "0B"),
            (1_984_000, "1.984MB"),
            (100_000, "100kB"),
            (12_345_678, "12.35MB"),
            (116_951_000, "117MB"),
            (116_921_000, "116.9MB"),
            (999_990, "1000kB"),
        ] {
            assert_eq!(long(bytes), want);
        }
    }

    #[test]
    fn durations_in_dockers_words() {
        const HOUR: i64 = 3600;
        for (seconds, want) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (HOUR, "About an hour"),
            (2 * HOUR - 1, "2 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (24 * 14 * HOUR, "2 weeks"),
            (24 * 60 * HOUR, "2 months"),
            (24 * 365 * 2 * HOUR, "2 years"),
        ] {
            assert_eq!(duration(seconds), want, "{seconds}");
        }
        assert_eq!(ago(7200), "2 hours ago");
    }
}
