//! Options of `ctr run` and `ctr create`. Where a container's output is kept: `--log-driver`, `--log-opt`.

use cli::failure::Failure;
use engine::request::logging::Logging;

/// Where its output is kept.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Logging, Failure> {
        Ok(Logging {})
    }
}
