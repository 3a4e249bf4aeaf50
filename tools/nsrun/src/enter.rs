//! `nsrun enter`: nsenter(1)'s command line. Exit codes as the chain loader's.

pub(crate) mod cli;

use ::cli::Failure;
use ::cli::failure::conclude;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn main(mut args: Vec<OsString>) -> ExitCode {
    if let Err(error) = runtime::seal::ensure(&args) {
        return conclude("nsrun", Err(Failure::from(error).code(::cli::exit::OURS)));
    }
    args.remove(1);
    let ended = args.iter().any(|word| word == "--");
    let mut command = cli::Args::command();
    let args = crate::letters::apart(&mut command, args, true);
    let parsed = command.try_get_matches_from(args).and_then(|m| cli::Args::from_arg_matches(&m));
    let args = match parsed {
        Ok(args) => args,
        Err(error) => return conclude("nsrun", crate::usage(&error)),
    };
    if let Some(stray) = args.stray().filter(|_| !ended) {
        return conclude("nsrun", Err(crate::unknown_option(stray)));
    }
    let outcome = args.plan().and_then(|enter| runtime::enter::run(&enter).map_err(crate::chain::exit_code));
    conclude("nsrun", outcome)
}
