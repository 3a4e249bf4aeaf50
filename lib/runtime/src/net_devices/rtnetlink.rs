//! The few requests of rtnetlink(7) that moving a device takes, written out: a header, the family's own header, attributes.
//!
//! A socket belongs to the network namespace it was opened in. Requests go one at a time and are acknowledged; only a dump answers in
//! several messages.

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// `struct nlmsghdr`, `struct ifaddrmsg`, `struct rtattr`.
const HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ATTRIBUTE_HEADER: usize = 4;

const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
/// NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN: what whoever gave the address may have asked for; the rest is the kernel's.
const IFA_F_ASKED: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
const RT_SCOPE_UNIVERSE: u8 = 0;
/// The largest answer to a dump.
const RECEIVE_BYTES: usize = 64 << 10;

/// An address of a device, as it can be given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    /// IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST as they were.
    attributes: Vec<(u16, Vec<u8>)>,
}

/// A socket for links and addresses of the network namespace of the process.
#[derive(Debug)]
pub(super) struct Socket {
    inner: OwnedFd,
    sequence: u32,
}

fn link(index: i32, flags: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    // flags, and which of them change
    body.extend(flags.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = (ATTRIBUTE_HEADER + value.len()) as u16;
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

fn name(to: &mut Vec<u8>, kind: u16, name: &str) {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    attribute(to, kind, &value);
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The attributes in `bytes`, by kind.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let (Some(length), Some(kind)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let Some(value) = bytes.get(ATTRIBUTE_HEADER..usize::from(length)) else { break };
        // The upper two bits are flags of the attribute.
        all.push((kind & 0x3fff, value));
        bytes = bytes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// An `ifaddrmsg` with its attributes: whose it is, and the address where it is permanent and of global scope.
fn address(body: &[u8]) -> Option<(i32, Address)> {
    let (family, prefix, scope) = (*body.first()?, *body.get(1)?, *body.get(3)?);
    let index = u32_at(body, 4)? as i32;
    let all = attributes(body.get(ADDRESS_HEADER..)?);
    // The byte in the header holds only the lower eight flags.
    let flags = all.iter().find(|(kind, _)| *kind == IFA_FLAGS).and_then(|(_, value)| u32_at(value, 0));
    let flags = flags.unwrap_or(u32::from(*body.get(2)?));
    if flags & IFA_F_PERMANENT == 0 || scope != RT_SCOPE_UNIVERSE {
        return None;
    }
    let kept = all.into_iter().filter(|(kind, _)| [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST].contains(kind));
    let attributes = kept.map(|(kind, value)| (kind, value.to_vec())).collect();
    Some((index, Address { family, prefix, flags: flags & IFA_F_ASKED, attributes }))
}

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        // Without a protocol it is number 0, NETLINK_ROUTE.
        let inner = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { inner, sequence: 0 })
    }

    /// Sends one request; the bodies of what it answers with, but for the acknowledgement.
    fn ask(&mut self, kind: u16, flags: i32, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.sequence += 1;
        let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(body);
        rustix::net::send(&self.inner, &message, SendFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            let received = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.inner, buffer.as_mut_slice(), RecvFlags::empty()).map(|(_, length)| length)
            })?;
            let mut rest = buffer.get(..received).unwrap_or_default();
            while let (Some(length), Some(kind), Some(sequence)) = (u32_at(rest, 0), u16_at(rest, 4), u32_at(rest, 8)) {
                let length = length as usize;
                let Some(body) = rest.get(HEADER..length) else { break };
                if sequence == self.sequence {
                    match i32::from(kind) {
                        libc::NLMSG_ERROR => {
                            return match u32_at(body, 0).unwrap_or(0) as i32 {
                                0 => Ok(answers),
                                errno => Err(io::Error::from_raw_os_error(-errno)),
                            };
                        }
                        libc::NLMSG_DONE => return Ok(answers),
                        _ => answers.push(body.to_vec()),
                    }
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    /// The number of the device `device`; ENODEV where there is none.
    pub(super) fn index_of(&mut self, device: &str) -> io::Result<i32> {
        let mut body = link(0, 0);
        name(&mut body, IFLA_IFNAME, device);
        let answers = self.ask(libc::RTM_GETLINK, libc::NLM_F_ACK, &body)?;
        let index = answers.first().and_then(|body| u32_at(body, 4));
        index.map(|n| n as i32).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// The addresses of the device that it is to keep.
    pub(super) fn addresses_of(&mut self, index: i32) -> io::Result<Vec<Address>> {
        let answers = self.ask(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; ADDRESS_HEADER])?;
        Ok(answers.iter().filter_map(|body| address(body)).filter(|(of, _)| *of == index).map(|(_, a)| a).collect())
    }

    /// Moves a device to the network namespace `target`, where it is called `new_name`; both or none.
    pub(super) fn move_to(&mut self, index: i32, new_name: &str, target: BorrowedFd<'_>) -> io::Result<()> {
        let mut body = link(index, 0);
        name(&mut body, IFLA_IFNAME, new_name);
        attribute(&mut body, IFLA_NET_NS_FD, &(target.as_raw_fd() as u32).to_ne_bytes());
        self.ask(libc::RTM_NEWLINK, libc::NLM_F_ACK, &body).map(drop)
    }

    /// Renames a device; `%d` becomes the first free number.
    pub(super) fn rename(&mut self, index: i32, template: &str) -> io::Result<()> {
        let mut body = link(index, 0);
        name(&mut body, IFLA_IFNAME, template);
        self.ask(libc::RTM_NEWLINK, libc::NLM_F_ACK, &body).map(drop)
    }

    /// Sets a device up.
    pub(super) fn set_up(&mut self, index: i32) -> io::Result<()> {
        self.ask(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link(index, libc::IFF_UP as u32)).map(drop)
    }

    /// Gives a device an address.
    pub(super) fn add_address(&mut self, index: i32, address: &Address) -> io::Result<()> {
        let mut body = vec![address.family, address.prefix, 0, RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        for (kind, value) in &address.attributes {
            attribute(&mut body, *kind, value);
        }
        attribute(&mut body, IFA_FLAGS, &address.flags.to_ne_bytes());
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.ask(libc::RTM_NEWADDR, flags, &body).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, IFA_ADDRESS, IFA_FLAGS, IFA_LOCAL, Socket, address, attribute, attributes, link};

    #[test]
    fn only_permanent_addresses_of_global_scope_are_kept() {
        let of = |flags: u32, scope: u8| {
            let mut body = vec![2, 24, flags as u8, scope, 7, 0, 0, 0];
            attribute(&mut body, IFA_ADDRESS, &[10, 0, 0, 1]);
            attribute(&mut body, IFA_LOCAL, &[10, 0, 0, 1]);
            attribute(&mut body, IFA_FLAGS, &flags.to_ne_bytes());
            attribute(&mut body, 6, &[0; 16]);
            address(&body)
        };
        let both = vec![(IFA_ADDRESS, vec![10, 0, 0, 1]), (IFA_LOCAL, vec![10, 0, 0, 1])];
        let kept = Address { family: 2, prefix: 24, flags: 0x200, attributes: both };
        assert_eq!(of(0x280, 0), Some((7, kept)));
        assert_eq!(of(0x200, 0), None);
        assert_eq!(of(0x80, 253), None);
        assert_eq!(address(&[2, 24]), None);
    }

    #[test]
    fn attributes_that_end_too_early_end_the_list() {
        let mut body = link(0, 0);
        attribute(&mut body, 3, b"abc\0");
        body.extend([9, 0, 1, 0, 1]);
        assert_eq!(attributes(&body[16..]), [(3, &b"abc\0"[..])]);
    }

    #[test]
    fn the_kernel_is_asked_and_answers() {
        let mut socket = Socket::open().unwrap();
        assert_eq!(socket.index_of("lo").unwrap(), 1);
        assert_eq!(socket.index_of("no-such-link").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        // 127.0.0.1 has host scope.
        assert!(socket.addresses_of(1).unwrap().is_empty());
    }
}
