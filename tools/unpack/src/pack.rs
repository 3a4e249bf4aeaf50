//! `unpack pack`: a directory into a layer.
//!
//! [`cli`] reads the command line, [`plan`] checks it, [`run`] does it, into what [`output`] opens. What it does is in
//! [`layer::pack`].

mod cli;
mod output;
mod plan;
mod run;
mod time;

pub(crate) use cli::stop;

use crate::{TOOL, cli::Stop};
use ::cli::failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the verb with `args` (the verb itself first) and gives its exit code.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let args = match cli::parse(args) {
        Ok(args) => args,
        Err(Stop::Say(text)) => {
            return failure::conclude(TOOL, ::cli::output::write(text.as_bytes()).map(|()| 0).or(Ok(0)));
        }
        Err(Stop::Fail(failure)) => return failure::conclude(TOOL, Err(failure)),
    };
    failure::conclude(TOOL, plan::Plan::new(args).and_then(|plan| run::run(&plan)))
}
