//! `ctr restart`: stops containers and starts them again.

use super::Context;
use super::stop::{Args, manner};
use cli::failure::Outcome;
use engine::life::{Site, start};

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let machine = context.machine()?;
    let site = Site { root: &root, place: &place, own: &own };
    engine::life::settle(&root, &place, &own)?;
    super::each(&args.these.names, |name| {
        let record = root.find_container(name)?;
        let manner = manner(args.signal.as_deref(), args.timeout)?;
        Ok(start::restart(site, &record, manner, &machine, name)?)
    })
}
