//! Ports of bridges that may send from one hardware address only (`macspoofchk`), in a table of the family bridge:
//!
//! ```text
//! table bridge veneer-cni {
//!   set pinned { interface }   set allowed { interface . hardware address }
//!   chain prerouting { type filter hook prerouting priority -300; iifname @pinned iifname . ether saddr != @allowed drop }
//! }
//! ```

use super::super::call::{Call, failed, parse_mac};
use super::removal::Removal;
use crate::nft::expression::Expression;
use crate::nft::message::{self, Chain, Element, Hook, Kind as Part, Set};
use crate::nft::transaction::Rules;
use crate::socket::Request;
use spec::cni::Failure;

const TABLE: &str = "veneer-cni";
const OP: &str = "pin hardware address of";
const COMMENT: &str = "hardware addresses by CNI; made by netwire";
/// `NFPROTO_BRIDGE`, the first byte of a message's own header.
const FAMILY: u8 = 7;

const PINNED: Set = Set { name: "pinned", key: &[Part::Interface], value: &[] };
const ALLOWED: Set = Set { name: "allowed", key: &[Part::Interface, Part::Hardware], value: &[] };
/// All there is in it.
pub(super) const SETS: [Set; 2] = [PINNED, ALLOWED];
pub(super) const REMOVAL: Removal = Removal { op: OP, table: TABLE, sets: &[&SETS], family: bridged };
const PREROUTING: Chain = Chain { name: "prerouting", base: Some(("filter", Hook::Prerouting, -300)) };

/// The same request about the family bridge.
fn bridged(mut request: Request) -> Request {
    if let Some(family) = request.payload.first_mut() {
        *family = FAMILY;
    }
    request
}

/// Lets the port `outer` send from `mac` only.
pub(in super::super) fn pin_mac(call: &Call<'_>, outer: &str, mac: &str) -> Result<(), Failure> {
    let holder = super::own_holder(call);
    let name = message::interface_key(outer);
    let mut address = parse_mac(mac)?;
    address.resize(8, 0);
    let element = |set: Set, key| Element { set: set.name, key, value: None, comment: holder.clone() };
    let elements = [element(ALLOWED, [name.clone(), address].concat()), element(PINNED, name)];
    let mut changes = vec![message::new_table(TABLE, COMMENT)];
    changes.extend(SETS.iter().map(|set| message::new_set(TABLE, set)));
    changes.push(message::new_chain(TABLE, &PREROUTING));
    changes.push(message::flush_chain(TABLE, PREROUTING.name));
    let steps = [Expression::InterfaceIn(PINNED.name), Expression::Forged(ALLOWED.name), Expression::Drop];
    changes.push(message::new_rule(TABLE, PREROUTING.name, "forged hardware addresses", &steps));
    changes.extend(message::new_elements(TABLE, &elements, false));
    let mut rules = Rules::open(OP, outer).map_err(failed)?;
    rules.retry(|rules| rules.send(None, changes.iter().cloned().map(bridged).collect())).map_err(failed)
}
