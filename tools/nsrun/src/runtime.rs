//! nsrun as an OCI runtime: runc's command line, so that podman, containerd, Docker and CRI-O can call it.
//!
//! Errors go to stderr and, where `--log` names a file, there too in the form that `--log-format` says: engines read it.
//! Exit codes are runc's: the container's own from `run` and `exec`, else 1 (255 from `exec`).

pub(crate) mod cli;
mod events;
mod log;
mod quick;
mod run;
mod template;
mod update;

pub(crate) use run::parse_signal;

use ::cli::Failure;
use ::cli::failure::conclude;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one verb.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let args = words.iter().cloned().map(two_dashes).collect::<Vec<_>>();
    let parsed = match quick::parse(&args) {
        Some(args) => Ok(args),
        None => cli::Args::command().try_get_matches_from(args).and_then(|m| cli::Args::from_arg_matches(&m)),
    };
    let args = match parsed {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => {
            let _ = ::cli::output::write(error.render().to_string().as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            return conclude("nsrun", Err(Failure::new(text).code(1)));
        }
    };
    if matches!(args.verb, cli::Verb::Create(_) | cli::Verb::Run(_) | cli::Verb::Exec(_))
        && let Err(error) = runtime::seal::ensure(&words)
    {
        return conclude("nsrun", Err(Failure::from(error)));
    }
    let level = if args.debug { cli::LogLevel::Debug } else { args.log_level.unwrap_or(cli::LogLevel::Info) };
    let log = log::Log::new(args.log.as_deref(), args.log_format == cli::LogFormat::Json, level);
    let code = if matches!(args.verb, cli::Verb::Exec(_)) { 255 } else { 1 };
    log.debug(&format!("nsrun {}: {}", env!("CARGO_PKG_VERSION"), shown(&words)));
    let outcome = run::run(args, &log).map_err(|failure| failure.code(code));
    if let Err(failure) = &outcome {
        log.error(&failure.message);
    }
    conclude("nsrun", outcome)
}

/// A command line as the log shows it.
fn shown(words: &[OsString]) -> String {
    words.iter().skip(1).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Go's flags take one dash as well as two: `-root` is `--root`.
fn two_dashes(word: OsString) -> OsString {
    const GLOBAL: [&str; 6] = ["root", "log", "log-format", "debug", "systemd-cgroup", "bundle"];
    let text = word.to_string_lossy();
    match text.strip_prefix('-') {
        Some(name) if GLOBAL.contains(&name.split('=').next().unwrap_or_default()) => format!("-{text}").into(),
        _ => word,
    }
}
