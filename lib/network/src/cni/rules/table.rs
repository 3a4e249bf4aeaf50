//! The fixed part of the table `inet veneer-cni`: sets, maps, chains, rules.
//!
//! ```text
//! set outbound4 { address }                addresses that leave under this host's own, but to each other
//! map ports4    { protocol . port : address . port }          map bound4 the same, for one address of this host
//! set ends4     { address . address }      who is masqueraded on the way to a published port
//! set hairpin   { interface . interface }  bridges whose ports reach each other's published ports
//! set bridges   { interface }              isolated bridges      set same, apart { interface . interface }
//! ```
//!
//! The same with 6. Values of ports are where they lead.

use crate::nft::expression::{
    Expression,
    Family::{V4, V6},
};
use crate::nft::message::{self, Chain, Hook, Kind, Set};
use crate::socket::Request;
use Kind::{Address4, Address6, Interface, Port, Protocol};

/// The table's name; its family is inet.
pub(super) const TABLE: &str = "veneer-cni";
const COMMENT: &str = "attachments by CNI; made by netwire";

const fn set(name: &'static str, key: &'static [Kind]) -> Set {
    Set { name, key, value: &[] }
}

const fn map(name: &'static str, key: &'static [Kind], value: &'static [Kind]) -> Set {
    Set { name, key, value }
}

pub(super) const OUTBOUND4: Set = set("outbound4", &[Address4]);
pub(super) const OUTBOUND6: Set = set("outbound6", &[Address6]);
const PORTS4: Set = map("ports4", &[Protocol, Port], &[Address4, Port]);
const PORTS6: Set = map("ports6", &[Protocol, Port], &[Address6, Port]);
const BOUND4: Set = map("bound4", &[Address4, Protocol, Port], &[Address4, Port]);
const BOUND6: Set = map("bound6", &[Address6, Protocol, Port], &[Address6, Port]);
pub(super) const ENDS4: Set = set("ends4", &[Address4, Address4]);
pub(super) const ENDS6: Set = set("ends6", &[Address6, Address6]);
pub(super) const HAIRPIN: Set = set("hairpin", &[Interface, Interface]);
pub(super) const BRIDGES: Set = set("bridges", &[Interface]);
pub(super) const SAME: Set = set("same", &[Interface, Interface]);
pub(super) const APART: Set = set("apart", &[Interface, Interface]);

/// Those whose elements are an attachment's, and go with it.
pub(super) const OWNED: [Set; 8] = [OUTBOUND4, OUTBOUND6, PORTS4, PORTS6, BOUND4, BOUND6, ENDS4, ENDS6];
/// Of these, what lets addresses leave,
pub(super) const OUTBOUND: [Set; 2] = [OUTBOUND4, OUTBOUND6];
/// and what lets in.
pub(super) const PUBLICATION: [Set; 6] = [PORTS4, PORTS6, BOUND4, BOUND6, ENDS4, ENDS6];
/// Those whose elements are a bridge's, and stay: others may be on it.
const SHARED: [Set; 4] = [HAIRPIN, BRIDGES, SAME, APART];

/// The map of published ports.
pub(super) fn ports(v4: bool, bound: bool) -> Set {
    match (v4, bound) {
        (true, false) => PORTS4,
        (false, false) => PORTS6,
        (true, true) => BOUND4,
        (false, true) => BOUND6,
    }
}

const PUBLISHED: Chain = Chain { name: "published", base: None };
const GUARD: Chain = Chain { name: "guard", base: Some(("filter", Hook::Prerouting, -300)) };
const PREROUTING: Chain = Chain { name: "prerouting", base: Some(("nat", Hook::Prerouting, -100)) };
const OUTPUT: Chain = Chain { name: "output", base: Some(("nat", Hook::Output, -100)) };
const POSTROUTING: Chain = Chain { name: "postrouting", base: Some(("nat", Hook::Postrouting, 100)) };
const FORWARD: Chain = Chain { name: "forward", base: Some(("filter", Hook::Forward, 0)) };
/// One that is jumped to comes before those that jump.
const CHAINS: [Chain; 6] = [PUBLISHED, GUARD, PREROUTING, OUTPUT, POSTROUTING, FORWARD];

type Rule = (Chain, &'static str, Vec<Expression>);

fn rules() -> Vec<Rule> {
    use Expression::{
        Accept, ByAddress, ByPort, CtStatusDnat, Destination, Drop, Ends, FromOutside, InterfaceIn, InterfaceOut,
        InterfacesIn, Jump, Masquerade, NotToGroup, Return, Routed, Source, SourceLoopback, ToLoopback, ToThisMachine,
    };
    vec![
        (PUBLISHED, "on one address", vec![ByAddress(V4, BOUND4.name)]),
        (PUBLISHED, "on one address", vec![ByAddress(V6, BOUND6.name)]),
        (PUBLISHED, "on every address", vec![ByPort(V4, PORTS4.name)]),
        (PUBLISHED, "on every address", vec![ByPort(V6, PORTS6.name)]),
        (GUARD, "nobody outside has a loopback address", vec![ToLoopback(V4), FromOutside, Drop]),
        (GUARD, "nobody outside has a loopback address", vec![SourceLoopback(V4), FromOutside, Drop]),
        (PREROUTING, "published ports", vec![ToThisMachine, Jump(PUBLISHED.name)]),
        (OUTPUT, "published ports", vec![ToThisMachine, Jump(PUBLISHED.name)]),
        (POSTROUTING, "one's own published port", vec![CtStatusDnat, Ends(V4, ENDS4.name), Masquerade]),
        (POSTROUTING, "one's own published port", vec![CtStatusDnat, Ends(V6, ENDS6.name), Masquerade]),
        (POSTROUTING, "a neighbour's published port", vec![CtStatusDnat, InterfacesIn(HAIRPIN.name), Masquerade]),
        (POSTROUTING, "to each other", vec![Source(V4, OUTBOUND4.name), Destination(V4, OUTBOUND4.name), Return]),
        (POSTROUTING, "to each other", vec![Source(V6, OUTBOUND6.name), Destination(V6, OUTBOUND6.name), Return]),
        (POSTROUTING, "leaving", vec![NotToGroup(V4), Source(V4, OUTBOUND4.name), Routed, Masquerade]),
        (POSTROUTING, "leaving", vec![NotToGroup(V6), Source(V6, OUTBOUND6.name), Routed, Masquerade]),
        (FORWARD, "ports apart", vec![InterfacesIn(APART.name), Drop]),
        (FORWARD, "within a bridge", vec![InterfacesIn(SAME.name), Accept]),
        (FORWARD, "between bridges", vec![InterfaceIn(BRIDGES.name), InterfaceOut(BRIDGES.name), Drop]),
    ]
}

/// How often each chain is referred to once all rules are in: its rules, and the jumps to it.
pub(super) fn uses() -> Vec<(Chain, u32)> {
    let rules = rules();
    let count = |chain: &Chain| {
        let jumps = |e: &Expression| matches!(e, Expression::Jump(to) if *to == chain.name);
        rules.iter().map(|(c, _, steps)| u32::from(c.name == chain.name) + u32::from(steps.iter().any(jumps))).sum()
    };
    CHAINS.into_iter().map(|chain| (chain, count(&chain))).collect()
}

/// The requests that make the table, and its chains anew.
pub(super) fn foundation() -> Vec<Request> {
    let mut changes = vec![message::new_table(TABLE, COMMENT)];
    changes.extend(OWNED.iter().chain(&SHARED).map(|set| message::new_set(TABLE, set)));
    changes.extend(CHAINS.iter().map(|chain| message::new_chain(TABLE, chain)));
    changes.extend(CHAINS.iter().map(|chain| message::flush_chain(TABLE, chain.name)));
    let rule = |(chain, comment, steps): &Rule| message::new_rule(TABLE, chain.name, comment, steps);
    changes.extend(rules().iter().map(rule));
    changes
}
