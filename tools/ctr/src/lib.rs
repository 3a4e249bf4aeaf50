//! The tool `ctr`: containers composed from the other four.
//!
//! Commands and options are docker's where docker has them. Mounting, sandboxing and wiring happen only by executing
//! `ovl-mount`, `nsrun` and `netwire`; what is done here is parsing ([`cli`]), choosing where things live, and saying how
//! it went. The life of a container is the room `engine`.

use cli::failure::Outcome;
use std::ffi::OsString;
use std::process::ExitCode;

mod arguments;
mod command;
mod complete;
mod config;
mod context;
mod format;
mod help;
mod options;

/// The command line's definition, worded as docker's: man pages and completions come from it.
pub fn definition() -> clap::Command {
    help::spelled_out(<arguments::Arguments as clap::CommandFactory>::command())
}

/// Runs `ctr` with `args` (the program's name first) and gives its exit code: docker's. A wrong option is 125 on every
/// command, an unknown command 1.
pub fn main(args: Vec<OsString>) -> ExitCode {
    cli::failure::conclude("ctr", run(args))
}

/// What a shell (`bash`, `zsh` or `fish`) reads to complete `ctr`'s command lines.
pub fn completion(shell: &str) -> Option<&'static str> {
    command::completion::script(shell)
}

fn run(args: Vec<OsString>) -> Outcome {
    if let Some((words, described)) = complete::asked(&args) {
        return complete::run(words, described, args.clone());
    }
    let parsed = match arguments::parse(args.clone()) {
        Ok(parsed) => parsed,
        Err(arguments::Stop::Print(text)) => {
            return cli::output::write(text.as_bytes()).map(|()| 0).or(Ok(0));
        }
        Err(arguments::Stop::Tell(text)) => {
            cli::output::err_line(text.trim_end());
            return Ok(0);
        }
        Err(arguments::Stop::Wrong(failure)) => return Err(failure),
    };
    command::run(parsed, args)
}
