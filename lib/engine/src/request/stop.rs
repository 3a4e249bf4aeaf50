//! `--stop-signal`, `--stop-timeout`, `--timeout`: how a container is asked to end.

use crate::process::Defaults;
use crate::{Error, Kind, Result};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// docker's grace on Linux.
const GRACE: Duration = Duration::from_secs(10);

/// How it is asked to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {
    /// The signal that asks; none leaves it to the image.
    pub signal: Option<String>,
    /// Seconds until it is killed; negative: never.
    pub timeout_s: Option<i64>,
    /// podman's `--timeout`: after so many seconds it is killed; 0 is never.
    pub limit_s: u64,
}

impl Stop {
    /// The signal that asks the container to end: as asked, else the image's, else TERM.
    pub fn signal(&self, defaults: &Defaults) -> String {
        let usual = || "SIGTERM".to_owned();
        self.signal.clone().or_else(|| defaults.stop_signal.clone()).filter(|s| !s.is_empty()).unwrap_or_else(usual)
    }

    /// How long it gets; none is for ever.
    pub fn grace(&self) -> Option<Duration> {
        match self.timeout_s {
            None => Some(GRACE),
            Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
        }
    }
}

/// A signal's number, from its name with or without `SIG`, or from the number; docker's words for what is none.
pub fn signal_number(text: &str) -> Result<i32> {
    let wrong = || Error::new(Kind::Request, "", format!("Invalid signal: {text}")).hint("kill -l lists their names");
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(wrong()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let base = |offset: &str, from: i32| offset.parse::<i32>().ok().map(|n| from + n);
    let realtime = match name {
        "RTMIN" => Some(34),
        "RTMAX" => Some(64),
        _ => (name.strip_prefix("RTMIN").and_then(|n| base(n, 34)))
            .or_else(|| name.strip_prefix("RTMAX").and_then(|n| base(n, 64))),
    };
    match realtime {
        Some(number) if (34..=64).contains(&number) => Ok(number),
        Some(_) => Err(wrong()),
        None => format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        let number = |text| signal_number(text).ok();
        assert_eq!((number("TERM"), number("sigterm"), number("15")), (Some(15), Some(15), Some(15)));
        assert_eq!((number("RTMIN+3"), number("SIGRTMAX-1"), number("RTMAX")), (Some(37), Some(63), Some(64)));
        for wrong in ["XX", "0", "65", "", "RTMIN-1", "SIG"] {
            assert_eq!(signal_number(wrong).unwrap_err().to_string(), format!("Invalid signal: {wrong}"));
        }
    }

    #[test]
    fn the_image_says_what_the_user_did_not() {
        let image = Defaults { stop_signal: Some("SIGQUIT".into()), ..Defaults::default() };
        assert_eq!(Stop::default().signal(&image), "SIGQUIT");
        assert_eq!(Stop { signal: Some("9".into()), ..Stop::default() }.signal(&image), "9");
        assert_eq!(Stop::default().signal(&Defaults::default()), "SIGTERM");
        assert_eq!(Stop::default().grace(), Some(GRACE));
        assert_eq!(Stop { timeout_s: Some(-1), ..Stop::default() }.grace(), None);
    }
}
