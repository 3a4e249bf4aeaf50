//! One file a command: its options (`Args`) and what it does (`run`).

use crate::arguments::{Arguments, Command};
use cli::failure::Outcome;

pub(crate) mod images;
pub(crate) mod load;
pub(crate) mod rmi;
pub(crate) mod tag;

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
        Command::Tag(args) => tag::run(args, &context),
    }
}

impl Context {
    /// Opens the store.
    pub(crate) fn store(&self) -> Result<store::Root, store::Error> {
        let path = self.root.clone().map_or_else(store::Root::default_path, Ok)?;
        store::Root::open(&path)
    }
}

/// Prints data; that nobody reads on is no failure.
pub(crate) fn print(text: &str) -> Outcome {
    match cli::output::write(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(cli::Failure::new(format!("stdout: {e}"))),
        _ => Ok(0),
    }
}
