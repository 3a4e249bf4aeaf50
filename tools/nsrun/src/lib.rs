//! The tool `nsrun`: run a command in namespaces; enter a running one; OCI runtime. Which of the three, [`face`] decides.

mod face;
mod runtime;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `nsrun` with `args` (the program's name first) and gives its exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match face::of(args.get(1..).unwrap_or_default()) {
        face::Face::Runtime => runtime::main(args),
        face::Face::Enter | face::Face::Chain => {
            cli::failure::conclude("nsrun", Err(cli::Failure::new("this face is not there yet").code(cli::exit::OURS)))
        }
    }
}
