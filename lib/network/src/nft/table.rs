//! The table's fixed part: its sets and maps, its chains, its rules. The chapter on what they are for is in
//! docs/packet-rules.md; networks and ports are elements only.

use super::expression::{
    ESTABLISHED, Expression,
    Family::{V4, V6},
    RELATED,
};
use super::message::{Chain, Hook, Kind, Set};

/// The table's name; its family is inet.
pub const TABLE: &str = "veneer";
/// What is written on it.
pub const COMMENT: &str = "container networks; made by netwire";

use Kind::{Address4, Address6, Interface, Mark, Port, Protocol};

const fn set(name: &'static str, key: &'static [Kind]) -> Set {
    Set { name, key, value: &[] }
}

const fn map(name: &'static str, key: &'static [Kind], value: &'static [Kind]) -> Set {
    Set { name, key, value }
}

/// Every link of ours.
pub const NETWORKS: Set = set("networks", &[Interface]);
/// Those whose containers leave under this machine's IPv4 address. Not `masquerade`: `nft` could not read back what it
/// prints, since that is a word of its grammar.
pub const OUTBOUND4: Set = set("outbound4", &[Interface]);
/// The same for IPv6.
pub const OUTBOUND6: Set = set("outbound6", &[Interface]);
/// Those whose containers leave under one IPv4 address that was told, whatever the route.
pub const FROM4: Set = map("from4", &[Interface], &[Address4]);
/// The same for IPv6.
pub const FROM6: Set = map("from6", &[Interface], &[Address6]);
/// Links that nothing leaves and nothing enters.
pub const INTERNAL: Set = set("internal", &[Interface]);
/// Links that reach each other, because their networks are not isolated.
pub const OPEN: Set = set("open", &[Interface]);
/// Each link with itself, where its containers may talk to each other; and with each link that is trusted to reach them.
pub const WITHIN: Set = set("within", &[Interface, Interface]);
/// Single addresses that leave under this machine's, where there is no link to tell them by.
pub const SOURCES4: Set = set("sources4", &[Address4]);
/// The same for IPv6.
pub const SOURCES6: Set = set("sources6", &[Address6]);
/// Each container with published ports, as its own peer.
pub const ITSELF4: Set = set("itself4", &[Address4, Address4]);
/// The same for IPv6.
pub const ITSELF6: Set = set("itself6", &[Address6, Address6]);
/// Ports published on every IPv4 address of this machine.
pub const PORTS4: Set = map("ports4", &[Protocol, Port], &[Address4, Port]);
/// The same for IPv6.
pub const PORTS6: Set = map("ports6", &[Protocol, Port], &[Address6, Port]);
/// Ports published on one address.
pub const BOUND4: Set = map("bound4", &[Address4, Protocol, Port], &[Address4, Port]);
/// The same for IPv6.
pub const BOUND6: Set = map("bound6", &[Address6, Protocol, Port], &[Address6, Port]);
/// How often a port is published on single addresses, 0 for all of them. No packet meets it: it is what makes the kernel
/// refuse a port on all addresses beside one on a single address.
pub const CLAIMS4: Set = map("claims4", &[Protocol, Port], &[Mark]);
/// The same for IPv6.
pub const CLAIMS6: Set = map("claims6", &[Protocol, Port], &[Mark]);

/// The loopback address of IPv6, where the kernel can carry answers back to it.
pub const LOOPBACK6: Set = set("loopback6", &[Address6]);

/// All of them.
pub const SETS: [Set; 19] = [
    NETWORKS, OUTBOUND4, OUTBOUND6, FROM4, FROM6, INTERNAL, OPEN, WITHIN, SOURCES4, SOURCES6, ITSELF4, ITSELF6, PORTS4,
    PORTS6, BOUND4, BOUND6, CLAIMS4, CLAIMS6, LOOPBACK6,
];

const PUBLISHED: Chain = Chain { name: "published", base: None };
const GUARD: Chain = Chain { name: "guard", base: Some(("filter", Hook::Prerouting, -300)) };
const PREROUTING: Chain = Chain { name: "prerouting", base: Some(("nat", Hook::Prerouting, -100)) };
const OUTPUT: Chain = Chain { name: "output", base: Some(("nat", Hook::Output, -100)) };
const POSTROUTING: Chain = Chain { name: "postrouting", base: Some(("nat", Hook::Postrouting, 100)) };
const FORWARD: Chain = Chain { name: "forward", base: Some(("filter", Hook::Forward, 0)) };

/// All chains; one that is jumped to comes before those that jump.
pub const CHAINS: [Chain; 6] = [PUBLISHED, GUARD, PREROUTING, OUTPUT, POSTROUTING, FORWARD];

const NOBODY: &str = "nobody outside has a loopback address";

/// A rule: its chain, what it is for (shown as its comment), and what it does.
#[derive(Debug)]
pub struct Rule {
    /// The chain's name.
    pub chain: &'static str,
    /// What it is for.
    pub comment: &'static str,
    /// What it does.
    pub expressions: Vec<Expression>,
}

/// All rules, in order.
pub fn rules() -> Vec<Rule> {
    use Expression::{
        Accept, ByAddress, ByPort, CtStateAny, CtStatusDnat, Drop, Ends, FromOutside, InterfaceIn, InterfaceOut,
        InterfacesIn, Jump, LeaveBy, Masquerade, NotTo, NotToGroup, Return, Routed, Source, SourceLoopback, ToLoopback,
        ToThisMachine,
    };
    let rule = |chain: &Chain, comment, expressions| Rule { chain: chain.name, comment, expressions };
    vec![
        rule(&PUBLISHED, "on one address", vec![ByAddress(V4, BOUND4.name)]),
        rule(&PUBLISHED, "on one address", vec![ByAddress(V6, BOUND6.name)]),
        rule(&PUBLISHED, "on every address", vec![ByPort(V4, PORTS4.name)]),
        rule(&PUBLISHED, "on every address", vec![ByPort(V6, PORTS6.name)]),
        rule(&GUARD, NOBODY, vec![ToLoopback(V4), FromOutside, Drop]),
        rule(&GUARD, NOBODY, vec![SourceLoopback(V4), FromOutside, Drop]),
        rule(&GUARD, NOBODY, vec![ToLoopback(V6), FromOutside, Drop]),
        rule(&GUARD, NOBODY, vec![SourceLoopback(V6), FromOutside, Drop]),
        rule(&PREROUTING, "published ports", vec![ToThisMachine, Jump(PUBLISHED.name)]),
        rule(
            &OUTPUT,
            "refused at once where it could not be answered",
            vec![ToLoopback(V6), NotTo(V6, LOOPBACK6.name), Return],
        ),
        rule(&OUTPUT, "published ports", vec![ToThisMachine, Jump(PUBLISHED.name)]),
        rule(
            &POSTROUTING,
            "a neighbour's published port",
            vec![CtStatusDnat, InterfaceIn(NETWORKS.name), InterfaceOut(NETWORKS.name), Masquerade],
        ),
        rule(&POSTROUTING, "one's own published port", vec![CtStatusDnat, Ends(V4, ITSELF4.name), Masquerade]),
        rule(&POSTROUTING, "one's own published port", vec![CtStatusDnat, Ends(V6, ITSELF6.name), Masquerade]),
        // Open networks see each other as they are.
        rule(&POSTROUTING, "between open networks", vec![InterfaceIn(OPEN.name), InterfaceOut(OPEN.name), Accept]),
        rule(&POSTROUTING, "leaving a network by one address", vec![NotToGroup(V4), LeaveBy(V4, FROM4.name)]),
        rule(&POSTROUTING, "leaving a network by one address", vec![NotToGroup(V6), LeaveBy(V6, FROM6.name)]),
        rule(&POSTROUTING, "leaving a network", vec![NotToGroup(V4), InterfaceIn(OUTBOUND4.name), Masquerade]),
        rule(&POSTROUTING, "leaving a network", vec![NotToGroup(V6), InterfaceIn(OUTBOUND6.name), Masquerade]),
        rule(&POSTROUTING, "leaving a link", vec![NotToGroup(V4), Source(V4, SOURCES4.name), Routed, Masquerade]),
        rule(&POSTROUTING, "leaving a link", vec![NotToGroup(V6), Source(V6, SOURCES6.name), Routed, Masquerade]),
        rule(&POSTROUTING, "from loopback", vec![SourceLoopback(V4), InterfaceOut(NETWORKS.name), Masquerade]),
        rule(&POSTROUTING, "from loopback", vec![SourceLoopback(V6), InterfaceOut(NETWORKS.name), Masquerade]),
        rule(&FORWARD, "answers", vec![CtStateAny(ESTABLISHED | RELATED), Accept]),
        rule(&FORWARD, "within a network", vec![InterfacesIn(WITHIN.name), Accept]),
        rule(&FORWARD, "out of an internal network", vec![InterfaceIn(INTERNAL.name), Drop]),
        rule(&FORWARD, "into an internal network", vec![InterfaceOut(INTERNAL.name), Drop]),
        rule(&FORWARD, "published", vec![CtStatusDnat, Accept]),
        rule(&FORWARD, "between open networks", vec![InterfaceIn(OPEN.name), InterfaceOut(OPEN.name), Accept]),
        rule(&FORWARD, "into a network", vec![InterfaceOut(NETWORKS.name), Drop]),
    ]
}

/// How often each chain is referred to once all rules are in: its rules, and the jumps to it.
pub fn uses() -> Vec<(&'static Chain, u32)> {
    static ALL: [Chain; 6] = CHAINS;
    let rules = rules();
    let count = |chain: &Chain| {
        let jumps = |e: &Expression| matches!(e, Expression::Jump(to) if *to == chain.name);
        rules.iter().map(|r| u32::from(r.chain == chain.name) + u32::from(r.expressions.iter().any(jumps))).sum()
    };
    ALL.iter().map(|chain| (chain, count(chain))).collect()
}
