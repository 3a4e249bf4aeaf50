//! How much goes through a container's interface: one token bucket a direction, at the outer end of its veth pair.
//!
//! ```text
//!   container                    the caller's namespace
//!   eth0 ──── veth pair ──── outer ─── bridge, routes
//!                              │ to the container: a token bucket is the outer end's queue
//!                              └ from the container: what comes in is led through an ifb whose queue is the other bucket
//! ```
//!
//! Both buckets are out of the container's reach. The ifb's name is made of the outer end's ([`ifb_name`]), so that it is
//! found without being written down. It is no part of the outer end: when the kernel takes that away with the container's
//! namespace, the ifb stays; it is deleted with the lease ([`forget`]), and [`sweep`] deletes all whose link is gone.

use crate::error::{Error, Kind, Result, refused};
use crate::link::{self, Link, ifb};
use crate::qdisc::{self, Bucket, Qdisc};
use crate::socket::{Answer, Refusal, Request, Socket};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// How long a packet waits at most behind others, as far as the rate allows it.
const LATENCY_MS: u64 = 25;
/// However slow it is, so many packets may wait: with none waiting TCP would come to a standstill.
const WAITING_PACKETS: u64 = 8;
/// What may go at once where nobody said how much: this, or what the rate gives in that time, whichever is more.
const BURST_BYTES: u64 = 64 << 10;
const BURST_MS: u64 = 10;
/// What goes before the payload of a packet.
const HEADER_BYTES: u64 = 14 + 4;
const OP: &str = "limit interface";

/// A limit of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Bits a second.
    pub rate_bits: u64,
    /// Bits that may go at once; without it as many as do no harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst_bits: Option<u64>,
}

impl Limit {
    fn bucket(&self, mtu: u32) -> Bucket {
        let rate_bytes = (self.rate_bits / 8).max(1);
        let packet = u64::from(mtu) + HEADER_BYTES;
        let burst = self.burst_bits.map_or_else(|| BURST_BYTES.max(rate_bytes * BURST_MS / 1000), |bits| bits / 8);
        // A packet larger than the bucket would never go.
        let burst = burst.clamp(packet, u64::from(u32::MAX / 4));
        let waiting = (rate_bytes.saturating_mul(LATENCY_MS) / 1000).max(packet * WAITING_PACKETS);
        let limit_bytes = u32::try_from(burst.saturating_add(waiting)).unwrap_or(u32::MAX);
        Bucket { rate_bytes, burst_bytes: burst as u32, limit_bytes }
    }
}

/// The limits of one interface, as seen from the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Of what comes to the container.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub inward: Option<Limit>,
    /// Of what the container sends.
    #[serde(default, rename = "out", skip_serializing_if = "Option::is_none")]
    pub outward: Option<Limit>,
}

impl Bandwidth {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        self.inward.is_none() && self.outward.is_none()
    }
}

/// The name of the ifb that belongs to the link called `outer`.
pub fn ifb_name(outer: &str) -> String {
    // FNV-1a
    let hash = outer.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("ifb{:011x}", hash >> 20)
}

/// Sets the limits of the interface whose outer end is the link called `outer`; what is not limited loses the limit it had.
pub fn apply(socket: &mut Socket, outer: &str, bandwidth: &Bandwidth) -> Result<()> {
    let wrong = |refusal| lacking(refused(OP, outer, refusal));
    let messages = socket.ask(link::get(outer))?.map_err(wrong)?;
    let vanished = || Error::new(Kind::NotFound, OP, outer).because("no such interface");
    let link = messages.iter().find_map(Link::read).ok_or_else(vanished)?;
    match bandwidth.inward {
        Some(limit) => drop(socket.ask(qdisc::set_bucket(link.index, &limit.bucket(link.mtu)))?.map_err(wrong)?),
        None => drop(bucket_of(socket, link.index)?.map(|_| socket.ask(qdisc::remove_root(link.index))).transpose()?),
    }
    let ifb = ifb_name(outer);
    let Some(limit) = bandwidth.outward else { return release(socket, &ifb, link.index) };
    let made = [ifb::create(&ifb, link.mtu), link::set_alias(&ifb, &format!("bandwidth of {outer}")), link::get(&ifb)];
    let [created, aliased, got] = asked(socket, made)?;
    unless(created, libc::EEXIST).map_err(wrong)?;
    aliased.map_err(wrong)?;
    let queue = got.map_err(wrong)?.iter().find_map(Link::read).ok_or_else(vanished)?;
    // The bucket first: at no time does anything go past it.
    let bucket = qdisc::set_bucket(queue.index, &limit.bucket(link.mtu));
    let [bucket, opened] = asked(socket, [bucket, qdisc::add_ingress(link.index)])?;
    bucket.map_err(wrong)?;
    unless(opened, libc::EEXIST).map_err(wrong)?;
    let leads_to = redirection_of(socket, link.index)?;
    if leads_to.is_some_and(|to| to != queue.index) {
        // To an ifb that is gone: it would swallow all before ours is asked.
        let [closed, opened] = asked(socket, [qdisc::remove_ingress(link.index), qdisc::add_ingress(link.index)])?;
        closed.and(opened).map_err(wrong)?;
    }
    if leads_to != Some(queue.index) {
        socket.ask(qdisc::redirect(link.index, queue.index))?.map_err(wrong)?;
    }
    Ok(())
}

/// Takes all limits off the interface whose outer end is, or was, the link called `outer`.
pub fn remove(socket: &mut Socket, outer: &str) -> Result<()> {
    match socket.ask(link::get(outer))? {
        Ok(messages) => {
            let Some(link) = messages.iter().find_map(Link::read) else { return Ok(()) };
            if bucket_of(socket, link.index)?.is_some() {
                let gone = socket.ask(qdisc::remove_root(link.index))?;
                unless(gone, libc::ENOENT).map_err(|refusal| refused(OP, outer, refusal))?;
            }
            release(socket, &ifb_name(outer), link.index)
        }
        Err(_) => match socket.ask(forget(outer))? {
            Err(refusal) if refusal.errno != libc::ENODEV => Err(refused("delete interface", ifb_name(outer), refusal)),
            _ => Ok(()),
        },
    }
}

/// The request that deletes what an interface's limits leave behind when its outer end, the link called `outer`, goes.
/// Refused with ENODEV where there is nothing.
pub fn forget(outer: &str) -> Request {
    link::delete(&ifb_name(outer))
}

/// What the interface is limited to now, burst and all.
pub fn read(socket: &mut Socket, outer: &str) -> Result<(Option<Bucket>, Option<Bucket>)> {
    let index = |socket: &mut Socket, name: &str| -> Result<Option<u32>> {
        Ok(socket.ask(link::get(name))?.ok().and_then(|m| m.iter().find_map(Link::read)).map(|link| link.index))
    };
    let Some(outer_index) = index(socket, outer)? else { return Ok((None, None)) };
    let inward = bucket_of(socket, outer_index)?;
    let outward = match index(socket, &ifb_name(outer))? {
        Some(ifb) if redirection_of(socket, outer_index)? == Some(ifb) => bucket_of(socket, ifb)?,
        _ => None,
    };
    Ok((inward, outward))
}

/// Deletes every ifb of ours whose link is gone; gives their names.
pub fn sweep(socket: &mut Socket) -> Result<Vec<String>> {
    let messages = socket.dump(&link::dump())?.map_err(|refusal| refused("list links", "", refusal))?;
    let links: Vec<Link> = messages.iter().filter_map(Link::read).collect();
    let wanted: HashSet<String> = links.iter().filter(|link| link.kind != "ifb").map(|l| ifb_name(&l.name)).collect();
    let ours = |name: &str| {
        let rest = name.strip_prefix("ifb").unwrap_or_default();
        rest.len() == 11 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut stale: Vec<String> =
        links.into_iter().filter(|l| l.kind == "ifb" && ours(&l.name)).map(|link| link.name).collect();
    stale.retain(|name| !wanted.contains(name));
    if stale.is_empty() {
        return Ok(stale);
    }
    for (name, answer) in stale.iter().zip(socket.transact(&stale.iter().map(|n| link::delete(n)).collect::<Vec<_>>())?)
    {
        unless(answer, libc::ENODEV).map_err(|refusal| refused("delete interface", name, refusal))?;
    }
    Ok(stale)
}

/// Nothing that the container sends is limited any more.
fn release(socket: &mut Socket, ifb: &str, link: u32) -> Result<()> {
    // Where there is no ifb, what is at the ingress hook is not ours.
    if socket.ask(link::get(ifb))?.is_err() {
        return Ok(());
    }
    let [closed, deleted] = asked(socket, [qdisc::remove_ingress(link), link::delete(ifb)])?;
    closed
        .or_else(|r| if matches!(r.errno, libc::ENOENT | libc::EINVAL) { Ok(Vec::new()) } else { Err(r) })
        .map_err(|refusal| refused(OP, ifb, refusal))?;
    unless(deleted, libc::ENODEV).map_err(|refusal| refused("delete interface", ifb, refusal))
}

fn bucket_of(socket: &mut Socket, link: u32) -> Result<Option<Bucket>> {
    let messages = socket.dump(&qdisc::dump())?.map_err(|refusal| refused("list queues", "", refusal))?;
    Ok(messages.iter().filter_map(Qdisc::read).find(|q| q.link == link && q.root).and_then(|q| q.bucket))
}

fn redirection_of(socket: &mut Socket, link: u32) -> Result<Option<u32>> {
    let filters = socket.dump(&qdisc::dump_filters(link))?.unwrap_or_default();
    Ok(filters.iter().find_map(qdisc::read_redirection))
}

fn asked<const N: usize>(socket: &mut Socket, requests: [Request; N]) -> Result<[Answer; N]> {
    let answers = socket.transact(&requests)?;
    answers.try_into().map_err(|_| Error::new(Kind::System, OP, "").because("the kernel gave no answer"))
}

fn unless(answer: Answer, errno: i32) -> std::result::Result<(), Refusal> {
    match answer {
        Err(refusal) if refusal.errno != errno => Err(refusal),
        _ => Ok(()),
    }
}

fn lacking(error: Error) -> Error {
    if matches!(error.kind, Kind::NotFound | Kind::Unsupported) {
        return error.hint("the kernel needs modules sch_tbf, sch_ingress, cls_u32, act_mirred and ifb");
    }
    error
}

/// Reads a rate as `tc` does: bits a second, with `k`, `m`, `g` or `t` (thousands), and `bit` or nothing, or `bps` for bytes.
pub fn parse_rate(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("`{text}` is no rate: give bits a second, as 500kbit, 10mbit, 1.5gbit or 1000000");
    let lower = text.to_ascii_lowercase();
    let (number, bits) = match lower.strip_suffix("bps") {
        Some(number) => (number, 8.0),
        None => (lower.strip_suffix("bit").unwrap_or(&lower), 1.0),
    };
    let (number, factor) = scaled(number, 1000.0);
    let rate = positive(number).ok_or_else(wrong)? * factor * bits;
    if !(8.0..1e18).contains(&rate) { Err(wrong()) } else { Ok(rate as u64) }
}

/// Reads an amount as `tc` does: bytes, with `k` or `m` (of 1024) and `b` or nothing. Gives bits.
pub fn parse_burst(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("`{text}` is no amount: give bytes, as 64k, 1m or 100000");
    let lower = text.to_ascii_lowercase();
    let (number, factor) = scaled(lower.strip_suffix('b').unwrap_or(&lower), 1024.0);
    let bytes = positive(number).ok_or_else(wrong)? * factor;
    if !(1.0..1e9).contains(&bytes) { Err(wrong()) } else { Ok(bytes as u64 * 8) }
}

fn scaled(text: &str, thousand: f64) -> (&str, f64) {
    let power = |n: i32| thousand.powi(n);
    for (letter, factor) in [('k', power(1)), ('m', power(2)), ('g', power(3)), ('t', power(4))] {
        if let Some(number) = text.strip_suffix(letter) {
            return (number, factor);
        }
    }
    (text, 1.0)
}

fn positive(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.bytes().any(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{Limit, ifb_name, parse_burst, parse_rate};
    use crate::link::check_name;

    #[test]
    fn rates_and_amounts() {
        for (text, bits) in [
            ("1000000", 1_000_000),
            ("500kbit", 500_000),
            ("10Mbit", 10_000_000),
            ("1.5g", 1_500_000_000),
            ("1mbps", 8_000_000),
        ] {
            assert_eq!(parse_rate(text), Ok(bits), "{text}");
        }
        for text in ["", "0", "x", "-1", "1e9", "mbit", "5xbit", "1.2.3", "7"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!((parse_burst("64k"), parse_burst("100")), (Ok(64 * 1024 * 8), Ok(800)));
        assert!(parse_burst("").is_err() && parse_burst("1t").is_err());
    }

    #[test]
    fn a_packet_always_fits() {
        let slow = Limit { rate_bits: 8_000, burst_bits: Some(8) }.bucket(1500);
        assert_eq!((slow.rate_bytes, slow.burst_bytes), (1000, 1518));
        assert!(slow.limit_bytes >= 8 * 1518);
        let fast = Limit { rate_bits: 10_000_000_000, burst_bits: None }.bucket(1500);
        assert_eq!((fast.burst_bytes, fast.limit_bytes), (12_500_000, 12_500_000 + 31_250_000));
        let endless = Limit { rate_bits: u64::MAX, burst_bits: Some(u64::MAX) }.bucket(65_535);
        assert!(endless.limit_bytes > endless.burst_bytes);
    }

    #[test]
    fn ifbs_have_names() {
        let name = ifb_name("veth0123456789a");
        assert_eq!((name.len(), check_name(&name)), (14, Ok(())));
        assert_ne!(name, ifb_name("veth0123456789b"));
    }
}
