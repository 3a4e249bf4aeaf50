//! The error document of a plugin.

use super::Version;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The codes the specification reserves, and two that the reference library adds.
pub mod code {
    /// The configuration's version is not one of ours.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A key with this value is not supported; the message names both.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is not there: nothing has to be cleaned up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// The environment lacks something or has something wrong; the message names the variables.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Reading or writing failed.
    pub const IO: u32 = 5;
    /// What was read is not what it should be.
    pub const DECODING: u32 = 6;
    /// The configuration cannot be meant.
    pub const INVALID_CONFIGURATION: u32 = 7;
    /// The namespace is the plugin's own (the reference library's).
    pub const INVALID_NAMESPACE: u32 = 8;
    /// The same may succeed later.
    pub const TRY_AGAIN: u32 = 11;
    /// STATUS: no ADD can be served.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: no ADD can be served, and what is attached may suffer.
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// Anything else (the reference library's).
    pub const INTERNAL: u32 = 999;
}

/// What went wrong, as a plugin prints it on stdout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The version in use.
    #[serde(rename = "cniVersion", default = "newest")]
    pub version: Version,
    /// What kind of failure; see [`code`].
    pub code: u32,
    /// One line.
    #[serde(default)]
    pub msg: String,
    /// More of it.
    #[serde(default)]
    pub details: String,
}

fn newest() -> Version {
    Version::NEWEST
}

impl Failure {
    /// A failure without details.
    pub fn new(code: u32, msg: impl fmt::Display) -> Self {
        Self { version: Version::NEWEST, code, msg: msg.to_string(), details: String::new() }
    }

    /// The same with details.
    #[must_use]
    pub fn details(mut self, details: impl fmt::Display) -> Self {
        self.details = details.to_string();
        self
    }

    /// The same with what was being done before its message.
    #[must_use]
    pub fn during(mut self, what: &str) -> Self {
        self.msg = format!("{what}: {}", self.msg);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.details.as_str() {
            "" => f.write_str(&self.msg),
            details => write!(f, "{}; {details}", self.msg),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn is_written_with_all_four_keys() {
        let failure = Failure::new(7, "no such mode").details("`x`").during("macvlan");
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(text, r#"{"cniVersion":"1.1.0","code":7,"msg":"macvlan: no such mode","details":"`x`"}"#);
        assert_eq!(failure.to_string(), "macvlan: no such mode; `x`");
        let short: Failure = serde_json::from_str(r#"{"code":999,"msg":"x"}"#).unwrap();
        assert_eq!((short.code, short.details.as_str()), (999, ""));
    }
}
