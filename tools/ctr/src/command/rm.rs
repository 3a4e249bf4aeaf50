//! `ctr rm`: removes containers.

use super::{Containers, Context};
use cli::failure::{Failure, Outcome};

/// Options of `ctr rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
    /// Their anonymous volumes too (there are none)
    #[arg(short, long)]
    volumes: bool,
    /// A link; there are none
    #[arg(short, long)]
    link: bool,
    #[command(flatten)]
    these: Containers,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let _ = args.volumes;
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    engine::life::settle(&root, &place, &own)?;
    let site = engine::life::Site { root: &root, place: &place, own: &own };
    super::each(&args.these.names, |name| {
        if name.trim_matches(['/', ' ']).is_empty() {
            return Err(Failure::new("container name cannot be empty"));
        }
        let record = match root.find_container(name) {
            // docker: what is gone already is no error when forced
            Err(e) if e.kind == store::Kind::NotFound && args.force => {
                return Err(Failure::from(e).code(0));
            }
            other => other?,
        };
        if args.link {
            return Err(Failure::new("Conflict, cannot remove the default link name of the container")
                .hint("containers have no links to each other here: leave out -l"));
        }
        Ok(engine::life::remove::remove(site, &record, args.force)?)
    })
}
