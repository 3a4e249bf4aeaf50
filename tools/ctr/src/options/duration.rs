//! Spans of time as Go writes and reads them (`time.ParseDuration`): `1h30m`, `1.5s`, `300ms`, with Go's words for what is none.

use cli::failure::Failure;

/// The nanoseconds of `text`, or why it is no span.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration \"{text}\"");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut sum = 0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let number: f64 = if number == "." { None } else { number.parse().ok() }.ok_or_else(invalid)?;
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let scale = match unit {
            "" => return Err(format!("time: missing unit in duration \"{text}\"")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            unit => return Err(format!("time: unknown unit \"{unit}\" in duration \"{text}\"")),
        };
        sum += number * scale;
        rest = behind;
    }
    if sum > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(if negative { -(sum as i64) } else { sum as i64 })
}

/// The value of the option `flag`, with docker's words where it is none.
pub(crate) fn flag(flag: &str, text: Option<&str>) -> Result<i64, Failure> {
    let Some(text) = text else { return Ok(0) };
    parse(text).map_err(|why| {
        Failure::new(format!("invalid argument \"{text}\" for \"--{flag}\" flag: {why}"))
            .hint("for example 1m30s or 500ms")
    })
}

/// The value of the option `flag` that is a whole number, with docker's words where it is none.
pub(crate) fn integer(flag: &str, text: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let why = format!("strconv.ParseInt: parsing \"{text}\": invalid syntax");
        Failure::new(format!("invalid argument \"{text}\" for \"--{flag}\" flag: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_gos() {
        assert_eq!(parse("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse("300ms"), Ok(300_000_000));
        assert_eq!(parse("-1s"), Ok(-1_000_000_000));
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("1"), Err("time: missing unit in duration \"1\"".into()));
        assert_eq!(parse("1x"), Err("time: unknown unit \"x\" in duration \"1x\"".into()));
        assert_eq!(parse("x"), Err("time: invalid duration \"x\"".into()));
        assert_eq!(parse(""), Err("time: invalid duration \"\"".into()));
        let error = flag("health-interval", Some("1")).unwrap_err();
        assert_eq!(
            error.message,
            "invalid argument \"1\" for \"--health-interval\" flag: time: missing unit in duration \"1\""
        );
    }
}
