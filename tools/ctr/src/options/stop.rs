//! Options of `ctr run` and `ctr create`. `--stop-signal`, `--stop-timeout`, `--timeout`: how a container is asked to end.

use super::duration;
use cli::failure::Failure;
use engine::life::signal;
use engine::request::stop::Stop;

/// How it is asked to end.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Signal to stop the container
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    stop_timeout: Option<String>,
    /// Kill the container after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<String>,
}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Stop, Failure> {
        if let Some(name) = &self.stop_signal {
            signal::parse(name)?;
        }
        let limit = duration::integer("timeout", self.timeout.as_deref())?.unwrap_or_default();
        let limit_s = u64::try_from(limit).map_err(|_| Failure::new("--timeout cannot be negative"))?;
        let timeout_s = duration::integer("stop-timeout", self.stop_timeout.as_deref())?;
        Ok(Stop { signal: self.stop_signal.clone(), timeout_s, limit_s })
    }
}
