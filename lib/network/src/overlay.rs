//! Overlay networks: one network on several machines, whose bridges are joined by VXLAN.
//!
//! ```text
//!   host A  192.0.2.1                                          host B  192.0.2.2
//!   eth0 10.9.0.2 ── veth ─ bridge 10.9.0.1 ─ vx-… ═══ UDP 4789 ═══ vx-… ─ bridge 10.9.0.1 ─ veth ── eth0 10.9.0.3
//! ```
//!
//! All hosts create the network alike (subnet, number, port) and then join: [`membership`] is how this host knows the
//! others, [`underlay`] what packets between them go by, [`forwarding`] the kernel's tables.
//!
//! - Hosts that are named, that stand in a file or that listen to a multicast group: places of containers are learned
//!   from passing packets. Each host gives addresses from a range of its own.
//! - Hosts that are members in etcd ([`directory`]): every container's place is known, so nothing is learned, questions
//!   for addresses are answered on the spot, and no packet goes to a host it is not for. An address is taken in etcd
//!   before it is given. [`serve`] follows the members and keeps this host one; what it knows is [`view`].
//!
//! The gateway has the same address and the same hardware address on each host, and answers there alone: a container leaves
//! by its own host. (So a host reaches its own containers of the network, and those of others only through one of its own.)
//!
//! Lock order: the network's lock, as everywhere. The server's own lock is held for as long as it lives, and taken first.

pub mod directory;
pub mod forwarding;
pub mod membership;
pub mod serve;
pub mod underlay;
pub mod view;

use crate::attach::Wish;
use crate::bridge;
use crate::definition::Definition;
use crate::driver::{Driver, Ground, vxlan};
use crate::error::{Error, Kind, Result, refused};
use crate::lease::{Lease, Process};
use crate::link;
use crate::mac::Mac;
use crate::network;
use crate::socket::Socket;
use crate::state::{self, State};
use directory::{Claim, Directory, Member, Shared};
use forwarding::Forwarding;
use membership::{Membership, Source};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use view::View;

const JOIN: &str = "join overlay network";
const LEAVE: &str = "leave overlay network";
/// How often an address is chosen anew because another host was quicker.
const CHOICES: usize = 200;

/// A host of an overlay network.
#[derive(Debug, Serialize)]
pub struct Peer {
    /// The network's name.
    pub network: String,
    /// The host's address; of a multicast group, the group's.
    pub host: IpAddr,
    /// The host's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is this host.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// How it is known: `peers`, `file`, `group` or `etcd`.
    pub by: &'static str,
    /// How many addresses its containers have, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<usize>,
}

/// Makes this host a member of the network, as `source` says; may be repeated, and changes how where that differs.
pub fn join(state: &State, network: &str, source: Source) -> Result<()> {
    let definition = find(state, network, JOIN)?;
    let open = definition.subnets.iter().find(|pool| pool.range.is_none());
    if let (Some(pool), false) = (open, matches!(source, Source::Etcd(_))) {
        return Err(Error::new(Kind::Invalid, JOIN, network)
            .because(format!("two hosts could give the same address of {}", pool.subnet))
            .hint("create it with an --ip-range for each subnet, another one on each host; or join by --etcd"));
    }
    let mut socket = Socket::open_route()?;
    let before = Membership::load(state, network)?;
    let mut membership = Membership::new(source)?;
    if let Some(before) = &before {
        membership.id.clone_from(&before.id);
    }
    let local = underlay::find(&mut socket, &definition, Some(&membership))?.tunnel.local;
    membership.peers(local)?;
    if let Source::Etcd(cluster) = &membership.source {
        let mut directory = Directory::open(cluster, network)?;
        let subnets = definition.subnets.iter().map(|pool| pool.subnet).collect();
        directory.agree(
            &definition,
            &Shared { vni: underlay::vni(&definition), port: underlay::port(&definition), subnets },
        )?;
        directory.refuse_double(local, &Member { id: membership.id.clone(), name: String::new() })?;
    }
    if before.as_ref().is_some_and(|before| *before != membership) {
        serve::stop(state, network)?;
    }
    let lock = state.lock_network(network)?;
    membership.store(state, network)?;
    build(state, &mut socket, &definition)?;
    drop(lock);
    if matches!(membership.source, Source::Etcd(_)) {
        serve::ensure_running(state, network)?;
    }
    Ok(())
}

/// Takes this host out of the network; its containers stay wired among themselves. That it is no member is fine. Goes on
/// after a failure and gives every one.
pub fn leave(state: &State, network: &str) -> std::result::Result<(), Vec<Error>> {
    let one = |e: Error| vec![e];
    let definition = find(state, network, LEAVE).map_err(one)?;
    let mut socket = Socket::open_route().map_err(one)?;
    let _lock = state.lock_network(network).map_err(one)?;
    let mut failures = depart(state, &mut socket, &definition);
    match underlay::present(&mut socket, &definition) {
        // Made anew, since it has learned where others are.
        Ok(Some((link, _))) => {
            let _ = socket.ask(link::delete(&link.name)).map_err(one)?;
            failures.extend(build(state, &mut socket, &definition).err());
        }
        Ok(None) => {}
        Err(e) => failures.push(e),
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Forgets a host that died and will not come back: the addresses its containers had are free again.
pub fn forget(state: &State, network: &str, host: IpAddr) -> Result<usize> {
    let definition = find(state, network, LEAVE)?;
    let Some(mut directory) = directory(state, &definition)? else {
        return Err(Error::new(Kind::Invalid, LEAVE, network)
            .because("its hosts are not known by etcd")
            .hint("join it anew, without that host among the peers"));
    };
    if directory.read()?.1.iter().any(|r| matches!(r, directory::Record::Host(at, _) if *at == host)) {
        return Err(Error::new(Kind::InUse, LEAVE, network)
            .because(format!("host {host} is alive, or was a moment ago"))
            .hint(format!("on that host: netwire overlay leave {network}")));
    }
    directory.forget(host)
}

/// The hosts of the network as this one knows them, and what is wrong, if something is.
pub fn peers(state: &State, network: &str) -> Result<(Vec<Peer>, Option<String>)> {
    let definition = find(state, network, "list the hosts of")?;
    let Some(membership) = Membership::load(state, network)? else { return Ok((Vec::new(), None)) };
    let local = underlay::find(&mut Socket::open_route()?, &definition, Some(&membership))?.tunnel.local;
    let peer = |host: IpAddr, by| Peer {
        network: network.to_owned(),
        host,
        name: None,
        is_self: host == local,
        by,
        addresses: None,
    };
    let by = match &membership.source {
        Source::Peers { .. } => "peers",
        Source::File { .. } => "file",
        Source::Group { group } => return Ok((vec![peer(local, "group"), peer(*group, "group")], None)),
        Source::Etcd(_) => {
            let view = View::load(state, network);
            let count = |host| view.addresses.values().filter(|taken| taken.claim.host == host).count();
            let hosts = view.hosts.iter().map(|(host, member)| Peer {
                name: Some(member.name.clone()),
                addresses: Some(count(*host)),
                ..peer(*host, "etcd")
            });
            return Ok((hosts.collect(), serve::trouble(state, network, &view)));
        }
    };
    let others = membership.peers(local)?.into_iter();
    Ok((std::iter::once(local).chain(others).map(|host| peer(host, by)).collect(), None))
}

/// Makes sure that bridge and VXLAN link stand; where they do, that costs three questions.
pub fn prepare(state: &State, socket: &mut Socket, definition: &Definition) -> Result<Ground> {
    if let Some((link, tunnel)) = underlay::present(socket, definition)?
        && link.controller.is_some()
        && tunnel.vni == underlay::vni(definition)
        && (link.up || Membership::load(state, &definition.name)?.is_none())
    {
        let ground = bridge::ensure(socket, definition)?;
        if link.controller == Some(ground.index) {
            return Ok(ground);
        }
    }
    build(state, socket, definition)
}

/// Makes bridge, VXLAN link and its tables what membership and definition say. The caller holds the network's lock.
pub fn build(state: &State, socket: &mut Socket, definition: &Definition) -> Result<Ground> {
    const OP: &str = "set up interface";
    let membership = Membership::load(state, &definition.name)?;
    let underlay = underlay::find(socket, definition, membership.as_ref())?;
    let mtu = definition.mtu.unwrap_or(underlay.mtu);
    let ground = bridge::ensure(socket, &Definition { mtu: Some(mtu), ..definition.clone() })?;
    let name = underlay::link_name(definition);
    let mut present = underlay::present(socket, definition)?;
    if present.as_ref().is_some_and(|(_, tunnel)| *tunnel != underlay.tunnel) {
        bridge::unless(socket.ask(link::delete(&name))?, libc::ENODEV)
            .map_err(|refusal| refused("delete interface", &name, refusal))?;
        present = None;
    }
    let mut requests = match present {
        Some(_) => vec![link::set_port(&name, ground.index)],
        None => vec![
            underlay.tunnel.create(&name, ground.index, mtu),
            link::set_alias(&name, &bridge::alias(definition)),
            vxlan::keep_silent(&name),
        ],
    };
    requests.push(underlay.tunnel.set_port(&name));
    // Who is no member sends nothing and hears nothing: others may still take it for one.
    requests.push(if membership.is_some() { link::set_up(&name) } else { link::setting::set_down(&name) });
    for answer in socket.transact(&requests)? {
        bridge::unless(answer, libc::EAFNOSUPPORT).map_err(|refusal| {
            let taken = refusal.errno == libc::EEXIST;
            let error = refused(OP, &name, refusal);
            if taken {
                error.hint("another link has this vni and port; create the network with -o vni=NUMBER")
            } else {
                error
            }
        })?;
    }
    let (link, _) = underlay::present(socket, definition)?
        .ok_or_else(|| Error::new(Kind::NotFound, OP, &name).because("it vanished"))?;
    let wanted = wanted(state, definition, membership.as_ref(), underlay.tunnel.local)?;
    forwarding::apply(socket, link.index, ground.index, &wanted)?;
    Ok(ground)
}

/// What the kernel's tables should say.
fn wanted(
    state: &State,
    definition: &Definition,
    membership: Option<&Membership>,
    local: IpAddr,
) -> Result<Forwarding> {
    Ok(match membership {
        None => Forwarding::default(),
        Some(Membership { source: Source::Group { group }, .. }) => Forwarding { hosts: [*group].into(), places: None },
        Some(Membership { source: Source::Etcd(_), .. }) => View::load(state, &definition.name).forwarding(local),
        Some(membership) => {
            let hosts = membership.peers(local)?.into_iter().collect();
            Forwarding { hosts, places: None }
        }
    })
}

/// What is not as this host's membership wants it, and what mends it: a line each. Changes nothing.
pub(crate) fn amiss(state: &State, socket: &mut Socket, definition: &Definition) -> Result<Vec<(String, String)>> {
    const RESTORE: &str = "netwire restore";
    let name = underlay::link_name(definition);
    let membership = Membership::load(state, &definition.name)?;
    let mut lines = Vec::new();
    let mut add = |what: String, remedy: &str| lines.push((what, remedy.to_owned()));
    let underlay = underlay::find(socket, definition, membership.as_ref())?;
    match underlay::present(socket, definition)? {
        None => add(format!("its link {name} to the other hosts is missing"), RESTORE),
        Some((_, tunnel)) if tunnel != underlay.tunnel => {
            add(format!("its link {name} to the other hosts is not what was joined"), RESTORE);
        }
        Some((link, tunnel)) => {
            if (membership.is_some() && !link.up) || link.controller.is_none() {
                add(format!("its link {name} to the other hosts is down, or not on its bridge"), RESTORE);
            }
            let wanted = wanted(state, definition, membership.as_ref(), tunnel.local)?;
            let differing = forwarding::differences(socket, link.index, link.controller.unwrap_or(0), &wanted)?;
            if differing > 0 {
                add(format!("{differing} entries of {name} on where hosts and containers are differ"), RESTORE);
            }
        }
    }
    if matches!(membership.map(|m| m.source), Some(Source::Etcd(_))) {
        let view = View::load(state, &definition.name);
        if !serve::is_running(state, &definition.name) {
            add("nobody follows its members in etcd".into(), RESTORE);
        } else if let Some(trouble) = serve::trouble(state, &definition.name, &view) {
            add(trouble, "see whether etcd runs and this host reaches it");
        }
    }
    Ok(lines)
}

/// Removes what is left of an overlay network on this host: membership, VXLAN link, bridge. The caller holds its lock.
pub fn remove(state: &State, socket: &mut Socket, definition: &Definition) -> Result<()> {
    let departed = depart(state, socket, definition).into_iter().next();
    if underlay::present(socket, definition)?.is_some() {
        let name = underlay::link_name(definition);
        bridge::unless(socket.ask(link::delete(&name))?, libc::ENODEV)
            .map_err(|refusal| refused("delete interface", &name, refusal))?;
    }
    bridge::remove(socket, definition)?;
    departed.map_or(Ok(()), Err)
}

/// Ends membership: server, records, file, the bridge's neighbours. The file goes also where etcd does not answer.
fn depart(state: &State, socket: &mut Socket, definition: &Definition) -> Vec<Error> {
    let network = definition.name.as_str();
    let mut failures = Vec::new();
    failures.extend(serve::stop(state, network).err());
    let view = View::load(state, network);
    let told = match Membership::load(state, network) {
        Ok(Some(Membership { source: Source::Etcd(cluster), .. })) => {
            let told = Directory::open(&cluster, network).and_then(|mut directory| {
                let present = underlay::present(socket, definition)?.map(|(_, tunnel)| tunnel.local);
                if let Some(lease) = view.lease {
                    directory.client().revoke(lease)?;
                }
                present.map_or(Ok(0), |local| directory.forget(local))
            });
            told.map(drop).map_err(|e| {
                e.hint(format!(
                    "it is no member here any more; its addresses are given back from another host: netwire overlay leave {network} --host ADDRESS"
                ))
            })
        }
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    };
    failures.extend(told.err());
    for path in [state.membership_path(network), state.view_path(network)] {
        failures.extend(state::remove(&path).err());
    }
    let nobody = Forwarding { hosts: BTreeSet::new(), places: Some(BTreeMap::new()) };
    let cleared = underlay::present(socket, definition).and_then(|present| match present {
        Some((link, _)) => forwarding::apply(socket, link.index, link.controller.unwrap_or(0), &nobody),
        None => Ok(0),
    });
    failures.extend(cleared.err());
    failures
}

/// Chooses addresses by `choose`, and takes them in etcd where the hosts of the network are known by that. `choose` gives
/// addresses that are free here and not reserved in the definition it is handed. The caller holds the network's lock.
pub fn choose(
    state: &State,
    definition: &Definition,
    who: &Wish,
    wished: &[IpAddr],
    mut choose: impl FnMut(&Definition) -> Result<Vec<IpAddr>>,
) -> Result<Vec<IpAddr>> {
    const OP: &str = "take an address of network";
    let Some(mut directory) = directory(state, definition)? else { return choose(definition) };
    let local = underlay::present(&mut Socket::open_route()?, definition)?.map(|(_, tunnel)| tunnel.local);
    let local = local.ok_or_else(|| Error::new(Kind::NotFound, OP, &definition.name).because("its link vanished"))?;
    let mut taken = directory.taken()?;
    for _ in 0..CHOICES {
        let addresses = choose(&without(definition, &taken, wished))?;
        let Some(first) = addresses.first() else { return Ok(addresses) };
        let claim = Claim {
            host: local,
            mac: who.mac.unwrap_or_else(|| Mac::of(*first)),
            container: who.container.clone(),
            interface: who.interface.clone(),
            attacher: Process::own(),
            names: who.names(),
        };
        let Err(others) = directory.claim(&addresses, &claim)? else {
            // Where it died somebody must begin again; that it does not is no reason to fail, `check` tells it.
            drop(serve::start(state, &definition.name));
            return Ok(addresses);
        };
        if let Some((address, claim)) = others.iter().find(|(address, _)| wished.contains(address)) {
            return Err(Error::new(Kind::InUse, OP, &definition.name)
                .because(format!("{address} is in use by {} on host {}", claim.container, claim.host))
                .hint("choose another address, or detach that container first"));
        }
        taken.extend(others.into_iter().map(|(address, _)| address));
    }
    Err(Error::new(Kind::Full, OP, &definition.name).because("other hosts were quicker each time"))
}

/// Gives a lease's addresses back in etcd. That etcd does not answer is no failure: the server gives them back later.
pub fn release(state: &State, definition: &Definition, lease: &Lease) {
    let Ok(Some(mut directory)) = directory(state, definition) else { return };
    let present = Socket::open_route().and_then(|mut socket| underlay::present(&mut socket, definition));
    if let Ok(Some((_, tunnel))) = present {
        let _ = directory.release(tunnel.local, &lease.addresses, &lease.container, &lease.interface);
    }
}

/// Tells the other hosts how the container of `lease` is called now. That etcd does not answer is no failure: the server
/// tells them later.
pub fn rename(state: &State, definition: &Definition, lease: &Lease) {
    let Ok(Some(mut directory)) = directory(state, definition) else { return };
    let present = Socket::open_route().and_then(|mut socket| underlay::present(&mut socket, definition));
    if let Ok(Some((_, tunnel))) = present {
        let _ = directory.rename(tunnel.local, lease);
    }
}

/// The definition with more addresses reserved.
fn without(definition: &Definition, taken: &BTreeSet<IpAddr>, wished: &[IpAddr]) -> Definition {
    let mut narrowed = definition.clone();
    for pool in &mut narrowed.subnets {
        let theirs = taken.iter().filter(|address| pool.subnet.contains(**address) && !wished.contains(address));
        pool.reserved.extend(theirs.map(|address| (format!("taken {address}"), *address)));
    }
    narrowed
}

/// The network's records in etcd, where its hosts are known by that.
fn directory(state: &State, definition: &Definition) -> Result<Option<Directory>> {
    if definition.driver != Driver::Overlay {
        return Ok(None);
    }
    match Membership::load(state, &definition.name)?.map(|membership| membership.source) {
        Some(Source::Etcd(cluster)) => Directory::open(&cluster, &definition.name).map(Some),
        _ => Ok(None),
    }
}

fn find(state: &State, network: &str, op: &'static str) -> Result<Definition> {
    let definition = network::find(state, network)?;
    if definition.driver != Driver::Overlay {
        return Err(Error::new(Kind::Invalid, op, network)
            .because(format!("it is of driver {}", definition.driver))
            .hint("an overlay network is made so: netwire network create -d overlay --subnet CIDR NAME"));
    }
    Ok(definition)
}
