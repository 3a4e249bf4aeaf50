//! What a rule does, as the kernel's expressions: small steps over registers (net/netfilter/nft_*.c).

use crate::attribute::Attributes;

/// Registers of 16 bytes are 1 to 4, the same space in 4 bytes each is 8 to 23; 0 is the verdict's.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// The register of 4 bytes that begins `bytes` behind the first.
const fn at(bytes: u32) -> u32 {
    8 + bytes / 4
}

const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const META_KEY_IIFNAME: u32 = 6;
const META_KEY_OIFNAME: u32 = 7;
const META_KEY_NFPROTO: u32 = 15;
const META_KEY_L4PROTO: u32 = 16;
const META_KEY_IIF: u32 = 4;

const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const LOOKUP_DREG: u16 = 3;
const LOOKUP_FLAGS: u16 = 5;
/// `NFT_LOOKUP_F_INV`
const NOT_IN_SET: u32 = 1;

const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFT_JUMP: u32 = (-3_i32).cast_unsigned();
const NFT_RETURN: u32 = (-5_i32).cast_unsigned();

const CT_DREG: u16 = 1;
const CT_KEY: u16 = 2;
const CT_KEY_STATE: u32 = 0;
const CT_KEY_STATUS: u32 = 2;
/// The connection is established (`NF_CT_STATE_BIT(IP_CT_ESTABLISHED)`).
pub const ESTABLISHED: u32 = 2;
/// The connection belongs to another one.
pub const RELATED: u32 = 4;
/// The connection's destination was rewritten.
const IPS_DST_NAT: u32 = 1 << 5;

const BITWISE_SREG: u16 = 1;
const BITWISE_DREG: u16 = 2;
const BITWISE_LEN: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;

const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;

const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;
const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// TCP, UDP and SCTP have the destination port at the same place.
const DESTINATION_PORT: u32 = 2;

const FIB_DREG: u16 = 1;
const FIB_RESULT: u16 = 2;
const FIB_FLAGS: u16 = 3;
const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_F_DADDR: u32 = 2;
const RTN_LOCAL: u32 = 2;

const NAT_TYPE: u16 = 1;
const NAT_FAMILY: u16 = 2;
const NAT_REG_ADDR_MIN: u16 = 3;
const NAT_REG_PROTO_MIN: u16 = 5;
const NAT_SNAT: u32 = 0;
const NAT_DNAT: u32 = 1;

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const LIST_ELEM: u16 = 1;

/// The number of the first IPv4 loopback byte, and of IPv4's groups.
const LOOPBACK_NET: u8 = 127;
const GROUPS_V4: [u8; 4] = [0xe0, 0, 0, 0];
const GROUPS_V4_MASK: [u8; 4] = [0xf0, 0, 0, 0];
const GROUPS_V6: u8 = 0xff;

/// A family of addresses, with where its header has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// That of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv6() { Self::V6 } else { Self::V4 }
    }

    /// `NFPROTO_*`, which is `AF_*`.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    /// Bytes of an address.
    pub fn width(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    fn source(self) -> u32 {
        match self {
            Self::V4 => 12,
            Self::V6 => 8,
        }
    }

    fn destination(self) -> u32 {
        self.source() + self.width()
    }
}

/// One step as `nft` would write it.
#[derive(Debug, Clone, Copy)]
pub enum Expression {
    /// `meta nfproto ipv4`
    Is(Family),
    /// `iifname @SET`
    InterfaceIn(&'static str),
    /// `oifname @SET`
    InterfaceOut(&'static str),
    /// `iifname . oifname @SET`
    InterfacesIn(&'static str),
    /// `iifname != "lo"`
    FromOutside,
    /// `iif != 0`: not made here, and not bridged.
    Routed,
    /// `ip saddr 127.0.0.0/8`
    SourceLoopback(Family),
    /// `ip daddr 127.0.0.0/8`
    ToLoopback(Family),
    /// `ip daddr != 224.0.0.0/4`
    NotToGroup(Family),
    /// `ip6 daddr != @SET`
    NotTo(Family, &'static str),
    /// `ip saddr @SET`
    Source(Family, &'static str),
    /// `ip saddr . ip daddr @SET`
    Ends(Family, &'static str),
    /// `ip daddr @SET`
    Destination(Family, &'static str),
    /// `iifname . ether saddr != @SET`, in the family bridge
    Forged(&'static str),
    /// `fib daddr type local`
    ToThisMachine,
    /// `dnat ip to meta l4proto . th dport map @MAP`
    ByPort(Family, &'static str),
    /// `dnat ip to ip daddr . meta l4proto . th dport map @MAP`
    ByAddress(Family, &'static str),
    /// `snat ip to iifname map @MAP`; the family is said by another step
    LeaveBy(Family, &'static str),
    /// `ct state a,b`: one of these bits.
    CtStateAny(u32),
    /// `ct status dnat`
    CtStatusDnat,
    /// `masquerade`
    Masquerade,
    /// `jump CHAIN`
    Jump(&'static str),
    /// `return`
    Return,
    /// `accept`
    Accept,
    /// `drop`
    Drop,
}

/// The list of kernel expressions that `steps` come to.
pub fn encode(steps: &[Expression]) -> Attributes {
    let mut list = Attributes::new();
    for step in steps {
        for (name, data) in step.parts() {
            let mut one = Attributes::new().text(EXPR_NAME, name);
            if let Some(data) = data {
                one = one.nest(EXPR_DATA, data);
            }
            list = list.nest(LIST_ELEM, one);
        }
    }
    list
}

type Part = (&'static str, Option<Attributes>);

impl Expression {
    fn parts(self) -> Vec<Part> {
        match self {
            Self::Is(family) => is(family),
            Self::InterfaceIn(set) => vec![meta(META_KEY_IIFNAME, FIRST), lookup(set)],
            Self::InterfaceOut(set) => vec![meta(META_KEY_OIFNAME, FIRST), lookup(set)],
            Self::InterfacesIn(set) => {
                vec![meta(META_KEY_IIFNAME, FIRST), meta(META_KEY_OIFNAME, SECOND), lookup(set)]
            }
            Self::FromOutside => {
                let mut lo = [0; 16];
                lo[..2].copy_from_slice(b"lo");
                vec![meta(META_KEY_IIFNAME, FIRST), compare(CMP_NEQ, &lo)]
            }
            Self::Routed => vec![meta(META_KEY_IIF, FIRST), compare(CMP_NEQ, &[0; 4])],
            Self::SourceLoopback(family) => loopback(family, family.source()),
            Self::ToLoopback(family) => loopback(family, family.destination()),
            Self::NotToGroup(Family::V4) => {
                let load = payload(NETWORK_HEADER, Family::V4.destination(), 4, FIRST);
                let masked = masked(&GROUPS_V4_MASK);
                with(is(Family::V4), [load, masked, compare(CMP_NEQ, &GROUPS_V4)])
            }
            Self::NotToGroup(Family::V6) => {
                let load = payload(NETWORK_HEADER, Family::V6.destination(), 1, FIRST);
                with(is(Family::V6), [load, compare(CMP_NEQ, &[GROUPS_V6])])
            }
            Self::NotTo(family, set) => {
                let load = payload(NETWORK_HEADER, family.destination(), family.width(), FIRST);
                let not_in = Attributes::new().text(LOOKUP_SET, set).be32(LOOKUP_SREG, FIRST);
                with(is(family), [load, ("lookup", Some(not_in.be32(LOOKUP_FLAGS, NOT_IN_SET)))])
            }
            Self::Source(family, set) => {
                let load = payload(NETWORK_HEADER, family.source(), family.width(), FIRST);
                with(is(family), [load, lookup(set)])
            }
            Self::Ends(family, set) => {
                let source = payload(NETWORK_HEADER, family.source(), family.width(), FIRST);
                let destination = payload(NETWORK_HEADER, family.destination(), family.width(), at(family.width()));
                with(is(family), [source, destination, lookup(set)])
            }
            Self::Destination(family, set) => {
                let load = payload(NETWORK_HEADER, family.destination(), family.width(), FIRST);
                with(is(family), [load, lookup(set)])
            }
            Self::Forged(set) => {
                let other =
                    Attributes::new().text(LOOKUP_SET, set).be32(LOOKUP_SREG, FIRST).be32(LOOKUP_FLAGS, NOT_IN_SET);
                let source = payload(LINK_HEADER, 6, 6, SECOND);
                vec![meta(META_KEY_IIFNAME, FIRST), source, ("lookup", Some(other))]
            }
            Self::ToThisMachine => {
                let fib = Attributes::new()
                    .be32(FIB_RESULT, FIB_RESULT_ADDRTYPE)
                    .be32(FIB_FLAGS, FIB_F_DADDR)
                    .be32(FIB_DREG, FIRST);
                vec![("fib", Some(fib)), compare(CMP_EQ, &RTN_LOCAL.to_ne_bytes())]
            }
            Self::ByPort(family, map) => with(
                is(family),
                [
                    meta(META_KEY_L4PROTO, FIRST),
                    payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, at(4)),
                    translate(map),
                    dnat(family),
                ],
            ),
            Self::ByAddress(family, map) => {
                let width = family.width();
                with(
                    is(family),
                    [
                        payload(NETWORK_HEADER, family.destination(), width, FIRST),
                        meta(META_KEY_L4PROTO, at(width)),
                        payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, at(width + 4)),
                        translate(map),
                        dnat(family),
                    ],
                )
            }
            Self::LeaveBy(family, map) => vec![meta(META_KEY_IIFNAME, FIRST), translate(map), snat(family)],
            Self::CtStateAny(bits) => ct_any(CT_KEY_STATE, bits),
            Self::CtStatusDnat => ct_any(CT_KEY_STATUS, IPS_DST_NAT),
            Self::Masquerade => vec![("masq", None)],
            Self::Jump(chain) => vec![verdict(NFT_JUMP, Some(chain))],
            Self::Return => vec![verdict(NFT_RETURN, None)],
            Self::Accept => vec![verdict(NF_ACCEPT, None)],
            Self::Drop => vec![verdict(NF_DROP, None)],
        }
    }
}

fn with<const N: usize>(mut parts: Vec<Part>, more: [Part; N]) -> Vec<Part> {
    parts.extend(more);
    parts
}

fn is(family: Family) -> Vec<Part> {
    vec![meta(META_KEY_NFPROTO, FIRST), compare(CMP_EQ, &[family.number()])]
}

/// Packets with a loopback address at `offset` of their header.
fn loopback(family: Family, offset: u32) -> Vec<Part> {
    let one = std::net::Ipv6Addr::LOCALHOST.octets();
    let bytes = if family == Family::V4 { &[LOOPBACK_NET][..] } else { &one };
    with(is(family), [payload(NETWORK_HEADER, offset, bytes.len() as u32, FIRST), compare(CMP_EQ, bytes)])
}

fn meta(key: u32, register: u32) -> Part {
    ("meta", Some(Attributes::new().be32(META_KEY, key).be32(META_DREG, register)))
}

fn payload(base: u32, offset: u32, length: u32, register: u32) -> Part {
    let load = Attributes::new()
        .be32(PAYLOAD_DREG, register)
        .be32(PAYLOAD_BASE, base)
        .be32(PAYLOAD_OFFSET, offset)
        .be32(PAYLOAD_LEN, length);
    ("payload", Some(load))
}

fn compare(operation: u32, bytes: &[u8]) -> Part {
    let value = Attributes::new().bytes(DATA_VALUE, bytes);
    ("cmp", Some(Attributes::new().be32(CMP_SREG, FIRST).be32(CMP_OP, operation).nest(CMP_DATA, value)))
}

fn masked(mask: &[u8; 4]) -> Part {
    let value = |bytes: &[u8]| Attributes::new().bytes(DATA_VALUE, bytes);
    let data = Attributes::new()
        .be32(BITWISE_SREG, FIRST)
        .be32(BITWISE_DREG, FIRST)
        .be32(BITWISE_LEN, 4)
        .nest(BITWISE_MASK, value(mask))
        .nest(BITWISE_XOR, value(&[0; 4]));
    ("bitwise", Some(data))
}

fn lookup(set: &str) -> Part {
    ("lookup", Some(Attributes::new().text(LOOKUP_SET, set).be32(LOOKUP_SREG, FIRST)))
}

/// What the map says of the key in the registers, put in their place.
fn translate(map: &str) -> Part {
    ("lookup", Some(Attributes::new().text(LOOKUP_SET, map).be32(LOOKUP_SREG, FIRST).be32(LOOKUP_DREG, FIRST)))
}

fn dnat(family: Family) -> Part {
    let data = Attributes::new()
        .be32(NAT_TYPE, NAT_DNAT)
        .be32(NAT_FAMILY, family.number().into())
        .be32(NAT_REG_ADDR_MIN, FIRST)
        .be32(NAT_REG_PROTO_MIN, at(family.width()));
    ("nat", Some(data))
}

fn snat(family: Family) -> Part {
    let data = Attributes::new()
        .be32(NAT_TYPE, NAT_SNAT)
        .be32(NAT_FAMILY, family.number().into())
        .be32(NAT_REG_ADDR_MIN, FIRST);
    ("nat", Some(data))
}

fn verdict(code: u32, chain: Option<&str>) -> Part {
    let mut verdict = Attributes::new().be32(VERDICT_CODE, code);
    if let Some(chain) = chain {
        verdict = verdict.text(VERDICT_CHAIN, chain);
    }
    let data = Attributes::new().nest(DATA_VERDICT, verdict);
    ("immediate", Some(Attributes::new().be32(IMMEDIATE_DREG, VERDICT).nest(IMMEDIATE_DATA, data)))
}

/// True when the connection's `key` has one of `bits`. The registers hold numbers in the machine's order.
fn ct_any(key: u32, bits: u32) -> Vec<Part> {
    let load = Attributes::new().be32(CT_KEY, key).be32(CT_DREG, FIRST);
    vec![("ct", Some(load)), masked(&bits.to_ne_bytes()), compare(CMP_NEQ, &[0; 4])]
}
