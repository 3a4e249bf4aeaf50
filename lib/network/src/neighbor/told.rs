//! What the kernel tells of one entry of a table of neighbours, whichever table it is (`struct ndmsg` of <linux/neighbour.h>).

use crate::address::read_ip;
use crate::attribute;
use crate::mac::Mac;
use crate::socket::Message;
use std::net::IpAddr;

const HEADER: usize = 12;
const LINK_AT: usize = 4;
const STATE_AT: usize = 8;
const FLAGS_AT: usize = 10;
const KIND_AT: usize = 11;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// An entry with an address and a hardware address; others are of no use here.
#[derive(Debug)]
pub(crate) struct Told {
    /// `AF_INET`, `AF_INET6` or `AF_BRIDGE`.
    pub(crate) family: i32,
    /// The link's number.
    pub(crate) link: u32,
    /// `NUD_…`
    pub(crate) state: u16,
    /// `NTF_…`
    pub(crate) flags: u8,
    /// `RTN_…`
    pub(crate) kind: u8,
    pub(crate) address: IpAddr,
    pub(crate) mac: Mac,
}

impl Told {
    /// Reads an `RTM_NEWNEIGH`.
    pub(crate) fn read(message: &Message) -> Option<Self> {
        if message.kind != libc::RTM_NEWNEIGH {
            return None;
        }
        let payload = &message.payload;
        let attributes = payload.get(HEADER..)?;
        Some(Self {
            family: i32::from(*payload.first()?),
            link: payload.get(LINK_AT..).and_then(attribute::number)?,
            state: u16::from_ne_bytes(payload.get(STATE_AT..FLAGS_AT)?.try_into().ok()?),
            flags: *payload.get(FLAGS_AT)?,
            kind: *payload.get(KIND_AT)?,
            address: read_ip(attribute::find(attributes, NDA_DST)?)?,
            mac: Mac(attribute::find(attributes, NDA_LLADDR)?.try_into().ok()?),
        })
    }
}
