//! The packet rules of all networks: one table of our own, in few netlink round trips and one atomic transaction.
//!
//! ```text
//! table inet veneer {
//!   set networks   { type ifname }            every bridge of ours
//!   set outbound   { type ifname }            bridges whose containers leave under this machine's address
//!   set internal   { type ifname }            bridges that nothing leaves and nothing enters
//!   set within     { type ifname . ifname }   each bridge with itself: bridged packets, where br_netfilter shows them to us
//!   chain postrouting { type nat hook postrouting priority srcnat
//!     iifname @outbound masquerade }
//!   chain forward { type filter hook forward priority filter
//!     ct state established,related accept
//!     iifname . oifname @within accept
//!     iifname @internal drop
//!     ct status dnat accept
//!     oifname @networks drop }                what was not published is reached neither from outside nor from a neighbour
//! }
//! ```
//!
//! The rules are the same whatever networks there are; a network is three elements of sets. So a packet costs the same with
//! one network and with a hundred, and so does adding one. No other table is touched: a drop elsewhere (a firewall's forward
//! policy) stays a drop.
//!
//! Each batch names the generation it was composed for (`NFNL_BATCH_GENID`): where somebody else changed the rule set
//! between our look and our batch, the kernel refuses with ERESTART and we look again.
//! Kernel: net/netfilter/nf_tables_api.c, nfnetlink.c (nfnetlink_rcv_batch).

pub mod expression;
pub mod message;

use crate::error::{Error, Kind, Result, refused};
use crate::socket::{Message, Refusal, Request, Socket};
use expression::Expression;
use message::{Chain, Hook, Set};

/// The table's name; its family is inet.
pub const TABLE: &str = "veneer";
const TABLE_COMMENT: &str = "container networks; made by netwire";

const NETWORKS: Set = Set { name: "networks", width: 1 };
// Not `masquerade`: `nft` could not read back what it prints, since that is a word of its grammar.
const OUTBOUND: Set = Set { name: "outbound", width: 1 };
const INTERNAL: Set = Set { name: "internal", width: 1 };
const WITHIN: Set = Set { name: "within", width: 2 };
const SETS: [Set; 4] = [NETWORKS, OUTBOUND, INTERNAL, WITHIN];

const POSTROUTING: Chain = Chain { name: "postrouting", kind: "nat", hook: Hook::Postrouting, priority: 100 };
const FORWARD: Chain = Chain { name: "forward", kind: "filter", hook: Hook::Forward, priority: 0 };
const CHAINS: [Chain; 2] = [POSTROUTING, FORWARD];

/// How often a batch is composed anew when others change the rule set meanwhile.
const ATTEMPTS: usize = 100;

/// What the rules must know about one network.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The network's name, for the comments.
    pub network: &'a str,
    /// Its bridge.
    pub bridge: &'a str,
    /// Whether nothing leaves it and nothing comes in.
    pub internal: bool,
}

impl Facts<'_> {
    fn elements(&self) -> [(Set, Vec<u8>); 3] {
        let name = message::interface_key(self.bridge);
        let way_out = if self.internal { INTERNAL } else { OUTBOUND };
        [(NETWORKS, name.clone()), (way_out, name.clone()), (WITHIN, name.repeat(2))]
    }
}

/// A rule: its chain, what it is for (shown as its comment), and what it does.
struct Rule {
    chain: &'static str,
    comment: &'static str,
    expressions: Vec<Expression>,
}

fn rules() -> Vec<Rule> {
    use Expression::{Accept, CtStateAny, CtStatusDnat, Drop, InterfaceIn, InterfaceOut, InterfacesIn, Masquerade};
    let rule = |chain: &Chain, comment, expressions| Rule { chain: chain.name, comment, expressions };
    vec![
        rule(&POSTROUTING, "leaving a network", vec![InterfaceIn(OUTBOUND.name), Masquerade]),
        rule(&FORWARD, "answers", vec![CtStateAny(expression::ESTABLISHED | expression::RELATED), Accept]),
        rule(&FORWARD, "within a network", vec![InterfacesIn(WITHIN.name), Accept]),
        rule(&FORWARD, "out of an internal network", vec![InterfaceIn(INTERNAL.name), Drop]),
        rule(&FORWARD, "published", vec![CtStatusDnat, Accept]),
        rule(&FORWARD, "into a network", vec![InterfaceOut(NETWORKS.name), Drop]),
    ]
}

/// Makes sure that table, rules and the network's elements are there; writes nothing where they are.
pub fn ensure(facts: &Facts<'_>) -> Result<()> {
    const OP: &str = "set packet rules for network";
    let mut socket = open(OP, facts.network)?;
    retry(OP, facts.network, || {
        let Some(generation) = stale_generation(&mut socket, facts)? else { return Ok(Ok(())) };
        let mut batch = vec![message::begin(Some(generation)), message::new_table(TABLE, TABLE_COMMENT)];
        batch.extend(SETS.iter().map(|set| message::new_set(TABLE, set)));
        for chain in &CHAINS {
            batch.push(message::new_chain(TABLE, chain));
            batch.push(message::flush_chain(TABLE, chain.name));
        }
        batch.extend(rules().iter().map(|r| message::new_rule(TABLE, r.chain, r.comment, &r.expressions)));
        let comment = format!("network {}", facts.network);
        for (set, key) in facts.elements() {
            batch.push(message::new_element(TABLE, set.name, &key, &comment));
        }
        batch.push(message::end());
        send(&mut socket, &batch)
    })
}

/// Takes the network's elements out; with the last network goes the table. That nothing is there is fine.
pub fn remove(facts: &Facts<'_>) -> Result<()> {
    const OP: &str = "remove packet rules of network";
    let mut socket = match open(OP, facts.network) {
        Err(e) if e.kind == Kind::Unsupported => return Ok(()),
        opened => opened?,
    };
    retry(OP, facts.network, || {
        let generation = generation(&mut socket)?;
        if socket.ask(message::get_table(TABLE))?.is_err() {
            return Ok(Ok(()));
        }
        let networks = match socket.dump(&message::dump_elements(TABLE, NETWORKS.name))? {
            Ok(messages) => messages.iter().flat_map(message::read_keys).collect(),
            Err(_) => Vec::new(),
        };
        let key = message::interface_key(facts.bridge);
        let mut batch = vec![message::begin(Some(generation))];
        if networks.iter().all(|name| *name == key) {
            batch.push(message::delete_table(TABLE));
        } else {
            let ours: Vec<_> = SETS.iter().map(|set| (set, key.repeat(set.width))).collect();
            let asked: Vec<_> = ours.iter().map(|(set, key)| message::get_element(TABLE, set.name, key)).collect();
            for ((set, key), answer) in ours.iter().zip(socket.transact(&asked)?) {
                if answer.is_ok() {
                    batch.push(message::delete_element(TABLE, set.name, key));
                }
            }
            if batch.len() == 1 {
                return Ok(Ok(()));
            }
        }
        batch.push(message::end());
        send(&mut socket, &batch)
    })
}

/// The generation of the rule set at which something of ours is missing; `None` when all is there.
fn stale_generation(socket: &mut Socket, facts: &Facts<'_>) -> Result<Option<u32>> {
    let elements = facts.elements();
    let mut asked = vec![message::get_generation()];
    asked.extend(elements.iter().map(|(set, key)| message::get_element(TABLE, set.name, key)));
    let mut answers = socket.transact(&asked)?.into_iter();
    let generation = read_generation(answers.next())?;
    if answers.any(|answer| answer.is_err()) {
        return Ok(Some(generation));
    }
    let present = socket.dump(&message::dump_rules(TABLE))?.unwrap_or_default();
    let present: Vec<_> = present.iter().filter_map(message::read_rule).collect();
    let as_wanted = CHAINS.iter().all(|chain| {
        let found = present.iter().filter(|(c, _)| c == chain.name).map(|(_, comment)| comment.as_str());
        found.eq(rules().iter().filter(|r| r.chain == chain.name).map(|r| r.comment))
    });
    Ok((!as_wanted).then_some(generation))
}

fn generation(socket: &mut Socket) -> Result<u32> {
    let answer = socket.ask(message::get_generation())?;
    read_generation(Some(answer))
}

fn read_generation(answer: Option<std::result::Result<Vec<Message>, Refusal>>) -> Result<u32> {
    const OP: &str = "read the packet rules' generation";
    match answer {
        Some(Ok(messages)) => Ok(messages.iter().find_map(message::read_generation).unwrap_or(0)),
        Some(Err(refusal)) => Err(lacking(refused(OP, "", refusal))),
        None => Err(Error::new(Kind::System, OP, "").because("the kernel gave no answer")),
    }
}

fn open(op: &'static str, network: &str) -> Result<Socket> {
    Socket::open_netfilter().map_err(|mut e| {
        e.op = op;
        network.clone_into(&mut e.subject);
        lacking(e)
    })
}

/// A kernel without nf_tables says so in several ways: no such protocol, no such subsystem, no such expression.
fn lacking(mut error: Error) -> Error {
    let errno = error.raw_os_error();
    if matches!(error.kind, Kind::Unsupported | Kind::NotFound) || errno == Some(libc::EINVAL) {
        error.kind = Kind::Unsupported;
        error = error.hint("the kernel needs nf_tables with nat (modules nf_tables, nft_masq, nft_ct)");
    }
    error
}

/// The first refusal of a batch, which is what made the kernel drop all of it.
fn send(socket: &mut Socket, batch: &[Request]) -> Result<std::result::Result<(), Refusal>> {
    let refusals = socket.send_batch(batch)?;
    Ok(refusals.into_iter().next().map_or(Ok(()), |(_, refusal)| Err(refusal)))
}

fn retry(
    op: &'static str,
    network: &str,
    mut attempt: impl FnMut() -> Result<std::result::Result<(), Refusal>>,
) -> Result<()> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match attempt()? {
            Ok(()) => return Ok(()),
            Err(refusal) if refusal.errno == libc::ERESTART => last = Some(refusal),
            Err(refusal) => return Err(lacking(refused(op, network, refusal))),
        }
    }
    let error =
        Error::new(Kind::System, op, network).hint("another program changes the packet rules all the time; try again");
    Err(match last {
        Some(refusal) => error.because(refusal),
        None => error,
    })
}
