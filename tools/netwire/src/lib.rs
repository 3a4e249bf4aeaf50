//! The tool `netwire`: connects network namespaces.
//!
//! [`cli`](mod@cli) is the command line as typed, [`plan`](mod@plan) what it means, `run` does it; [`cni`] is the other face,
//! which has no command line.

mod carried;
pub mod cli;
pub mod cni;
pub mod dns;
pub mod keep;
mod overlay;
pub mod plan;
pub mod publish;
mod rootless;
mod run;
pub mod whose;

use ::cli::{Failure, exit, failure, output};
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

const NAME: &str = "netwire";

/// The command line's definition: man pages and completions are made of it.
pub fn definition() -> clap::Command {
    <cli::Args as clap::CommandFactory>::command()
}

/// Runs `netwire` with `args` (the program's name first) and gives its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    if let Some(code) = cni::serve(&args) {
        return code;
    }
    let outcome = parse(args).and_then(|args| match args {
        Some(args) => run::run(&plan::plan(args, &plan::Places::of_this_process())?),
        None => Ok(exit::DONE),
    });
    failure::conclude(NAME, outcome)
}

/// The line as typed; `None` when all it wanted was help or the version.
fn parse(args: Vec<OsString>) -> Result<Option<cli::Args>, Failure> {
    let error = match cli::Args::try_parse_from(args) {
        Ok(args) => return Ok(Some(args)),
        Err(error) => error,
    };
    let text = error.render().to_string();
    if !error.use_stderr() {
        let _ = output::write(text.as_bytes());
        return Ok(None);
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Err(Failure::usage("what to do is missing").hint("netwire --help"));
    }
    // The first paragraph is the error, over several lines where arguments are missing.
    let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let first = first.join(" ");
    Err(Failure::usage(first.strip_prefix("error: ").unwrap_or(&first)).hint("netwire --help"))
}
