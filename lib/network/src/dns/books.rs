//! The names as they are now: a network's book of leases, followed.
//!
//! The book is replaced by rename. A watch on the file that is the book tells of that (the old file loses its name, which
//! the kernel reports before `rename` returns); then the watch is put on the new one *before* that is read, so nothing is
//! missed. Before each answer the watch is asked, so who asks after an attach has returned is answered by its book. Only the
//! own book is watched, not the folder: with a hundred networks, an attach to one wakes one server.
//!
//! A book that cannot be read leaves what the last good one said. A container whose interface is gone is forgotten at once,
//! also if nobody detached it: the kernel tells of links that go (`RTMGRP_LINK`).
//!
//! Books of other networks are looked at when a name is not found in the own one, and counted for who is on them too.
//!
//! Of an overlay network whose hosts are known by etcd the folder is watched as well in which this host's server replaces
//! what it knows of the others: names of containers there are known as soon as it knows them.

use crate::definition::Definition;
use crate::dns::resolv::{Stamp, stamp};
use crate::dns::source::{self, Member};
use crate::dns::zone::{Entry, Origin, Zone};
use crate::driver::Driver;
use crate::error::{Result, failed, refused};
use crate::link::{self, Link};
use crate::socket::{Message, Socket};
use crate::state::State;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A folder that changed so lately may change again without its time changing.
const UNSETTLED: Duration = Duration::from_millis(20);
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// Messages of a bridge about its ports have the kinds that messages about links have.
const AF_BRIDGE: u8 = libc::AF_BRIDGE as u8;

/// The names of a network, and what keeps them up to date.
#[derive(Debug)]
pub(crate) struct Books {
    state: State,
    definition: Definition,
    caller: u64,
    origin: Origin,
    path: PathBuf,
    watch: Inotify,
    watching: bool,
    links: netlink_sys::Socket,
    members: Vec<Member>,
    /// Containers on other hosts.
    elsewhere: Vec<Entry>,
    /// Outer ends of interfaces that are known not to be there, and those not seen yet.
    gone: HashSet<String>,
    unseen: HashSet<String>,
    zone: Zone,
    others: Others,
}

impl Books {
    /// Follows the book of `definition`, as far as it was written from the network namespace `caller`, the thread's own.
    pub(crate) fn open(state: &State, definition: &Definition, caller: u64) -> Result<Self> {
        let wrong = |e: io::Error| failed("watch the leases of network", &definition.name, e);
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|e| wrong(e.into()))?;
        if let (Driver::Overlay, Some(folder)) = (definition.driver, state.view_path(&definition.name).parent()) {
            // Made before the server's mounts became read-only.
            watch
                .add_watch(folder, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE)
                .map_err(|e| wrong(e.into()))?;
        }
        let mut links = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).map_err(wrong)?;
        let groups = netlink_sys::SocketAddr::new(0, libc::RTMGRP_LINK as u32);
        links.bind(&groups).and_then(|()| links.set_non_blocking(true)).map_err(wrong)?;
        let origin = source::origin(definition);
        let mut books = Self {
            state: state.clone(),
            definition: definition.clone(),
            caller,
            path: state.lease_path(&definition.name),
            watch,
            watching: false,
            links,
            members: Vec::new(),
            elsewhere: Vec::new(),
            gone: HashSet::new(),
            unseen: HashSet::new(),
            zone: Zone::new(origin.clone(), []),
            origin,
            others: Others::default(),
        };
        books.refresh();
        books.survey()?;
        Ok(books)
    }

    /// Tells when the book changes.
    pub(crate) fn book_events(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// Tells when links come and go.
    pub(crate) fn link_events(&self) -> BorrowedFd<'_> {
        self.links.as_fd()
    }

    /// Reads the book again if it changed.
    pub(crate) fn refresh(&mut self) {
        let mut changed = !self.watching;
        while let Ok(events) = self.watch.read_events() {
            changed = true;
            let lost = AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_IGNORED
                | AddWatchFlags::IN_Q_OVERFLOW;
            self.watching &= !events.iter().any(|event| event.mask.intersects(lost));
        }
        if !changed {
            return;
        }
        if !self.watching {
            let mask = AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_CLOSE_WRITE;
            self.watching = self.watch.add_watch(&self.path, mask).is_ok();
        }
        let elsewhere = source::elsewhere(&self.state, &self.definition);
        let moved = elsewhere != self.elsewhere;
        self.elsewhere = elsewhere;
        let members = source::members(&self.state, &self.definition.name, self.caller);
        if let Ok(members) = members
            && members != self.members
        {
            let outers: HashSet<&str> = members.iter().map(|m| m.outer.as_str()).collect();
            let known: HashSet<&str> = self.members.iter().map(|m| m.outer.as_str()).collect();
            self.unseen.retain(|outer| outers.contains(outer.as_str()));
            self.gone.retain(|outer| outers.contains(outer.as_str()));
            self.unseen.extend(outers.difference(&known).filter(|o| !o.is_empty()).map(|o| (*o).to_owned()));
            self.members = members;
            self.rebuild();
        } else if moved {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        let there = |member: &&Member| !self.gone.contains(&member.outer);
        let here = self.members.iter().filter(there).map(|m| &m.entry);
        self.zone = Zone::new(self.origin.clone(), here.chain(&self.elsewhere).cloned());
    }

    /// How many containers are on the network.
    pub(crate) fn members(&self) -> usize {
        self.members.iter().filter(|member| !self.gone.contains(&member.outer)).count()
    }

    /// Whether there are some whose interface has not been seen yet.
    pub(crate) fn awaits(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// Takes note of links that came or went.
    pub(crate) fn links_changed(&mut self) {
        let mut changed = false;
        loop {
            let mut datagram = Vec::with_capacity(64 << 10);
            match self.links.recv(&mut datagram, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    // Some were lost: all are looked at.
                    let _ = self.survey();
                    continue;
                }
                Err(_) => break,
            }
            for message in messages(&datagram) {
                let came = message.kind == libc::RTM_NEWLINK;
                if message.payload.first() == Some(&AF_BRIDGE) || !(came || message.kind == libc::RTM_DELLINK) {
                    continue;
                }
                let Some(link) = Link::read(&Message { kind: libc::RTM_NEWLINK, ..message }) else { continue };
                if !self.members.iter().any(|member| member.outer == link.name) {
                    continue;
                }
                self.unseen.remove(&link.name);
                changed |= if came { self.gone.remove(&link.name) } else { self.gone.insert(link.name) };
            }
        }
        if changed {
            self.rebuild();
        }
    }

    /// Looks at all links there are. An interface that is not there is gone, unless its attacher is still at it.
    pub(crate) fn survey(&mut self) -> Result<()> {
        let listed =
            Socket::open_route()?.dump(&link::dump())?.map_err(|refusal| refused("list links", "", refusal))?;
        let there: HashSet<String> = listed.iter().filter_map(Link::read).map(|link| link.name).collect();
        self.gone.clear();
        self.unseen.clear();
        for member in self.members.iter().filter(|m| !m.outer.is_empty() && !there.contains(&m.outer)) {
            let set = if member.attacher.is_alive() { &mut self.unseen } else { &mut self.gone };
            set.insert(member.outer.clone());
        }
        self.rebuild();
        Ok(())
    }

    /// The names of the network.
    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The names of the network, and of the others that `container` is on.
    pub(crate) fn zones(&mut self, container: Option<&str>) -> (&Zone, Vec<&Zone>) {
        self.others.refresh(&self.state, &self.definition.name, self.caller);
        let on = |zone: &&Zone| container.is_some_and(|container| zone.has(container));
        (&self.zone, self.others.zones().filter(on).collect())
    }

    /// Whether `address` is where a server of another network of ours listens.
    pub(crate) fn is_ours(&self, address: IpAddr) -> bool {
        self.others.known.values().any(|other| other.servers.contains(&address))
    }
}

/// What is known of other networks.
#[derive(Debug, Default)]
struct Others {
    /// The folder of the books, and that of what is known of other hosts.
    folders: Option<[Option<Stamp>; 2]>,
    known: HashMap<String, Other>,
}

#[derive(Debug)]
struct Other {
    /// The book, and what is known of other hosts.
    files: [Option<Stamp>; 2],
    zone: Zone,
    servers: Vec<IpAddr>,
}

impl Others {
    fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.known.values().map(|other| &other.zone)
    }

    fn refresh(&mut self, state: &State, own: &str, caller: u64) {
        let folders = [state.lease_path(own), state.view_path(own)].map(|path| path.parent().and_then(stamp));
        if self.folders == Some(folders) {
            return;
        }
        let names = state.list().unwrap_or_default();
        self.known.retain(|name, _| names.contains(name));
        for name in names.iter().filter(|name| *name != own) {
            let files = [state.lease_path(name), state.view_path(name)].map(|path| stamp(&path));
            if self.known.get(name).is_some_and(|other| other.files == files) {
                continue;
            }
            // What cannot be read stays as it was.
            let Ok(Some(definition)) = Definition::load(state, name) else { continue };
            let Ok(members) = source::members(state, name, caller) else { continue };
            let mut entries: Vec<Entry> = Vec::new();
            if source::has_names(&definition) {
                entries.extend(members.into_iter().map(|m| m.entry));
                entries.extend(source::elsewhere(state, &definition));
            }
            let zone = Zone::new(source::origin(&definition), entries);
            self.known.insert(name.clone(), Other { files, zone, servers: source::addresses(&definition) });
        }
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let settled = |(_, _, s, ns, _): &Stamp| {
            now.checked_sub(Duration::new(s.unsigned_abs(), *ns as u32)).is_some_and(|age| age > UNSETTLED)
        };
        self.folders = Some(folders).filter(|[books, _]| books.is_some() && folders.iter().flatten().all(settled));
    }
}

/// The messages of a datagram from the kernel.
fn messages(datagram: &[u8]) -> Vec<Message> {
    let mut rest = datagram;
    let mut all = Vec::new();
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(payload) = rest.get(HEADER..length) else { break };
        all.push(Message { kind: u16::from_ne_bytes([header[4], header[5]]), payload: payload.to_vec() });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}
