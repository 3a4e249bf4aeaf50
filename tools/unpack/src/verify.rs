//! `unpack verify`: a directory against a layer, or the folders of an image against the image.
//!
//! [`cli`] reads the command line, [`plan`] checks it, [`run`] does it. What it does is in [`layer::verify`].

pub(crate) mod cli;
mod plan;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the verb with `args` (the verb itself first) and gives its exit code.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    crate::conclude(cli::parse(args), |args| plan::Plan::new(args).and_then(|plan| run::run(&plan)))
}
