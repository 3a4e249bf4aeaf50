//! `ctr image prune`: removes images without a name, or all that no container uses.

use super::Context;
use cli::failure::{Failure, Outcome};
use cli::human;
use engine::images::{Removed, prune};
use engine::life::prune::Which;

/// docker's words for what goes.
pub(crate) const ALL: &str = "all images without at least one container associated to them";
pub(crate) const DANGLING: &str = "all dangling images";

/// Options of `ctr image prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE], dangling=true|false
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut all = args.all;
    let mut others = Vec::new();
    for (key, value) in super::filter::pairs(&args.filter, "--filter")? {
        match (key.as_str(), value.as_str()) {
            ("dangling", "true" | "1") => all = false,
            ("dangling", "false" | "0") => all = true,
            ("dangling", value) => return Err(super::filter::invalid("dangling", &format!("[{value}]"))),
            _ => others.push((key, value)),
        }
    }
    let which = super::prune::read(&others)?;
    let kind = if all { ALL } else { DANGLING };
    if !args.force && !super::prune::confirmed(&format!("This will remove {kind}."))? {
        return Ok(0);
    }
    let (told, freed_bytes) = images(all, &which, context)?;
    let gap = if told.is_empty() { "" } else { "\n" };
    super::print(&format!("{told}{gap}Total reclaimed space: {}\n", human::size(freed_bytes)))
}

/// Removes them; what is told of it, and how many bytes that freed.
pub(crate) fn images(all: bool, which: &Which, context: &Context) -> Result<(String, u64), Failure> {
    let (removed, freed_bytes) = prune(&context.store()?, all, which)?;
    let mut text = String::new();
    if !removed.is_empty() {
        text = "Deleted Images:\n".into();
        for one in removed {
            text += &match one {
                Removed::Untagged(name) => format!("untagged: {name}\n"),
                Removed::Deleted(id) => format!("deleted: {id}\n"),
            };
        }
    }
    Ok((text, freed_bytes))
}
