//! Options of `ctr run` and `ctr create` about networks, docker's all of them.

use cli::failure::Failure;
use engine::port::{Exposed, Publish};
use engine::request::Network;
use engine::wiring::{self, Single, Wiring};
use std::net::{Ipv4Addr, Ipv6Addr};

/// `--network` and what belongs to it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// none, host, container:NAME, or a network's name; may be repeated [default: bridge; none for the image host]
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// A port of this machine that leads into the container; without HOST one that is free
    #[arg(short, long, value_name = "[[IP:]HOST:]PORT[/PROTO]", allow_hyphen_values = true)]
    publish: Vec<String>,
    /// Publish every exposed port on one that is free
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// A port that it listens on
    #[arg(long, value_name = "PORT[/PROTO]", allow_hyphen_values = true)]
    expose: Vec<String>,
    /// Its IPv4 address on the first network
    #[arg(long, value_name = "IP")]
    ip: Option<Ipv4Addr>,
    /// Its IPv6 address on the first network
    #[arg(long, value_name = "IP")]
    ip6: Option<Ipv6Addr>,
    /// Its hardware address on the first network
    #[arg(long, value_name = "MAC")]
    mac_address: Option<String>,
    /// Another name for it on the first network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Add link to another container: there are none here
    #[arg(long, value_name = "NAME[:ALIAS]", hide = true)]
    link: Vec<String>,
    /// A name server
    #[arg(long, value_name = "IP")]
    dns: Vec<String>,
    /// A domain to look for names in; a dot for none
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// A resolver option, as in resolv.conf(5)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// A line for /etc/hosts; the address host-gateway is this machine
    #[arg(long, value_name = "NAME:IP")]
    add_host: Vec<String>,
}

impl Options {
    /// Refuses old links, in docker's words where there is nobody at the other end.
    pub(crate) fn check_links(&self, root: &store::Root) -> Result<(), Failure> {
        let Some(link) = self.link.first() else { return Ok(()) };
        let name = link.split(':').next().unwrap_or_default();
        let why = match root.find_container(name) {
            Ok(_) => format!("cannot link to {name}: there are no links here"),
            Err(e) => format!("could not get container for {name}: {e}"),
        };
        Err(Failure::new(why).hint("containers of one network (--network NAME) know each other by name"))
    }

    /// Reads them, with docker's words for what is wrong.
    pub(crate) fn read(&self) -> engine::Result<(Network, Wiring)> {
        let all = |values: &[String], read: fn(&str) -> engine::Result<String>| {
            values.iter().map(|value| read(value)).collect::<engine::Result<Vec<_>>>()
        };
        let dns = all(&self.dns, wiring::dns)?;
        let dns_search = all(&self.dns_search, wiring::dns_search)?;
        let hosts = self.add_host.iter().map(|value| wiring::add_host(value)).collect::<engine::Result<_>>()?;
        let ports = self.publish.iter().map(|value| Publish::parse(value)).collect::<engine::Result<_>>()?;
        let expose = self.expose.iter().map(|value| Exposed::parse(value)).collect::<engine::Result<Vec<_>>>()?;
        let single = Single {
            ip: self.ip,
            ip6: self.ip6,
            mac: self.mac_address.as_deref().map(wiring::mac).transpose()?,
            aliases: self.network_alias.clone(),
        };
        let (network, endpoints) = wiring::networks(&self.network, single)?;
        let wiring = Wiring {
            endpoints,
            ports,
            publish_all: self.publish_all,
            expose: expose.concat(),
            dns,
            dns_search,
            dns_options: self.dns_option.clone(),
            hosts,
        };
        Ok((network, wiring))
    }
}
