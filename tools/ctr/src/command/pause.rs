//! `ctr pause` and `ctr unpause`: freezes all processes of containers, and lets them go on.

use super::Context;
use cli::failure::Outcome;
use engine::life::{Site, signal};
use store::Record;

/// Options of `ctr pause` and `ctr unpause`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn pause(args: Args, context: &Context) -> Outcome {
    each(&args, context, signal::pause)
}

pub(crate) fn unpause(args: Args, context: &Context) -> Outcome {
    each(&args, context, signal::unpause)
}

fn each(args: &Args, context: &Context, act: fn(Site<'_>, &Record) -> engine::Result<()>) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    super::each(&args.containers, |name| Ok(act(site, &root.find_container(name)?)?))
}
