//! Options of `ctr run` and `ctr create`. Where a container's output is kept: `--log-driver`, `--log-opt`.

use cli::failure::Failure;
use engine::request::logging::Logging;

/// Where its output is kept.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Logging driver for the container: json-file, local, journald or none
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Log driver options
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Logging, Failure> {
        Ok(Logging::parse(self.log_driver.as_deref(), &self.log_opt)?)
    }
}
