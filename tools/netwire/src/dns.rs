//! `netwire dns`: the name servers of networks.

use crate::plan::network_name;
use crate::run::printed;
use clap::Subcommand;
use cli::failure::Outcome;
use cli::table::Table;
use cli::{Failure, exit, output};
use network::dns::{self, Inheritance, Record};
use network::network as networks;
use network::state::State;
use serde::Serialize;
use std::net::IpAddr;
use std::os::fd::RawFd;

/// What is done with name servers.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start a network's name server, unless it runs; prints it as one line of JSON
    ///
    /// attach does this by itself. The server ends when nobody has been on the network for a few seconds.
    Serve {
        /// The network
        #[arg(long, value_name = "NAME")]
        network: String,
        /// Serve in front, also while nobody is on the network, until a signal or the network's end
        #[arg(short, long)]
        foreground: bool,
        /// Sockets that were handed over
        #[arg(long, value_name = "FD", value_delimiter = ',', hide = true, requires_all = ["lock", "foreground"])]
        sockets: Vec<RawFd>,
        /// The lock that was handed over
        #[arg(long, value_name = "FD", hide = true, requires = "sockets")]
        lock: Option<RawFd>,
    },
    /// End a network's name server; that there is none is fine
    ///
    /// The next attach starts it again.
    Stop {
        /// The network
        #[arg(long, value_name = "NAME")]
        network: String,
    },
    /// Show which networks have a name server, and whether it runs
    Status {
        /// Only this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Start one in the background.
    Start(String),
    /// Be one.
    Serve(String, Option<Inheritance>),
    /// End one.
    Stop(String),
    /// Show those of a network, or all; as JSON?
    Status(Option<String>, bool),
}

#[derive(Debug, Serialize)]
struct Status {
    network: String,
    running: bool,
    pid: Option<u32>,
    addresses: Vec<IpAddr>,
}

impl Status {
    fn of(network: &str, record: Option<Record>, addresses: Vec<IpAddr>) -> Self {
        Self {
            network: network.to_owned(),
            running: record.is_some(),
            pid: record.as_ref().map(|record| record.process.id),
            addresses: record.map_or(addresses, |record| record.addresses),
        }
    }
}

/// What was typed, read and checked.
pub(crate) fn plan(verb: Verb) -> Result<Step, Failure> {
    Ok(match verb {
        Verb::Serve { network, foreground: false, .. } => Step::Start(network_name(network)?),
        Verb::Serve { network, sockets, lock, .. } => {
            if sockets.len() % 2 == 1 {
                return Err(Failure::usage("--sockets takes pairs: UDP and TCP in turn"));
            }
            Step::Serve(network_name(network)?, lock.map(|lock| Inheritance { sockets, lock }))
        }
        Verb::Stop { network } => Step::Stop(network_name(network)?),
        Verb::Status { network, json } => Step::Status(network.map(network_name).transpose()?, json),
    })
}

/// A domain, checked.
pub(crate) fn domain(text: String) -> Result<String, Failure> {
    if dns::is_name(&text) {
        return Ok(text);
    }
    Err(Failure::usage(format!("`{text}` is no domain: parts of 1 to 63 bytes with dots between, 253 in all")))
}

/// A name or alias, checked. Any text that can be asked for is one.
pub(crate) fn host(text: String) -> Result<String, Failure> {
    if dns::is_name(&text) {
        return Ok(text);
    }
    Err(Failure::usage(format!("`{text}` is no name: parts of 1 to 63 bytes with dots between, 253 in all")))
}

/// Does it.
pub(crate) fn run(state: &State, step: &Step) -> Outcome {
    match step {
        Step::Start(network) => {
            let definition = networks::find(state, network)?;
            let addresses = dns::start(state, &definition)?;
            printed(output::json_line(&Status::of(network, dns::status(state, network)?, addresses)))
        }
        Step::Serve(network, inheritance) => {
            let definition = networks::find(state, network)?;
            let ready = |record: Record| {
                if inheritance.is_none() {
                    let _ = printed(output::json_line(&Status::of(network, Some(record), Vec::new())));
                }
            };
            dns::serve(state, &definition, inheritance.as_ref(), ready)?;
            Ok(exit::DONE)
        }
        Step::Stop(network) => {
            dns::stop(state, network)?;
            Ok(exit::DONE)
        }
        Step::Status(network, json) => status(state, network.as_deref(), *json),
    }
}

fn status(state: &State, network: Option<&str>, json: bool) -> Outcome {
    let definitions = match network {
        Some(network) => vec![networks::find(state, network)?],
        None => networks::all(state)?,
    };
    let mut table = Table::new(["NETWORK", "SERVER", "PID", "ADDRESSES"]);
    for definition in definitions.iter().filter(|d| network.is_some() || dns::has_names(d)) {
        let record = dns::status(state, &definition.name)?;
        let status = Status::of(&definition.name, record, dns::addresses(definition));
        if json {
            printed(output::json_line(&status))?;
            continue;
        }
        let addresses: Vec<String> = status.addresses.iter().map(ToString::to_string).collect();
        let pid = status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let running = if status.running { "runs" } else { "ended" };
        table.push([definition.name.clone(), running.to_owned(), pid, addresses.join(" ")]);
    }
    if json { Ok(exit::DONE) } else { printed(output::write(table.render().as_bytes())) }
}
