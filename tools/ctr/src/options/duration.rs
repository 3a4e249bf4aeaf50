//! Options that are spans of time or whole numbers, with docker's words for what is none.

use cli::failure::Failure;
use spec::duration::parse;

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
    fn what_is_none_is_named_with_its_option() {
        let error = flag("health-interval", Some("1")).unwrap_err();
        assert_eq!(
            error.message,
            "invalid argument \"1\" for \"--health-interval\" flag: time: missing unit in duration \"1\""
        );
    }
}
