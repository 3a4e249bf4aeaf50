//! One file a command: its options (`Args`) and what it does (`run`).

use crate::arguments::{Arguments, Command};
use cli::failure::Outcome;

pub(crate) mod images;
pub(crate) mod load;
pub(crate) mod rmi;

/// What every command gets besides its own options.
#[derive(Debug)]
pub(crate) struct Context {
    /// The state root, as `--root` named it.
    pub(crate) root: Option<std::path::PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    let context = Context { root: arguments.root };
    match arguments.command {
        Command::Load(args) => load::run(args, &context),
        Command::Images(args) => images::run(args, &context),
        Command::Rmi(args) => rmi::run(args, &context),
    }
}
