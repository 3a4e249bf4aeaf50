//! One namespace as plugins work in it: its links found and changed, addresses and routes given, settings below /proc/sys/net.
//!
//! A socket keeps the namespace it was opened in; files below /proc/sys/net belong to the namespace of the thread that opens
//! them, so they are written on a thread inside ([`Namespace::within`]).

use super::call::failed;
use super::message::{self, Scope, link};
use crate::address::{self, Address};
use crate::attribute;
use crate::error::{Error, Kind, refused};
use crate::namespace::Namespace;
use crate::route;
use crate::socket::{Message, Request, Socket};
use spec::cni::failure::code;
use spec::cni::{Cidr, Failure, Route, Success};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long addresses may be tentative, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// A link as it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its number.
    pub index: u32,
    /// Its flags (`IFF_*`).
    pub flags: u32,
    attributes: Vec<u8>,
}

const IFF_UP: u32 = libc::IFF_UP as u32;
/// `IF_OPER_UP`
const OPERATIONAL: u8 = 6;

impl Found {
    /// Reads an `RTM_NEWLINK`.
    pub fn read(message: &Message) -> Option<Self> {
        let number = |at: usize| message.payload.get(at..).and_then(attribute::number);
        if message.kind != libc::RTM_NEWLINK {
            return None;
        }
        Some(Self { index: number(4)?, flags: number(8)?, attributes: message.payload.get(16..)?.to_vec() })
    }

    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        attribute::find(&self.attributes, kind)
    }

    fn number(&self, kind: u16) -> Option<u32> {
        self.attribute(kind).and_then(attribute::number)
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.attribute(link::NAME).map(attribute::text).unwrap_or_default()
    }

    /// Its hardware address, as it is written.
    pub fn mac(&self) -> String {
        let bytes = self.attribute(link::ADDRESS).unwrap_or_default();
        bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
    }

    /// The largest packet in bytes.
    pub fn mtu(&self) -> u32 {
        self.number(link::MTU).unwrap_or(0)
    }

    /// The bridge it is a port of.
    pub fn master(&self) -> Option<u32> {
        self.number(link::MASTER)
    }

    /// The other end of a pair, or the link below; a number in that one's namespace.
    pub fn peer(&self) -> Option<u32> {
        self.number(link::LINK)
    }

    /// Whether somebody wants all packets.
    pub fn is_promiscuous(&self) -> bool {
        self.flags & libc::IFF_PROMISC as u32 != 0 || self.number(link::PROMISCUITY).is_some_and(|n| n > 0)
    }

    /// How many packets may wait.
    pub fn queue_length(&self) -> u32 {
        self.number(link::QUEUE_LENGTH).unwrap_or(0)
    }

    /// Whether it is set up.
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// Whether packets go through it now.
    pub fn is_operational(&self) -> bool {
        self.attribute(link::OPERATIONAL_STATE) == Some(&[OPERATIONAL])
    }

    /// What somebody wrote on it.
    pub fn alias(&self) -> String {
        self.attribute(link::ALIAS).map(attribute::text).unwrap_or_default()
    }

    /// `bridge`, `veth`, …
    pub fn kind(&self) -> String {
        let info = self.attribute(link::INFO).unwrap_or_default();
        attribute::find(info, link::INFO_KIND).map(attribute::text).unwrap_or_default()
    }

    /// One of the attributes that belong to its kind.
    pub fn of_kind(&self, kind: u16) -> Option<&[u8]> {
        let data = attribute::find(self.attribute(link::INFO)?, link::INFO_DATA)?;
        attribute::find(data, kind)
    }

    /// As a result names it, in the namespace with path `sandbox` (empty for the host's).
    pub fn described(&self, sandbox: &str) -> spec::cni::Interface {
        spec::cni::Interface {
            name: self.name(),
            mac: self.mac(),
            mtu: self.mtu(),
            sandbox: sandbox.to_owned(),
            ..Default::default()
        }
    }
}

/// A namespace.
#[derive(Debug)]
pub struct Place {
    socket: Socket,
}

impl Place {
    /// The caller's own.
    pub fn here() -> Result<Self, Failure> {
        Ok(Self { socket: Socket::open_route().map_err(failed)? })
    }

    /// The container's.
    pub fn inside(namespace: &Namespace) -> Result<Self, Failure> {
        Ok(Self { socket: namespace.route_socket().map_err(failed)? })
    }

    /// The link called `name`.
    pub fn find(&mut self, name: &str) -> Result<Option<Found>, Failure> {
        self.look(message::Link::named(name).get(), name)
    }

    /// The link with number `index`.
    pub fn find_numbered(&mut self, index: u32) -> Result<Option<Found>, Failure> {
        self.look(message::Link::numbered(index).get(), &index.to_string())
    }

    fn look(&mut self, request: Request, subject: &str) -> Result<Option<Found>, Failure> {
        match self.socket.ask(request).map_err(failed)? {
            Ok(messages) => Ok(messages.iter().find_map(Found::read)),
            Err(refusal) if refusal.errno == libc::ENODEV => Ok(None),
            Err(refusal) => Err(failed(refused("find interface", subject, refusal))),
        }
    }

    /// The link called `name`, which must be there.
    pub fn need(&mut self, name: &str) -> Result<Found, Failure> {
        self.find(name)?
            .ok_or_else(|| Failure::new(code::INTERNAL, format!("failed to lookup \"{name}\": Link not found")))
    }

    /// Sends all requests; the first refusal is the error.
    pub fn apply(&mut self, op: &'static str, subject: &str, requests: &[Request]) -> Result<(), Failure> {
        self.apply_unless(op, subject, requests, 0)
    }

    /// The same, where one refusal is fine.
    pub fn apply_unless(
        &mut self,
        op: &'static str,
        subject: &str,
        requests: &[Request],
        fine: i32,
    ) -> Result<(), Failure> {
        for answer in self.attempt(requests)? {
            match answer {
                Err(refusal) if refusal.errno != fine => return Err(failed(refused(op, subject, refusal))),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends all requests and gives what became of each.
    pub fn attempt(&mut self, requests: &[Request]) -> Result<Vec<crate::socket::Answer>, Failure> {
        if requests.is_empty() {
            // The kernel refuses to be sent nothing.
            return Ok(Vec::new());
        }
        self.socket.transact(requests).map_err(failed)
    }

    /// Deletes the link called `name`; that there is none is fine.
    pub fn delete(&mut self, name: &str) -> Result<(), Failure> {
        self.apply_unless("delete interface", name, &[message::Link::named(name).delete()], libc::ENODEV)
    }

    /// Addresses of the link with number `index`.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<Cidr>, Failure> {
        let all = self.dump(&address::dump(), "list addresses")?;
        let of_link = all.iter().filter_map(Address::read).filter(|a| a.link == index);
        Ok(of_link.map(|a| Cidr { address: a.address, prefix: a.subnet.prefix() }).collect())
    }

    /// Waits until the addresses of the link with number `index` are its own: until the kernel has seen that nobody else on the
    /// link has them, or, where it is not to look, has taken note that the link is up.
    pub fn settle(&mut self, index: u32) -> Result<(), Failure> {
        const TENTATIVE: u8 = libc::IFA_F_TENTATIVE as u8;
        const DUPLICATE: u8 = libc::IFA_F_DADFAILED as u8;
        let until = Instant::now() + PATIENCE;
        loop {
            let all = self.dump(&address::dump(), "list addresses")?;
            let of_link = |m: &&Message| Address::read(m).is_some_and(|a| a.link == index && !a.is_link_local());
            let flags = |m: &Message| m.payload.get(2).copied().unwrap_or(0);
            if let Some(taken) = all.iter().filter(of_link).find(|m| flags(m) & DUPLICATE != 0).and_then(Address::read)
            {
                let msg = format!("failed to settle addresses: somebody else has {}", taken.address);
                return Err(Failure::new(code::INTERNAL, msg));
            }
            if !all.iter().filter(of_link).any(|m| flags(m) & TENTATIVE != 0) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Failure::new(code::TRY_AGAIN, "failed to settle addresses: they are still tentative"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// All routes of the main table and others.
    pub fn routes(&mut self) -> Result<Vec<route::Route>, Failure> {
        Ok(self.dump(&route::dump(), "list routes")?.iter().filter_map(route::Route::read).collect())
    }

    fn dump(&mut self, request: &Request, op: &'static str) -> Result<Vec<Message>, Failure> {
        let answer = self.socket.dump(request).map_err(failed)?;
        answer.map_err(|refusal| failed(refused(op, "", refusal)))
    }

    /// Gives the interface its addresses, sets it up, and makes the routes: by their own gateway, or the first of their family.
    pub fn configure(&mut self, interface: &str, result: &Success) -> Result<u32, Failure> {
        let index = self.need(interface)?.index;
        let mut requests: Vec<_> = result.ips.iter().map(|ip| message::add_address(index, ip.address)).collect();
        requests.push(message::Link::numbered(index).up().change());
        self.apply("set address of", interface, &requests)?;
        for route in &result.routes {
            let same = |ip: &&spec::cni::Ip| ip.address.address.is_ipv4() == route.dst.address.is_ipv4();
            let gw = route.gw.or_else(|| result.ips.iter().filter(same).find_map(|ip| ip.gateway));
            let whole = Route { gw, ..route.clone() };
            let subject = format!("{} via {} dev {interface}", route.dst, gw.map_or("-".into(), |gw| gw.to_string()));
            // The first of two routes to the same place wins.
            let add = message::add_route(index, &whole, Scope::Universe, None);
            self.apply_unless("add route", &subject, &[add], libc::EEXIST)?;
        }
        Ok(index)
    }
}

/// Writes a setting below /proc/sys/net of the calling thread's namespace; `key` has slashes.
pub fn set(key: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys/net").join(key);
    // What is so already is not written: /proc/sys may be read-only.
    if std::fs::read_to_string(&path).is_ok_and(|now| now.trim_end() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|e| crate::error::failed("write", path.display(), e))
}

/// Switches on the forwarding of packets of one family in the calling thread's namespace.
pub fn forward(v4: bool) -> Result<(), Failure> {
    let key = if v4 { "ipv4/ip_forward" } else { "ipv6/conf/all/forwarding" };
    set(key, "1").map_err(|e| failed(e).during("failed to enable forwarding"))
}

/// What a container's interface is told before it has addresses: how to behave when it gets them. What cannot be written is
/// left, but for IPv6 that is switched off and needed.
pub fn prepare(
    namespace: &Namespace,
    interface: &str,
    v6: bool,
    duplicates: bool,
    announce: &[&str],
) -> Result<(), Failure> {
    let keys: Vec<_> = announce
        .iter()
        .map(|family| (*family, if *family == "ipv4" { "arp_notify" } else { "ndisc_notify" }))
        .collect();
    let done = namespace.within(|| {
        for (family, key) in &keys {
            let _ = set(&format!("{family}/conf/{interface}/{key}"), "1");
        }
        if duplicates {
            let _ = set(&format!("ipv6/conf/{interface}/enhanced_dad"), "1");
        }
        let _ = set(&format!("ipv6/conf/{interface}/accept_dad"), if duplicates { "1" } else { "0" });
        if !v6 {
            return Ok(());
        }
        for name in ["lo", interface] {
            set(&format!("ipv6/conf/{name}/disable_ipv6"), "0")?;
        }
        set(&format!("ipv6/conf/{interface}/keep_addr_on_down"), "1")
    });
    match done.map_err(failed)? {
        Err(e) if e.kind != Kind::NotPermitted => Err(failed(e)),
        _ => Ok(()),
    }
}
