//! `netwire overlay …`: this host's membership in networks across several.

use crate::plan::network_name;
use ::network::etcd;
use ::network::overlay::{self, membership::Cluster, membership::Source, underlay};
use ::network::state::State;
use clap::Subcommand;
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use std::net::IpAddr;
use std::path::PathBuf;

/// What etcd's keys begin with where nobody says otherwise.
const PREFIX: &str = "veneer/networks";
/// The shortest lease in seconds that etcd grants is longer than this.
const SHORTEST_TTL_S: u64 = 2;

const AFTER: &str = "\
Each host creates the network alike, and joins:

  netwire network create -d overlay --subnet 10.9.0.0/16 --ip-range 10.9.1.0/24 -o local=192.0.2.1 mesh
  netwire overlay join mesh --peer 192.0.2.2 --peer 192.0.2.3

or, with etcd, which also keeps hosts from giving the same address, without ranges:

  netwire network create -d overlay --subnet 10.9.0.0/16 -o local=192.0.2.1 mesh
  netwire overlay join mesh --etcd http://192.0.2.9:2379";

/// `overlay`
#[derive(Debug, Subcommand)]
pub enum OverlayVerb {
    /// Make this host a member of an overlay network
    ///
    /// May be repeated, also to change how the others are known, or after the file of peers has changed.
    #[command(after_help = AFTER)]
    Join(Join),
    /// Take this host out of an overlay network, or forget another one that died
    Leave {
        /// The network
        #[arg(value_name = "NETWORK")]
        network: String,
        /// Forget that host instead: the addresses its containers had are free again
        #[arg(long, value_name = "IP")]
        host: Option<IpAddr>,
    },
    /// List the hosts of an overlay network as this one knows them
    Peers {
        /// The network
        #[arg(value_name = "NETWORK")]
        network: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Follow the members of an overlay network in etcd, in front; `join` and `restore` start this in the background
    Serve {
        /// The network
        #[arg(value_name = "NETWORK")]
        network: String,
    },
}

/// `overlay join`
#[derive(Debug, clap::Args)]
pub struct Join {
    /// The network
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// Another host's address; may be repeated
    #[arg(long = "peer", value_name = "IP", group = "source")]
    pub peers: Vec<IpAddr>,
    /// A file with the hosts' addresses, one a line, `#` before remarks; this host's own may be among them
    #[arg(long, value_name = "FILE", group = "source")]
    pub peers_file: Option<PathBuf>,
    /// A multicast group that all hosts listen to
    #[arg(long = "group", value_name = "IP", group = "source")]
    pub multicast: Option<IpAddr>,
    /// etcd's address (http://HOST:PORT); may be repeated for those of one cluster
    #[arg(long, value_name = "URL", value_delimiter = ',', group = "source")]
    pub etcd: Vec<String>,
    /// What etcd's keys begin with
    #[arg(long, value_name = "PREFIX", default_value = PREFIX, requires = "etcd")]
    pub prefix: String,
    /// After how many seconds without a sign of life etcd forgets a host
    #[arg(long, value_name = "SECONDS", default_value_t = 15, requires = "etcd")]
    pub ttl: u64,
    /// etcd's user
    #[arg(long, value_name = "NAME", requires = "etcd", requires = "password_file")]
    pub user: Option<String>,
    /// The file with the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
}

/// What is to be done.
#[derive(Debug)]
pub enum Step {
    /// Join.
    Join(String, Source),
    /// Leave.
    Leave(String),
    /// Forget another host.
    Forget(String, IpAddr),
    /// List hosts, as JSON or for people.
    Peers(String, bool),
    /// Follow in front.
    Serve(String),
}

/// Reads and checks what was typed.
pub(crate) fn plan(verb: OverlayVerb) -> Result<Step, Failure> {
    Ok(match verb {
        OverlayVerb::Join(join) => Step::Join(network_name(join.network.clone())?, source(join)?),
        OverlayVerb::Leave { network, host: None } => Step::Leave(network_name(network)?),
        OverlayVerb::Leave { network, host: Some(host) } => Step::Forget(network_name(network)?, host),
        OverlayVerb::Peers { network, json } => Step::Peers(network_name(network)?, json),
        OverlayVerb::Serve { network } => Step::Serve(network_name(network)?),
    })
}

fn source(join: Join) -> Result<Source, Failure> {
    for peer in &join.peers {
        underlay::check_address(&peer.to_string()).map_err(Failure::usage)?;
    }
    if let Some(group) = join.multicast {
        let fits = group.is_multicast();
        return fits
            .then_some(Source::Group { group })
            .ok_or_else(|| Failure::usage(format!("`{group}` is no multicast group")));
    }
    if let Some(path) = join.peers_file {
        let path = std::path::absolute(&path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
        return Ok(Source::File { path });
    }
    if join.etcd.is_empty() {
        if join.peers.is_empty() {
            return Err(Failure::usage("how the other hosts are known is missing")
                .hint("--peer IP for each, --peers-file FILE, --group IP or --etcd URL"));
        }
        return Ok(Source::Peers { hosts: join.peers });
    }
    if join.ttl <= SHORTEST_TTL_S || join.ttl > 3600 {
        return Err(Failure::usage(format!("--ttl {} is not in {}..=3600", join.ttl, SHORTEST_TTL_S + 1)));
    }
    let prefix = join.prefix.trim_matches('/');
    if prefix.is_empty() || prefix.contains(char::is_control) {
        return Err(Failure::usage(format!("--prefix `{}` is nothing that keys could begin with", join.prefix)));
    }
    let password_file = join.password_file.map(std::path::absolute).transpose();
    Ok(Source::Etcd(Cluster {
        endpoints: join
            .etcd
            .iter()
            .map(|url| etcd::parse_endpoint(url).map_err(Failure::usage))
            .collect::<Result<_, _>>()?,
        prefix: prefix.to_owned(),
        ttl_s: join.ttl,
        user: join.user,
        password_file: password_file.map_err(|e| Failure::usage(format!("--password-file: {e}")))?,
    }))
}

/// Does it.
pub(crate) fn run(state: &State, step: &Step) -> Outcome {
    match step {
        Step::Join(network, source) => overlay::join(state, network, source.clone())?,
        Step::Leave(network) => return crate::run::all(overlay::leave(state, network).err().unwrap_or_default()),
        Step::Forget(network, host) => {
            overlay::forget(state, network, *host)?;
        }
        Step::Peers(network, json) => return peers(state, network, *json),
        Step::Serve(network) => overlay::serve::run(state, network, &mut || {})?,
    }
    Ok(exit::DONE)
}

fn peers(state: &State, network: &str, json: bool) -> Outcome {
    let (peers, trouble) = overlay::peers(state, network)?;
    if let Some(trouble) = trouble {
        output::complain(crate::NAME, &trouble);
    }
    if json {
        for peer in &peers {
            crate::run::printed(output::json_line(peer))?;
        }
        return Ok(exit::DONE);
    }
    let mut text = format!("{:39}  {:8}  {:>9}  NAME\n", "HOST", "KNOWN BY", "ADDRESSES");
    for peer in &peers {
        let name = peer.name.as_deref().unwrap_or_default();
        let name = if peer.is_self { format!("{name} (this host)") } else { name.to_owned() };
        let addresses = peer.addresses.map_or_else(|| "-".to_owned(), |n| n.to_string());
        text += &format!("{:39}  {:8}  {addresses:>9}  {}\n", peer.host.to_string(), peer.by, name.trim());
    }
    crate::run::printed(output::write(text.as_bytes()))
}
