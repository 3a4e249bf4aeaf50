//! `ctr image inspect`: everything that is known of images.

use super::Context;
use super::inspect;
use cli::failure::Outcome;

/// Options of `ctr image inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    names: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    inspect::show(args.format.as_deref(), &args.names, |name| {
        inspect::image(&root, name).map_err(|e| e.unwrap_or_else(|| inspect::no_image(name)))
    })
}
