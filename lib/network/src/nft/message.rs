//! The messages of nf_tables as bytes: tables, chains, rules, sets, elements, and the batch around them
//! (include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h).

use super::expression::{self, Expression};
use crate::attribute::{self, Attributes};
use crate::socket::{Message, Request};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENID: u16 = 1;

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const DEL_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_SETELEM: u16 = 12;
const GET_SETELEM: u16 = 13;
const DEL_SETELEM: u16 = 14;
const NEW_GEN: u16 = 15;
const GET_GEN: u16 = 16;

const FAMILY_UNSPEC: u8 = 0;
const FAMILY_INET: u8 = 1;
/// `struct nfgenmsg`.
const HEADER: usize = 4;

const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_USE: u16 = 6;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const POLICY_ACCEPT: u32 = 1;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_ID: u16 = 10;
const SET_USERDATA: u16 = 13;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_USERDATA: u16 = 6;
const DATA_VALUE: u16 = 1;
const LIST_ELEM: u16 = 1;
const GEN_ID: u16 = 1;
/// A comment in the user data of tables, rules and elements (libnftnl's udata).
const UDATA_COMMENT: u8 = 0;
/// What libnftnl stores with a set whose keys (kind 0) or values (kind 1) are numbers in the machine's order (1) or in the
/// network's (2); without it `nft` prints a lone name as an empty one.
const IN_MACHINE_ORDER: u32 = 1;
const IN_NETWORK_ORDER: u32 = 2;
/// `NFT_SET_MAP`
const IS_MAP: u32 = 8;
/// How `nft` packs the types of a concatenation.
const TYPE_BITS: u32 = 6;
/// `IFNAMSIZ`: the bytes of an interface's name in a key.
const INTERFACE_BYTES: usize = 16;
/// Elements that go into one message: their list is an attribute, whose length is a number of 16 bits.
const LIST_BYTES: usize = 60_000;

/// What a part of a key or value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An interface's name.
    Interface,
    /// An IPv4 address.
    Address4,
    /// An IPv6 address.
    Address6,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
    /// A number.
    Mark,
    /// A hardware address.
    Hardware,
}

impl Kind {
    /// `nft`'s own number for the type (the kernel only stores it), and its bytes, padded as in a concatenation.
    fn layout(self) -> (u32, u32) {
        match self {
            Self::Interface => (41, 16),
            Self::Address4 => (7, 4),
            Self::Address6 => (8, 16),
            Self::Protocol => (12, 4),
            Self::Port => (13, 4),
            Self::Mark => (19, 4),
            Self::Hardware => (9, 8),
        }
    }

    fn order(self) -> u32 {
        if matches!(self, Self::Interface | Self::Mark) { IN_MACHINE_ORDER } else { IN_NETWORK_ORDER }
    }
}

/// Where packets meet a chain.
#[derive(Debug, Clone, Copy)]
pub enum Hook {
    /// As they come in.
    Prerouting = 0,
    /// On their way through.
    Forward = 2,
    /// As this machine makes them.
    Output = 3,
    /// On their way out.
    Postrouting = 4,
}

/// A chain; the policy of a base chain is to accept.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// For a base chain: `filter` or `nat`, its hook, and its place among others there.
    pub base: Option<(&'static str, Hook, i32)>,
}

/// A set of keys, or with a value a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// What a key is made of.
    pub key: &'static [Kind],
    /// What a value is made of; nothing for a set.
    pub value: &'static [Kind],
}

/// An element as it is written: key, value of a map, and a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The set or map.
    pub set: &'static str,
    /// The key.
    pub key: Vec<u8>,
    /// The value, in a map.
    pub value: Option<Vec<u8>>,
    /// Who it is of; cut to what fits.
    pub comment: String,
}

/// The interface `name` as (part of) a set's key.
pub fn interface_key(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(INTERFACE_BYTES, 0);
    key
}

/// Begins a batch; with a generation it is refused when the rule set is at another one.
pub fn begin(generation: Option<u32>) -> Request {
    let attributes = generation.map_or_else(Attributes::new, |id| Attributes::new().be32(BATCH_GENID, id));
    Request { kind: BATCH_BEGIN, flags: 0, payload: payload(FAMILY_UNSPEC, SUBSYSTEM, attributes) }
}

/// Ends a batch.
pub fn end() -> Request {
    Request { kind: BATCH_END, flags: 0, payload: payload(FAMILY_UNSPEC, SUBSYSTEM, Attributes::new()) }
}

/// Asks at which generation the rule set is.
pub fn get_generation() -> Request {
    Request { kind: kind(GET_GEN), flags: 0, payload: payload(FAMILY_UNSPEC, 0, Attributes::new()) }
}

/// Reads the answer to [`get_generation`].
pub fn read_generation(message: &Message) -> Option<u32> {
    if message.kind != kind(NEW_GEN) {
        return None;
    }
    let value = attribute::find(message.payload.get(HEADER..)?, GEN_ID)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// A table; fine where it is.
pub fn new_table(table: &str, comment: &str) -> Request {
    create(NEW_TABLE, Attributes::new().text(TABLE_NAME, table).bytes(TABLE_USERDATA, &udata(comment)))
}

/// Asks for a table.
pub fn get_table(table: &str) -> Request {
    plain(GET_TABLE, Attributes::new().text(TABLE_NAME, table))
}

/// Deletes a table with all in it.
pub fn delete_table(table: &str) -> Request {
    plain(DEL_TABLE, Attributes::new().text(TABLE_NAME, table))
}

/// A chain; fine where it is.
pub fn new_chain(table: &str, chain: &Chain) -> Request {
    let mut attributes = Attributes::new().text(CHAIN_TABLE, table).text(CHAIN_NAME, chain.name);
    if let Some((kind, hook, priority)) = chain.base {
        let hook = Attributes::new().be32(HOOK_NUMBER, hook as u32).be32(HOOK_PRIORITY, priority.cast_unsigned());
        attributes = attributes.nest(CHAIN_HOOK, hook).be32(CHAIN_POLICY, POLICY_ACCEPT).text(CHAIN_TYPE, kind);
    }
    create(NEW_CHAIN, attributes)
}

/// Asks for a chain.
pub fn get_chain(table: &str, chain: &str) -> Request {
    plain(GET_CHAIN, Attributes::new().text(CHAIN_TABLE, table).text(CHAIN_NAME, chain))
}

/// How often a chain is referred to: by its rules and by jumps to it.
pub fn read_chain_use(message: &Message) -> Option<u32> {
    if message.kind != kind(NEW_CHAIN) {
        return None;
    }
    let value = attribute::find(message.payload.get(HEADER..)?, CHAIN_USE)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// Deletes all rules of a chain.
pub fn flush_chain(table: &str, chain: &str) -> Request {
    plain(DEL_RULE, Attributes::new().text(RULE_TABLE, table).text(RULE_CHAIN, chain))
}

/// A rule behind those that are there.
pub fn new_rule(table: &str, chain: &str, comment: &str, steps: &[Expression]) -> Request {
    let attributes = Attributes::new()
        .text(RULE_TABLE, table)
        .text(RULE_CHAIN, chain)
        .nest(RULE_EXPRESSIONS, expression::encode(steps))
        .bytes(RULE_USERDATA, &udata(comment));
    let mut request = create(NEW_RULE, attributes);
    request.flags |= libc::NLM_F_APPEND as u16;
    request
}

/// A set or map; fine where it is.
pub fn new_set(table: &str, set: &Set) -> Request {
    let packed = |kinds: &[Kind]| kinds.iter().fold(0, |all, kind| (all << TYPE_BITS) | kind.layout().0);
    let length = |kinds: &[Kind]| kinds.iter().map(|kind| kind.layout().1).sum();
    let mut attributes = Attributes::new()
        .text(SET_TABLE, table)
        .text(SET_NAME, set.name)
        .be32(SET_KEY_TYPE, packed(set.key))
        .be32(SET_KEY_LENGTH, length(set.key))
        // Batches need an id for each new set; nothing of ours refers to it.
        .be32(SET_ID, 1);
    if !set.value.is_empty() {
        attributes = attributes
            .be32(SET_FLAGS, IS_MAP)
            .be32(SET_DATA_TYPE, packed(set.value))
            .be32(SET_DATA_LENGTH, length(set.value));
    }
    let order = |number: u8, kinds: &[Kind]| match kinds {
        [lone] => [&[number, 4][..], &lone.order().to_ne_bytes()].concat(),
        _ => Vec::new(),
    };
    let orders = [order(0, set.key), order(1, set.value)].concat();
    if !orders.is_empty() {
        attributes = attributes.bytes(SET_USERDATA, &orders);
    }
    create(NEW_SET, attributes)
}

/// Elements, as many to a message as go in. One that is there with the same value is fine, unless they are to be `new`.
pub fn new_elements(table: &str, elements: &[Element], new: bool) -> Vec<Request> {
    let mut requests = lists(NEW_SETELEM, table, elements, true);
    let flags = libc::NLM_F_CREATE | if new { libc::NLM_F_EXCL } else { 0 };
    requests.iter_mut().for_each(|request| request.flags = flags as u16);
    requests
}

/// Deletes elements, which must all be there.
pub fn delete_elements(table: &str, elements: &[Element]) -> Vec<Request> {
    lists(DEL_SETELEM, table, elements, false)
}

/// Deletes all elements of a set.
pub fn flush_set(table: &str, set: &str) -> Request {
    plain(DEL_SETELEM, Attributes::new().text(ELEMENTS_TABLE, table).text(ELEMENTS_SET, set))
}

/// Asks for an element.
pub fn get_element(table: &str, set: &str, key: &[u8]) -> Request {
    let one = Attributes::new().nest(ELEMENT_KEY, Attributes::new().bytes(DATA_VALUE, key));
    plain(GET_SETELEM, list(table, set, Attributes::new().nest(LIST_ELEM, one)))
}

/// Asks for all elements of a set.
pub fn dump_elements(table: &str, set: &str) -> Request {
    plain(GET_SETELEM, Attributes::new().text(ELEMENTS_TABLE, table).text(ELEMENTS_SET, set))
}

/// The elements in a message of `set`.
pub fn read_elements(set: &'static str, message: &Message) -> Vec<Element> {
    let list = message.payload.get(HEADER..).and_then(|a| attribute::find(a, ELEMENTS)).unwrap_or_default();
    let value = |one: &[u8], kind| Some(attribute::find(attribute::find(one, kind)?, DATA_VALUE)?.to_vec());
    let element = |one: &[u8]| {
        Some(Element {
            set,
            key: value(one, ELEMENT_KEY)?,
            value: value(one, ELEMENT_DATA),
            comment: attribute::find(one, ELEMENT_USERDATA).and_then(read_udata).unwrap_or_default(),
        })
    };
    attribute::read(list).filter_map(|(_, one)| element(one)).collect()
}

/// Messages of `elements`, each with those of one set, in order.
fn lists(message: u16, table: &str, elements: &[Element], whole: bool) -> Vec<Request> {
    let mut requests = Vec::new();
    for of_one in elements.chunk_by(|a, b| a.set == b.set) {
        let set = of_one[0].set;
        let (mut all, mut length) = (Attributes::new(), 0);
        for element in of_one {
            if length > LIST_BYTES {
                requests.push(plain(message, self::list(table, set, std::mem::take(&mut all))));
                length = 0;
            }
            let mut one = Attributes::new().nest(ELEMENT_KEY, Attributes::new().bytes(DATA_VALUE, &element.key));
            if let Some(value) = element.value.as_ref().filter(|_| whole) {
                one = one.nest(ELEMENT_DATA, Attributes::new().bytes(DATA_VALUE, value));
            }
            if whole {
                one = one.bytes(ELEMENT_USERDATA, &udata(&element.comment));
            }
            length += element.key.len() + element.value.as_ref().map_or(0, Vec::len) + element.comment.len() + 40;
            all = all.nest(LIST_ELEM, one);
        }
        requests.push(plain(message, self::list(table, set, all)));
    }
    requests
}

fn list(table: &str, set: &str, elements: Attributes) -> Attributes {
    Attributes::new().text(ELEMENTS_TABLE, table).text(ELEMENTS_SET, set).nest(ELEMENTS, elements)
}

/// What of `comment` can be written on an element: `nft` reads back no more.
pub fn cut(comment: &str) -> &str {
    &comment[..comment.floor_char_boundary(127)]
}

/// A comment as user data: kind, length, text with its NUL. The kernel takes at most 256 bytes of user data.
fn udata(comment: &str) -> Vec<u8> {
    let text: Vec<u8> = cut(comment).bytes().chain([0]).collect();
    let mut all = vec![UDATA_COMMENT, text.len() as u8];
    all.extend_from_slice(&text);
    all
}

fn read_udata(mut rest: &[u8]) -> Option<String> {
    loop {
        let (kind, length) = (*rest.first()?, usize::from(*rest.get(1)?));
        let value = rest.get(2..2 + length)?;
        if kind == UDATA_COMMENT {
            return Some(attribute::text(value));
        }
        rest = &rest[2 + length..];
    }
}

fn kind(message: u16) -> u16 {
    (SUBSYSTEM << 8) | message
}

fn plain(message: u16, attributes: Attributes) -> Request {
    Request { kind: kind(message), flags: 0, payload: payload(FAMILY_INET, 0, attributes) }
}

fn create(message: u16, attributes: Attributes) -> Request {
    Request { flags: libc::NLM_F_CREATE as u16, ..plain(message, attributes) }
}

fn payload(family: u8, resource: u16, attributes: Attributes) -> Vec<u8> {
    let mut bytes = vec![family, 0];
    bytes.extend_from_slice(&resource.to_be_bytes());
    bytes.extend_from_slice(&attributes.into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Element, NEW_SETELEM, interface_key, kind, new_elements, read_elements};
    use crate::socket::Message;

    #[test]
    fn elements_come_back() {
        let element = |n: u16, comment: &str| Element {
            set: "s",
            key: interface_key(&format!("veneer{n}")),
            value: Some(n.to_be_bytes().to_vec()),
            comment: comment.into(),
        };
        let elements: Vec<_> = (0..2000).map(|n| element(n, "web c1")).collect();
        let requests = new_elements("t", &elements, true);
        assert!(requests.len() > 1 && requests.iter().all(|r| r.payload.len() < 65_536), "{}", requests.len());
        let message = |r: crate::socket::Request| Message { kind: kind(NEW_SETELEM), payload: r.payload };
        let read: Vec<_> = requests.into_iter().flat_map(|r| read_elements("s", &message(r))).collect();
        assert_eq!(read, elements);
        let long = new_elements("t", &[element(1, &"ä".repeat(100))], false);
        assert_eq!(read_elements("s", &message(long[0].clone()))[0].comment, "ä".repeat(63));
    }
}
