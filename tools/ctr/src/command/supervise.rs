//! `ctr supervise`: what `ctr run` starts in a mount namespace of its own; not for people.

use super::Context;
use cli::failure::{Failure, Outcome};
use std::os::fd::AsFd;

/// Options of `ctr supervise`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container's id; standard input is a socket to whoever started us
    pub(crate) id: String,
    /// Compress what was put aside of this log of its, and nothing else
    #[arg(long)]
    pub(crate) compress: Option<std::path::PathBuf>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    if let Some(file) = &args.compress {
        let record = root.find_container(&args.id)?;
        engine::log::files::compress(&root, &record.id, file)?;
        return Ok(cli::exit::DONE);
    }
    let wrong = |e: std::io::Error| Failure::new(format!("standard input: {e}"));
    let control = std::io::stdin().as_fd().try_clone_to_owned().map_err(wrong)?;
    let null = std::fs::File::open("/dev/null").map_err(wrong)?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| wrong(e.into()))?;
    let (place, own) = (context.place()?, context.own()?);
    // The record may come while we get ready.
    let ready = engine::supervise::ready(&root, control)?;
    let record = root.find_container(&args.id)?;
    // What goes wrong is told to the client and written down.
    match engine::supervise::run(&root, &record, &place, own, ready) {
        Ok(()) => Ok(cli::exit::DONE),
        Err(_) => Ok(cli::exit::FAILED),
    }
}
