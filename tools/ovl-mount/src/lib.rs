//! The tool `ovl-mount`: an overlay file system by the kernel or in user space, mounted in one of three forms.
//!
//! [`cli`](mod@cli) is the command line as typed, [`plan`] what it means, `run` does it with the room `overlay`.

pub mod cli;
pub mod plan;
mod run;

use ::cli::{Failure, exit, failure, output};
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

const NAME: &str = "ovl-mount";

/// Runs `ovl-mount` with `args` (the program's name first) and gives its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    // Where the line ends in a command, its codes are the command's, and ours is the one that stands apart.
    let ends_in_command = args.iter().skip(1).any(|a| a == "--");
    let outcome = parse(args).and_then(|args| match args {
        Some(args) => run::run(plan::plan(args, std::env::var_os("OVL_DRIVER").as_deref())?),
        None => Ok(exit::DONE),
    });
    failure::conclude(
        NAME,
        outcome.map_err(|f| match f.code {
            exit::FAILED | exit::USAGE if ends_in_command => f.code(exit::OURS),
            _ => f,
        }),
    )
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
    let first = text.lines().next().unwrap_or_default();
    Err(Failure::usage(first.strip_prefix("error: ").unwrap_or(first)).hint("ovl-mount --help"))
}
