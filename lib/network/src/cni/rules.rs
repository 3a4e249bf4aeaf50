//! Packet rules of attachments: masquerading, published ports, isolated bridges, hardware addresses that cannot be forged.
//!
//! They are in a table of their own (`inet veneer-cni`, [`table`]), not in that of our networks: an attachment is the
//! runtime's, which deletes and collects it, and the other table goes with our last network. The rules are fixed; an
//! attachment is a few elements of sets and maps, whose comment says whose they are (`NETWORK CONTAINER INTERFACE`). So DEL
//! finds them with no memory of ours, and GC sees which are stale.
//!
//! No other table is touched: what a drop elsewhere stops stays stopped.

mod removal;
mod spoof;
mod table;

pub(super) use spoof::pin_mac;

use super::call::{Call, failed};
use super::inspection::damaged;
use crate::nft::message::{self, Element};
use crate::nft::transaction::Rules;
use crate::socket::Request;
use removal::Removal;
use spec::cni::{Attachment, Failure, Success};
use std::net::IpAddr;
use table::{APART, BRIDGES, HAIRPIN, OUTBOUND4, OUTBOUND6, OWNED, SAME, TABLE};

const OP: &str = "set packet rules of";
/// The table, for taking out of it: isolated bridges keep it, though their elements are no attachment's.
const REMOVAL: Removal = Removal { op: OP, table: TABLE, sets: &[&OWNED, &[BRIDGES]], family: |request| request };

/// A port of this host that leads to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port {
    /// The one address of this host; all of the family without.
    pub(super) host: Option<IpAddr>,
    /// The transport protocol's number.
    pub(super) protocol: u8,
    /// The port here.
    pub(super) port: u16,
    /// The container's address and port.
    pub(super) to: (IpAddr, u16),
}

impl Port {
    fn element(&self, holder: &str) -> Element {
        let numbers = |protocol: u8, port: u16| {
            let [high, low] = port.to_be_bytes();
            vec![protocol, 0, 0, 0, high, low, 0, 0]
        };
        let v4 = self.to.0.is_ipv4();
        let host = self.host.map(octets).unwrap_or_default();
        let [high, low] = self.to.1.to_be_bytes();
        Element {
            set: table::ports(v4, self.host.is_some()).name,
            key: [host, numbers(self.protocol, self.port)].concat(),
            value: Some([octets(self.to.0), vec![high, low, 0, 0]].concat()),
            comment: holder.to_owned(),
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// What stands on the elements of an attachment.
fn holder(network: &str, of: &Attachment) -> String {
    message::cut(&format!("{network} {} {}", of.container, of.interface)).to_owned()
}

fn own_holder(call: &Call<'_>) -> String {
    holder(&call.configuration.name, &call.attachment())
}

/// The element that lets `address` leave under this host's own.
fn outbound(address: IpAddr, holder: &str) -> Element {
    let set = if address.is_ipv4() { OUTBOUND4 } else { OUTBOUND6 };
    Element { set: set.name, key: octets(address), value: None, comment: holder.to_owned() }
}

/// Lets the result's addresses leave under this host's own.
pub(super) fn masquerade(call: &Call<'_>, result: &Success) -> Result<(), Failure> {
    let holder = own_holder(call);
    let elements = result.ips.iter().map(|ip| outbound(ip.address.address, &holder)).collect();
    enter(&holder, elements)
}

/// That what [`masquerade`] made is there, where it is `wanted`.
pub(super) fn expect_masquerade(call: &Call<'_>, wanted: bool, result: &Success) -> Result<(), Failure> {
    let holder = own_holder(call);
    let ours = result.ips.iter().filter(|ip| wanted && ip.interface.is_some());
    let elements: Vec<_> = ours.map(|ip| outbound(ip.address.address, &holder)).collect();
    expect(&holder, &elements, "masquerading")
}

/// Publishes ports. `loopback` lets this host reach them by its loopback address, and each container its own; `bridge` is the
/// link they lead to.
pub(super) fn publish(call: &Call<'_>, ports: &[Port], loopback: bool, bridge: Option<&str>) -> Result<(), Failure> {
    let holder = own_holder(call);
    let mut elements: Vec<Element> = ports.iter().map(|port| port.element(&holder)).collect();
    if loopback {
        let mut targets: Vec<IpAddr> = ports.iter().map(|port| port.to.0).collect();
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            let (set, lo): (_, IpAddr) = match target {
                IpAddr::V4(_) => (table::ENDS4, std::net::Ipv4Addr::LOCALHOST.into()),
                IpAddr::V6(_) => (table::ENDS6, std::net::Ipv6Addr::LOCALHOST.into()),
            };
            for source in [target, lo] {
                let key = [octets(source), octets(target)].concat();
                elements.push(Element { set: set.name, key, value: None, comment: holder.clone() });
            }
        }
        // Neighbours on the bridge: without it the answer would go straight to them, from an address they do not know.
        elements.extend(bridge.map(|bridge| Element {
            set: HAIRPIN.name,
            key: message::interface_key(bridge).repeat(2),
            value: None,
            comment: format!("bridge {bridge}"),
        }));
    }
    enter(&holder, elements)
}

/// That the ports are published.
pub(super) fn expect_ports(call: &Call<'_>, ports: &[Port]) -> Result<(), Failure> {
    let holder = own_holder(call);
    let elements: Vec<_> = ports.iter().map(|port| port.element(&holder)).collect();
    expect(&holder, &elements, "published port")
}

/// Isolates a bridge from other isolated ones, and with `apart` its ports from each other.
pub(super) fn isolate(call: &Call<'_>, bridge: &str, apart: bool) -> Result<(), Failure> {
    enter(&own_holder(call), isolation(bridge, apart))
}

/// That what [`isolate`] made is there.
pub(super) fn expect_isolation(call: &Call<'_>, bridge: &str, apart: bool) -> Result<(), Failure> {
    expect(&own_holder(call), &isolation(bridge, apart), "isolation")
}

fn isolation(bridge: &str, apart: bool) -> Vec<Element> {
    let name = message::interface_key(bridge);
    let element =
        |set: message::Set, key| Element { set: set.name, key, value: None, comment: format!("bridge {bridge}") };
    vec![element(BRIDGES, name.clone()), element(if apart { APART } else { SAME }, name.repeat(2))]
}

/// Takes out all that stands for this attachment but its ports, which are another plugin's.
pub(super) fn forget(call: &Call<'_>) -> Result<(), Failure> {
    let holder = own_holder(call);
    let own = |comment: &str| comment == holder;
    REMOVAL.take_out(&table::OUTBOUND, &holder, own).and(spoof::REMOVAL.take_out(&spoof::SETS, &holder, own))
}

/// Takes out the ports of this attachment.
pub(super) fn forget_ports(call: &Call<'_>) -> Result<(), Failure> {
    let holder = own_holder(call);
    REMOVAL.take_out(&table::PUBLICATION, &holder, |comment| comment == holder)
}

/// Takes out all that stands for attachments of `network` that are none of `valid`.
pub(super) fn forget_all_but(network: &str, valid: &[Attachment]) -> Result<(), Failure> {
    let valid: Vec<String> = valid.iter().map(|attachment| holder(network, attachment)).collect();
    let prefix = format!("{network} ");
    let stale = |comment: &str| comment.starts_with(&prefix) && !valid.iter().any(|v| v == comment);
    REMOVAL.take_out(&OWNED, network, stale).and(spoof::REMOVAL.take_out(&spoof::SETS, network, stale))
}

/// Enters `elements`, with table and rules where they are not whole. One that another attachment has, led elsewhere, is an
/// error; one that is left of a former life of this one goes.
fn enter(holder: &str, elements: Vec<Element>) -> Result<(), Failure> {
    if elements.is_empty() {
        return Ok(());
    }
    let mut rules = Rules::open(OP, holder).map_err(failed)?;
    let mut taken = None;
    let done = rules.retry(|rules| {
        taken = None;
        let (generation, whole, found) = look(rules, &elements)?;
        let mut changes = if whole { Vec::new() } else { table::foundation() };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (wanted, there) in elements.iter().zip(found) {
            match there {
                None => new.push(wanted.clone()),
                Some(there) if there.value == wanted.value && there.comment == wanted.comment => {}
                // Elements of bridges say nothing of whose they are.
                Some(there) if there.value.is_none() => {
                    old.push(there);
                    new.push(wanted.clone());
                }
                Some(there) if there.comment != wanted.comment && is_port(there.set) => taken = Some(there.comment),
                Some(there) => {
                    old.push(there);
                    new.push(wanted.clone());
                }
            }
        }
        if taken.is_some() {
            return Ok(Ok(()));
        }
        old.sort_by_key(|element| element.set);
        new.sort_by_key(|element| element.set);
        changes.extend(message::delete_elements(TABLE, &old));
        changes.extend(message::new_elements(TABLE, &new, false));
        if changes.is_empty() { Ok(Ok(())) } else { rules.send(Some(generation), changes) }
    });
    done.map_err(failed)?;
    match taken {
        None => Ok(()),
        Some(other) => Err(damaged(format!("port is already allocated: {other} has it")).during("publish")),
    }
}

fn is_port(set: &str) -> bool {
    [true, false].iter().any(|v4| [true, false].iter().any(|bound| table::ports(*v4, *bound).name == set))
}

/// The generation, whether the rules are whole, and what is there under the keys of `elements`.
fn look(rules: &mut Rules, elements: &[Element]) -> crate::Result<(u32, bool, Vec<Option<Element>>)> {
    let generation = rules.generation()?;
    let uses = table::uses();
    let mut questions: Vec<Request> = uses.iter().map(|(chain, _)| message::get_chain(TABLE, chain.name)).collect();
    questions.extend(elements.iter().map(|e| message::get_element(TABLE, e.set, &e.key)));
    let mut answers = rules.ask(&questions)?.into_iter();
    let mut whole = true;
    for (_, wanted) in &uses {
        let answer = answers.next().and_then(Result::ok).unwrap_or_default();
        whole &= answer.iter().find_map(message::read_chain_use) == Some(*wanted);
    }
    let found = elements
        .iter()
        .zip(answers)
        .map(|(element, answer)| answer.ok()?.iter().flat_map(|m| message::read_elements(element.set, m)).next());
    Ok((generation, whole, found.collect()))
}

fn expect(holder: &str, elements: &[Element], what: &str) -> Result<(), Failure> {
    if elements.is_empty() {
        return Ok(());
    }
    let mut rules = Rules::open(OP, holder).map_err(failed)?;
    let (_, whole, found) = look(&mut rules, elements).map_err(failed)?;
    let same =
        |(wanted, there): (&Element, &Option<Element>)| there.as_ref().is_some_and(|there| there.value == wanted.value);
    match whole && elements.iter().zip(&found).all(same) {
        true => Ok(()),
        false => Err(damaged(format!("packet rules of {holder} are missing: {what}"))),
    }
}
