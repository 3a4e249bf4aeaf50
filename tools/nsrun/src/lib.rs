//! The tool `nsrun`: run a command in namespaces; enter a running one; OCI runtime. Which of the three, [`face`] decides.

mod chain;
mod enter;
mod face;
mod letters;
mod runtime;

use cli::failure::Outcome;
use cli::{Failure, exit};
use std::ffi::OsString;
use std::process::ExitCode;

/// The command line's definition: man pages and completions are made of it. The chain loader's options, and below them
/// `enter` and the verbs of the OCI runtime.
pub fn definition() -> clap::Command {
    use clap::CommandFactory;
    let verbs = runtime::cli::Args::command();
    let enter = enter::cli::Args::command().name("enter");
    chain::cli::Args::command().subcommand(enter).subcommands(verbs.get_subcommands().cloned())
}

/// Runs `nsrun` with `args` (the program's name first) and gives its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match face::of(args.get(1..).unwrap_or_default()) {
        face::Face::Runtime => runtime::main(args),
        face::Face::Chain => chain::main(args),
        face::Face::Enter => enter::main(args),
    }
}

/// What to say about a command line that clap refused, or asked for help.
fn usage(error: &clap::Error) -> Outcome {
    let text = error.render().to_string();
    if !error.use_stderr() {
        let _ = cli::output::write(text.as_bytes());
        return Ok(exit::DONE);
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    Err(Failure::new(text).code(exit::OURS))
}

/// An option nobody knows: with what follows it, it was taken for the command.
fn unknown_option(word: &std::ffi::OsStr) -> Failure {
    Failure::new(format!("unknown option {}", word.display())).hint("nsrun --help").code(exit::OURS)
}
