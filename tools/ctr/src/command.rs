//! One file a command: its options (`Args`) and what it does (`run`).

use crate::arguments::{Arguments, Command};
use cli::failure::Outcome;
use std::ffi::OsString;

pub(crate) mod images;
pub(crate) mod load;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod supervise;
pub(crate) mod tag;

pub(crate) use crate::context::Context;

pub(crate) fn run(arguments: Arguments, words: Vec<OsString>) -> Outcome {
    let context = Context { root: arguments.root, words };
    if changes_the_store(&arguments.command) {
        context.become_root()?;
    }
    match arguments.command {
        Command::Run(args) => run::run(*args, &context),
        Command::Load(args) => load::run(args, &context),
        Command::Images(args) => images::run(args, &context),
        Command::Rmi(args) => rmi::run(args, &context),
        Command::Supervise(args) => supervise::run(args, &context),
        Command::Tag(args) => tag::run(args, &context),
    }
}

/// Commands that write below the state root, where files have many owners: an ordinary user needs a user namespace for them.
/// `run` does it itself, later: `--explain` does not.
fn changes_the_store(command: &Command) -> bool {
    matches!(command, Command::Load(_) | Command::Rmi(_) | Command::Tag(_))
}

/// Prints data; that nobody reads on is no failure.
pub(crate) fn print(text: &str) -> Outcome {
    match cli::output::write(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(cli::Failure::new(format!("stdout: {e}"))),
        _ => Ok(0),
    }
}
