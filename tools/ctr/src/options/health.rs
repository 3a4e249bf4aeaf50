//! Options of `ctr run` and `ctr create`. `--health-*`: how a container's health is looked at.

use cli::failure::Failure;
use engine::request::health::Health;

/// How its health is looked at.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {}

impl Options {
    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> Result<Health, Failure> {
        Ok(Health {})
    }
}
