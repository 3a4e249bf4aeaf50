//! `ctr rmi`: takes names away, and the image and its layers with the last one.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::images::{Removed, remove};

/// Options of `ctr rmi`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove also what stopped containers use, or what has several names
    #[arg(short, long)]
    force: bool,
    /// Accepted for docker's sake; there are no untagged parents
    #[arg(long)]
    no_prune: bool,
    /// Names, ids or beginnings of ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let _ = args.no_prune;
    let root = context.store()?;
    let mut failed: Option<Failure> = None;
    for image in &args.images {
        match remove(&root, image, args.force) {
            Ok(removed) => {
                for one in removed {
                    let _ = super::print(&match one {
                        Removed::Untagged(name) => format!("Untagged: {name}\n"),
                        Removed::Deleted(id) => format!("Deleted: {id}\n"),
                    })?;
                }
            }
            // docker: what is not there is told, and no failure when forced
            Err(error) if args.force && error.kind == store::Kind::NotFound => Failure::from(error).report("ctr"),
            // The others are removed all the same; what failed is told one by one.
            Err(error) => {
                if let Some(before) = failed.replace(error.into()) {
                    before.report("ctr");
                }
            }
        }
    }
    failed.map_or(Ok(0), Err)
}
