//! What a rule does, as the kernel's expressions: small steps over registers (net/netfilter/nft_*.c).

use crate::attribute::Attributes;

/// Registers of 16 bytes; 0 is the verdict's.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;

const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const META_KEY_IIFNAME: u32 = 6;
const META_KEY_OIFNAME: u32 = 7;

const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;

const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

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
const CMP_NEQ: u32 = 1;

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const LIST_ELEM: u16 = 1;

/// One step as `nft` would write it.
#[derive(Debug, Clone, Copy)]
pub enum Expression {
    /// `iifname @SET`
    InterfaceIn(&'static str),
    /// `oifname @SET`
    InterfaceOut(&'static str),
    /// `iifname . oifname @SET`
    InterfacesIn(&'static str),
    /// `ct state a,b`: one of these bits.
    CtStateAny(u32),
    /// `ct status dnat`
    CtStatusDnat,
    /// `masquerade`
    Masquerade,
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
            Self::InterfaceIn(set) => vec![meta(META_KEY_IIFNAME, FIRST), lookup(set)],
            Self::InterfaceOut(set) => vec![meta(META_KEY_OIFNAME, FIRST), lookup(set)],
            Self::InterfacesIn(set) => {
                vec![meta(META_KEY_IIFNAME, FIRST), meta(META_KEY_OIFNAME, SECOND), lookup(set)]
            }
            Self::CtStateAny(bits) => ct_any(CT_KEY_STATE, bits),
            Self::CtStatusDnat => ct_any(CT_KEY_STATUS, IPS_DST_NAT),
            Self::Masquerade => vec![("masq", None)],
            Self::Accept => vec![verdict(NF_ACCEPT)],
            Self::Drop => vec![verdict(NF_DROP)],
        }
    }
}

fn meta(key: u32, register: u32) -> Part {
    ("meta", Some(Attributes::new().be32(META_KEY, key).be32(META_DREG, register)))
}

fn lookup(set: &str) -> Part {
    ("lookup", Some(Attributes::new().text(LOOKUP_SET, set).be32(LOOKUP_SREG, FIRST)))
}

fn verdict(code: u32) -> Part {
    let data = Attributes::new().nest(DATA_VERDICT, Attributes::new().be32(VERDICT_CODE, code));
    ("immediate", Some(Attributes::new().be32(IMMEDIATE_DREG, VERDICT).nest(IMMEDIATE_DATA, data)))
}

/// True when the connection's `key` has one of `bits`. The registers hold numbers in the machine's order.
fn ct_any(key: u32, bits: u32) -> Vec<Part> {
    let number = |n: u32| Attributes::new().bytes(DATA_VALUE, &n.to_ne_bytes());
    let load = Attributes::new().be32(CT_KEY, key).be32(CT_DREG, FIRST);
    let mask = Attributes::new()
        .be32(BITWISE_SREG, FIRST)
        .be32(BITWISE_DREG, FIRST)
        .be32(BITWISE_LEN, 4)
        .nest(BITWISE_MASK, number(bits))
        .nest(BITWISE_XOR, number(0));
    let compare = Attributes::new().be32(CMP_SREG, FIRST).be32(CMP_OP, CMP_NEQ).nest(CMP_DATA, number(0));
    vec![("ct", Some(load)), ("bitwise", Some(mask)), ("cmp", Some(compare))]
}
