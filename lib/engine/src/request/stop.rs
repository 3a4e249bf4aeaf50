//! `--stop-signal`, `--stop-timeout`, `--timeout`: how a container is asked to end.

use crate::process::Defaults;
use serde::{Deserialize, Serialize};

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_says_what_the_user_did_not() {
        let image = Defaults { stop_signal: Some("SIGQUIT".into()), ..Defaults::default() };
        assert_eq!(Stop::default().signal(&image), "SIGQUIT");
        assert_eq!(Stop { signal: Some("9".into()), ..Stop::default() }.signal(&image), "9");
        assert_eq!(Stop::default().signal(&Defaults::default()), "SIGTERM");
    }
}
