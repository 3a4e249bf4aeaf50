//! `ctr system prune`: removes what nobody needs, a kind after the other.

use super::{Context, image_prune, prune};
use cli::failure::{Failure, Outcome};
use cli::human;
use engine::life::Site;
use engine::life::prune::Which;

/// Options of `ctr system prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
    /// Provide filter values: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let which = prune::which(&args.filter)?;
    if args.volumes && which.until.is_some() {
        return Err(Failure::new("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    if !args.force && !prune::asked(&warning(&args))? {
        return Ok(0);
    }
    // Each is told when it is done: what went first has gone whatever becomes of the next.
    let told = |text: String| if text.is_empty() { Ok(0) } else { super::print(&(text + "\n")) };
    let (containers, freed) = prune::containers(&which, context)?;
    told(containers)?;
    told(networks(&which, context)?)?;
    let (images, more) = image_prune::images(args.all, &which, context)?;
    told(images)?;
    super::print(&format!("Total reclaimed space: {}\n", human::size(freed + more)))
}

/// Removes networks; what is told of it.
fn networks(which: &Which, context: &Context) -> Result<String, Failure> {
    let (root, place, own) = (context.store()?, context.place()?, context.own()?);
    let removed = engine::networks::prune(Site { root: &root, place: &place, own: &own }, which)?;
    Ok(if removed.is_empty() { String::new() } else { format!("Deleted Networks:\n{}\n", removed.join("\n")) })
}

/// What will go, as docker lists it: of volumes and a build cache there is nothing here that could.
fn warning(args: &Args) -> String {
    let images = if args.all { image_prune::ALL } else { image_prune::DANGLING };
    let mut text = String::from("WARNING! This will remove:\n  - all stopped containers\n");
    text.push_str("  - all networks not used by at least one container\n");
    if args.volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(&format!("  - {images}\n"));
    if !args.filter.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        text.extend(args.filter.iter().map(|filter| format!("  - {filter}\n")));
    }
    text + "\nAre you sure you want to continue? [y/N] "
}
