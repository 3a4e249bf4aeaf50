//! `ctr rm`: removes containers.

use super::Context;
use cli::failure::Outcome;

/// Options of `ctr rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
    /// Their anonymous volumes too (there are none)
    #[arg(short, long)]
    volumes: bool,
    /// The containers
    #[arg(required = true)]
    containers: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let _ = args.volumes;
    let root = context.store()?;
    let place = context.place()?;
    engine::life::settle(&root, &place, &context.own()?)?;
    let own = context.own()?;
    let site = engine::life::Site { root: &root, place: &place, own: &own };
    super::each(&args.containers, |name| {
        let record = match root.find_container(name) {
            // docker: what is gone already is no error when forced
            Err(e) if e.kind == store::Kind::NotFound && args.force => return Ok(()),
            other => other?,
        };
        Ok(engine::life::remove::remove(site, &record, args.force)?)
    })
}
