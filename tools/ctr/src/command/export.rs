//! `ctr export`: a container's tree as a tar.

use super::Context;
use super::reach::{self, Need};
use cli::failure::Outcome;
use engine::view::{self, Surroundings};
use engine::{export, life};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Options of `ctr export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The container
    container: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let output = args.output.as_deref();
    super::whole::check(output, "failed to export container")?;
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    reach::ready(context, &root, &record, Need::Tree)?;
    let state = life::state(&root, &record.id)?;
    let name = format!("container {}", record.name);
    let write = |folder: std::os::fd::BorrowedFd<'_>| -> Outcome {
        super::whole::to(output, |out| export::export(folder, &name, out))?;
        Ok(0)
    };
    let done = if life::is_live(&state) && state.root.is_some() {
        write(view::of_layers(&state)?.as_fd())
    } else {
        let (machine, own) = (context.machine()?, context.own()?);
        let merged = view::merge(&Surroundings { root: &root, own: &own, machine: &machine }, &record)?;
        write(merged.folder())
    };
    if done.is_ok() {
        engine::events::container(&root, &record, "export", &[]);
    }
    done
}
