//! An interface that hangs on a parent: born inside the container's namespace, with no end here.
//!
//! Nothing of it can be seen from outside. So its life is told, and it is removed, from inside its namespace: as long as the
//! path that led there leads there still, and the interface of the lease's name has the lease's hardware address and bears
//! its addresses as alias (several ipvlans share one hardware address).

use super::Endpoint;
use crate::bridge::find;
use crate::bridge::veth::{self, CREATE};
use crate::error::{Error, Kind, Result, refused};
use crate::lease::Lease;
use crate::link::{self, Child, Link};
use crate::namespace::{Namespace, Reference};
use crate::socket::{Refusal, Request, Socket};
use std::os::fd::AsFd;
use std::time::Duration;

/// How often a hardware address that is in use is tried again, and the pause between.
const ATTEMPTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);
const KINDS: [&str; 3] = ["macvlan", "ipvlan", "vlan"];

/// Makes sure that the interface is there: of `kind`, on its parent. `explain` adds a hint to the kernel's refusal.
pub(super) fn plug(
    endpoint: &Endpoint<'_>,
    socket: &mut Socket,
    inner: &mut Socket,
    kind: &str,
    create: impl Fn(&Child<'_>) -> Request,
    explain: impl Fn(i32, Error) -> Error,
) -> Result<()> {
    let (lease, ground) = (endpoint.lease, endpoint.ground);
    let name = lease.interface.as_str();
    if let Some(mac) = ground.mac.filter(|mac| *mac != lease.mac) {
        return Err(Error::new(Kind::Invalid, CREATE, name)
            .because(format!("it has its parent's hardware address, {mac}, and can have no other")));
    }
    let present = if endpoint.known { find(inner, name)? } else { None };
    if let Some(present) = present.filter(|link| link.kind == kind && is_own(lease, link)) {
        if present.below == Some(ground.index) {
            return mark(lease, inner);
        }
        // Its parent is another one now: the default route has moved, or a VLAN was made anew.
        veth::delete(name, inner)?;
    }
    let child = Child {
        name,
        parent: ground.index,
        namespace: Some(endpoint.inside.as_fd()),
        mac: Some(lease.mac).filter(|_| ground.mac.is_none()),
        mtu: Some(ground.mtu),
    };
    let Err(refusal) = socket.ask(create(&child))? else { return mark(lease, inner) };
    let taken = refusal.errno == libc::EEXIST && find(inner, name)?.is_some();
    let error = |refusal: Refusal| refused(CREATE, name, refusal);
    Err(match refusal.errno {
        libc::EEXIST if taken => {
            error(refusal).hint("the namespace has an interface of this name; choose another with --ifname")
        }
        libc::EOPNOTSUPP => error(refusal).hint(format!("the kernel needs module {}", module(kind))),
        errno => explain(errno, error(refusal)),
    })
}

fn module(kind: &str) -> &str {
    if kind == "vlan" { "8021q" } else { kind }
}

/// What is written on the interface: whose it is.
fn alias(lease: &Lease) -> String {
    let all: Vec<String> = lease.addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() { lease.mac.to_string() } else { all.join(" ") }
}

/// A link cannot be born with an alias; what has none yet was made just before a crash.
fn is_own(lease: &Lease, link: &Link) -> bool {
    link.mac == Some(lease.mac) && (link.alias.is_empty() || link.alias == alias(lease))
}

/// Writes on the interface whose it is, and sets it up. Where its hardware address is in use, that may be by the interface of
/// a container that has just died and had the same addresses: the kernel takes its namespace down in its own time.
fn mark(lease: &Lease, inner: &mut Socket) -> Result<()> {
    let name = lease.interface.as_str();
    let marked = inner.ask(link::set_alias(name, &alias(lease)))?;
    marked.map_err(|refusal| refused(CREATE, name, refusal))?;
    for _ in 0..ATTEMPTS {
        match inner.ask(link::set_up(name))? {
            Err(refusal) if refusal.errno == libc::EADDRINUSE => std::thread::sleep(PAUSE),
            done => {
                return done.map(drop).map_err(|refusal| {
                    let errno = refusal.errno;
                    busy(errno, refused("set up interface", name, refusal))
                });
            }
        }
    }
    Err(Error::new(Kind::InUse, "set up interface", name)
        .because(format!("another interface on its parent has the hardware address {}", lease.mac))
        .hint("choose another with --mac"))
}

/// Removes the interface; that it, or its namespace, is gone is fine.
pub(super) fn unplug(lease: &Lease) -> Result<()> {
    match present(lease)? {
        Some((_, mut inner)) => veth::delete(&lease.interface, &mut inner),
        None => Ok(()),
    }
}

/// Whether the interface of a lease without an outer end is there. Where nobody can tell, it counts as there.
pub(crate) fn is_plugged(lease: &Lease) -> bool {
    present(lease).map_or_else(|e| e.kind != Kind::NotFound, |found| found.is_some())
}

/// The interface of the lease and a socket of its namespace.
fn present(lease: &Lease) -> Result<Option<(Link, Socket)>> {
    if !lease.namespace.is_there() {
        return Ok(None);
    }
    let mut inner = Namespace::open(&Reference::Path(lease.namespace.path.clone()))?.route_socket()?;
    let found = find(&mut inner, &lease.interface)?;
    let own = |link: &Link| KINDS.contains(&link.kind.as_str()) && is_own(lease, link);
    Ok(found.filter(own).map(|link| (link, inner)))
}

/// Says that a parent is taken by others.
pub(super) fn busy(errno: i32, error: Error) -> Error {
    match errno {
        libc::EBUSY => {
            error.hint("the parent is a port of a bridge, or has containers of another kind (macvlan, ipvlan)")
        }
        libc::ENETDOWN => error.hint("set the parent up first: ip link set PARENT up"),
        _ => error,
    }
}
