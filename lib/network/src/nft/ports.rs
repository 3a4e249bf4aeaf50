//! Published ports as elements of maps, a few for each port and family, however many there are already.
//!
//! A port on every address is a key `protocol . port` in `ports4` or `ports6`, one on a single address a key with that
//! address in `bound4` or `bound6`; the value is where it leads. The comment says whose it is, so that the kernel's maps are
//! also the index of who holds what, and nothing need be listed.
//!
//! `claims4` and `claims6` tell for each port on how many single addresses it is published, 0 for all of them. So a port that
//! is new on every address, the usual case, is three new elements that must not be there (`NLM_F_EXCL`), sent without
//! looking first. Everything else looks, under a generation.

use super::message::{self, Element};
use super::table::{
    BOUND4, BOUND6, CLAIMS4, CLAIMS6, ITSELF4, ITSELF6, LOOPBACK6, PORTS4, PORTS6, SOURCES4, SOURCES6, TABLE,
};
use super::transaction::Rules;
use crate::error::Result;
use crate::nft::expression::Family;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const PUBLISH: &str = "publish ports of";
const ON_ONE_ADDRESS: &str = "on one address";
const UNPUBLISH: &str = "unpublish ports of";

/// A port that leads somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The one address it is published on; all of the family's without.
    pub host: Option<IpAddr>,
    /// The transport protocol's number.
    pub protocol: u8,
    /// The port outside.
    pub port: u16,
    /// Where it leads; its family is the entry's.
    pub to: SocketAddr,
}

/// An entry that somebody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Which of the entries.
    pub entry: Entry,
    /// Who has it.
    pub holder: String,
}

type Place = (&'static str, Vec<u8>);

impl Entry {
    /// The family of where it leads.
    pub fn family(&self) -> Family {
        Family::of(self.to.ip())
    }

    fn place(&self) -> Place {
        let Some(host) = self.host else {
            let map = if self.family() == Family::V4 { PORTS4 } else { PORTS6 };
            return (map.name, self.numbers());
        };
        let map = if self.family() == Family::V4 { BOUND4 } else { BOUND6 };
        (map.name, [octets(host), self.numbers()].concat())
    }

    fn claim(&self) -> Place {
        (if self.family() == Family::V4 { CLAIMS4 } else { CLAIMS6 }.name, self.numbers())
    }

    fn numbers(&self) -> Vec<u8> {
        let [high, low] = self.port.to_be_bytes();
        vec![self.protocol, 0, 0, 0, high, low, 0, 0]
    }

    fn value(&self) -> Vec<u8> {
        let [high, low] = self.to.port().to_be_bytes();
        [octets(self.to.ip()), vec![high, low, 0, 0]].concat()
    }

    fn element(&self, holder: &str) -> Element {
        let (set, key) = self.place();
        Element { set, key, value: Some(self.value()), comment: holder.to_owned() }
    }

    fn read(element: &Element) -> Option<Self> {
        let v4 = element.set == PORTS4.name || element.set == BOUND4.name;
        let bound = element.set == BOUND4.name || element.set == BOUND6.name;
        let width = if v4 { 4 } else { 16 };
        let (host, numbers) = element.key.split_at_checked(if bound { width } else { 0 })?;
        let (to, port) = element.value.as_ref()?.split_at_checked(width)?;
        let number = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?));
        Some(Self {
            host: bound.then(|| address(host)).flatten(),
            protocol: *numbers.first()?,
            port: number(numbers.get(4..)?)?,
            to: SocketAddr::new(address(to)?, number(port)?),
        })
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = |b: &[u8]| Some(<[u8; 4]>::try_from(b).ok()?.into());
    four(bytes).or_else(|| Some(<[u8; 16]>::try_from(bytes).ok()?.into()))
}

/// What lets a container reach its own ports by this machine's addresses: itself as its own peer.
fn own_peer(address: IpAddr, holder: &str) -> Element {
    let set = if address.is_ipv4() { ITSELF4 } else { ITSELF6 }.name;
    Element { set, key: octets(address).repeat(2), value: None, comment: holder.to_owned() }
}

fn own_peers(entries: &[Entry], holder: &str) -> Vec<Element> {
    let mut addresses: Vec<IpAddr> = entries.iter().map(|entry| entry.to.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().map(|address| own_peer(address, holder)).collect()
}

/// Several may have the same port, each on an address of its own, so only who has it on all of them is written on it.
fn claim(place: &Place, count: u32, holder: &str) -> Element {
    let comment = if count == 0 { holder } else { ON_ONE_ADDRESS };
    Element { set: place.0, key: place.1.clone(), value: Some(count.to_ne_bytes().to_vec()), comment: comment.into() }
}

/// Who has the port of `entry` on some address. It is looked for among all, to say whose it is that is in the way.
fn holder_on_one_address(rules: &mut Rules, entry: &Entry) -> Result<String> {
    let map = if entry.family() == Family::V4 { BOUND4 } else { BOUND6 };
    let same = |other: &Entry| (other.protocol, other.port) == (entry.protocol, entry.port);
    let found = rules.elements(map.name)?.into_iter().find(|e| Entry::read(e).is_some_and(|other| same(&other)));
    Ok(found.map(|e| e.comment).unwrap_or_default())
}

/// In order of maps, so that as few messages as can be carry them.
fn sorted(mut elements: Vec<Element>) -> Vec<Element> {
    elements.sort_by_key(|element| element.set);
    elements
}

/// Enters `entries` for `holder`, all of them or none. What the holder has already is fine, and led elsewhere if it should be.
/// The inner result is who has what is taken.
/// `loopback6` says whether `[::1]` can be answered.
pub fn enter(entries: &[Entry], holder: &str, loopback6: bool) -> Result<std::result::Result<(), Vec<Conflict>>> {
    let holder = message::cut(holder);
    let mut rules = Rules::open(PUBLISH, holder)?;
    let mut beside = own_peers(entries, holder);
    if loopback6 && entries.iter().any(|e| e.family() == Family::V6) {
        let key = Ipv6Addr::LOCALHOST.octets().to_vec();
        beside.push(Element { set: LOOPBACK6.name, key, value: None, comment: String::new() });
    }
    if entries.iter().all(|entry| entry.host.is_none()) {
        let mut elements: Vec<Element> = entries.iter().map(|entry| entry.element(holder)).collect();
        elements.extend(entries.iter().map(|entry| claim(&entry.claim(), 0, holder)));
        let mut changes = message::new_elements(TABLE, &sorted(elements), true);
        changes.extend(message::new_elements(TABLE, &beside, false));
        match rules.send(None, changes)? {
            Ok(()) => return Ok(Ok(())),
            Err(refusal) if [libc::EEXIST, libc::EBUSY, libc::ENOENT].contains(&refusal.errno) => {}
            Err(refusal) => return Err(rules.refused(refusal)),
        }
    }
    let mut conflicts = Vec::new();
    rules.retry(|rules| {
        conflicts.clear();
        let mut wanted: Vec<Place> = entries.iter().map(Entry::place).collect();
        wanted.extend(entries.iter().map(Entry::claim));
        let (generation, mut found) = rules.look(&wanted)?;
        let claims = found.split_off(entries.len());
        let mut counts = Counts::new();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for ((entry, there), claimed) in entries.iter().zip(found).zip(claims) {
            let element = entry.element(holder);
            let taken = |holder: &str| Conflict { entry: *entry, holder: holder.to_owned() };
            match there {
                Some(there) if there.comment != holder => conflicts.push(taken(&there.comment)),
                Some(there) if there.value == element.value => {}
                Some(there) => {
                    old.push(there);
                    new.push(element);
                }
                None => {
                    let count = counts.of(entry.claim(), claimed.as_ref());
                    match (*count, entry.host) {
                        (Some(0), Some(_)) => {
                            conflicts.push(taken(claimed.as_ref().map_or("", |c| &c.comment)));
                            continue;
                        }
                        (Some(1..), None) => {
                            conflicts.push(taken(&holder_on_one_address(rules, entry)?));
                            continue;
                        }
                        (_, None) => *count = Some(0),
                        (before, Some(_)) => *count = Some(before.unwrap_or(0) + 1),
                    }
                    new.push(element);
                }
            }
        }
        if !conflicts.is_empty() {
            return Ok(Ok(()));
        }
        let (gone, fresh) = counts.changes(holder);
        old.extend(gone);
        new.extend(fresh);
        new.extend(beside.iter().cloned());
        // Without the table there is nothing to look at; it is made along with what goes in.
        let mut changes = super::foundation_unless_there(rules)?;
        changes.extend(message::delete_elements(TABLE, &sorted(old)));
        changes.extend(message::new_elements(TABLE, &sorted(new), false));
        rules.send(Some(generation), changes)
    })?;
    Ok(if conflicts.is_empty() { Ok(()) } else { Err(conflicts) })
}

/// Takes out those of `entries` that are `holder`'s; `last` are the addresses that nothing is published for any more.
pub fn take_out(entries: &[Entry], holder: &str, last: &[IpAddr]) -> Result<()> {
    let holder = message::cut(holder);
    let mut rules = match Rules::open(UNPUBLISH, holder) {
        Err(e) if e.kind == crate::error::Kind::Unsupported => return Ok(()),
        opened => opened?,
    };
    rules.retry(|rules| {
        let mut wanted: Vec<Place> = entries.iter().map(Entry::place).collect();
        wanted.extend(entries.iter().map(Entry::claim));
        wanted.extend(last.iter().map(|address| {
            let peer = own_peer(*address, holder);
            (peer.set, peer.key)
        }));
        let (generation, mut found) = rules.look(&wanted)?;
        let mut rest = found.split_off(entries.len());
        let peers = rest.split_off(entries.len());
        let mut old: Vec<Element> = peers.into_iter().flatten().filter(|peer| peer.comment == holder).collect();
        let mut counts = Counts::new();
        for ((entry, there), claimed) in entries.iter().zip(found).zip(rest) {
            let Some(there) = there.filter(|there| there.comment == holder) else { continue };
            old.push(there);
            let count = counts.of(entry.claim(), claimed.as_ref());
            *count = if entry.host.is_some() { count.and_then(|n| n.checked_sub(1)).filter(|n| *n > 0) } else { None };
        }
        if old.is_empty() {
            return Ok(Ok(()));
        }
        let (gone, fresh) = counts.changes(holder);
        old.extend(gone);
        let mut changes = message::delete_elements(TABLE, &sorted(old));
        changes.extend(message::new_elements(TABLE, &sorted(fresh), false));
        rules.send(Some(generation), changes)
    })
}

/// Which of `entries` are not there as `holder`'s.
pub fn missing(entries: &[Entry], holder: &str) -> Result<Vec<Entry>> {
    let holder = message::cut(holder);
    let mut rules = Rules::open(PUBLISH, holder)?;
    let wanted: Vec<Place> = entries.iter().map(Entry::place).collect();
    let (_, found) = rules.look(&wanted)?;
    let whole = |entry: &Entry, there: &Option<Element>| there.as_ref() == Some(&entry.element(holder));
    Ok(entries.iter().zip(&found).filter(|(entry, there)| !whole(entry, there)).map(|(entry, _)| *entry).collect())
}

/// Whose ports lead to one of `addresses`.
pub fn holders_of(addresses: &[IpAddr]) -> Result<Vec<String>> {
    let mut rules = Rules::open("look for published ports of", "")?;
    let wanted: Vec<Place> = addresses.iter().map(|a| own_peer(*a, "")).map(|peer| (peer.set, peer.key)).collect();
    Ok(rules.look(&wanted)?.1.into_iter().flatten().map(|peer| peer.comment).collect())
}

/// Whether nobody has any of `entries`, nor what is in their way.
pub fn are_free(entries: &[Entry]) -> Result<bool> {
    let mut rules = Rules::open(PUBLISH, "")?;
    let mut wanted: Vec<Place> = entries.iter().map(Entry::place).collect();
    wanted.extend(entries.iter().map(Entry::claim));
    let (_, mut found) = rules.look(&wanted)?;
    let claims = found.split_off(entries.len());
    let beside = |(entry, claim): (&Entry, &Option<Element>)| {
        let count = claim.as_ref().and_then(count);
        count.is_none_or(|count| entry.host.is_some() && count > 0)
    };
    Ok(found.iter().all(Option::is_none) && entries.iter().zip(&claims).all(beside))
}

fn count(claim: &Element) -> Option<u32> {
    Some(u32::from_ne_bytes(claim.value.as_ref()?.get(..4)?.try_into().ok()?))
}

/// Everything that is published, with whose it is. It is a listing of all, so nothing that has to be quick asks for it.
pub fn all() -> Result<Vec<(Entry, String)>> {
    let mut rules = Rules::open("list published ports", "")?;
    let mut all = Vec::new();
    for map in [PORTS4, PORTS6, BOUND4, BOUND6] {
        let elements = rules.elements(map.name)?;
        all.extend(elements.into_iter().filter_map(|e| Some((Entry::read(&e)?, e.comment))));
    }
    Ok(all)
}

/// Lets `addresses`, which no link of ours tells (a routed pair), leave under this machine's own; or no longer.
pub fn masquerade(addresses: &[IpAddr], holder: &str, on: bool) -> Result<()> {
    let mut rules = Rules::open("masquerade", holder)?;
    let set = |address: &IpAddr| if address.is_ipv4() { SOURCES4.name } else { SOURCES6.name };
    let element =
        |a: &IpAddr| Element { set: set(a), key: octets(*a), value: None, comment: message::cut(holder).into() };
    let elements = sorted(addresses.iter().map(element).collect());
    rules.retry(|rules| {
        if on {
            let mut changes = super::foundation_unless_there(rules)?;
            changes.extend(message::new_elements(TABLE, &elements, false));
            return rules.send(None, changes);
        }
        let wanted: Vec<Place> = elements.iter().map(|e| (e.set, e.key.clone())).collect();
        let (generation, found) = rules.look(&wanted)?;
        let there: Vec<Element> = found.into_iter().flatten().collect();
        if there.is_empty() {
            Ok(Ok(()))
        } else {
            rules.send(Some(generation), message::delete_elements(TABLE, &there))
        }
    })
}

/// Claims as they were and as they shall be.
struct Counts(BTreeMap<Place, Change>);

/// A count before and after.
type Change = (Option<u32>, Option<u32>);

impl Counts {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn of(&mut self, place: Place, there: Option<&Element>) -> &mut Option<u32> {
        let before = there.and_then(count);
        &mut self.0.entry(place).or_insert((before, before)).1
    }

    /// What goes and what comes.
    fn changes(self, holder: &str) -> (Vec<Element>, Vec<Element>) {
        let changed: Vec<_> = self.0.into_iter().filter(|(_, (before, after))| before != after).collect();
        let of = |pick: fn(&Change) -> Option<u32>| {
            changed.iter().filter_map(|(place, pair)| Some(claim(place, pick(pair)?, holder))).collect()
        };
        (of(|pair| pair.0), of(|pair| pair.1))
    }
}

#[cfg(test)]
mod tests {
    use super::Entry;

    #[test]
    fn entries_come_back() {
        for (host, to) in [
            (None, "172.17.0.2:80"),
            (Some("127.0.0.1"), "172.17.0.2:65535"),
            (None, "[fd00::2]:80"),
            (Some("::1"), "[fd00::2]:443"),
        ] {
            let host = host.map(|h| h.parse().unwrap());
            let entry = Entry { host, protocol: 6, port: 8080, to: to.parse().unwrap() };
            assert_eq!(Entry::read(&entry.element("web c1")), Some(entry));
        }
    }
}
