//! Options of `ctr run` and `ctr create`. `--health-*`: how a container's health is looked at.

use super::duration;
use cli::failure::Failure;
use engine::request::health::{Check, Health, OnFailure};

/// How its health is looked at.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_interval: Option<String>,
    /// Maximum time to allow one check to run (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_timeout: Option<String>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    health_retries: Option<String>,
    /// Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_start_period: Option<String>,
    /// Time between running the check during the start period (ms|s|m|h) (default 5s)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_start_interval: Option<String>,
    /// What to do when it is unhealthy: none, kill, restart or stop
    #[arg(long, value_name = "ACTION", default_value = "none", hide_default_value = true)]
    health_on_failure: String,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    no_healthcheck: bool,
}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Health, Failure> {
        let span = |flag, text: &Option<String>| duration::flag(flag, text.as_deref());
        let check = Check {
            test: Vec::new(),
            interval: span("health-interval", &self.health_interval)?,
            timeout: span("health-timeout", &self.health_timeout)?,
            start_period: span("health-start-period", &self.health_start_period)?,
            start_interval: span("health-start-interval", &self.health_start_interval)?,
            retries: duration::integer("health-retries", self.health_retries.as_deref())?.unwrap_or_default(),
        };
        let on_failure = OnFailure::parse(&self.health_on_failure)?;
        let command = self.health_cmd.as_deref().filter(|text| !text.is_empty());
        let said = command.is_some() || check != Check::default();
        if self.no_healthcheck {
            if said {
                return Err(Failure::new("--no-healthcheck conflicts with --health-* options"));
            }
            let off = Check { test: vec!["NONE".into()], ..Check::default() };
            return Ok(Health { check: Some(off), on_failure });
        }
        let numbers = [
            ("interval", check.interval),
            ("timeout", check.timeout),
            ("retries", check.retries),
            ("start-period", check.start_period),
            ("start-interval", check.start_interval),
        ];
        if let Some((name, _)) = numbers.iter().find(|(_, number)| *number < 0) {
            return Err(Failure::new(format!("--health-{name} cannot be negative")));
        }
        let test = command.map_or_else(Vec::new, |text| vec!["CMD-SHELL".into(), text.into()]);
        Ok(Health { check: said.then_some(Check { test, ..check }), on_failure })
    }
}
