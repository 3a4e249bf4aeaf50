//! Queues of links and what leads packets into them (net/sched/): the token bucket, the ingress hook, and a redirection of
//! all that comes in.
//!
//! Composed by hand: `struct tcmsg`, a kind, options. Each function gives one request.

use crate::attribute::{self, Attributes};
use crate::socket::{Message, Request};

/// `struct tcmsg`
const HEADER: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;

/// Handles and parents: a major number in the upper half, a minor in the lower.
const ROOT: u32 = 0xffff_ffff;
const INGRESS: u32 = 0xffff_fff1;
const BUCKET_HANDLE: u32 = 0x0001_0000;
const INGRESS_HANDLE: u32 = 0xffff_0000;

const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
/// Frames are counted as they are; without it the kernel wants a table of transmission times.
const LINKLAYER_ETHERNET: u8 = 1;
/// The scheduler's clock ticks every 64 ns.
const TICK_SHIFT: u32 = 6;

const TCA_U32_SEL: u16 = 5;
const TCA_U32_ACT: u16 = 7;
const TC_U32_TERMINAL: u8 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_MIRRED_PARMS: u16 = 2;
const TC_ACT_STOLEN: u32 = 4;
const TCA_EGRESS_REDIR: u32 = 1;

const RTM_NEWQDISC: u16 = libc::RTM_NEWQDISC;
const REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// A token bucket: `rate` in the long run, `burst` at once, and so much waiting that nobody waits long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Bytes a second.
    pub rate_bytes: u64,
    /// Bytes that may go at once.
    pub burst_bytes: u32,
    /// Bytes that may wait; what comes then is dropped.
    pub limit_bytes: u32,
}

/// Makes a token bucket the queue of the link with number `link`, or changes the one that it is.
pub fn set_bucket(link: u32, bucket: &Bucket) -> Request {
    let rate = u32::try_from(bucket.rate_bytes).unwrap_or(u32::MAX);
    let burst_ns = u64::from(bucket.burst_bytes) * 1_000_000_000 / bucket.rate_bytes.max(1);
    // struct tc_tbf_qopt: two tc_ratespec, then limit, buffer and mtu.
    let mut parameters = vec![0, LINKLAYER_ETHERNET, 0, 0, 0, 0, 0, 0];
    parameters.extend_from_slice(&rate.to_ne_bytes());
    parameters.extend_from_slice(&[0; 12]);
    parameters.extend_from_slice(&bucket.limit_bytes.to_ne_bytes());
    parameters.extend_from_slice(&u32::try_from(burst_ns >> TICK_SHIFT).unwrap_or(u32::MAX).to_ne_bytes());
    parameters.extend_from_slice(&[0; 4]);
    let mut options =
        Attributes::new().bytes(TCA_TBF_PARMS, &parameters).bytes(TCA_TBF_BURST, &bucket.burst_bytes.to_ne_bytes());
    if bucket.rate_bytes > u64::from(u32::MAX) {
        options = options.bytes(TCA_TBF_RATE64, &bucket.rate_bytes.to_ne_bytes());
    }
    let attributes = Attributes::new().text(TCA_KIND, "tbf").nest(TCA_OPTIONS, options);
    request(RTM_NEWQDISC, REPLACE, link, BUCKET_HANDLE, ROOT, 0, attributes)
}

/// Takes the link's own queue away; the kernel puts back what the link had by itself. Refused with ENOENT where it has none.
pub fn remove_root(link: u32) -> Request {
    request(libc::RTM_DELQDISC, 0, link, 0, ROOT, 0, Attributes::new())
}

/// Opens the hook at which filters see what comes in by the link. Refused with EEXIST where it is open.
pub fn add_ingress(link: u32) -> Request {
    let attributes = Attributes::new().text(TCA_KIND, "ingress");
    request(RTM_NEWQDISC, CREATE, link, INGRESS_HANDLE, INGRESS, 0, attributes)
}

/// Closes that hook, and with it goes what is filtered there. Refused with ENOENT or EINVAL where it is not open.
pub fn remove_ingress(link: u32) -> Request {
    request(libc::RTM_DELQDISC, 0, link, INGRESS_HANDLE, INGRESS, 0, Attributes::new())
}

/// Leads everything that comes in by `link` out by the link `to`, for which the ingress hook must be open.
pub fn redirect(link: u32, to: u32) -> Request {
    // struct tc_u32_sel with one key that any packet has.
    let mut selector = vec![TC_U32_TERMINAL, 0, 1, 0];
    selector.resize(16 + 16, 0);
    // struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex.
    let mirred: Vec<u8> =
        [0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, to].iter().flat_map(|n: &u32| n.to_ne_bytes()).collect();
    let action = Attributes::new()
        .text(TCA_ACT_KIND, "mirred")
        .nest(TCA_ACT_OPTIONS, Attributes::new().bytes(TCA_MIRRED_PARMS, &mirred));
    let options = Attributes::new().bytes(TCA_U32_SEL, &selector).nest(TCA_U32_ACT, Attributes::new().nest(1, action));
    let attributes = Attributes::new().text(TCA_KIND, "u32").nest(TCA_OPTIONS, options);
    let info = (1 << 16) | u32::from((libc::ETH_P_ALL as u16).to_be());
    request(libc::RTM_NEWTFILTER, CREATE, link, 0, INGRESS_HANDLE, info, attributes)
}

/// Asks for all queues.
pub fn dump() -> Request {
    request(libc::RTM_GETQDISC, 0, 0, 0, 0, 0, Attributes::new())
}

/// Asks for the filters at the link's ingress hook.
pub fn dump_filters(link: u32) -> Request {
    request(libc::RTM_GETTFILTER, 0, link, 0, INGRESS_HANDLE, 0, Attributes::new())
}

/// A queue as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// The number of its link.
    pub link: u32,
    /// `tbf`, `ingress`, `noqueue`, …
    pub kind: String,
    /// Whether it is the link's own queue, not one within it.
    pub root: bool,
    /// What it is set to, if it is a token bucket.
    pub bucket: Option<Bucket>,
}

impl Qdisc {
    /// Reads an `RTM_NEWQDISC`.
    pub fn read(message: &Message) -> Option<Self> {
        if message.kind != RTM_NEWQDISC {
            return None;
        }
        let attributes = message.payload.get(HEADER..)?;
        let kind = attribute::find(attributes, TCA_KIND).map(attribute::text)?;
        let bucket = (kind == "tbf").then(|| read_bucket(attribute::find(attributes, TCA_OPTIONS)?)).flatten();
        let parent = message.payload.get(12..).and_then(attribute::number)?;
        Some(Self { link: message.payload.get(4..).and_then(attribute::number)?, kind, root: parent == ROOT, bucket })
    }
}

fn read_bucket(options: &[u8]) -> Option<Bucket> {
    let parameters = attribute::find(options, TCA_TBF_PARMS)?;
    let word = |at: usize| parameters.get(at..).and_then(attribute::number);
    let rate64 =
        attribute::find(options, TCA_TBF_RATE64).and_then(|v| Some(u64::from_ne_bytes(v.get(..8)?.try_into().ok()?)));
    let rate_bytes = rate64.or_else(|| word(8).map(u64::from))?;
    let burst_ns = u64::from(word(28)?) << TICK_SHIFT;
    let burst = u128::from(burst_ns) * u128::from(rate_bytes) / 1_000_000_000;
    let burst_bytes = u32::try_from(burst).unwrap_or(u32::MAX);
    Some(Bucket { rate_bytes, burst_bytes, limit_bytes: word(24)? })
}

/// The link to which the filter of `message` leads all packets, if it is one of [`redirect`].
pub fn read_redirection(message: &Message) -> Option<u32> {
    if message.kind != libc::RTM_NEWTFILTER {
        return None;
    }
    let options = attribute::find(message.payload.get(HEADER..)?, TCA_OPTIONS)?;
    let action = attribute::find(attribute::find(options, TCA_U32_ACT)?, 1)?;
    let parameters = attribute::find(attribute::find(action, TCA_ACT_OPTIONS)?, TCA_MIRRED_PARMS)?;
    attribute::number(parameters.get(24..)?)
}

fn request(kind: u16, flags: u16, link: u32, handle: u32, parent: u32, info: u32, attributes: Attributes) -> Request {
    let mut payload = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    for word in [link, handle, parent, info] {
        payload.extend_from_slice(&word.to_ne_bytes());
    }
    payload.extend(attributes.into_bytes());
    Request { kind, flags, payload }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Qdisc, read_redirection, redirect, set_bucket};
    use crate::socket::Message;

    #[test]
    fn a_bucket_is_read_as_it_was_written() {
        for rate_bytes in [8_000, 125_000_000, 12_500_000_000] {
            let bucket = Bucket { rate_bytes, burst_bytes: 65_536, limit_bytes: 100_000 };
            let payload = set_bucket(7, &bucket).payload;
            let read = Qdisc::read(&Message { kind: libc::RTM_NEWQDISC, payload }).expect("a queue");
            assert_eq!((read.link, read.kind.as_str(), read.root), (7, "tbf", true));
            let got = read.bucket.expect("a bucket");
            assert_eq!((got.rate_bytes, got.limit_bytes), (rate_bytes, 100_000));
            // The kernel's clock rounds.
            assert!(got.burst_bytes.abs_diff(65_536) <= 64 + (rate_bytes >> 24) as u32, "{got:?}");
        }
    }

    #[test]
    fn a_redirection_is_read_as_it_was_written() {
        let payload = redirect(7, 9).payload;
        assert_eq!(read_redirection(&Message { kind: libc::RTM_NEWTFILTER, payload }), Some(9));
        assert_eq!(read_redirection(&Message { kind: libc::RTM_NEWTFILTER, payload: vec![0; 3] }), None);
    }
}
