//! `unpack pack`.

use ::cli::{Failure, failure};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the verb with `args` (the verb itself first) and gives its exit code.
pub(crate) fn main(_args: Vec<OsString>) -> ExitCode {
    failure::conclude("unpack pack", Err(Failure::new("not there yet")))
}
