//! nsrun as chain loader: unshare(1)'s command line and more, ending in the command.
//!
//! Exit code: the command's own, 128 + n for signal n; 125 where we failed, 126 and 127 where the command cannot be executed or
//! found.

mod cli;
mod plan;

use ::cli::Failure;
use ::cli::failure::conclude;
use clap::{CommandFactory, FromArgMatches};
use runtime::Kind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let parsed = cli::Args::command().try_get_matches_from(&words).and_then(|m| cli::Args::from_arg_matches(&m));
    let args = match parsed {
        Ok(args) => args,
        Err(error) => return conclude("nsrun", crate::usage(&error)),
    };
    let stray = args.command.first().filter(|word| word.to_string_lossy().starts_with('-'));
    if let Some(stray) = stray.filter(|_| !words.iter().any(|word| word == "--")) {
        return conclude("nsrun", Err(crate::unknown_option(stray)));
    }
    if args.rootfs.is_some()
        && let Err(error) = runtime::seal::ensure(&words)
    {
        return conclude("nsrun", Err(exit_code(error)));
    }
    let outcome =
        plan::plan(args, &plan::Caller::load()).and_then(|chain| runtime::chain::run(&chain).map_err(exit_code));
    conclude("nsrun", outcome)
}

/// The contract's exit code for an error of ours.
pub(crate) fn exit_code(error: runtime::Error) -> Failure {
    let code = match error.kind {
        Kind::NotFound => ::cli::exit::NOT_FOUND,
        Kind::CannotExecute => ::cli::exit::CANNOT_EXECUTE,
        _ => ::cli::exit::OURS,
    };
    Failure::from(error).code(code)
}
