//! `ctr completion`: what a shell reads to complete `ctr`'s command lines.

use cli::failure::{Failure, Outcome};

/// Options of `ctr completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL")]
    shell: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let shell = match args.shell.as_str() {
        "bash" => clap_complete::Shell::Bash,
        "zsh" => clap_complete::Shell::Zsh,
        "fish" => clap_complete::Shell::Fish,
        other => {
            return Err(Failure::new(format!("completion: unknown shell {other}")).hint("bash, zsh and fish are known"));
        }
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut crate::definition(), "ctr", &mut text);
    super::print(&String::from_utf8_lossy(&text))
}
