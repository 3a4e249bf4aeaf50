//! The tool `unpack`: image layers to directories, in parallel, verified; and back.
//!
//! Its first word chooses: `pack` makes a layer of a directory ([`pack`]), `verify` compares a directory with a layer ([`verify`]),
//! anything else is unpacked. There [`cli`] reads the command line, [`plan`] checks it, [`run`] does it ([`list`] where it is only to be listed). What all of them do is
//! in the room `layer`.

mod cli;
mod find;
mod interrupt;
mod list;
mod maps;
mod pack;
mod part;
mod plan;
mod report;
mod run;
mod source;
mod target;
mod verify;

use ::cli::failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// The name in messages.
const TOOL: &str = "unpack";

/// The command line's definition: man pages and completions are made of it.
pub fn definition() -> clap::Command {
    use clap::CommandFactory;
    let verbs = [pack::cli::Args::command().name("pack"), verify::cli::Args::command().name("verify")];
    self::cli::Args::command().subcommands(verbs)
}

/// Runs `unpack` with `args` (the program's name first) and gives its exit code.
pub fn main(mut args: Vec<OsString>) -> ExitCode {
    let verb: Option<fn(Vec<OsString>) -> ExitCode> = match args.get(1).and_then(|word| word.to_str()) {
        Some("pack") => Some(pack::main),
        Some("verify") => Some(verify::main),
        _ => None,
    };
    if let Some(verb) = verb {
        let word = args.remove(1);
        args[0] = [TOOL.as_ref(), word.as_os_str()].join(" ".as_ref());
        return verb(args);
    }
    conclude(cli::parse(args), |args| plan::Plan::new(args).and_then(|plan| run::run(&plan)))
}

/// Acts on the arguments, or says why there are none; gives the exit code.
fn conclude<A>(parsed: Result<A, cli::Stop>, act: impl FnOnce(A) -> failure::Outcome) -> ExitCode {
    let outcome = match parsed {
        Ok(args) => act(args),
        // That its reader has gone is no failure.
        Err(cli::Stop::Say(text)) => ::cli::output::write(text.as_bytes()).map(|()| 0).or(Ok(0)),
        Err(cli::Stop::Fail(failure)) => Err(failure),
    };
    failure::conclude(TOOL, outcome)
}
