//! `ctr export`: a container's tree as a tar.

use super::Context;
use super::reach::{self, Need};
use cli::failure::{Failure, Outcome};
use engine::view::{self, Surroundings};
use engine::{export, life};
use std::io::{IsTerminal, Write};
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
    if args.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
    }
    if let Some(parent) = args.output.as_deref().and_then(std::path::Path::parent)
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        let why = format!("invalid output path: stat {}: no such file or directory", parent.display());
        return Err(Failure::new(format!("failed to export container: {why}")));
    }
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    reach::ready(context, &root, &record, Need::Tree)?;
    let state = life::state(&root, &record.id)?;
    let name = format!("container {}", record.name);
    let write = |folder: std::os::fd::BorrowedFd<'_>| -> Outcome {
        match &args.output {
            Some(path) => super::whole::file(path, |out| Ok(export::export(folder, &name, out)?))?,
            None => match export::export(folder, &name, std::io::stdout().lock().by_ref()) {
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                other => other?,
            },
        }
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
