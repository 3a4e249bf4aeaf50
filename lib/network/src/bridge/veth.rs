//! A port of a bridge: the veth pair between the bridge here and a container.

use super::{find, unless};
use crate::bandwidth;
use crate::driver::Endpoint;
use crate::error::{Error, Kind, Result, refused};
use crate::lease::Lease;
use crate::link;
use crate::link::Link;
use crate::namespace::{Namespace, Reference};
use crate::socket::{Request, Socket};
use netlink_packet_route::link::{InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage};
use std::os::fd::AsFd;
use std::time::Duration;

/// How often the carrier is looked for, and the pause between.
const CARRIER_ATTEMPTS: usize = 50;
/// The operation that fails where the interface's name is taken.
pub(crate) const CREATE: &str = "create interface";
const CARRIER_PAUSE: Duration = Duration::from_millis(1);

/// Makes sure that the pair is there and its outer end a port of the bridge.
pub(crate) fn plug(endpoint: &Endpoint<'_>, socket: &mut Socket, inner: &mut Socket) -> Result<()> {
    let lease = endpoint.lease;
    let present = if endpoint.known { find(inner, &lease.interface)? } else { None };
    let whole = present.is_some_and(|link| link.mac == Some(lease.mac)) && find(socket, &lease.outer)?.is_some();
    if whole {
        let joined = socket.ask(link::set_port(&lease.outer, endpoint.ground.index))?;
        joined.map_err(|refusal| refused("add to the bridge", &lease.outer, refusal))?;
    } else {
        create(endpoint, socket)?;
    }
    super::tag::join(socket, endpoint.definition, &lease.outer)?;
    if endpoint.definition.flag("hairpin", false) {
        let set = socket.ask(hairpin(&lease.outer))?;
        set.map_err(|refusal| refused("set hairpin mode of", &lease.outer, refusal))?;
    }
    Ok(())
}

/// Lets the bridge send back out of the port what came in by it: a container reaches itself by a published port.
fn hairpin(name: &str) -> Request {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
    ]));
    Request::of(libc::RTM_NEWLINK, 0, &message)
}

fn create(endpoint: &Endpoint<'_>, socket: &mut Socket) -> Result<()> {
    let lease = endpoint.lease;
    let request = || {
        link::create_veth(&link::Veth {
            outer: &lease.outer,
            bridge: endpoint.ground.index,
            inner: &lease.interface,
            namespace: endpoint.inside.as_fd(),
            mac: lease.mac,
            mtu: endpoint.ground.mtu,
        })
    };
    let mut made = socket.ask(request())?;
    if made.as_ref().is_err_and(|refusal| refusal.errno == libc::EEXIST)
        && socket.ask(link::delete(&lease.outer))?.is_ok()
    {
        // It was what a crash left, or the container's last life whose namespace is just being taken down.
        made = socket.ask(request())?;
    }
    made.map(drop).map_err(|refusal| {
        let taken = refusal.errno == libc::EEXIST;
        let error = refused(CREATE, &lease.interface, refusal);
        if taken {
            error.hint("the namespace has an interface of this name; choose another with --ifname")
        } else {
            error
        }
    })
}

/// The kernel takes note of a carrier later, on a work queue (net/core/link_watch.c); until then the bridge drops what
/// comes, and the container's first question would be answered after a second. Asking for a link makes it take note at
/// once (rtnl_getlink, Linux 6.8); for older ones we ask again, a little while.
pub(crate) fn await_carrier(endpoint: &Endpoint<'_>, socket: &mut Socket) -> Result<()> {
    for _ in 0..CARRIER_ATTEMPTS {
        let asked = [link::get(&endpoint.lease.outer), link::get(&endpoint.definition.bridge)];
        let answers = socket.transact(&asked)?;
        if answers.iter().flatten().flatten().filter_map(Link::read).all(|link| link.running) {
            break;
        }
        std::thread::sleep(CARRIER_PAUSE);
    }
    Ok(())
}

/// Deletes the lease's pair from whichever side it can be reached.
pub(crate) fn unplug(lease: &Lease, own: u64, socket: &mut Socket) -> Result<()> {
    if lease.caller == own {
        if lease.bandwidth.is_some() {
            let forgotten = socket.ask(bandwidth::forget(&lease.outer))?;
            unless(forgotten, libc::ENODEV).map_err(|refusal| refused("take limits off", &lease.outer, refusal))?;
        }
        return delete(&lease.outer, socket);
    }
    if !lease.namespace.is_there() {
        return Ok(());
    }
    let mut inner = Namespace::open(&Reference::Path(lease.namespace.path.clone()))?.route_socket()?;
    match find(&mut inner, &lease.interface)? {
        Some(link) if link.mac == Some(lease.mac) => delete(&lease.interface, &mut inner),
        _ => Ok(()),
    }
}

/// Deletes the link called `name`; that there is none is fine.
pub(crate) fn delete(name: &str, socket: &mut Socket) -> Result<()> {
    unless(socket.ask(link::delete(name))?, libc::ENODEV).map_err(|refusal| refused("delete interface", name, refusal))
}

/// The outer end's name: the same for the same interface of the same container, so that what a crash left is found.
pub(crate) fn outer_name(network_id: &str, container: &str, interface: &str) -> String {
    // FNV-1a; the parts cannot run into each other, since a NUL is in none of them.
    let text = [network_id.as_bytes(), container.as_bytes(), interface.as_bytes()].join(&0);
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("veth{:011x}", hash >> 20)
}

/// An error that says that `op` found no link any more.
pub(crate) fn vanished(op: &'static str, name: &str) -> Error {
    Error::new(Kind::NotFound, op, name).because("it vanished")
}

#[cfg(test)]
mod tests {
    use super::outer_name;
    use crate::link::check_name;

    #[test]
    fn outer_names_are_names_and_differ() {
        let name = outer_name("n1", "c1", "eth0");
        assert_eq!((name.len(), check_name(&name)), (15, Ok(())));
        assert_eq!(name, outer_name("n1", "c1", "eth0"));
        assert_ne!(name, outer_name("n2", "c1", "eth0"));
        assert_ne!(name, outer_name("n1", "c1", "eth1"));
        assert_ne!(outer_name("n", "a", "be"), outer_name("n", "ab", "e"));
    }
}
