//! `publish` and `unpublish`: what is typed, what it means, and doing it.

use cli::{Failure, output};
use network::Error;
use network::publish::{self, Published};
use network::state::State;
use spec::published::Published as Spec;

/// `publish`
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// The container's id
    #[arg(long, value_name = "ID", required_unless_present = "list")]
    pub id: Option<String>,
    /// The network it is reached by [default: the one it is on; the first that can be, by name, if it is on several]
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// List what is published, and change nothing
    #[arg(long, conflicts_with = "ports")]
    pub list: bool,
    /// [IP:][PORT[-PORT]]:PORT[-PORT][/tcp|udp|sctp]; without a port of the machine a free one is chosen
    #[arg(value_name = "PORTS", required_unless_present = "list", allow_hyphen_values = false)]
    pub ports: Vec<String>,
}

/// `unpublish`
#[derive(Debug, clap::Args)]
pub struct Unpublish {
    /// The container's id
    #[arg(long, value_name = "ID")]
    pub id: String,
    /// The network [default: all it is on]
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// As they were published [default: all of them]
    #[arg(value_name = "PORTS")]
    pub ports: Vec<String>,
}

/// What is to be done with published ports.
#[derive(Debug)]
pub enum Plan {
    /// Publish.
    Publish {
        /// The container's id.
        container: String,
        /// The network, or the one it is on.
        network: Option<String>,
        /// Which ports.
        specs: Vec<Spec>,
    },
    /// Unpublish.
    Unpublish {
        /// The container's id.
        container: String,
        /// The network, or all.
        network: Option<String>,
        /// Which ports, or all.
        specs: Option<Vec<Spec>>,
    },
    /// List what one container has, or all.
    List(Option<String>),
}

impl Plan {
    /// That of `publish`.
    pub fn publish(typed: Publish) -> Result<Self, Failure> {
        let network = network(typed.network)?;
        match typed.id.map(crate::plan::container_id).transpose()? {
            Some(container) if !typed.list => Ok(Self::Publish { container, network, specs: specs(&typed.ports)? }),
            container => Ok(Self::List(container)),
        }
    }

    /// That of `unpublish`.
    pub fn unpublish(typed: Unpublish) -> Result<Self, Failure> {
        let specs = Some(specs(&typed.ports)?).filter(|specs| !specs.is_empty());
        Ok(Self::Unpublish { container: crate::plan::container_id(typed.id)?, network: network(typed.network)?, specs })
    }

    /// Does it; gives the lines to print, and what could not be done and is no reason to fail.
    pub fn run(&self, state: &State) -> Result<(Vec<Published>, Vec<String>), Error> {
        match self {
            Self::Publish { container, network, specs } => {
                let outcome = publish::publish_leased(state, network.as_deref(), container, specs)?;
                Ok((outcome.ports, outcome.warnings))
            }
            Self::Unpublish { container, network, specs } => {
                publish::unpublish_everywhere(state, network.as_deref(), container, specs.as_deref())?;
                Ok((Vec::new(), Vec::new()))
            }
            Self::List(container) => Ok((publish::list(state, container.as_deref())?, Vec::new())),
        }
    }
}

/// Reads what follows `-p`.
pub fn specs(typed: &[String]) -> Result<Vec<Spec>, Failure> {
    typed.iter().map(|text| text.parse().map_err(|why: String| Failure::usage(why))).collect()
}

/// Prints one line of JSON for each port, all at once.
pub fn print(ports: &[Published]) -> std::io::Result<()> {
    let mut text = Vec::new();
    for port in ports {
        serde_json::to_writer(&mut text, port).map_err(std::io::Error::other)?;
        text.push(b'\n');
    }
    output::write(&text)
}

fn network(typed: Option<String>) -> Result<Option<String>, Failure> {
    typed.map(crate::plan::network_name).transpose()
}
