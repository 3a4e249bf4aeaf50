//! `ctr save`: images as an archive that docker, podman and skopeo read.

use super::Context;
use cli::failure::Outcome;
use engine::images::save;
use std::path::PathBuf;

/// Options of `ctr save`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let output = args.output.as_deref();
    super::whole::check(output, "failed to save image")?;
    let root = context.store()?;
    super::whole::to(output, |out| save(&root, &args.images, out))?;
    Ok(0)
}
