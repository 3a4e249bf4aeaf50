//! nsrun as chain loader: unshare(1)'s command line and bwrap(1)'s, ending in the command.
//!
//! Exit code: the command's own, 128 + n for signal n; 125 where we failed, 126 and 127 where the command cannot be executed or
//! found.

pub(crate) mod cli;
mod mounts;
mod plan;
mod quick;

use ::cli::Failure;
use ::cli::failure::conclude;
use clap::{CommandFactory, FromArgMatches};
use runtime::Kind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn main(mut words: Vec<OsString>) -> ExitCode {
    let (args, ordered) = match quick::parse(&words) {
        Some(args) => (args, Vec::new()),
        None => {
            let mut command = cli::Args::command();
            if let Err(failure) = more_words(&mut command, &mut words) {
                return conclude("nsrun", Err(failure));
            }
            let apart = crate::letters::apart(&mut command, words.clone(), false);
            let matches = match command.try_get_matches_from(apart) {
                Ok(matches) => matches,
                Err(error) => return conclude("nsrun", crate::usage(&error)),
            };
            match cli::Args::from_arg_matches(&matches) {
                Ok(args) => (args, cli::ordered(&matches)),
                Err(error) => return conclude("nsrun", crate::usage(&error)),
            }
        }
    };
    let stray = args.command.first().filter(|word| word.to_string_lossy().starts_with('-'));
    if let Some(stray) = stray.filter(|_| !words.iter().any(|word| word == "--")) {
        return conclude("nsrun", Err(crate::unknown_option(stray)));
    }
    let planned = plan::plan(args, &ordered, &plan::Caller::load());
    let outcome = planned.and_then(|chain| {
        if chain.sandbox.is_some() {
            runtime::seal::ensure(&words).map_err(exit_code)?;
        }
        runtime::chain::run(&chain).map_err(exit_code)
    });
    conclude("nsrun", outcome)
}

/// Most words that options in descriptors may make: what refers to itself ends.
const MOST_WORDS: usize = 9_000;

/// Puts what is read from the descriptors of `--args` in its place. Whoever executes itself again must not read them once more.
fn more_words(command: &mut clap::Command, words: &mut Vec<OsString>) -> Result<(), Failure> {
    while let Some((place, number)) = crate::letters::find(command, words, "args") {
        let say =
            |why: String| Failure::new(format!("read --args {}: {why}", number.display())).code(::cli::exit::OURS);
        let descriptor =
            number.to_str().and_then(|n| n.parse().ok()).ok_or_else(|| say("is no descriptor".to_owned()))?;
        words.splice(place, runtime::command::words_of(descriptor).map_err(exit_code)?);
        if words.len() > MOST_WORDS {
            return Err(say(format!("makes more than {MOST_WORDS} words")));
        }
    }
    Ok(())
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
