//! `ctr kill`: sends containers a signal.

use super::Context;
use cli::failure::Outcome;

/// Options of `ctr kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The signal, by name or number
    #[arg(short, long, default_value = "KILL")]
    signal: String,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    super::each(&args.containers, |name| {
        let record = root.find_container(name)?;
        Ok(engine::life::kill(&root, &place, context.own()?, &record, &args.signal)?)
    })
}
