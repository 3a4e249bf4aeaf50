//! Points in time as they are typed: `@SECONDS`, `YYYY-MM-DD`, `YYYY-MM-DDTHH:MM:SS[Z]`, all UTC.

use layer::archive::Time;

/// Reads one.
pub(super) fn parse(text: &str) -> Option<Time> {
    if let Some(seconds) = text.strip_prefix('@') {
        return whole(seconds);
    }
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.strip_suffix('Z').unwrap_or(clock).splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let most = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days_of_month = *most.get(usize::try_from(month - 1).ok()?)?;
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 60 || year < 1 {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar; years begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(Time { seconds: days * 86_400 + hour * 3600 + minute * 60 + second, nanoseconds: 0 })
}

/// A number of seconds since 1970, as `SOURCE_DATE_EPOCH` has it.
pub(super) fn whole(text: &str) -> Option<Time> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let seconds = if plain { text.parse().ok()? } else { return None };
    Some(Time { seconds, nanoseconds: 0 })
}

fn number(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates_and_seconds() {
        for (text, seconds) in [
            ("@0", 0),
            ("@-5", -5),
            ("1970-01-01", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-21 16:05:00", 1_795_277_100),
            ("1969-12-31T23:59:59", -1),
            ("0001-01-01", -62_135_596_800),
        ] {
            assert_eq!(parse(text).map(|t| t.seconds), Some(seconds), "{text}");
        }
        for wrong in
            ["", "@", "@x", "yesterday", "2001-02-29", "2001-13-01", "2001-1", "2001-01-01T24:00:00", "+1-01-01"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
