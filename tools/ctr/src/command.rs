//! One file a command: its options (`Args`) and what it does (`run`).

use crate::arguments::{Arguments, Command};
use cli::failure::{Failure, Outcome};
use std::ffi::OsString;

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod completion;
mod containers;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod df;
pub(crate) mod diff;
pub(crate) mod enter;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod exists;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod healthcheck;
pub(crate) mod history;
pub(crate) mod image_inspect;
pub(crate) mod image_mount;
pub(crate) mod image_prune;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod mount;
mod pattern;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod reach;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod secret;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod supervise;
pub(crate) mod system_prune;
pub(crate) mod tag;
pub(crate) mod thaw;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod whole;

pub(crate) use crate::context::Context;
pub(crate) use containers::Containers;

pub(crate) fn run(arguments: Arguments, words: Vec<OsString>) -> Outcome {
    arguments.client.check()?;
    let context = Context::new(arguments.root, arguments.client.config, words);
    let outcome = begin(arguments.command, &context);
    if arguments.podmans { podmans(outcome) } else { outcome }
}

fn begin(command: Command, context: &Context) -> Outcome {
    if has_many_owners(&command, context) {
        context.become_root()?;
    }
    match command {
        Command::Run(args) => run::run(*args, context),
        Command::Create(args) => create::run(*args, context),
        Command::Start(args) => start::run(args, context),
        Command::Restart(args) => restart::run(args, context),
        Command::Attach(args) => attach::run(args, context),
        Command::Wait(args) => wait::run(args, context),
        Command::Rename(args) => rename::run(args, context),
        Command::Pause(args) => pause::pause(args, context),
        Command::Unpause(args) => pause::unpause(args, context),
        Command::Top(args) => top::run(args, context),
        Command::Events(args) => events::run(args, context),
        Command::ContainerPrune(args) => prune::run(args, context),
        Command::ContainerInspect(args) => inspect::containers(args, context),
        Command::Completion(args) => completion::run(&args),
        Command::Enter(args) => enter::run(args, context),
        Command::Exec(args) => exec::run(args, context),
        Command::Port(args) => port::run(args, context),
        Command::Ps(args) => ps::run(args, context),
        Command::Logs(args) => logs::run(args, context),
        Command::Stats(args) => stats::run(args, context),
        Command::Update(args) => update::run(*args, context),
        Command::Stop(args) => stop::run(args, context),
        Command::Healthcheck(args) => healthcheck::run(args, context),
        Command::Kill(args) => kill::run(args, context),
        Command::Rm(args) => rm::run(args, context),
        Command::Commit(args) => commit::run(args, context),
        Command::Import(args) => import::run(args, context),
        Command::Cp(args) => cp::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::History(args) => history::run(args, context),
        Command::Info(args) => info::run(args, context),
        Command::Version(args) => version::run(args, context),
        Command::Save(args) => save::run(args, context),
        Command::Mount(args) => mount::mount(args, context),
        Command::Umount(args) => mount::umount(args, context),
        Command::ImageInspect(args) => image_inspect::run(args, context),
        Command::ImagePrune(args) => image_prune::run(args, context),
        Command::ContainerExists(args) => exists::container(args, context),
        Command::ImageMount(args) => image_mount::mount(args, context),
        Command::ImageUmount(args) => image_mount::umount(args, context),
        Command::ImageExists(args) => exists::image(args, context),
        Command::SystemPrune(args) => system_prune::run(args, context),
        Command::SystemDf(args) => df::run(args, context),
        Command::Thaw(args) => thaw::run(args, context),
        Command::SecretCreate(args) => secret::create(args, context),
        Command::SecretLs(args) => secret::ls(args, context),
        Command::SecretInspect(args) => secret::inspect(args, context),
        Command::SecretRm(args) => secret::rm(args, context),
        Command::SecretExists(args) => secret::exists(args, context),
        Command::Diff(args) => diff::run(args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Load(args) => load::run(args, context),
        Command::Images(args) => images::run(args, context),
        Command::Rmi(args) => rmi::run(args, context),
        Command::Supervise(args) => supervise::run(args, context),
        Command::Tag(args) => tag::run(args, context),
    }
}

/// Commands that write below the state root or walk what containers wrote there, where files have many owners: an ordinary
/// user needs a user namespace for them.
/// `run` does it itself, later: `--explain` does not.
fn has_many_owners(command: &Command, context: &Context) -> bool {
    matches!(
        command,
        Command::ContainerPrune(_)
            | Command::Load(_)
            | Command::Import(_)
            | Command::ImagePrune(_)
            | Command::SystemPrune(_)
            | Command::Save(_)
            | Command::Rmi(_)
            | Command::Tag(_)
            | Command::SecretCreate(_)
            | Command::SecretInspect(_)
            | Command::SecretLs(_)
            | Command::SecretRm(_)
            | Command::SecretExists(_)
            | Command::Start(_)
            | Command::Restart(_)
            | Command::Rm(_)
            | Command::Diff(_)
            | Command::SystemDf(_)
    ) || match command {
        Command::Ps(args) => args.measures(context),
        Command::Inspect(args) | Command::ContainerInspect(args) => args.size,
        _ => false,
    }
}

/// What became of a command that podman has and docker has not: whatever goes wrong is 125. That there is none of what `exists` asks
/// for is nothing wrong.
fn podmans(outcome: Outcome) -> Outcome {
    outcome.map_err(|failure| match failure.code {
        cli::exit::FAILED => failure.code(cli::exit::OURS),
        _ => failure,
    })
}

/// Does one thing to each of `names`, printing those it was done to; what failed is reported and does not keep the others.
pub(crate) fn each(names: &[String], act: impl Fn(&str) -> Result<(), Failure>) -> Outcome {
    let mut failed = false;
    for name in names {
        match act(name) {
            Ok(()) => drop(print(&format!("{name}\n"))?),
            Err(failure) => {
                failure.report("ctr");
                failed |= failure.code != 0;
            }
        }
    }
    Ok(u8::from(failed))
}

/// Prints data; that nobody reads on is no failure.
pub(crate) fn print(text: &str) -> Outcome {
    match cli::output::write(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(format!("stdout: {e}"))),
        _ => Ok(0),
    }
}
