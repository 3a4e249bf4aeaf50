//! How an interface leaves without anybody waiting for the kernel.
//!
//! The kernel takes tens of milliseconds to delete a link: it waits until no processor can still be looking at it
//! (`synchronize_net` and `rcu_barrier` in unregister_netdevice_many and netdev_run_todo, net/core/dev.c). To set it down
//! takes a hundred microseconds, and from then on no packet passes. So:
//!
//! ```text
//!   under the network's lock                                   in a process of its own, after the caller has gone on
//!   the outer end is set down ─ the taker is forked ─ the      the link is deleted, by its number
//!   lease says that it is leaving, by whom, and which link     ─ the lease is dropped, under the lock
//! ```
//!
//! The lease holds its addresses until the link is gone, so nobody is given them before. A link's number is not given
//! twice, so a taker that comes late can hit no link that was made meanwhile, whatever its name. A lease whose taker was
//! killed is finished by the next command that meets it ([`settle`]), as is one that is in the way: of the same interface
//! attached anew, of an address asked for, of the network's removal. What is killed before the lease says that it leaves
//! was not told to have left: the link is down, and detach or attach go on from there.
//!
//! Who comes back in another namespace (a container restarted) waits for nothing: the lease steps aside with its link, and
//! its addresses go over to the new interface, whose outer end gets another name.

use super::release;
use crate::bridge::unless;
use crate::definition::Definition;
use crate::error::{Error, Result, failed, refused};
use crate::lease::{Book, Lease, Leaving, Process};
use crate::link::{self, Link};
use crate::namespace::Namespace;
use crate::socket::{Request, Socket};
use crate::state::State;
use netlink_packet_route::link::LinkMessage;

/// Lets the interfaces of `definition`'s network that are `wanted` leave. Gives those leases that cannot go this way: whoever
/// calls unplugs them and releases them.
pub(super) fn begin(
    state: &State,
    definition: &Definition,
    own: u64,
    socket: &mut Socket,
    wanted: impl Fn(&Lease) -> bool,
) -> Result<Vec<Lease>> {
    let network = &definition.name;
    let lock = state.lock_network(network)?;
    let mut book = Book::load(state, network)?;
    let all: Vec<Lease> = book.entries().filter(|lease| wanted(lease)).cloned().collect();
    let (mut leaving, mut others, mut changed) = (Vec::new(), Vec::new(), false);
    for lease in all {
        match &lease.leaving {
            Some(exit) if exit.by.is_alive() => {}
            Some(_) => others.push(lease),
            None if !is_quick(definition, &lease, own) => others.push(lease),
            None => match cut(&lease, socket)? {
                Some(link) => leaving.push(Lease { leaving: Some(Leaving { link, by: Process::own() }), ..lease }),
                None => changed |= book.release(&lease.container, &lease.interface).is_some(),
            },
        }
    }
    if !leaving.is_empty() {
        match sys::daemon::fork_into(Vec::new(), |_| take(state, network, &leaving).map_or(1, |()| 0)) {
            Ok(taker) => {
                let id = taker.as_raw().cast_unsigned();
                let by = Process::of(id).unwrap_or(Process { id, start: 0 });
                for lease in leaving {
                    let leaving = lease.leaving.map(|exit| Leaving { by, ..exit });
                    book.enter(Lease { leaving, ..lease });
                }
                changed = true;
            }
            Err(_) => others.extend(leaving.into_iter().map(|lease| Lease { leaving: None, ..lease })),
        }
    }
    if changed {
        book.store()?;
    }
    drop(lock);
    Ok(others)
}

/// Only an outer end of our own namespace can be cut off, and only one with nothing else hung on it (an ifb, rules of its own).
fn is_quick(definition: &Definition, lease: &Lease, own: u64) -> bool {
    definition.driver.has_bridge() && lease.caller == own && !lease.outer.is_empty() && lease.bandwidth.is_none()
}

/// Sets the outer end down and gives its number; `None` where it is gone already.
fn cut(lease: &Lease, socket: &mut Socket) -> Result<Option<u32>> {
    let name = lease.outer.as_str();
    let mut answers = socket.transact(&[link::setting::set_down(name), link::get(name)])?.into_iter();
    let down = answers.next().unwrap_or(Ok(Vec::new()));
    unless(down, libc::ENODEV).map_err(|refusal| refused("set down interface", name, refusal))?;
    let found = answers.next().and_then(std::result::Result::ok).unwrap_or_default();
    Ok(found.iter().find_map(Link::read).map(|link| link.index))
}

/// The taker's life.
fn take(state: &State, network: &str, leaving: &[Lease]) -> Result<()> {
    let wrong = |e: rustix::io::Errno| failed("let go of the caller", "", e);
    // Whoever reads what netwire prints must see its end now.
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC, 0.into());
    let null = null.map_err(wrong)?;
    rustix::stdio::dup2_stdin(&null).map_err(wrong)?;
    rustix::stdio::dup2_stdout(&null).map_err(wrong)?;
    rustix::stdio::dup2_stderr(&null).map_err(wrong)?;
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    finish(state, network, leaving, &mut Socket::open_route()?)
}

/// Deletes the links of `leaving` and drops the leases.
fn finish(state: &State, network: &str, leaving: &[Lease], socket: &mut Socket) -> Result<()> {
    let requests: Vec<Request> =
        leaving.iter().filter_map(|lease| Some(delete(lease.leaving.as_ref()?.link))).collect();
    for (lease, answer) in leaving.iter().zip(socket.transact(&requests)?) {
        unless(answer, libc::ENODEV).map_err(|refusal| refused("delete interface", &lease.outer, refusal))?;
    }
    // Where the run folder went meanwhile nothing is left to be written.
    let Some(_lock) = state.relock_network(network)? else { return Ok(()) };
    let mut book = Book::load(state, network)?;
    let mut changed = false;
    for lease in leaving {
        changed |= lease.leaving.is_some_and(|exit| book.left(lease.caller, exit.link));
    }
    if changed { book.store() } else { Ok(()) }
}

/// Finishes what leaves the network: all of it, or only what nobody takes any more. The caller holds no lock.
pub fn settle(state: &State, network: &str, all: bool) -> Result<()> {
    let book = Book::load(state, network)?;
    if book.leaving().next().is_none() {
        return Ok(());
    }
    let own = Namespace::own()?.identity().inode;
    let left = |exit: &Leaving| all || !exit.by.is_alive();
    let (here, elsewhere): (Vec<Lease>, Vec<Lease>) =
        book.leaving().filter(|lease| lease.leaving.as_ref().is_some_and(left)).cloned().partition(|l| l.caller == own);
    if !here.is_empty() {
        finish(state, network, &here, &mut Socket::open_route()?)?;
    }
    for lease in elsewhere.iter().filter(|lease| !lease.namespace.is_there()) {
        release(state, network, lease)?;
    }
    Ok(())
}

/// Removes what a lease that is leaving, and that nobody takes any more, has left.
pub(super) fn finish_one(state: &State, network: &str, lease: &Lease, socket: &mut Socket) -> Result<()> {
    finish(state, network, std::slice::from_ref(lease), socket)
}

fn delete(number: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = number;
    Request::of(libc::RTM_DELLINK, 0, &message)
}

/// Whether an attempt failed for want of what those who leave may still hold.
pub(super) fn may_be_in_the_way(error: &Error, book: &Book) -> bool {
    matches!(error.kind, crate::Kind::Full | crate::Kind::InUse) && book.leaving().next().is_some()
}
