//! `ctr stop`: asks containers to end, and after a while ends them.

use super::Context;
use cli::failure::Outcome;
use engine::life::{self, Asked};
use std::time::Duration;

/// Options of `ctr stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds until it is killed; negative: never
    #[arg(short, long, visible_alias = "timeout", default_value_t = 10, allow_negative_numbers = true)]
    time: i64,
    /// The signal that asks it to end [default: the image's, or TERM]
    #[arg(short, long)]
    signal: Option<String>,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let grace = u64::try_from(args.time).ok().map(Duration::from_secs);
    super::each(&args.containers, |name| {
        let record = root.find_container(name)?;
        let asked = Asked::of(&record)?;
        let signal = args.signal.clone().or(asked.defaults.stop_signal).unwrap_or_else(|| "TERM".into());
        Ok(life::stop(&root, &place, context.own()?, &record, &signal, grace)?)
    })
}
