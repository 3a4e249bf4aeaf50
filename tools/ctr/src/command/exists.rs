//! `ctr container exists` and `ctr image exists`: whether there is such a one, by the exit code alone; podman's.

use super::Context;
use cli::failure::Outcome;
use store::{Kind, Root};

/// Options of both.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn container(args: Args, context: &Context) -> Outcome {
    answer(context, |root| root.find_container(&args.name).map(drop))
}

pub(crate) fn image(args: Args, context: &Context) -> Outcome {
    answer(context, |root| root.find_image(&args.name).map(drop))
}

/// 0, or 1 where there is none; podman has 125 where it cannot be known.
pub(super) fn answer(context: &Context, find: impl FnOnce(&Root) -> Result<(), store::Error>) -> Outcome {
    match find(&context.store()?) {
        Ok(()) => Ok(0),
        Err(e) if matches!(e.kind, Kind::NotFound | Kind::Invalid) => Ok(1),
        Err(e) => Err(e.into()),
    }
}
