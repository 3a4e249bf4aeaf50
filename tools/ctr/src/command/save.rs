//! `ctr save`: images as an archive that docker, podman and skopeo read.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::images::save;
use std::io::IsTerminal;
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
    let root = context.store()?;
    match &args.output {
        Some(path) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            if let Some(parent) = parent.filter(|p| !p.exists()) {
                let why = format!("invalid output path: stat {}: no such file or directory", parent.display());
                return Err(Failure::new(format!("failed to save image: {why}")));
            }
            super::whole::file(path, |out| Ok(save(&root, &args.images, out)?))?;
        }
        None if std::io::stdout().is_terminal() => {
            return Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
        }
        None => match save(&root, &args.images, std::io::stdout().lock()) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
            other => other?,
        },
    }
    Ok(0)
}
