//! What beside the packet rules lets packets through to published ports.
//!
//! - By 127.0.0.1: the answer comes in by the container's link and is for a loopback address once its translation is undone,
//!   which `route_localnet` allows, on that link alone (ip_route_input_slow in net/ipv4/route.c).
//! - By `[::1]`: IPv6 has no such setting, but looks for a loopback address only among the routes of the link the packet came
//!   by (rt6_need_strict in net/ipv6/route.c). So that link gets a local route to `::1`, behind that of `lo`.
//!   Not where bridged frames pass the packet rules (br_netfilter): there a connection to `[::1]` is refused at once.
//! - From the container itself: a bridge that shows its frames to the packet rules (br_netfilter) finds the rewritten frame
//!   to be one for the port it came by, and drops it unless the port is in hairpin mode.
//!
//! Packets from outside that have loopback addresses on the wire are dropped by the rules before anything else sees them.

use super::Target;
use crate::bridge;
use crate::error::{Error, Kind, Result, refused};
use crate::nft::ports::Entry;
use crate::port_flags;
use crate::socket::{Request, Socket};
use std::net::Ipv6Addr;

/// Whether bridged frames pass the packet rules; missing where they cannot.
const CALL_V4: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const CALL_V6: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
const TABLE_LOCAL: u8 = 255;
const SCOPE_UNIVERSE: u8 = 0;
const PROTOCOL_BOOT: u8 = 3;
const TYPE_LOCAL: u8 = 2;
/// Behind the route of `lo`, whose metric is 0, and another one for each link.
const METRIC: u32 = 1 << 16;

/// Makes sure of it; gives what could not be had, a line each.
pub(super) fn ensure(target: &Target<'_>, entries: &[Entry]) -> Vec<String> {
    let by_loopback =
        |v4: bool| entries.iter().any(|e| e.to.is_ipv4() == v4 && e.host.is_none_or(|host| host.is_loopback()));
    let mut warnings = Vec::new();
    if let Some(link) = target.link.filter(|_| by_loopback(true)) {
        let path = format!("/proc/sys/net/ipv4/conf/{link}/route_localnet");
        let done = match std::fs::read(&path) {
            Ok(text) if text.first() == Some(&b'1') => Ok(()),
            _ => std::fs::write(&path, "1"),
        };
        if let Err(e) = done {
            warnings.push(format!("published ports are not reached by 127.0.0.1: switch on {path}: {e}"));
        }
    }
    if let Some(link) = target.link.filter(|_| by_loopback(false)) {
        if by_loopback6() {
            let done = local_route(link);
            warnings.extend(done.err().map(|e| format!("published ports are not reached by [::1]: {e}")));
        } else if entries.iter().any(|e| e.host.is_some_and(|host| host == Ipv6Addr::LOCALHOST)) {
            warnings
                .push("a port published on [::1] is not reached while net.bridge.bridge-nf-call-ip6tables is 1".into());
        }
    }
    if let Some(Err(e)) = target.port.filter(|_| is_on(CALL_V4) || is_on(CALL_V6)).map(hairpin) {
        warnings.push(format!("the container does not reach its own published ports: {e}"));
    }
    warnings
}

/// Whether answers to `[::1]` can be carried: not where a bridge undoes the translation itself, since the kernel then takes
/// the frame for one that somebody sent to a loopback address (ip6_rcv_core).
pub(super) fn by_loopback6() -> bool {
    !is_on(CALL_V6)
}

fn is_on(path: &str) -> bool {
    std::fs::read(path).is_ok_and(|text| text.first() == Some(&b'1'))
}

fn hairpin(port: &str) -> Result<()> {
    let answer = Socket::open_route()?.ask(port_flags::set_hairpin(port, true))?;
    answer.map(drop).map_err(|refusal| refused("set hairpin mode of", port, refusal))
}

fn local_route(link: &str) -> Result<()> {
    let mut socket = Socket::open_route()?;
    let gone = || Error::new(Kind::NotFound, "route ::1 by", link).because("no such interface");
    let index = bridge::find(&mut socket, link)?.ok_or_else(gone)?.index;
    let mut payload = vec![libc::AF_INET6 as u8, 128, 0, 0, TABLE_LOCAL, PROTOCOL_BOOT, SCOPE_UNIVERSE, TYPE_LOCAL];
    payload.extend_from_slice(&0_u32.to_ne_bytes());
    let attributes = crate::attribute::Attributes::new()
        .bytes(libc::RTA_DST, &Ipv6Addr::LOCALHOST.octets())
        .bytes(libc::RTA_OIF, &index.to_ne_bytes())
        .bytes(libc::RTA_PRIORITY, &(METRIC + index).to_ne_bytes());
    payload.extend_from_slice(&attributes.into_bytes());
    let request = Request { kind: libc::RTM_NEWROUTE, flags: (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, payload };
    match socket.ask(request)? {
        Err(refusal) if refusal.errno != libc::EEXIST => Err(refused("route ::1 by", link, refusal)),
        _ => Ok(()),
    }
}
