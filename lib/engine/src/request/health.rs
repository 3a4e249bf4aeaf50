//! `--health-*`: how a container's health is looked at.
//!
//! A [`Check`] has docker's members under docker's names, so that an image's `Healthcheck`, the record and `inspect` are the
//! same document. Spans are nanoseconds; 0 is docker's default for it.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How its health is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// What was said about it; none leaves it to the image.
    pub check: Option<Check>,
    /// What happens when it is found unhealthy.
    pub on_failure: OnFailure,
}

/// docker's `Healthcheck`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Check {
    /// `["NONE"]`, `["CMD", word…]` or `["CMD-SHELL", text]`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "words")]
    pub test: Vec<String>,
    /// Between the end of one look and the next.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// How long one look may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// How long after the start failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between looks in that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// How many failures in a row make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// `--health-on-failure`, podman's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is said, no more.
    #[default]
    None,
    /// The container is killed.
    Kill,
    /// The container is stopped and started again.
    Restart,
    /// The container is stopped.
    Stop,
}

impl OnFailure {
    /// Reads `--health-on-failure`'s value.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "none" => Self::None,
            "kill" => Self::Kill,
            "restart" => Self::Restart,
            "stop" => Self::Stop,
            other => {
                return Err(Error::new(
                    Kind::Request,
                    "",
                    format!("invalid on-failure action \"{other}\" for health check"),
                )
                .hint("none, kill, restart or stop"));
            }
        })
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// docker writes `null` for what an image does not say.
fn words<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<String>, D::Error> {
    Option::<Vec<String>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Check {
    /// What docker refuses, with its words.
    pub fn validate(&self) -> Result<()> {
        let spans = [
            ("Interval", self.interval),
            ("Timeout", self.timeout),
            ("StartPeriod", self.start_period),
            ("StartInterval", self.start_interval),
        ];
        for (name, span) in spans {
            if span != 0 && span < 1_000_000 {
                return Err(Error::new(Kind::Request, "", format!("{name} in Healthcheck cannot be less than 1ms")));
            }
        }
        if self.retries < 0 {
            return Err(Error::new(Kind::Request, "", "Retries in Healthcheck cannot be negative"));
        }
        Ok(())
    }

    /// What was asked for, filled up with what the image says; none where there is nothing to look at.
    pub fn merged(asked: Option<&Self>, image: Option<&Self>) -> Option<Self> {
        let none = Self::default();
        let (asked, image) = (asked.unwrap_or(&none), image.unwrap_or(&none));
        let or = |ours: i64, theirs: i64| if ours == 0 { theirs } else { ours };
        let check = Self {
            test: if asked.test.is_empty() { image.test.clone() } else { asked.test.clone() },
            interval: or(asked.interval, image.interval),
            timeout: or(asked.timeout, image.timeout),
            start_period: or(asked.start_period, image.start_period),
            start_interval: or(asked.start_interval, image.start_interval),
            retries: or(asked.retries, image.retries),
        };
        (!check.test.is_empty()).then_some(check)
    }

    /// The words of the command, with `shell` in front of a `CMD-SHELL`; none where it is off.
    pub fn command(&self, shell: &[String]) -> Option<Vec<String>> {
        match self.test.split_first() {
            Some((kind, words)) if kind == "CMD" && !words.is_empty() => Some(words.to_vec()),
            Some((kind, words)) if kind == "CMD-SHELL" && !words.is_empty() => {
                let usual = ["/bin/sh".to_owned(), "-c".to_owned()];
                let shell = if shell.is_empty() { &usual } else { shell };
                Some([shell, &words[..1]].concat())
            }
            _ => None,
        }
    }

    /// Between looks, usually.
    pub fn interval(&self) -> Duration {
        span(self.interval, 30)
    }

    /// Between looks before the first good one, while it may still be starting.
    pub fn start_interval(&self) -> Duration {
        span(self.start_interval, 5)
    }

    /// How long a look may take.
    pub fn timeout(&self) -> Duration {
        span(self.timeout, 30)
    }

    /// How long failures do not count.
    pub fn start_period(&self) -> Duration {
        span(self.start_period, 0)
    }

    /// How many failures make it unhealthy.
    pub fn retries(&self) -> u32 {
        u32::try_from(self.retries).ok().filter(|n| *n > 0).unwrap_or(3)
    }
}

fn span(nanoseconds: i64, default_seconds: u64) -> Duration {
    match u64::try_from(nanoseconds) {
        Ok(n) if n > 0 => Duration::from_nanos(n),
        _ => Duration::from_secs(default_seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_images() {
        let image: Check =
            serde_json::from_str(r#"{"Test":["CMD-SHELL","curl x"],"Interval":1000000000,"Retries":5}"#).unwrap();
        let asked = Check { retries: 2, ..Check::default() };
        let both = Check::merged(Some(&asked), Some(&image)).unwrap();
        assert_eq!(both.command(&[]).unwrap(), ["/bin/sh", "-c", "curl x"]);
        assert_eq!(both.command(&["bash".into(), "-ec".into()]).unwrap(), ["bash", "-ec", "curl x"]);
        assert_eq!((both.retries(), both.interval(), both.timeout().as_secs()), (2, Duration::from_secs(1), 30));
        assert_eq!(Check::merged(Some(&asked), None), None, "nothing to run");
        let off = Check { test: vec!["NONE".into()], ..Check::default() };
        assert_eq!(Check::merged(Some(&off), Some(&image)).unwrap().command(&[]), None);
        assert!(serde_json::from_str::<Check>(r#"{"Test":null}"#).unwrap().test.is_empty());
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(text, r#"{"Test":["CMD-SHELL","curl x"],"Interval":1000000000,"Retries":2}"#);
        let short = Check { timeout: 1000, ..both };
        assert_eq!(short.validate().unwrap_err().to_string(), "Timeout in Healthcheck cannot be less than 1ms");
    }
}
