//! `ctr restart`: stops containers and starts them again.

use super::Context;
use super::stop::manner;
use cli::failure::Outcome;
use engine::life::{Site, start};

/// Options of `ctr restart`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds until it is killed; negative: never
    #[arg(short = 't', long, visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// The signal that asks it to end
    #[arg(short, long)]
    signal: Option<String>,
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let machine = context.machine()?;
    let site = Site { root: &root, place: &place, own: &own };
    engine::life::settle(&root, &place, &own)?;
    super::each(&args.containers, |name| {
        let record = root.find_container(name)?;
        let manner = manner(args.signal.as_deref(), args.timeout)?;
        Ok(start::restart(site, &record, manner, &machine, name)?)
    })
}
