//! Options of `ctr run` and `ctr create`. What a container may use of the machine: docker's resource options.

use cli::failure::Failure;
use engine::request::limits::Limits;

/// What it may use.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Limits, Failure> {
        Ok(Limits {})
    }
}
