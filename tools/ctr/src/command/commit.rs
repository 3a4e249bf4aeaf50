//! `ctr commit`: a container's changes as an image.

use super::Context;
use super::reach::{self, Need};
use cli::failure::Outcome;
use engine::commit::{Wanted, commit};

/// Options of `ctr commit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "AUTHOR", default_value = "")]
    author: String,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "INSTRUCTION", allow_hyphen_values = true)]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "MESSAGE", default_value = "", allow_hyphen_values = true)]
    message: String,
    /// Pause container during commit
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pause: bool,
    /// Only the id, and nothing about what was left out
    #[arg(short, long)]
    quiet: bool,
    /// The container
    container: String,
    /// What the image is called
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    reach::ready(context, &root, &record, Need::Layers)?;
    let wanted = Wanted {
        name: args.name.filter(|name| !name.is_empty()),
        author: args.author,
        message: args.message,
        changes: args.change,
        pause: args.pause,
    };
    let done = commit(&root, &context.place()?, &context.own()?, &record, &wanted)?;
    if !args.quiet {
        if let Some(error) = done.not_paused {
            cli::output::complain("ctr", &format!("not paused: {error}"));
        }
        done.skipped.iter().for_each(|line| cli::output::complain("ctr", &format!("left out: {line}")));
    }
    super::print(&format!("{}\n", done.id))
}
