//! `ctr update`: other limits for containers that are there already.

use super::{Containers, Context};
use crate::options::limits::Changeable;
use cli::failure::{Failure, Outcome};
use engine::life::Site;
use engine::request::restart::Restart;
use engine::update::{self, Change};

/// Options of `ctr update`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    limits: Changeable,
    /// When it is started again
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    #[command(flatten)]
    these: Containers,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    if args.limits.is_empty() && args.restart.is_none() {
        return Err(Failure::new("you must provide one or more flags when using this command")
            .hint("ctr update --help lists them"));
    }
    let mut limits = args.limits.read()?;
    let restart = args.restart.as_deref().map(Restart::parse).transpose()?;
    let advice = update::examine(&mut limits, &context.machine()?)?;
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    let change = Change { limits, restart };
    let done = super::each(&args.these.names, |name| {
        let record = root.find_container(name)?;
        Ok(update::update(site, &record, &change)?)
    });
    // docker prints these on standard output, behind the names
    for warning in &advice.warnings {
        super::print(&format!("{warning}\n"))?;
    }
    done
}
