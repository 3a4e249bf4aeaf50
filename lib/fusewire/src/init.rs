//! INIT: what kernel and server agree on before anything else (`struct fuse_init_in`, `fuse_init_out`; fs/fuse/inode.c,
//! `process_init_reply`).

use crate::abi::{self, feature};
use crate::wire::{Reader, Writer};

/// What the kernel offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// Its minor protocol number.
    pub minor: u32,
    /// Its features ([`crate::abi::feature`]).
    pub features: u64,
    /// How far it would read ahead, in bytes.
    pub readahead_bytes: u32,
}

/// What the server wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Features; those not offered are left out.
    pub features: u64,
    /// Largest READ and WRITE; at most [`MOST_BYTES`].
    pub transfer_bytes: u32,
    /// How far the kernel reads ahead, in bytes.
    pub readahead_bytes: u32,
    /// How many requests nobody waits for may be under way at once.
    pub background: u16,
    /// How deep the file systems of backing files may be stacked already, plus one; 0 forbids passthrough.
    pub stack_depth: u32,
}

/// Largest READ and WRITE that buffers are made for.
pub const MOST_BYTES: u32 = 1 << 20;
const PAGE: u32 = 4096;

impl Default for Terms {
    fn default() -> Self {
        Self {
            features: feature::ASYNC_READ | feature::BIG_WRITES,
            transfer_bytes: MOST_BYTES,
            readahead_bytes: MOST_BYTES,
            background: 64,
            stack_depth: 0,
        }
    }
}

/// What a first request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hello {
    /// Terms are to be made.
    Offer(Offer),
    /// A newer major protocol: told ours, the kernel asks again.
    Newer,
    /// An older one than is spoken here.
    TooOld(u32, u32),
}

pub(crate) fn parse(mut body: Reader<'_>) -> Option<Hello> {
    let (major, minor) = (body.u32()?, body.u32()?);
    if major > abi::MAJOR {
        return Some(Hello::Newer);
    }
    if major < abi::MAJOR || minor < abi::OLDEST_MINOR {
        return Some(Hello::TooOld(major, minor));
    }
    let (readahead_bytes, low) = (body.u32()?, body.u32()?);
    let high = if u64::from(low) & feature::INIT_EXT != 0 { body.u32()? } else { 0 };
    let features = u64::from(low) | u64::from(high) << 32;
    Some(Hello::Offer(Offer { minor, features, readahead_bytes }))
}

/// The features both have: what the answer will say.
pub(crate) fn agreed(offer: &Offer, terms: &Terms) -> u64 {
    let wanted = terms.features | feature::MAX_PAGES | feature::ABORT_ERROR | feature::INIT_EXT;
    wanted & offer.features
}

pub(crate) fn put(offer: &Offer, terms: &Terms, out: &mut Writer<'_>) {
    let features = agreed(offer, terms);
    let transfer = terms.transfer_bytes.clamp(PAGE, MOST_BYTES);
    out.u32(abi::MAJOR);
    out.u32(abi::MINOR);
    out.u32(terms.readahead_bytes.min(offer.readahead_bytes));
    out.u32(features as u32);
    out.u16(terms.background);
    out.u16(terms.background / 4 * 3);
    out.u32(transfer);
    out.u32(1); // Times are kept to the nanosecond.
    out.u16((transfer / PAGE) as u16);
    out.u16(0);
    out.u32((features >> 32) as u32);
    out.u32(if features & feature::PASSTHROUGH != 0 { terms.stack_depth } else { 0 });
    out.zeros(12 * 2);
}

/// The answer to a newer protocol.
pub(crate) fn put_ours(out: &mut Writer<'_>) {
    out.u32(abi::MAJOR);
    out.u32(abi::MINOR);
    out.zeros(56);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(numbers: &[u32]) -> Option<Hello> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        parse(Reader(&bytes))
    }

    #[test]
    fn protocols_are_told_apart() {
        assert_eq!(hello(&[8, 1]), Some(Hello::Newer));
        assert_eq!(hello(&[7, 30, 0, 0]), Some(Hello::TooOld(7, 30)));
        assert_eq!(hello(&[6, 99, 0, 0]), Some(Hello::TooOld(6, 99)));
        assert_eq!(hello(&[7, 31, 4096]), None);
        let plain = Offer { minor: 31, features: 1, readahead_bytes: 4096 };
        assert_eq!(hello(&[7, 31, 4096, 1]), Some(Hello::Offer(plain)));
        let extended = Offer { minor: 45, features: feature::INIT_EXT | feature::PASSTHROUGH, readahead_bytes: 0 };
        assert_eq!(hello(&[7, 45, 0, 1 << 30, 1 << 5]), Some(Hello::Offer(extended)));
    }

    #[test]
    fn nothing_is_agreed_on_that_was_not_offered() {
        let offer = Offer { minor: 31, features: feature::MAX_PAGES, readahead_bytes: 100 };
        let terms = Terms { features: feature::PASSTHROUGH | feature::MAX_PAGES, stack_depth: 1, ..Terms::default() };
        let mut buffer = [0xff_u8; 64];
        let mut out = Writer::new(&mut buffer);
        put(&offer, &terms, &mut out);
        assert_eq!(out.finish(), Some(64));
        assert_eq!(buffer[12..16], (feature::MAX_PAGES as u32).to_ne_bytes());
        assert_eq!(buffer[28..30], 256_u16.to_ne_bytes());
        assert!(buffer[32..].iter().all(|b| *b == 0));
    }
}
