//! `publish` and `unpublish`: what is typed, what it means, and doing it.

use crate::whose::Whose;
use cli::{Failure, output};
use network::Error;
use network::namespace::Reference;
use network::network as networks;
use network::occupancy::Occupancy;
use network::publish::{self, Published};
use network::state::State;
use spec::published::Published as Spec;

/// `publish`
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// The container's id
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The namespace the container is attached in, instead of its id; of the same container where both are given
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<String>,
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
    pub id: Option<String>,
    /// The namespace the container is attached in, or was, instead of its id; of the same container where both are given
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<String>,
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
        /// The container.
        whose: Whose,
        /// The network, or the one it is on.
        network: Option<String>,
        /// Which ports.
        specs: Vec<Spec>,
    },
    /// Unpublish.
    Unpublish {
        /// The container.
        whose: Whose,
        /// The network, or all.
        network: Option<String>,
        /// Which ports, or all.
        specs: Option<Vec<Spec>>,
    },
    /// List what one container has, or all.
    List {
        /// The container, or all.
        whose: Option<Whose>,
        /// The network, or all.
        network: Option<String>,
    },
}

impl Plan {
    /// That of `publish`.
    pub fn publish(typed: Publish) -> Result<Self, Failure> {
        let network = network(typed.network)?;
        if typed.list {
            return Ok(Self::List { whose: Whose::given(typed.id, typed.netns.as_deref())?, network });
        }
        let whose = Whose::read("publish", typed.id, typed.netns.as_deref())?;
        Ok(Self::Publish { whose, network, specs: specs(&typed.ports)? })
    }

    /// That of `unpublish`.
    pub fn unpublish(typed: Unpublish) -> Result<Self, Failure> {
        let specs = Some(specs(&typed.ports)?).filter(|specs| !specs.is_empty());
        let whose = Whose::read("unpublish", typed.id, typed.netns.as_deref())?;
        Ok(Self::Unpublish { whose, network: network(typed.network)?, specs })
    }

    /// Does it; gives the lines to print, and what could not be done and is no reason to fail.
    pub fn run(&self, state: &State) -> Result<(Vec<Published>, Vec<String>), Vec<Error>> {
        let one = |e: Error| vec![e];
        match self {
            Self::Publish { whose, network, specs } => {
                if let Some(name) = network {
                    networks::find(state, name).map_err(one)?;
                }
                let container = whose.resident(among(state, network.as_ref())).map_err(one)?;
                let outcome = publish::publish_leased(state, network.as_deref(), &container, specs).map_err(one)?;
                Ok((outcome.ports, outcome.warnings))
            }
            Self::Unpublish { whose, network, specs } => {
                match whose.former(UNPUBLISHED, among(state, network.as_ref())).map_err(one)? {
                    Ok(container) => {
                        publish::unpublish_everywhere(state, network.as_deref(), &container, specs.as_deref())?;
                        Ok((Vec::new(), Vec::new()))
                    }
                    Err(nobody) => Ok((Vec::new(), vec![nobody])),
                }
            }
            Self::List { whose, network } => {
                let mut ports = Vec::new();
                match whose {
                    None => ports = publish::list(state, None).map_err(one)?,
                    Some(whose) => {
                        for container in whose.all(among(state, network.as_ref())).map_err(one)? {
                            ports.extend(publish::list(state, Some(&container)).map_err(one)?);
                        }
                    }
                }
                ports.retain(|port| network.as_ref().is_none_or(|name| port.network == *name));
                Ok((ports, Vec::new()))
            }
        }
    }
}

/// What is done to a container without ports.
pub(crate) const UNPUBLISHED: &str = "unpublished";

/// Who is attached in a namespace: to `network`, or to any.
pub(crate) fn among(state: &State, network: Option<&String>) -> impl FnOnce(&Reference) -> Result<Occupancy, Error> {
    move |namespace| Occupancy::of(state, namespace, network.map(String::as_str))
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
