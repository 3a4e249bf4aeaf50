//! `ctr rmi`.

use super::Context;
use cli::failure::Outcome;

/// Options of `ctr rmi`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args, _context: &Context) -> Outcome {
    Err(crate::unsupported("ctr rmi"))
}
