//! `--restart`: when a container is started again.
//!
//! docker's four policies and docker's rules (moby, `restartmanager`): what was stopped by hand stays down whatever the policy
//! says; `on-failure` counts how often it started again and gives up at its maximum.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// When it is started again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restart {
    /// Which of docker's policies.
    pub policy: Policy,
    /// With [`Policy::OnFailure`]: how often at most; 0 is without an end.
    pub max_retries: u32,
}

/// docker's restart policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// Whatever way it ended.
    Always,
    /// The same; the two differ only in what starts with the machine.
    UnlessStopped,
    /// When its exit code is not 0.
    OnFailure,
}

impl Policy {
    /// docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure => "on-failure",
        }
    }
}

impl Restart {
    /// Reads `--restart`'s value: `no`, `always`, `unless-stopped`, `on-failure[:N]`. Errors are docker's.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::new(Kind::Request, "", what).hint("no, always, unless-stopped, on-failure or on-failure:TIMES")
        };
        // docker's client passes it on, and its daemon refuses it
        let refused = |what: &str| Error { kind: Kind::Refused, ..wrong(what) };
        let (name, count) = match text.split_once(':') {
            Some(("", _)) => return Err(wrong("invalid restart policy format: no policy provided before colon")),
            Some((name, count)) => (name, count),
            None => (text, ""),
        };
        let integer = || wrong("invalid restart policy format: maximum retry count must be an integer");
        let count: i32 = if count.is_empty() { 0 } else { count.parse().map_err(|_| integer())? };
        let policy = match name {
            "" | "no" => Policy::No,
            "always" => Policy::Always,
            "unless-stopped" => Policy::UnlessStopped,
            "on-failure" => Policy::OnFailure,
            _ => return Err(refused(&format!("invalid restart policy '{name}'"))),
        };
        if policy != Policy::OnFailure && count != 0 {
            return Err(refused(&format!("maximum retry count cannot be used with restart policy '{name}'")));
        }
        let max_retries = u32::try_from(count).map_err(|_| refused("maximum retry count cannot be negative"))?;
        Ok(Self { policy, max_retries })
    }

    /// Whether a container that ended with `code`, after it was started again `count` times, is started once more.
    pub fn wants(&self, code: u8, count: u32) -> bool {
        match self.policy {
            Policy::No => false,
            Policy::Always | Policy::UnlessStopped => true,
            Policy::OnFailure => code != 0 && (self.max_retries == 0 || count < self.max_retries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_docker_reads_them() {
        let read = |text| Restart::parse(text).map(|r| (r.policy, r.max_retries)).map_err(|e| e.to_string());
        assert_eq!(read(""), Ok((Policy::No, 0)));
        assert_eq!(read("unless-stopped"), Ok((Policy::UnlessStopped, 0)));
        assert_eq!(read("on-failure"), Ok((Policy::OnFailure, 0)));
        assert_eq!(read("on-failure:3"), Ok((Policy::OnFailure, 3)));
        let error = |text| read(text).unwrap_err();
        assert_eq!(error("foo"), "invalid restart policy 'foo'");
        assert_eq!(error("always:3"), "maximum retry count cannot be used with restart policy 'always'");
        assert_eq!(error("on-failure:-1"), "maximum retry count cannot be negative");
        assert_eq!(error("on-failure:x"), "invalid restart policy format: maximum retry count must be an integer");
        assert_eq!(error(":1"), "invalid restart policy format: no policy provided before colon");
    }

    #[test]
    fn failures_are_counted() {
        let twice = Restart { policy: Policy::OnFailure, max_retries: 2 };
        assert!(twice.wants(1, 1) && !twice.wants(1, 2) && !twice.wants(0, 0));
        let ever = Restart { policy: Policy::OnFailure, max_retries: 0 };
        assert!(ever.wants(255, 9999));
        assert!(Restart { policy: Policy::Always, max_retries: 0 }.wants(0, 7));
        assert!(!Restart::default().wants(1, 0));
    }
}
