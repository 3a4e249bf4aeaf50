//! Sizes and times in docker's words: `117MB`, `2 hours`.

/// Bytes, by thousands, with three digits: `0B`, `1.24kB`, `117MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.5 would be written as 1000: it is 1 of the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    let mut text = format!("{value:.digits$}");
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
