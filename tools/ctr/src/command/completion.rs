//! `ctr completion`: what a shell reads to complete `ctr`'s command lines. The scripts know nothing of the commands: at each key they
//! ask [`ctr __complete`](crate::complete).

use cli::failure::{Failure, Outcome};

/// Options of `ctr completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL")]
    shell: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let text = script(&args.shell).ok_or_else(|| {
        Failure::new(format!("completion: unknown shell {}", args.shell)).hint("bash, zsh and fish are known")
    })?;
    super::print(text)
}

pub(crate) fn script(shell: &str) -> Option<&'static str> {
    match shell {
        "bash" => Some(include_str!("completion/ctr.bash")),
        "zsh" => Some(include_str!("completion/ctr.zsh")),
        "fish" => Some(include_str!("completion/ctr.fish")),
        _ => None,
    }
}
