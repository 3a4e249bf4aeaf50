//! `ctr kill`: sends containers a signal.

use super::{Containers, Context};
use cli::failure::{Failure, Outcome};
use engine::life::{Site, signal};

/// Options of `ctr kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The signal, by name or number [default: KILL]
    #[arg(short, long)]
    signal: Option<String>,
    #[command(flatten)]
    these: Containers,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    super::each(&args.these.names, |name| {
        let number = signal::parse(args.signal.as_deref().filter(|text| !text.is_empty()).unwrap_or("KILL"))?;
        let record = root.find_container(name).map_err(|e| {
            let is_unknown = e.kind == store::Kind::NotFound;
            let failure = Failure::from(e);
            let told = format!("Cannot kill container: {name}: {}", failure.message);
            Failure { message: if is_unknown { told } else { failure.message }, ..failure }
        })?;
        Ok(signal::kill(site, &record, name, number)?)
    })
}
