//! The tool `netwire`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `netwire` with `args` (the program's name first) and gives its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let _ = args;
    ExitCode::FAILURE
}
