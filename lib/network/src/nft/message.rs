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
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
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
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_ID: u16 = 10;
const SET_USERDATA: u16 = 13;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_USERDATA: u16 = 6;
const DATA_VALUE: u16 = 1;
const LIST_ELEM: u16 = 1;
const GEN_ID: u16 = 1;
/// A comment in the user data of tables, rules and elements (libnftnl's udata).
const UDATA_COMMENT: u8 = 0;
/// What libnftnl stores with a set whose keys are not in network order: kind 0, four bytes, the number 1.
const KEY_IN_MACHINE_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

/// `nft`'s own number for the type ifname; the kernel only stores it.
const TYPE_IFNAME: u32 = 41;
/// How `nft` packs the types of a concatenation.
const TYPE_BITS: u32 = 6;
/// `IFNAMSIZ`: the bytes of an interface's name in a key.
const INTERFACE_BYTES: usize = 16;

/// Where packets meet a chain.
#[derive(Debug, Clone, Copy)]
pub enum Hook {
    /// On their way through.
    Forward = 2,
    /// On their way out.
    Postrouting = 4,
}

/// A base chain; its policy is to accept.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// Its hook.
    pub hook: Hook,
    /// Its place among others at that hook.
    pub priority: i32,
}

/// A set of interface names, or of pairs of them.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// How many names a key is.
    pub width: usize,
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

/// A base chain; fine where it is.
pub fn new_chain(table: &str, chain: &Chain) -> Request {
    let hook =
        Attributes::new().be32(HOOK_NUMBER, chain.hook as u32).be32(HOOK_PRIORITY, chain.priority.cast_unsigned());
    let attributes = Attributes::new()
        .text(CHAIN_TABLE, table)
        .text(CHAIN_NAME, chain.name)
        .nest(CHAIN_HOOK, hook)
        .be32(CHAIN_POLICY, POLICY_ACCEPT)
        .text(CHAIN_TYPE, chain.kind);
    create(NEW_CHAIN, attributes)
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

/// Asks for all rules of a table.
pub fn dump_rules(table: &str) -> Request {
    plain(GET_RULE, Attributes::new().text(RULE_TABLE, table))
}

/// Chain and comment of a rule.
pub fn read_rule(message: &Message) -> Option<(String, String)> {
    if message.kind != kind(NEW_RULE) {
        return None;
    }
    let attributes = message.payload.get(HEADER..)?;
    let chain = attribute::find(attributes, RULE_CHAIN).map(attribute::text)?;
    let comment = attribute::find(attributes, RULE_USERDATA).and_then(read_udata).unwrap_or_default();
    Some((chain, comment))
}

/// A set; fine where it is.
pub fn new_set(table: &str, set: &Set) -> Request {
    let packed = (0..set.width).fold(0, |all, _| (all << TYPE_BITS) | TYPE_IFNAME);
    let attributes = Attributes::new()
        .text(SET_TABLE, table)
        .text(SET_NAME, set.name)
        .be32(SET_KEY_TYPE, packed)
        .be32(SET_KEY_LENGTH, (set.width * INTERFACE_BYTES) as u32)
        // Batches need an id for each new set; nothing of ours refers to it.
        .be32(SET_ID, 1);
    // Without it `nft` prints a lone name as an empty one.
    let attributes = if set.width == 1 { attributes.bytes(SET_USERDATA, &KEY_IN_MACHINE_ORDER) } else { attributes };
    create(NEW_SET, attributes)
}

/// An element; fine where it is.
pub fn new_element(table: &str, set: &str, key: &[u8], comment: &str) -> Request {
    create(NEW_SETELEM, element(table, set, key, Some(comment)))
}

/// Asks for an element.
pub fn get_element(table: &str, set: &str, key: &[u8]) -> Request {
    plain(GET_SETELEM, element(table, set, key, None))
}

/// Deletes an element, which must be there.
pub fn delete_element(table: &str, set: &str, key: &[u8]) -> Request {
    plain(DEL_SETELEM, element(table, set, key, None))
}

/// Asks for all elements of a set.
pub fn dump_elements(table: &str, set: &str) -> Request {
    plain(GET_SETELEM, Attributes::new().text(ELEMENTS_TABLE, table).text(ELEMENTS_SET, set))
}

/// The keys of the elements in a message.
pub fn read_keys(message: &Message) -> Vec<Vec<u8>> {
    let list = message.payload.get(HEADER..).and_then(|a| attribute::find(a, ELEMENTS)).unwrap_or_default();
    let key = |one: &[u8]| Some(attribute::find(attribute::find(one, ELEMENT_KEY)?, DATA_VALUE)?.to_vec());
    attribute::read(list).filter_map(|(_, one)| key(one)).collect()
}

fn element(table: &str, set: &str, key: &[u8], comment: Option<&str>) -> Attributes {
    let mut one = Attributes::new().nest(ELEMENT_KEY, Attributes::new().bytes(DATA_VALUE, key));
    if let Some(comment) = comment {
        one = one.bytes(ELEMENT_USERDATA, &udata(comment));
    }
    Attributes::new()
        .text(ELEMENTS_TABLE, table)
        .text(ELEMENTS_SET, set)
        .nest(ELEMENTS, Attributes::new().nest(LIST_ELEM, one))
}

/// A comment as user data: kind, length, text with its NUL. The kernel takes at most 256 bytes of user data.
fn udata(comment: &str) -> Vec<u8> {
    let text: Vec<u8> = comment.bytes().take(127).chain([0]).collect();
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
    use super::{NEW_RULE, interface_key, kind, new_element, new_rule, read_keys, read_rule};
    use crate::socket::Message;

    #[test]
    fn comments_come_back() {
        let rule = new_rule("t", "c", "why it is there", &[]);
        let read = read_rule(&Message { kind: kind(NEW_RULE), payload: rule.payload });
        assert_eq!(read, Some(("c".into(), "why it is there".into())));
    }

    #[test]
    fn keys_come_back() {
        let key = interface_key("veneer0");
        assert_eq!(key.len(), 16);
        let request = new_element("t", "s", &key, &"long ".repeat(100));
        assert_eq!(read_keys(&Message { kind: 0, payload: request.payload }), [key]);
    }
}
