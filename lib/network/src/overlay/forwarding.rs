//! The kernel's tables of an overlay network made what they should be: hosts that frames to everybody go to, hardware
//! addresses and the hosts they are at, addresses and their hardware addresses.

use crate::error::{Result, refused};
use crate::fdb::{self, EVERYBODY, Entry};
use crate::mac::Mac;
use crate::neighbor::{self, Neighbor};
use crate::socket::{Request, Socket};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How many requests go out together: their answers must find room in the socket's queue.
const BATCH: usize = 256;
const OP: &str = "set forwarding of interface";

/// What the tables should say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Forwarding {
    /// The other hosts; none where a multicast group stands for them.
    pub hosts: BTreeSet<IpAddr>,
    /// The containers on them by address, where that is known. `None`: places are learned, and not for us to say.
    pub places: Option<BTreeMap<IpAddr, Place>>,
}

/// Where a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its hardware address.
    pub mac: Mac,
    /// Its host.
    pub host: IpAddr,
}

/// What is done to make the tables so, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    set: Vec<Entry>,
    neighbors: Vec<Neighbor>,
    forgotten: Vec<Neighbor>,
    cut: Vec<Entry>,
    /// Hardware addresses that are at no host any more.
    gone: Vec<Mac>,
}

/// Makes the tables of the VXLAN link with number `link` and the bridge with number `bridge` say what is wanted; gives how
/// much had to be changed.
pub fn apply(socket: &mut Socket, link: u32, bridge: u32, wanted: &Forwarding) -> Result<usize> {
    let wrong = |refusal| refused(OP, link, refusal);
    let changes = changes(socket, link, bridge, wanted)?;
    let mut requests: Vec<(Request, i32)> = Vec::new();
    requests.extend(changes.set.iter().map(|entry| (fdb::add(link, entry), libc::EEXIST)));
    requests.extend(changes.neighbors.iter().map(|n| (neighbor::set(bridge, n), libc::EEXIST)));
    requests.extend(changes.forgotten.iter().map(|n| (neighbor::delete(bridge, n.address), libc::ENOENT)));
    requests.extend(changes.cut.iter().map(|entry| (fdb::delete(link, entry), libc::ENOENT)));
    requests.extend(changes.gone.iter().map(|mac| (fdb::delete_from_bridge(link, *mac), libc::ENOENT)));
    for batch in requests.chunks(BATCH) {
        let (messages, fine): (Vec<_>, Vec<_>) = batch.iter().cloned().unzip();
        for (answer, fine) in socket.transact(&messages)?.into_iter().zip(fine) {
            crate::bridge::unless(answer, fine).map_err(wrong)?;
        }
    }
    Ok(requests.len())
}

/// How much [`apply`] would change.
pub fn differences(socket: &mut Socket, link: u32, bridge: u32, wanted: &Forwarding) -> Result<usize> {
    let changes = changes(socket, link, bridge, wanted)?;
    Ok(changes.set.len() + changes.neighbors.len() + changes.forgotten.len() + changes.cut.len())
}

fn changes(socket: &mut Socket, link: u32, bridge: u32, wanted: &Forwarding) -> Result<Changes> {
    let wrong = |refusal| refused(OP, link, refusal);
    let present = socket.dump(&fdb::dump(link))?.map_err(wrong)?;
    let entries: BTreeSet<Entry> = present.iter().filter_map(|message| Entry::read(message, link)).collect();
    let neighbors: BTreeSet<Neighbor> = match &wanted.places {
        Some(_) => {
            let present = socket.dump(&neighbor::dump(bridge))?.map_err(wrong)?;
            present.iter().filter_map(|message| Neighbor::read(message, bridge)).collect()
        }
        None => BTreeSet::new(),
    };
    Ok(compare(&entries, &neighbors, wanted))
}

fn compare(entries: &BTreeSet<Entry>, neighbors: &BTreeSet<Neighbor>, wanted: &Forwarding) -> Changes {
    let mut should: BTreeSet<Entry> = wanted.hosts.iter().map(|host| Entry { mac: EVERYBODY, host: *host }).collect();
    let mut changes = Changes::default();
    let ours = |entry: &&Entry| wanted.places.is_some() || entry.mac == EVERYBODY;
    if let Some(places) = &wanted.places {
        should.extend(places.values().map(|place| Entry { mac: place.mac, host: place.host }));
        let known = places.iter().map(|(address, place)| Neighbor { address: *address, mac: place.mac });
        let known: BTreeSet<Neighbor> = known.collect();
        changes.neighbors = known.difference(neighbors).copied().collect();
        let kept: BTreeSet<IpAddr> = known.iter().map(|n| n.address).collect();
        changes.forgotten = neighbors.iter().filter(|n| !kept.contains(&n.address)).copied().collect();
    }
    changes.set = should.difference(entries).copied().collect();
    let macs: BTreeSet<Mac> = should.iter().map(|entry| entry.mac).collect();
    // Writing a hardware address anew replaces where it was; only a host of everybody's list stands beside others.
    let stale = entries.difference(&should).filter(ours);
    changes.cut = stale.filter(|e| e.mac == EVERYBODY || !macs.contains(&e.mac)).copied().collect();
    changes.gone = changes.cut.iter().map(|entry| entry.mac).filter(|mac| *mac != EVERYBODY).collect();
    changes
}

#[cfg(test)]
mod tests {
    use super::{Changes, Forwarding, Place, compare};
    use crate::fdb::{EVERYBODY, Entry};
    use crate::mac::Mac;
    use crate::neighbor::Neighbor;
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::IpAddr;

    fn host(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn container(n: u8) -> (IpAddr, Mac) {
        ([10, 9, 0, n].into(), Mac([2, 0x42, 10, 9, 0, n]))
    }

    #[test]
    fn only_what_differs_is_changed() {
        let (a, b, c) = (container(1), container(2), container(3));
        let places =
            BTreeMap::from([(a.0, Place { mac: a.1, host: host(1) }), (b.0, Place { mac: b.1, host: host(2) })]);
        let wanted = Forwarding { hosts: [host(1), host(2)].into(), places: Some(places) };
        let entries = BTreeSet::from([
            Entry { mac: EVERYBODY, host: host(1) },
            Entry { mac: EVERYBODY, host: host(3) },
            Entry { mac: a.1, host: host(1) },
            // Moved from another host, and gone.
            Entry { mac: b.1, host: host(3) },
            Entry { mac: c.1, host: host(3) },
        ]);
        let neighbor = |container: (IpAddr, Mac)| Neighbor { address: container.0, mac: container.1 };
        let changes = compare(&entries, &[neighbor(a), neighbor(c)].into(), &wanted);
        let expected = Changes {
            set: vec![Entry { mac: EVERYBODY, host: host(2) }, Entry { mac: b.1, host: host(2) }],
            neighbors: vec![neighbor(b)],
            forgotten: vec![neighbor(c)],
            cut: vec![Entry { mac: EVERYBODY, host: host(3) }, Entry { mac: c.1, host: host(3) }],
            gone: vec![c.1],
        };
        assert_eq!(changes, expected);
    }

    #[test]
    fn where_places_are_learned_only_hosts_are_ours() {
        let wanted = Forwarding { hosts: [host(1)].into(), places: None };
        let entries = BTreeSet::from([Entry { mac: container(1).1, host: host(1) }]);
        let changes = compare(&entries, &BTreeSet::new(), &wanted);
        assert_eq!(changes, Changes { set: vec![Entry { mac: EVERYBODY, host: host(1) }], ..Changes::default() });
    }
}
