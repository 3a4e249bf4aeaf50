//! `ctr stop`: asks containers to end, and after a while ends them.

use super::{Containers, Context};
use cli::failure::{Failure, Outcome};
use engine::life::Site;
use engine::life::stop::{self, Manner};

/// Options of `ctr stop` and `ctr restart`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds until it is killed; negative: never [default: the container's own, or 10]
    #[arg(short = 't', long, visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    pub(super) timeout: Option<i64>,
    /// The signal that asks it to end [default: the container's own, or TERM]
    #[arg(short, long)]
    pub(super) signal: Option<String>,
    #[command(flatten)]
    pub(super) these: Containers,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let site = Site { root: &root, place: &place, own: &own };
    super::each(&args.these.names, |name| {
        let record = root.find_container(name)?;
        stop::stop(site, &record, manner(args.signal.as_deref(), args.timeout)?)?;
        Ok(())
    })
}

/// How it is asked to end; docker: an empty signal is the container's own.
pub(crate) fn manner(signal: Option<&str>, seconds: Option<i64>) -> Result<Manner, Failure> {
    let signal = signal.filter(|text| !text.is_empty()).map(engine::life::signal::parse).transpose()?;
    Ok(Manner { signal, seconds })
}
