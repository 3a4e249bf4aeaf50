//! `ctr healthcheck run`: looks at a container's health now.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::life::{self, Asked};
use engine::request::health::Check;
use engine::tools::Tools;
use engine::{health, supervise};
use store::Status;

/// Options of `ctr healthcheck`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Run the health check of a container; 0 where it is good, 1 where it is not
    Run {
        /// The container
        container: String,
    },
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let Verb::Run { container } = args.verb;
    let ours = |failure: Failure| failure.code(cli::exit::OURS);
    let root = context.store().map_err(|e| ours(e.into()))?;
    let record = root.find_container(&container).map_err(|e| ours(e.into()))?;
    let asked = Asked::of(&record).map_err(|e| ours(e.into()))?;
    let check = Check::merged(asked.request.health.check.as_ref(), asked.defaults.healthcheck.as_ref());
    let words = check.as_ref().and_then(|check| check.command(&asked.defaults.shell));
    let Some((check, words)) = check.zip(words) else {
        return Err(ours(Failure::new(format!("container {} has no defined healthcheck", record.name))));
    };
    let state = life::state(&root, &record.id).map_err(|e| ours(e.into()))?;
    if state.status != Status::Running {
        return Err(ours(Failure::from(life::not_running(&record.id))));
    }
    let place = context.place().map_err(ours)?;
    let tools = Tools::new(&asked.request.programs, context.own().map_err(ours)?);
    let runtime = engine::execute::runtime(&tools, &place.runtime());
    let look = supervise::look(runtime, &place.of(&record.id), &record.id, check.clone(), &words);
    let look = look.map_err(|e| ours(e.into()))?;
    let good = look.exit_code == 0;
    let mut changed = None;
    root.update_container(&record.id, |state| changed = health::note(state, look, &check))
        .map_err(|e| ours(e.into()))?;
    if let Some(status) = changed {
        engine::events::container(&root, &record, &format!("health_status: {}", status.word()), &[]);
    }
    if !good {
        super::print("unhealthy\n")?;
    }
    Ok(u8::from(!good))
}
