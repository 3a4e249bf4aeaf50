//! A container's health: docker's document about it, and the process that looks.
//!
//! The document lies in the container's state: `{"Status":"starting","FailingStreak":0,"Log":[{Start,End,ExitCode,Output}…]}`, the last
//! [`KEPT`] looks of it. The supervisor looks in intervals, `ctr healthcheck run` whenever it is told to; both write what they saw
//! under the container's lock.

use crate::request::health::Check;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use store::State;

/// How many looks are kept.
const KEPT: usize = 5;
/// How much of what a look printed is kept, in bytes.
pub(crate) const OUTPUT_BYTES: usize = 4096;

/// docker's `State.Health`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// How it is.
    pub status: Status,
    /// How many looks in a row found it ill.
    pub failing_streak: u32,
    /// The last looks.
    pub log: Vec<Look>,
}

/// How a container is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No look was good yet.
    #[default]
    Starting,
    /// The last look was good.
    Healthy,
    /// Too many in a row were not.
    Unhealthy,
}

impl Status {
    /// docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Look {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// 0 is good; -1 where it took too long.
    pub exit_code: i32,
    /// What it printed.
    pub output: String,
}

impl Health {
    /// The health that `state` tells; none where nothing looks.
    pub fn of(state: &State) -> Option<Self> {
        serde_json::from_value(state.health.clone()?).ok()
    }

    fn keep(self, state: &mut State) {
        state.health = serde_json::to_value(self).ok();
    }

    /// What a look at a container that started at `started` found.
    fn take(&mut self, look: Look, check: &Check, started: Option<&str>) {
        if look.exit_code == 0 {
            (self.status, self.failing_streak) = (Status::Healthy, 0);
        } else if !(self.status == Status::Starting && is_within(&look, check, started)) {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries() {
                self.status = Status::Unhealthy;
            }
        }
        self.log.push(look);
        let extra = self.log.len().saturating_sub(KEPT);
        self.log.drain(..extra);
    }
}

/// Whether a failure does not count yet.
fn is_within(look: &Look, check: &Check, started: Option<&str>) -> bool {
    let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let (Some(look), Some(start)) = (moment(&look.start), started.and_then(moment)) else { return false };
    look.duration_since(start) < jiff::SignedDuration::try_from(check.start_period()).unwrap_or_default()
}

/// A container starts: what is known of it is from before.
pub fn begin(state: &mut State, check: Option<&Check>) {
    let before = Health::of(state);
    state.health = None;
    if check.is_some_and(|check| check.command(&[]).is_some()) {
        let log = before.map(|b| b.log).unwrap_or_default();
        Health { log, ..Health::default() }.keep(state);
    }
}

/// A container ended. docker calls that unhealthy.
pub fn end(state: &mut State) {
    if let Some(health) = Health::of(state) {
        Health { status: Status::Unhealthy, ..health }.keep(state);
    }
}

/// Writes down what a look found; gives the new status where it is another one.
pub fn note(state: &mut State, look: Look, check: &Check) -> Option<Status> {
    let mut health = Health::of(state)?;
    let before = health.status;
    health.take(look, check, state.started.as_deref());
    let now = health.status;
    health.keep(state);
    (now != before).then_some(now)
}

/// Writes the OCI process that looks, `words` with everything else as the container's own in `config`, and gives its path.
/// It is whole at any instant: looks of others may be about to read it.
pub(crate) fn write_process(config: &Path, words: &[String]) -> Result<PathBuf> {
    let fail = |e: std::io::Error| Error::new(Kind::Failed, "read", config.display()).because(e);
    let bytes = std::fs::read(config).map_err(fail)?;
    let mut config_json: Value = serde_json::from_slice(&bytes).map_err(|e| fail(e.into()))?;
    let mut process = config_json["process"].take();
    process["args"] = words.into();
    process["terminal"] = false.into();
    if let Some(members) = process.as_object_mut() {
        members.remove("consoleSize");
    }
    let path = config.with_file_name("health.json");
    let own = config.with_file_name(format!("health.json.{}", std::process::id()));
    let written = std::fs::write(&own, process.to_string()).and_then(|()| std::fs::rename(&own, &path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&own);
        crate::error::system("write", path.display(), e)
    })?;
    Ok(path)
}

/// What a look that took too long is told to have printed.
pub(crate) fn too_long(check: &Check) -> String {
    let seconds = check.timeout().as_secs_f64();
    format!("Health check exceeded timeout ({seconds}s)")
}

/// A look's output as it is kept: not more than [`OUTPUT_BYTES`].
pub(crate) fn shortened(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(&output[..output.len().min(OUTPUT_BYTES)]).into_owned();
    if output.len() > OUTPUT_BYTES { text + "..." } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(code: i32, second: u32) -> Look {
        let start = format!("2026-01-01T00:00:{second:02}Z");
        Look { end: start.clone(), start, exit_code: code, output: String::new() }
    }

    #[test]
    fn failures_count_after_the_start_period_and_one_good_look_heals() {
        let check =
            Check { test: vec!["CMD".into(), "x".into()], retries: 2, start_period: 3_000_000_000, ..Check::default() };
        let mut state = State { started: Some("2026-01-01T00:00:00Z".into()), ..State::default() };
        assert_eq!(note(&mut state, look(1, 1), &check), None, "nothing looks");
        begin(&mut state, Some(&check));
        assert_eq!(note(&mut state, look(1, 1), &check), None);
        assert_eq!(Health::of(&state).unwrap().failing_streak, 0);
        assert_eq!(note(&mut state, look(1, 4), &check), None);
        assert_eq!(note(&mut state, look(-1, 5), &check), Some(Status::Unhealthy));
        assert_eq!(note(&mut state, look(0, 6), &check), Some(Status::Healthy));
        assert_eq!(note(&mut state, look(0, 7), &check), None);
        note(&mut state, look(0, 8), &check);
        let health = Health::of(&state).unwrap();
        assert_eq!((health.log.len(), health.log[0].exit_code), (5, 1));
        end(&mut state);
        assert_eq!(Health::of(&state).unwrap().status, Status::Unhealthy);
        begin(&mut state, Some(&check));
        assert_eq!(Health::of(&state).unwrap().status, Status::Starting);
        begin(&mut state, None);
        assert_eq!(state.health, None);
    }
}
