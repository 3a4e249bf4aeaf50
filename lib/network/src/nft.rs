//! The packet rules of all networks: one table of our own, in few netlink round trips and one atomic transaction.
//!
//! The rules are the same whatever networks and published ports there are ([`table`]); a network is a few elements of sets,
//! a published port a few of maps ([`ports`]). So a packet costs the same with one network and with a hundred, and so does
//! adding one. docs/packet-rules.md says what each rule is for and how the table stands beside others'.
//!
//! Invariants:
//! - No other table is touched; a drop elsewhere (a firewall's forward policy) stays a drop.
//! - That the rules are whole is seen by asking for each chain, whose count of uses changes with every rule that comes or
//!   goes; nothing is listed. Whole chains are emptied and written anew in one batch, so no packet meets half of them.

pub mod expression;
pub mod message;
pub mod ports;
pub mod table;
pub mod transaction;

use crate::definition::Definition;
use crate::error::{Kind, Result};
use crate::socket::Request;
use message::Element;
use std::collections::BTreeSet;
use std::net::IpAddr;
use table::{
    CHAINS, FROM4, FROM6, INTERNAL, ITSELF4, ITSELF6, NETWORKS, OPEN, OUTBOUND4, OUTBOUND6, SETS, SOURCES4, SOURCES6,
    WITHIN,
};
pub use table::{COMMENT, TABLE};
use transaction::Rules;

const ENSURE: &str = "set packet rules for network";

/// What the rules must know about one network.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The network's name, for the comments.
    pub network: &'a str,
    /// Its bridge, or the outer end of a point-to-point link.
    pub link: &'a str,
    /// Whether nothing leaves it and nothing comes in.
    pub internal: bool,
    /// Whether its containers leave under this machine's IPv4 address.
    pub masquerade4: bool,
    /// The same for IPv6.
    pub masquerade6: bool,
    /// Whether its containers may talk to each other.
    pub icc: bool,
    /// Whether it is apart from other networks; two that are not reach each other.
    pub isolate: bool,
    /// The addresses its containers leave under, where they are told, one a family.
    pub leaves_by: [Option<IpAddr>; 2],
    /// The machine's links, with colons between, whose neighbours may reach its containers' own addresses; not where nothing comes in.
    pub trusted: &'a str,
}

impl<'a> Facts<'a> {
    /// Those of a network that is nothing but a bridge with masquerading.
    pub fn plain(network: &'a str, link: &'a str) -> Self {
        Self {
            network,
            link,
            internal: false,
            masquerade4: true,
            masquerade6: true,
            icc: true,
            isolate: true,
            leaves_by: [None; 2],
            trusted: "",
        }
    }

    /// Those of a network as it is defined.
    pub fn of(definition: &'a Definition) -> Self {
        Self {
            internal: definition.internal,
            masquerade4: definition.masquerades(false),
            masquerade6: definition.masquerades(true),
            icc: definition.icc(),
            isolate: definition.isolate,
            leaves_by: [false, true].map(|v6| definition.leaves_by(v6)),
            trusted: definition.option("trusted_host_interfaces").unwrap_or_default(),
            ..Self::plain(&definition.name, &definition.bridge)
        }
    }

    fn sets(&self) -> Vec<&'static str> {
        let chosen = [
            (NETWORKS, true),
            (OUTBOUND4, self.masquerade4 && !self.internal),
            (OUTBOUND6, self.masquerade6 && !self.internal),
            (INTERNAL, self.internal),
            (OPEN, !self.isolate && !self.internal),
            (WITHIN, self.icc),
        ];
        chosen.into_iter().filter(|(_, is)| *is).map(|(set, _)| set.name).collect()
    }

    fn elements(&self) -> Vec<Element> {
        let comment = format!("network {}", self.network);
        let element = |set| Element { set, key: self.key(set), value: None, comment: comment.clone() };
        let usual = self.sets().into_iter().map(element);
        usual.chain(self.special(&comment)).collect()
    }

    /// What few networks have: the addresses they leave by, and trusted links.
    fn special(&self, comment: &str) -> Vec<Element> {
        let name = message::interface_key(self.link);
        let element = |set, key, value| Element { set, key, value, comment: comment.to_owned() };
        let by = self.leaves_by.into_iter().flatten().filter(|_| !self.internal).map(|address| match address {
            IpAddr::V4(address) => element(FROM4.name, name.clone(), Some(address.octets().to_vec())),
            IpAddr::V6(address) => element(FROM6.name, name.clone(), Some(address.octets().to_vec())),
        });
        let trusted = self.trusted_links().into_iter();
        let trusted =
            trusted.map(|link| element(WITHIN.name, [message::interface_key(link), name.clone()].concat(), None));
        by.chain(trusted).collect()
    }

    /// Each of them once, and not the network's own: an element that a batch takes out twice keeps all of it from being done.
    fn trusted_links(&self) -> BTreeSet<&'a str> {
        let links = self.trusted.split(':').filter(|link| !link.is_empty() && *link != self.link);
        links.filter(|_| !self.internal).collect()
    }

    fn key(&self, set: &str) -> Vec<u8> {
        let name = message::interface_key(self.link);
        if set == WITHIN.name { name.repeat(2) } else { name }
    }

    /// All that a network can have, whatever its facts: what it was before may have been something else.
    fn anywhere(&self) -> Vec<(&'static str, Vec<u8>)> {
        let sets = [NETWORKS, OUTBOUND4, OUTBOUND6, FROM4, FROM6, INTERNAL, OPEN, WITHIN];
        let usual = sets.into_iter().map(|set| (set.name, self.key(set.name)));
        let special = self.special("").into_iter().filter(|element| element.set == WITHIN.name);
        usual.chain(special.map(|element| (element.set, element.key))).collect()
    }
}

/// Makes sure that table, rules and the network's elements are there; writes nothing where they are. Whether the rules were
/// not whole: then other networks and published ports may be lost too ([`crate::publish::heal`]).
pub fn ensure(facts: &Facts<'_>) -> Result<bool> {
    let mut rules = Rules::open(ENSURE, facts.network)?;
    let (whole, strays, lacks) = look(&mut rules, std::slice::from_ref(facts))?;
    if !whole || !strays.is_empty() || !lacks.is_empty() {
        write(&mut rules, std::slice::from_ref(facts))?;
    }
    Ok(!whole)
}

/// The same for many networks at once.
pub fn ensure_all(all: &[Facts<'_>]) -> Result<()> {
    let mut rules = Rules::open(ENSURE, all.first().map_or("", |facts| facts.network))?;
    write(&mut rules, all)
}

/// What is not as it should be, a line each: the rules, or a network's part in them.
pub fn missing(all: &[Facts<'_>]) -> Result<Vec<String>> {
    let mut rules = Rules::open("look at packet rules", "")?;
    let (whole, strays, lacks) = look(&mut rules, all)?;
    let mut lines = Vec::new();
    if !whole {
        lines.push(format!("packet rules: table inet {TABLE} is missing or was changed"));
    }
    let name = |element: &Element| element.comment.clone();
    lines.extend(lacks.iter().map(|e| format!("packet rules: {} is not in set {}", name(e), e.set)));
    lines.extend(strays.iter().map(|e| format!("packet rules: {} should not be in set {}", name(e), e.set)));
    Ok(lines)
}

/// Takes out the elements of a network with a bridge; with the last network goes the table. That nothing is there is fine.
pub fn remove(facts: &Facts<'_>) -> Result<()> {
    take_out(facts, true)
}

/// The same of a point-to-point line, by the link that is its outer end.
pub fn remove_line(link: &str) -> Result<()> {
    take_out(&Facts::plain("", link), false)
}

/// Takes out what `facts` can have, and where it `may_trust` links, those that it trusted.
fn take_out(facts: &Facts<'_>, may_trust: bool) -> Result<()> {
    let mut rules = match Rules::open("remove packet rules of network", facts.network) {
        Err(e) if e.kind == Kind::Unsupported => return Ok(()),
        opened => opened?,
    };
    rules.retry(|rules| {
        let wanted = facts.anywhere();
        let (generation, found) = rules.look(&wanted)?;
        let mut ours: Vec<Element> = found.into_iter().flatten().collect();
        if ours.is_empty() {
            return Ok(Ok(()));
        }
        if may_trust {
            // Which links those were may be forgotten with its definition.
            let into = message::interface_key(facts.link);
            let trusted = rules.elements(WITHIN.name)?.into_iter().filter(|element| element.key.ends_with(&into));
            ours.extend(trusted.filter(|element| !wanted.iter().any(|(_, key)| *key == element.key)));
        }
        let mut others = rules.elements(NETWORKS.name)?.iter().any(|e| e.key != facts.key(NETWORKS.name));
        for set in [SOURCES4, SOURCES6, ITSELF4, ITSELF6] {
            others = others || !rules.elements(set.name)?.is_empty();
        }
        let changes = match others {
            true => message::delete_elements(TABLE, &ours),
            false => vec![message::delete_table(TABLE)],
        };
        rules.send(Some(generation), changes)
    })
}

/// Whether the rules are whole, which elements should not be there, and which should.
fn look(rules: &mut Rules, all: &[Facts<'_>]) -> Result<(bool, Vec<Element>, Vec<Element>)> {
    let uses = table::uses();
    let mut questions: Vec<Request> = uses.iter().map(|(chain, _)| message::get_chain(TABLE, chain.name)).collect();
    let places: Vec<_> = all.iter().flat_map(Facts::anywhere).collect();
    questions.extend(places.iter().map(|(set, key)| message::get_element(TABLE, set, key)));
    let mut answers = rules.ask(&questions)?.into_iter();
    let mut whole = true;
    for (_, wanted) in &uses {
        let answer = answers.next().and_then(std::result::Result::ok).unwrap_or_default();
        whole &= answer.iter().find_map(message::read_chain_use) == Some(*wanted);
    }
    let found: Vec<Element> = places
        .iter()
        .zip(answers)
        .filter_map(|((set, _), answer)| answer.ok()?.iter().flat_map(|m| message::read_elements(set, m)).next())
        .collect();
    let wanted: Vec<Element> = all.iter().flat_map(Facts::elements).collect();
    let same = |a: &Element, b: &Element| (a.set, &a.key, &a.value) == (b.set, &b.key, &b.value);
    let lacks = wanted.iter().filter(|w| !found.iter().any(|f| same(f, w))).cloned().collect();
    let strays = found.into_iter().filter(|f| !wanted.iter().any(|w| same(f, w))).collect();
    Ok((whole, strays, lacks))
}

/// Writes the rules and the networks' elements, whatever was there before. It follows from nothing that was read but for
/// elements that should not be there, so only those need a generation.
fn write(rules: &mut Rules, all: &[Facts<'_>]) -> Result<()> {
    rules.retry(|rules| {
        let generation = rules.generation()?;
        let (_, strays, _) = look(rules, all)?;
        let mut changes = foundation();
        let wanted: Vec<Element> = all.iter().flat_map(Facts::elements).collect();
        // First, since a key that leads elsewhere stands in the way of itself.
        changes.extend(message::delete_elements(TABLE, &strays));
        changes.extend(message::new_elements(TABLE, &wanted, false));
        rules.send((!strays.is_empty()).then_some(generation), changes)
    })
}

/// The table with its sets, chains and rules.
fn foundation() -> Vec<Request> {
    let mut changes = vec![message::new_table(TABLE, COMMENT)];
    changes.extend(SETS.iter().map(|set| message::new_set(TABLE, set)));
    changes.extend(CHAINS.iter().map(|chain| message::new_chain(TABLE, chain)));
    changes.extend(CHAINS.iter().map(|chain| message::flush_chain(TABLE, chain.name)));
    let rule = |r: &table::Rule| message::new_rule(TABLE, r.chain, r.comment, &r.expressions);
    changes.extend(table::rules().iter().map(rule));
    changes
}

/// The same where it is not whole, so that what is entered is also heeded.
fn foundation_unless_there(rules: &mut Rules) -> Result<Vec<Request>> {
    let (whole, ..) = look(rules, &[])?;
    Ok(if whole { Vec::new() } else { foundation() })
}

#[cfg(test)]
mod tests {
    use super::Facts;
    use std::collections::BTreeSet;

    #[test]
    fn no_element_is_named_twice() {
        let facts = Facts { trusted: "up0:up1:up0:br0", ..Facts::plain("web", "br0") };
        let places = facts.anywhere();
        assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), places.len(), "{places:?}");
        let within = facts.elements().iter().filter(|element| element.set == super::WITHIN.name).count();
        assert_eq!(within, 3, "its own, and one a trusted link");
    }
}
