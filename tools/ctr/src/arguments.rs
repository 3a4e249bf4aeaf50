//! The command line of `ctr`, as data. Nothing here touches the world.

use crate::command;
use clap::{Parser, Subcommand};
use cli::failure::Failure;
use std::ffi::OsString;
use std::path::PathBuf;

/// Containers, composed from small programs.
#[derive(Debug, Parser)]
#[command(name = "ctr", version, disable_help_subcommand = true, subcommand_required = true)]
pub(crate) struct Arguments {
    /// The state root (default: /var/lib/veneer, or $XDG_DATA_HOME/veneer for ordinary users)
    #[arg(long, value_name = "DIR", global = false)]
    pub(crate) root: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One of docker's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a new container
    Run(Box<command::run::Args>),
    /// Make a new container
    Create(Box<command::create::Args>),
    /// Start containers that do not run
    Start(command::start::Args),
    /// Stop containers and start them again
    Restart(command::restart::Args),
    /// Attach local standard input, output, and error streams to a running container
    Attach(command::attach::Args),
    /// Wait until containers have ended and print their exit codes
    Wait(command::wait::Args),
    /// Give a container another name
    Rename(command::rename::Args),
    /// Freeze all processes of containers
    Pause(command::pause::Args),
    /// Let frozen containers go on
    Unpause(command::pause::Args),
    /// Show a container's processes
    Top(command::top::Args),
    /// Show what happens to containers and images
    Events(command::events::Args),
    /// Run a command in a container that runs
    Exec(command::exec::Args),
    /// Show which ports of this machine lead into a container
    Port(command::port::Args),
    /// List containers
    Ps(command::ps::Args),
    /// Show what a container has written
    Logs(command::logs::Args),
    /// Show what containers use, again and again
    Stats(command::stats::Args),
    /// Give containers other limits
    Update(Box<command::update::Args>),
    /// Ask containers to end, and after a while end them
    Stop(command::stop::Args),
    /// Send containers a signal
    Kill(command::kill::Args),
    /// Remove containers
    Rm(command::rm::Args),
    /// Show what a container changed
    Diff(command::diff::Args),
    /// Show all that is known of containers and images
    Inspect(command::inspect::Args),
    /// Load images from an OCI layout or a saved archive
    Load(command::load::Args),
    /// List images
    Images(command::images::Args),
    /// Remove images
    Rmi(command::rmi::Args),
    /// Give an image another name
    Tag(command::tag::Args),
    /// A container's supervisor; started by `run`
    #[command(hide = true)]
    Supervise(command::supervise::Args),
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Help or version was asked for.
    Print(String),
    /// The command line was wrong.
    Wrong(Failure),
}

pub(crate) fn parse(args: Vec<OsString>) -> Result<Arguments, Stop> {
    use clap::error::ErrorKind;
    Arguments::try_parse_from(args).map_err(|error| match error.kind() {
        // docker: no command at all asks for help
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingSubcommand => Stop::Print(error.to_string()),
        kind => {
            let text = error.to_string();
            let mut lines = text.lines().filter(|l| !l.trim().is_empty());
            let first = lines.next().unwrap_or("wrong command line").trim_start_matches("error: ");
            // docker: an unknown command is 1, everything else that is wrong with a command line is 125
            let code = match kind {
                ErrorKind::InvalidSubcommand => 1,
                _ => cli::exit::OURS,
            };
            Stop::Wrong(Failure::new(first).hint("ctr --help, or ctr COMMAND --help, lists what there is").code(code))
        }
    })
}
