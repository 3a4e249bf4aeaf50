//! The tool `unpack`: image layers to directories, in parallel, verified.
//!
//! [`cli`] reads the command line, [`plan`] checks it, [`run`] does it. What it does is in the room `layer`.

mod cli;
mod interrupt;
mod plan;
mod run;
mod source;

use ::cli::failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// The name in messages.
const TOOL: &str = "unpack";

/// Runs `unpack` with `args` (the program's name first) and gives its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args = match cli::parse(args) {
        Ok(args) => args,
        Err(cli::Stop::Say(text)) => {
            return failure::conclude(TOOL, ::cli::output::write(text.as_bytes()).map(|()| 0).or(Ok(0)));
        }
        Err(cli::Stop::Fail(failure)) => return failure::conclude(TOOL, Err(failure)),
    };
    failure::conclude(TOOL, plan::Plan::new(args).and_then(|plan| run::run(&plan)))
}
