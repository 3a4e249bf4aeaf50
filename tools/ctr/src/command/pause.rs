//! `ctr pause` and `ctr unpause`: freezes all processes of containers, and lets them go on.

use super::{Containers, Context};
use cli::failure::Outcome;
use engine::life::{Site, signal};
use store::Record;

pub(crate) fn pause(args: Containers, context: &Context) -> Outcome {
    each(&args, context, signal::pause)
}

pub(crate) fn unpause(args: Containers, context: &Context) -> Outcome {
    each(&args, context, signal::unpause)
}

fn each(args: &Containers, context: &Context, act: fn(Site<'_>, &Record) -> engine::Result<()>) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    super::each(&args.names, |name| Ok(act(site, &root.find_container(name)?)?))
}
