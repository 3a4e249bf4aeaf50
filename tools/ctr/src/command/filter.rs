//! What `--filter`, `--since` and `--until` of several commands have in common: docker's grammar and words.

use cli::failure::Failure;
use jiff::Timestamp;

/// A filter without `=`: the command line is wrong.
fn malformed(text: &str, option: &str) -> Failure {
    Failure::new(format!(
        "invalid argument \"{text}\" for \"{option}\" flag: bad format of filter (expected name=value)"
    ))
    .code(cli::exit::OURS)
}

/// Filters as docker's client reads them, the value of `option`: an empty one is none, keys are in small letters, and blanks around key and
/// value are nobody's.
pub(crate) fn pairs(texts: &[String], option: &str) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(|| malformed(text, option))?;
        Ok((key.trim().to_lowercase(), value.trim().to_owned()))
    };
    texts.iter().filter(|text| !text.is_empty()).map(pair).collect()
}

/// A filter that this command does not have.
pub(crate) fn unknown(key: &str) -> Failure {
    Failure::new(format!("Invalid filter '{key}'"))
}

/// A filter's value that means nothing.
pub(crate) fn invalid(key: &str, value: &str) -> Failure {
    Failure::new(format!("Invalid filter '{key}={value}'"))
}

/// A label with the value it has to have, where one is given.
pub(crate) fn label(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

/// A moment in docker's ways: seconds since 1970 (with a fraction), a date with or without time and zone, or a span back
/// from now (`10m`, `1h30m`). Without a zone it is local time.
pub(crate) fn moment(text: &str) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::new(format!("failed to parse value as time or duration: \"{text}\""))
            .hint("want RFC 3339 (2026-01-31T12:00:00Z), a date, seconds since 1970, or a span (10m)")
    };
    span(text).or_else(|| seconds(text)).or_else(|| date(text)).ok_or_else(wrong)
}

/// Go's time.ParseDuration: `1h30m`, `1.5s`, `300ms`; back from now, ahead where it is negative.
fn span(text: &str) -> Option<Timestamp> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[letters..];
        seconds += number * unit;
    }
    let span = jiff::SignedDuration::try_from_secs_f64(sign * seconds).ok()?;
    Timestamp::now().checked_sub(span).ok()
}

/// `1700000000`, `1700000000.123456789`.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = !whole.is_empty() && whole.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    if !digits || part.len() > 9 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{part:0<9}").parse().ok()?;
    Timestamp::new(whole.parse().ok()?, nanos).ok()
}

/// RFC 3339, and its beginnings as docker takes them: date, date and hours, and minutes, and seconds.
fn date(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let whole = match text.len() {
        10 => format!("{text}T00:00:00"),
        13 => format!("{text}:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    };
    let local: jiff::civil::DateTime = whole.strip_suffix('Z').unwrap_or(&whole).parse().ok()?;
    let time = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    if whole.ends_with('Z') {
        return Some(time);
    }
    let offset = cli::local_zone(time.as_second()).map_or(0, |zone| zone.offset_seconds);
    time.checked_sub(jiff::SignedDuration::from_secs(offset)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_keys_and_values() {
        let read = |texts: &[&str]| pairs(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>(), "--filter");
        let want = [("name", "a=b"), ("label!", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(read(&["", " Name = a=b ", "label!="]).unwrap(), want);
        let wrong = read(&["name"]).unwrap_err();
        let words = "invalid argument \"name\" for \"--filter\" flag: bad format of filter (expected name=value)";
        assert_eq!((wrong.message.as_str(), wrong.code), (words, 125));
    }

    #[test]
    fn moments() {
        let at = |text: &str| moment(text).map(|t| t.to_string()).unwrap_or_else(|f| f.message);
        assert_eq!(at("1700000000"), "2023-11-14T22:13:20Z");
        assert_eq!(at("1700000000.5"), "2023-11-14T22:13:20.5Z");
        assert_eq!(at("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00Z");
        assert_eq!(at("2026-01-31T12:00:00+01:00"), "2026-01-31T11:00:00Z");
        assert_eq!(at("2026-01-31T12:00Z"), "2026-01-31T12:00:00Z");
        assert_eq!(at("x"), "failed to parse value as time or duration: \"x\"");
        let ago = |text: &str| Timestamp::now().as_second() - moment(text).expect("a span").as_second();
        assert!((5399..=5401).contains(&ago("1h30m")) && (-61..=-59).contains(&ago("-1m")) && ago("0s") <= 1);
    }
}
