//! The containers that a command is about.

/// One or more of them; the whole command line of commands that have no options.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Containers {
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub(super) names: Vec<String>,
}
