//! `ctr thaw`: resumes a container when its standard input has ended; what pauses one starts it first.

use super::Context;
use cli::failure::Outcome;

/// Options of `ctr thaw`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    container: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let record = context.store()?.find_container(&args.container)?;
    engine::freeze::thaw(&context.place()?, &context.own()?, &record)?;
    Ok(0)
}
