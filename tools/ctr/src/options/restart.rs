//! Options of `ctr run` and `ctr create`. `--restart`: when a container is started again.

use cli::failure::Failure;
use engine::request::restart::Restart;

/// When it is started again.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Restart, Failure> {
        Ok(Restart {})
    }
}
