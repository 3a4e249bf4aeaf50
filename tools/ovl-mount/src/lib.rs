//! The tool `ovl-mount`: an overlay file system by the kernel or in user space, mounted in one of three forms.
//!
//! [`cli`](mod@cli) is the command line as typed ([`mount8`] that of mount(8)'s helpers), [`plan`] what it means, `run` does it
//! with the room `overlay`; `status` asks a server how it is, `convert` changes for whom an upper is.

pub mod cli;
mod convert;
pub mod mount8;
pub mod plan;
mod run;
mod status;

use ::cli::failure::Outcome;
use ::cli::{Failure, exit, failure, output};
use clap::Parser;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

const NAME: &str = "ovl-mount";

/// The command line's definition: man pages and completions are made of it.
pub fn definition() -> clap::Command {
    use clap::CommandFactory;
    let verbs = [cli::StatusArgs::command().name("status"), cli::ConvertArgs::command().name("convert")];
    cli::Args::command().subcommands(verbs)
}

/// Runs `ovl-mount` with `args` (the program's name first) and gives its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    // Where the line ends in a command, its codes are the command's, and ours is the one that stands apart.
    let ends_in_command = args.iter().skip(1).any(|a| a == "--");
    failure::conclude(
        NAME,
        dispatch(args).map_err(|f| match f.code {
            exit::FAILED | exit::USAGE if ends_in_command => f.code(exit::OURS),
            _ => f,
        }),
    )
}

fn dispatch(args: Vec<OsString>) -> Outcome {
    let called = args.first().and_then(|a| Path::new(a).file_name()?.to_str()).unwrap_or_default();
    if mount8::is_helper(called) {
        return match mount8::parse(args.into_iter().skip(1))? {
            Some(args) => mount(args),
            None => Ok(exit::DONE),
        };
    }
    // A source that is called like a verb comes with options, which no verb has.
    let verb = args.get(1).and_then(|a| a.to_str()).filter(|_| !args.iter().any(|a| a == "-o" || a == "--"));
    match verb {
        Some("status") => match parse::<cli::StatusArgs>(args.into_iter().skip(1))? {
            Some(args) => status::run(&args),
            None => Ok(exit::DONE),
        },
        Some("convert") => match parse::<cli::ConvertArgs>(args.into_iter().skip(1))? {
            Some(args) => convert::run(args),
            None => Ok(exit::DONE),
        },
        _ => match parse::<cli::Args>(args)? {
            Some(args) => mount(args),
            None => Ok(exit::DONE),
        },
    }
}

fn mount(args: cli::Args) -> Outcome {
    run::run(plan::plan(args, std::env::var_os("OVL_DRIVER").as_deref().map(OsStr::new))?)
}

/// The line as typed; `None` when all it wanted was help or the version.
fn parse<Args: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<Option<Args>, Failure> {
    let error = match Args::try_parse_from(args) {
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
