//! `ctr rename`: another name for a container.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::life::{Site, rename};

/// Options of `ctr rename`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    container: String,
    /// Its new name
    new_name: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let (old, new) = (args.container.trim(), args.new_name.trim());
    if old.is_empty() || new.is_empty() {
        return Err(Failure::new("Error: Neither old nor new names may be empty").hint("ctr rename OLD NEW"));
    }
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    let renamed =
        root.find_container(old).map_err(Failure::from).and_then(|record| Ok(rename::rename(site, &record, new)?));
    // docker says both
    renamed.map(|()| 0).map_err(|failure| {
        failure.report("ctr");
        Failure::new(format!("Error: failed to rename container named {old}"))
    })
}
