//! `netwire` as a CNI plugin: with `CNI_COMMAND` set and no arguments, or called by the name of a type it knows.

use crate::plan::Places;
use cli::{exit, output};
use network::cni::request::Environment;
use network::cni::{self, Outcome};
use spec::cni::Version;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// Whether a program of this name is a CNI plugin here: links so called may lead to it.
pub fn is_plugin(name: &str) -> bool {
    cni::is_type(name) && name != crate::NAME
}

/// The exit code if this is a call as a plugin.
pub(crate) fn serve(args: &[OsString]) -> Option<ExitCode> {
    let called = args.first().and_then(|arg| Path::new(arg).file_name()?.to_str()).filter(|name| is_plugin(name));
    let environment = Environment::of(|name| std::env::var(name).ok());
    match (called, &environment.command) {
        (Some(name), None) => Some(about(name)),
        (None, Some(_)) if args.len() > 1 => None,
        (None, None) => None,
        (called, Some(_)) => Some(run(called, &environment)),
    }
}

fn run(called: Option<&str>, environment: &Environment) -> ExitCode {
    let state = match Places::of_this_process().state(None, None) {
        Ok(state) => state,
        Err(failure) => return cli::failure::conclude(crate::NAME, Err(failure)),
    };
    let input = || {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let Outcome { document, failed } = cni::run(&state, called, environment, input);
    if let Some(document) = document {
        // Whoever does not read the answer has the exit status.
        let _ = output::json_line(&document);
    }
    ExitCode::from(if failed { 1 } else { exit::DONE })
}

/// What is said to who calls a plugin by hand.
fn about(name: &str) -> ExitCode {
    output::complain(crate::NAME, &format!("CNI {name} plugin; a container runtime calls it with CNI_COMMAND set"));
    let versions = Version::ALL.map(Version::name).join(", ");
    output::complain(crate::NAME, &format!("CNI protocol versions supported: {versions}"));
    ExitCode::from(exit::DONE)
}
