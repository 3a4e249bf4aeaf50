//! Makes what a package holds beside the programs: `cargo run --example papers -- DIR` writes man pages to `DIR/man1` and
//! completions to `DIR/bash`, `DIR/zsh` and `DIR/fish`, for all five tools, from their definitions.

use std::path::Path;
use std::process::ExitCode;

#[path = "papers/pages.rs"]
mod pages;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        cli::output::complain("papers", "where to is missing: papers DIR");
        return ExitCode::from(cli::exit::USAGE);
    };
    match pages::write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            cli::output::complain("papers", &format!("{}: {e}", Path::new(&folder).display()));
            ExitCode::FAILURE
        }
    }
}
