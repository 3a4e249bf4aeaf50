//! `unpack pack`: a directory into a layer.
//!
//! [`cli`] reads the command line, [`plan`] checks it, [`run`] does it, into what [`output`] opens. What it does is in
//! [`layer::pack`].

pub(crate) mod cli;
mod output;
mod plan;
mod run;
mod time;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the verb with `args` (the verb itself first) and gives its exit code.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    crate::conclude(cli::parse(args), |args| plan::Plan::new(args).and_then(|plan| run::run(&plan)))
}
