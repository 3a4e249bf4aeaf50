//! `HEALTHCHECK [OPTIONS] CMD …` and `HEALTHCHECK NONE`, as docker's `Healthcheck` member.

use super::words::exec_form;
use crate::request::health::Check;
use crate::{Error, Kind, Result};
use serde_json::Value;

pub(super) fn parse(text: &str) -> Result<Value> {
    let mut check = Check::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, behind) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').ok_or_else(|| wrong(format!("Missing a value on flag: {flag}")))?;
        let span = || {
            let nanoseconds = spec::duration::parse(value).map_err(wrong)?;
            if nanoseconds != 0 && nanoseconds < 1_000_000 {
                return Err(wrong(format!("Interval {name:?} cannot be less than 1ms")));
            }
            Ok(nanoseconds)
        };
        match name {
            "interval" => check.interval = span()?,
            "timeout" => check.timeout = span()?,
            "start-period" => check.start_period = span()?,
            "start-interval" => check.start_interval = span()?,
            "retries" => {
                let number = value.parse::<u32>().ok();
                check.retries = number.ok_or_else(|| wrong(format!("--retries cannot be parsed: {value:?}")))?.into();
            }
            _ => return Err(wrong(format!("Unknown flag: {name}"))),
        }
        rest = behind.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    check.test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => vec!["NONE".into()],
        "NONE" => return Err(wrong("HEALTHCHECK NONE takes no arguments".into())),
        "CMD" if command.is_empty() => return Err(wrong("Missing command after HEALTHCHECK CMD".into())),
        "CMD" => match exec_form(command) {
            Some(words) => [&["CMD".to_owned()][..], &words].concat(),
            None => vec!["CMD-SHELL".into(), command.to_owned()],
        },
        _ => return Err(wrong(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"))),
    };
    serde_json::to_value(check).map_err(|e| Error::new(Kind::Failed, "write", "Healthcheck").because(e))
}

fn wrong(text: String) -> Error {
    Error::new(Kind::Request, "", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_down_can_be_read_again() {
        let check = parse("--interval=1h30m --start-period=0 --retries=2 CMD true").unwrap();
        assert_eq!(check, json!({ "Interval": 5_400_000_000_000_i64, "Retries": 2, "Test": ["CMD-SHELL", "true"] }));
        let why = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(why("--timeout=3000000h CMD x"), "time: invalid duration \"3000000h\"");
        assert_eq!(why("--timeout=5 CMD x"), "time: missing unit in duration \"5\"");
        assert_eq!(why("--interval=-1s CMD x"), "Interval \"interval\" cannot be less than 1ms");
    }

    #[test]
    fn a_command_or_none() {
        assert_eq!(parse("NONE").unwrap(), json!({ "Test": ["NONE"] }));
        assert_eq!(parse("CMD [\"a\",\"b\"]").unwrap(), json!({ "Test": ["CMD", "a", "b"] }));
    }
}
