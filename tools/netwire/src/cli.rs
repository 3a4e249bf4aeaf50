//! The command line as typed. Parsing touches nothing.

use clap::{Parser, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;

const AFTER: &str = "\
A network is a bridge in the network namespace that netwire is called in, a subnet, and packet rules in the nftables
table `inet veneer`. The network `bridge` need not be created. Links and rules are made by the first attach and
looked after by each one, so that they come back after a reboot.

Without root, the networks `user`, `pasta` and `slirp4netns` are carried by a program of that name (`user`: by the one
that is installed), which ends with the container; they cannot be created.

NETNS is a path (has a slash), a process id (a number), or a name made by `ip netns add`.

Definitions are in STATE/networks: STATE is --state, $VENEER_ROOT, or /var/lib/veneer ($XDG_DATA_HOME/veneer for
ordinary users). Leases of addresses, which mean nothing after a reboot, are in RUN/networks: RUN is --run,
$VENEER_RUN, or /run/veneer ($XDG_RUNTIME_DIR/veneer); where only STATE was named they are in STATE/networks/run.

Exit status: 0 done, 1 failed, 2 wrong command line.

  netwire network create web --subnet 10.9.0.0/24
  ip netns add c1
  netwire attach --network web --netns c1 --id c1
  netwire publish --netns c1 8080:80
  netwire unpublish --netns c1 8080:80
  netwire detach --network web --id c1
  netwire network rm web";

/// Connect network namespaces: bridges, veth pairs, addresses, NAT
#[derive(Debug, Parser)]
#[command(name = "netwire", version, after_help = AFTER, subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    /// Folder for what lasts; see below
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Folder for what ends with the next reboot; see below
    #[arg(long, global = true, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Folders of CNI plugins by which networks are carried: attach, detach, publish and unpublish execute them
    #[arg(long, global = true, value_name = "DIR[:DIR]", env = "VENEER_CNI_PATH", hide_env_values = true)]
    pub cni_path: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create, remove, list and show networks
    Network(Network),
    /// Give a namespace an interface on a network; prints it as one line of JSON
    ///
    /// May be repeated: what is whole is left alone, what is half-made is made anew with the same address.
    Attach(Box<Attach>),
    /// Take a container's interface away and give its address back
    ///
    /// That there is none is no error, nor that its namespace or the network is gone.
    Detach(Detach),
    /// Call a container by another name on its networks, while it is attached; prints each as one line of JSON
    ///
    /// That it is on no network is no error.
    Rename(Rename),
    /// Let ports of this machine lead into a container; prints each as one line of JSON
    ///
    /// May be repeated: what is published already stays as it is. The container is told by its id or by its namespace.
    Publish(crate::publish::Publish),
    /// Take ports of a container away, and end what came in by them
    ///
    /// That there are none is no error, nor that the container or its namespace is gone; where nothing is known of the
    /// namespace any more, a line says so, and the container's id is what finds what is left.
    Unpublish(crate::publish::Unpublish),
    /// Start, stop and show the name servers of networks
    #[command(subcommand)]
    Dns(crate::dns::Verb),
    /// Join and leave networks that span several hosts
    #[command(subcommand)]
    Overlay(crate::overlay::OverlayVerb),
    /// Make everything again that is written down: bridges, addresses, rules, ports, links to other hosts
    ///
    /// After a reboot, a flush of the firewall, or any other damage. What is whole is left alone.
    Restore,
    /// Say what is missing or strange, and what mends it, a line each; exit status 1 when something is. Changes nothing
    Check {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Remove what belongs to nobody: leases, ports, links and rules of what is gone; prints what went
    Prune,
    /// List all networks with who is on them, and the ports that lead there
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Serve published ports; started by publish on a network that obeys the machine's input policy
    #[command(hide = true)]
    Relay {
        /// Where it is written down
        record: PathBuf,
    },
    /// Set the loopback interface of a namespace up
    Loopback {
        /// The namespace
        #[arg(long, value_name = "NETNS")]
        netns: String,
    },
}

/// `network`
#[derive(Debug, clap::Args)]
pub struct Network {
    /// The namespace whose networks are meant, where bridges and rules are, instead of the one that netwire is called in
    #[arg(long, global = true, value_name = "NETNS")]
    pub netns: Option<String>,
    /// What is done with them.
    #[command(subcommand)]
    pub verb: NetworkVerb,
}

/// What is done with networks.
#[derive(Debug, Subcommand)]
pub enum NetworkVerb {
    /// Create a network; prints its id
    Create(Box<Create>),
    /// Remove networks that nobody is on, with bridge and packet rules
    #[command(visible_alias = "remove")]
    Rm {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// That one is not there is no error
        #[arg(short, long)]
        force: bool,
    },
    /// List networks
    #[command(visible_alias = "list")]
    Ls {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// Only names
        #[arg(short, long, conflicts_with = "json")]
        quiet: bool,
    },
    /// Show networks and who is on them, one JSON object a line
    Inspect {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Accepted: the output is JSON anyway
        #[arg(long)]
        json: bool,
    },
}

/// `network create`
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What kind of network: bridge, macvlan, ipvlan, vlan, ptp, overlay
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    pub driver: String,
    /// A subnet; may be repeated [default: the first free one of 172.17-31.0.0/16, 10.0.0.0/8 in /20, 192.168.0.0/16 in /24]
    #[arg(long = "subnet", value_name = "CIDR")]
    pub subnets: Vec<String>,
    /// The bridge's address in the subnet it lies in; may be repeated [default: the first of each]
    #[arg(long = "gateway", value_name = "IP")]
    pub gateways: Vec<IpAddr>,
    /// The part of a subnet that addresses are given of to those who ask for none; may be repeated
    #[arg(long = "ip-range", value_name = "CIDR")]
    pub ranges: Vec<String>,
    /// An address that nobody is given, and what it is for; may be repeated
    #[arg(long = "aux-address", visible_alias = "reserve", value_name = "NAME=IP")]
    pub reserved: Vec<String>,
    /// IPv6 too; without a subnet of it one of fd00::/8 is chosen
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub ipv6: Option<bool>,
    /// IPv4 [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub ipv4: Option<bool>,
    /// Who gives addresses: default, or none
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    pub ipam_driver: String,
    /// The bridge's name; one that exists is used and never deleted [default: vn- and the id's beginning]
    #[arg(long, visible_alias = "interface-name", value_name = "DEV")]
    pub bridge: Option<String>,
    /// The largest packet in bytes [default: that of the interface the default route goes by]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65535))]
    pub mtu: Option<u32>,
    /// A route that each container gets; may be repeated. Without a gateway it goes by the network's
    #[arg(long = "route", value_name = "CIDR[,IP[,METRIC]]")]
    pub routes: Vec<String>,
    /// No name server for the network
    #[arg(long)]
    pub disable_dns: bool,
    /// Whom the network's name server asks what it does not know; may be repeated [default: as /etc/resolv.conf says]
    #[arg(long = "dns", value_name = "IP", conflicts_with = "disable_dns")]
    pub dns_servers: Vec<IpAddr>,
    /// A domain that the containers' names are in, beside the network's name
    #[arg(long, value_name = "DOMAIN", conflicts_with = "disable_dns")]
    pub dns_domain: Option<String>,
    /// An option in docker's or podman's words, like com.docker.network.driver.mtu=1400; may be repeated
    #[arg(short, long = "opt", visible_alias = "option", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// Nothing leaves the network and nothing comes in
    #[arg(long)]
    pub internal: bool,
    /// Something to write on it; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Where there is a network of this name, leave it as it is
    #[arg(long)]
    pub ignore: bool,
    /// Print the whole network as JSON, not only its id
    #[arg(long)]
    pub json: bool,
}

/// `attach`
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The network
    #[arg(long, value_name = "NAME")]
    pub network: String,
    /// The container's namespace
    #[arg(long, value_name = "NETNS")]
    pub netns: String,
    /// The container's id, by which it is detached again
    #[arg(long, value_name = "ID")]
    pub id: String,
    /// The interface's name inside [default: eth, or the network's own prefix, and the lowest number that is free]
    #[arg(long, value_name = "IFNAME")]
    pub ifname: Option<String>,
    /// An address it must have; may be repeated [default: the lowest that is free, one a family]
    #[arg(long = "ip", visible_alias = "ip6", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// The hardware address it must have [default: made of the address]
    #[arg(long, visible_alias = "mac-address", value_name = "MAC")]
    pub mac: Option<String>,
    /// The container's name on the network
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Another name for it there; may be repeated
    #[arg(long = "alias", value_name = "NAME")]
    pub aliases: Vec<String>,
    /// Whom the network's name server asks for it what it does not know; may be repeated [default: as the network says]
    #[arg(long, value_name = "IP")]
    pub dns: Vec<IpAddr>,
    /// A route of its own; may be repeated. Without a gateway it goes by the network's
    #[arg(long = "route", value_name = "CIDR[,IP[,METRIC]]")]
    pub routes: Vec<String>,
    /// The most that goes into the container, in bits a second: 500kbit, 10mbit, 1g
    #[arg(long, visible_alias = "rate-in", value_name = "RATE")]
    pub ingress_rate: Option<String>,
    /// What may go into it at once, in bytes: 64k, 1m [default: as much as does no harm]
    #[arg(long, visible_alias = "burst-in", value_name = "BYTES", requires = "ingress_rate")]
    pub ingress_burst: Option<String>,
    /// The most that comes out of the container, in bits a second
    #[arg(long, visible_alias = "rate-out", value_name = "RATE")]
    pub egress_rate: Option<String>,
    /// What may come out of it at once, in bytes [default: as much as does no harm]
    #[arg(long, visible_alias = "burst-out", value_name = "BYTES", requires = "egress_rate")]
    pub egress_burst: Option<String>,
    /// A setting inside, as of sysctl(8): net.ipv4.conf.IFNAME.rp_filter=2, where IFNAME is the interface; may be repeated
    #[arg(long = "sysctl", value_name = "KEY=VALUE")]
    pub sysctls: Vec<String>,
    /// A port of this machine that leads there, as in publish; may be repeated
    #[arg(short = 'p', long = "publish", value_name = "[[IP:][PORT]:]PORT[/PROTOCOL]")]
    pub ports: Vec<String>,
    /// With the networks user, pasta and slirp4netns: it ends when standard input does
    #[arg(long)]
    pub until_eof: bool,
}

/// `detach`
#[derive(Debug, clap::Args)]
pub struct Detach {
    /// The network
    #[arg(long, value_name = "NAME")]
    pub network: String,
    /// The container's id
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The interface inside [default: all that it has on the network]
    #[arg(long, value_name = "IFNAME")]
    pub ifname: Option<String>,
    /// The namespace the container is attached in, or was, instead of its id; beside an id it is not needed and not looked at
    #[arg(long, value_name = "NETNS")]
    pub netns: Option<String>,
}

/// `rename`
#[derive(Debug, clap::Args)]
pub struct Rename {
    /// The container's id
    #[arg(long, value_name = "ID")]
    pub id: String,
    /// The network [default: all that it is on]
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Another name for it, in place of those it has beside its name; may be repeated [default: it keeps them]
    #[arg(long = "alias", value_name = "NAME")]
    pub aliases: Vec<String>,
    /// Its name from now on
    #[arg(value_name = "NAME")]
    pub name: String,
}
