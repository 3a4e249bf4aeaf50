//! `ctr tag`: gives an image another name.

use super::Context;
use cli::failure::Outcome;

/// Options of `ctr tag`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image, by a name or id
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// Its other name
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    engine::images::tag(&context.store()?, &args.source, &args.target)?;
    Ok(0)
}
