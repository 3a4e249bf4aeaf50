//! What is said to a query: a pure function of the query, who asks, and the names there are.
//!
//! - A name of the network is answered here for every kind of record, with NODATA where there is none of the kind: if AAAA
//!   went on to others, they would say that the name does not exist, and resolvers believe that for both families.
//! - A reverse name in the network's subnets likewise, known or not; those addresses mean something only here.
//! - A single label that nobody has is answered NXDOMAIN and not passed on: outside nobody knows our containers, and their
//!   names are nobody's business there. (aardvark-dns does so too, docker passes them on.) Kinds that only a whole domain
//!   has (NS, SOA, DS, DNSKEY) are passed on, for those who validate.
//! - All else goes to other servers; in an internal network nowhere: SERVFAIL, not NXDOMAIN, or a container that is also on
//!   another network would not ask there.

use crate::dns::name::Name;
use crate::dns::wire::{INTERNET, Query, Rcode, Record, kind};
use crate::dns::zone::Zone;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is to be done with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This is the answer.
    Reply(Vec<u8>),
    /// Others are to be asked.
    Forward,
}

/// The names a client sees: its network's, then those of other networks it is on.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// This network's.
    pub(crate) own: &'a Zone,
    /// Those of others that the client is on.
    pub(crate) others: Vec<&'a Zone>,
}

impl View<'_> {
    fn zones(&self) -> impl Iterator<Item = &Zone> {
        std::iter::once(self.own).chain(self.others.iter().copied())
    }
}

/// The verdict on `query`, whose answer has `bytes` at most. `turn` says which of several addresses comes first; `forward`
/// whether others may be asked at all.
pub(crate) fn answer(query: &Query, view: &View<'_>, turn: usize, bytes: usize, forward: bool) -> Verdict {
    let reply = |rcode, records: &[Record]| Verdict::Reply(query.answer(rcode, records, bytes));
    if query.is_of_the_future() {
        return reply(Rcode::BadVers, &[]);
    }
    if query.class != INTERNET {
        return reply(Rcode::Refused, &[]);
    }
    if (kind::IXFR..=kind::MAILA).contains(&query.kind) || query.kind == kind::OPT {
        return reply(Rcode::NotImp, &[]);
    }
    if let Some(found) = view.zones().find_map(|zone| zone.find(&query.name)) {
        return reply(Rcode::NoError, &rotated(found, query.kind, turn));
    }
    if let Some(address) = query.name.reversed() {
        let wanted = matches!(query.kind, kind::PTR | kind::ANY);
        if let Some(host) = view.zones().find_map(|zone| zone.host(address)) {
            let records: Vec<Record> = host.name.iter().filter(|_| wanted).cloned().map(Record::Pointer).collect();
            return reply(Rcode::NoError, &records);
        }
        if view.zones().any(|zone| zone.covers(address)) {
            return reply(Rcode::NxDomain, &[]);
        }
    }
    if is_localhost(&query.name) {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return reply(Rcode::NoError, &rotated(&loopback, query.kind, 0));
    }
    let domains = matches!(query.kind, kind::NS | kind::SOA | kind::DS | kind::DNSKEY);
    let single = query.name.labels().count() == 1 && !domains;
    if single || view.zones().any(|zone| zone.owns(&query.name)) {
        return reply(Rcode::NxDomain, &[]);
    }
    if forward { Verdict::Forward } else { reply(Rcode::ServFail, &[]) }
}

/// Those of `addresses` that are of the kind, beginning with another one each turn.
fn rotated(addresses: &[IpAddr], wanted: u16, turn: usize) -> Vec<Record> {
    let fits = |address: &&IpAddr| match wanted {
        kind::A => address.is_ipv4(),
        kind::AAAA => address.is_ipv6(),
        other => other == kind::ANY,
    };
    let mut records: Vec<Record> = addresses.iter().filter(fits).map(|a| Record::Address(*a)).collect();
    let first = turn.checked_rem(records.len()).unwrap_or(0);
    records.rotate_left(first);
    records
}

/// RFC 6761, 6.3: never asked of others.
fn is_localhost(name: &Name) -> bool {
    name.labels().last() == Some(b"localhost")
}

#[cfg(test)]
mod tests {
    use super::{Verdict, View, answer};
    use crate::dns::wire::tests::query;
    use crate::dns::wire::{Query, kind};
    use crate::dns::zone::Zone;
    use crate::dns::zone::tests::{entry, zone};

    /// Rcode and records, as `0: 10.9.0.2 10.9.0.3`, or `forward`.
    fn asked(own: &Zone, others: &[&Zone], name: &str, kind: u16, turn: usize) -> String {
        let read = Query::read(&query(name, kind, Some(1232))).unwrap();
        let view = View { own, others: others.to_vec() };
        let Verdict::Reply(message) = answer(&read, &view, turn, 1232, true) else { return "forward".into() };
        let mut text = format!("{}:", message[3] & 15);
        let mut at = 12 + read.name.wire().len() + 4;
        for _ in 0..message[7] {
            let length = usize::from(message[at + 11]);
            let data = &message[at + 12..at + 12 + length];
            text += &match u16::from_be_bytes([message[at + 2], message[at + 3]]) {
                kind::A => format!(" {}", std::net::Ipv4Addr::from(<[u8; 4]>::try_from(data).unwrap())),
                kind::AAAA => format!(" {}", std::net::Ipv6Addr::from(<[u8; 16]>::try_from(data).unwrap())),
                _ => format!(" {}", crate::dns::name::Name::read(&message, at + 12).unwrap().0),
            };
            at += 12 + length;
        }
        text
    }

    #[test]
    fn verdicts() {
        let own = zone(
            "web",
            Some("lan.example"),
            vec![entry("c1", &["db", "sql"], &["10.9.0.2", "fd09::2"]), entry("c2", &["db2", "sql"], &["10.9.0.3"])],
        );
        let ask = |name: &str, kind| asked(&own, &[], name, kind, 0);
        assert_eq!(ask("DB", kind::A), "0: 10.9.0.2");
        assert_eq!(ask("db.web", kind::AAAA), "0: fd09::2");
        assert_eq!(ask("db2", kind::AAAA), "0:", "NODATA, not NXDOMAIN");
        assert_eq!(ask("db", 15), "0:");
        assert_eq!(ask("db", kind::ANY), "0: 10.9.0.2 fd09::2");
        assert_eq!(ask("sql", kind::A), "0: 10.9.0.2 10.9.0.3");
        assert_eq!(asked(&own, &[], "sql", kind::A, 7), "0: 10.9.0.3 10.9.0.2");
        assert_eq!(ask("2.0.9.10.in-addr.arpa", kind::PTR), "0: db.lan.example");
        assert_eq!(ask("2.0.9.10.in-addr.arpa", kind::A), "0:");
        assert_eq!(ask("9.0.9.10.in-addr.arpa", kind::PTR), "3:");
        assert_eq!(ask("9.0.8.10.in-addr.arpa", kind::PTR), "forward");
        assert_eq!(ask("nobody", kind::A), "3:");
        assert_eq!(ask("nobody.lan.example", kind::A), "3:");
        assert_eq!(ask("com", kind::DS), "forward");
        assert_eq!(ask("", kind::NS), "forward");
        assert_eq!(ask("example.com", kind::A), "forward");
        assert_eq!(ask("nobody.web", kind::A), "forward", "there may be a domain called so");
        assert_eq!(ask("localhost", kind::AAAA), "0: ::1");
        assert_eq!((ask("db", kind::IXFR), ask("db", 252)), ("4:".into(), "4:".into()), "AXFR too");
    }

    #[test]
    fn other_networks_the_client_is_on_count_too() {
        let own = zone("web", None, vec![entry("c1", &["db"], &["10.9.0.2"])]);
        let back = zone("back", None, vec![entry("c9", &["store", "db"], &["10.9.0.9"])]);
        assert_eq!(asked(&own, &[&back], "store", kind::A, 0), "0: 10.9.0.9");
        assert_eq!(asked(&own, &[&back], "db", kind::A, 0), "0: 10.9.0.2", "its own first");
        assert_eq!(asked(&own, &[&back], "db.back", kind::A, 0), "0: 10.9.0.9");
        assert_eq!(asked(&own, &[&back], "9.0.9.10.in-addr.arpa", kind::PTR, 0), "0: store.back");
        assert_eq!(asked(&own, &[], "store", kind::A, 0), "3:");
    }

    #[test]
    fn an_internal_network_asks_nobody() {
        let own = zone("web", None, Vec::new());
        let read = Query::read(&query("example.com", kind::A, None)).unwrap();
        let view = View { own: &own, others: Vec::new() };
        let Verdict::Reply(message) = answer(&read, &view, 0, 512, false) else { panic!("forwarded") };
        assert_eq!(message[3] & 15, 2);
    }
}
