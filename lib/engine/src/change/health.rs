//! `HEALTHCHECK [OPTIONS] CMD …` and `HEALTHCHECK NONE`, as docker's `Healthcheck` member.

use super::words::exec_form;
use crate::{Error, Kind, Result};
use serde_json::{Map, Value, json};

pub(super) fn parse(text: &str) -> Result<Value> {
    let mut member = Map::new();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, behind) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').ok_or_else(|| wrong(format!("Missing a value on flag: {flag}")))?;
        let key = match name {
            "interval" => "Interval",
            "timeout" => "Timeout",
            "start-period" => "StartPeriod",
            "start-interval" => "StartInterval",
            "retries" => "Retries",
            _ => return Err(wrong(format!("Unknown flag: {name}"))),
        };
        let number = if key == "Retries" {
            value.parse().map_err(|_| wrong(format!("--retries cannot be parsed: {value:?}")))?
        } else {
            let nanoseconds = duration(value).ok_or_else(|| wrong(format!("time: invalid duration {value:?}")))?;
            if nanoseconds != 0 && nanoseconds < 1_000_000 {
                return Err(wrong(format!("Interval {name:?} cannot be less than 1ms")));
            }
            nanoseconds
        };
        member.insert(key.into(), number.into());
        rest = behind.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    let test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => json!(["NONE"]),
        "NONE" => return Err(wrong("HEALTHCHECK NONE takes no arguments".into())),
        "CMD" if command.is_empty() => return Err(wrong("Missing command after HEALTHCHECK CMD".into())),
        "CMD" => match exec_form(command) {
            Some(words) => json!([&["CMD".to_owned()][..], &words].concat()),
            None => json!(["CMD-SHELL", command]),
        },
        _ => return Err(wrong(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"))),
    };
    member.insert("Test".into(), test);
    Ok(member.into())
}

/// Go's spelling, in nanoseconds: `1h30m`, `1.5s`, `100ms`, `0`.
fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut nanoseconds = 0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let unit_end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanoseconds += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    (!text.is_empty()).then_some(nanoseconds as u64)
}

fn wrong(text: String) -> Error {
    Error::new(Kind::Request, "", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!((duration("5"), duration(""), duration("x")), (None, None, None));
    }

    #[test]
    fn a_command_or_none() {
        assert_eq!(parse("NONE").unwrap(), json!({ "Test": ["NONE"] }));
        assert_eq!(parse("CMD [\"a\",\"b\"]").unwrap(), json!({ "Test": ["CMD", "a", "b"] }));
    }
}
