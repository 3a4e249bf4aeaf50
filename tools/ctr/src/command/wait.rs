//! `ctr wait`: until containers have ended; prints their exit codes.

use super::{Containers, Context};
use cli::failure::{Failure, Outcome};
use engine::life::{Site, wait};

pub(crate) fn run(args: Containers, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    let mut failed = Vec::new();
    for name in &args.names {
        let code = root.find_container(name).map_err(Failure::from).and_then(|record| Ok(wait::wait(site, &record)?));
        match code {
            Ok(code) => drop(super::print(&format!("{code}\n"))?),
            Err(failure) => failed.push(failure),
        }
    }
    failed.iter().for_each(|failure| failure.report("ctr"));
    Ok(u8::from(!failed.is_empty()))
}
