//! Options of `ctr run` and `ctr create`. `--restart`: when a container is started again.

use cli::failure::Failure;
use engine::request::restart::Restart;

/// When it is started again.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Restart policy to apply when a container exits: no, always, unless-stopped, on-failure[:max-retries]
    #[arg(long, value_name = "POLICY", default_value = "no", hide_default_value = true)]
    restart: String,
}

impl Options {
    /// Reads them, with docker's words for what is wrong, and the codes that `create` gives.
    pub(crate) fn read(&self) -> Result<Restart, Failure> {
        Restart::parse(&self.restart).map_err(super::failure)
    }
}
