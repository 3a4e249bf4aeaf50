//! What the machine's own processes hold: a port is tried by binding it, and where that fails, who has it is looked up.
//!
//! Nothing keeps the port bound afterwards, since nobody of ours stays behind: a process that binds it later is not
//! hindered, but is reached only where the packet rules do not come first. What is refused is what a process listens at
//! now; that somebody's outgoing connection happens to come from the port is no reason.

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, socket_with, sockopt};
use spec::published::Protocol;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Sockets of the calling thread's network namespace, as text.
const TABLES: &str = "/proc/thread-self/net";
const LISTENING: &str = "0A";
const UNCONNECTED: &str = "07";

/// Why a port cannot be published.
#[derive(Debug)]
pub enum Obstacle {
    /// Somebody listens there: a process's name and id, where they can be seen.
    Process(Option<(String, u32)>),
    /// The machine has no such address.
    NoAddress,
    /// Anything else.
    Failed(io::Error),
}

/// Tries `address`; with port 0 the kernel chooses one. Gives the port.
pub fn try_bind(address: SocketAddr, protocol: Protocol) -> Result<u16, Obstacle> {
    let bound = || -> io::Result<u16> {
        let socket = open(address.ip(), protocol)?;
        bind(&socket, &address)?;
        if address.port() != 0 {
            return Ok(address.port());
        }
        Ok(SocketAddr::try_from(getsockname(&socket)?)?.port())
    };
    let error = match bound() {
        Ok(port) => return Ok(port),
        Err(e) => e,
    };
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => match holder(address, protocol) {
            Some(inode) => Err(Obstacle::Process(process_with(&inode))),
            None if address.port() == 0 => Err(Obstacle::Failed(error)),
            None => Ok(address.port()),
        },
        Some(libc::EADDRNOTAVAIL) => Err(Obstacle::NoAddress),
        // A kernel without the protocol or the family has nobody who could hold it.
        Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ESOCKTNOSUPPORT) => Ok(address.port()),
        _ => Err(Obstacle::Failed(error)),
    }
}

fn open(address: IpAddr, protocol: Protocol) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // What a server that just ended left in TIME_WAIT is in nobody's way; one that listens still is.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    Ok(socket)
}

/// The inode of the socket that waits for strangers at `address`, as the tables in /proc show it.
fn holder(address: SocketAddr, protocol: Protocol) -> Option<String> {
    let (name, state) = match protocol {
        Protocol::Tcp => ("tcp", LISTENING),
        Protocol::Udp => ("udp", UNCONNECTED),
        Protocol::Sctp => return None,
    };
    // A socket of IPv6 may wait for IPv4 too.
    for table in [name.to_owned(), format!("{name}6")] {
        let text = fs::read_to_string(Path::new(TABLES).join(table)).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, is, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            let Some((at, port)) = local.split_once(':') else { continue };
            let any = at.bytes().all(|b| b == b'0');
            let same = u16::from_str_radix(port, 16) == Ok(address.port());
            if same && is == state && (any || address.ip().is_unspecified() || at == shown(address.ip())) {
                return Some(inode.to_owned());
            }
        }
    }
    None
}

/// An address as those tables show it: words of four bytes as numbers in the machine's order.
fn shown(address: IpAddr) -> String {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let word = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap_or(0);
    octets.chunks(4).map(|bytes| format!("{:08X}", word(bytes))).collect()
}

/// The process that has the socket open, if it can be seen.
fn process_with(inode: &str) -> Option<(String, u32)> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    for id in processes {
        let Ok(open) = fs::read_dir(format!("/proc/{id}/fd")) else { continue };
        let mut open = open.filter_map(|e| fs::read_link(e.ok()?.path()).ok());
        if open.any(|link| link.to_str() == Some(&wanted)) {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            return Some((name.trim().to_owned(), id));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Obstacle, try_bind};
    use spec::published::Protocol::{Tcp, Udp};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn listeners_are_in_the_way_and_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap();
        for address in [taken, ([0, 0, 0, 0], taken.port()).into()] {
            let Err(Obstacle::Process(Some((_, id)))) = try_bind(address, Tcp) else { panic!("{address} is free") };
            assert_eq!(id, std::process::id());
        }
        assert_eq!(try_bind(taken, Udp).unwrap(), taken.port());
        assert!(try_bind("127.0.0.1:0".parse().unwrap(), Tcp).unwrap() > 0);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(matches!(try_bind(socket.local_addr().unwrap(), Udp), Err(Obstacle::Process(Some(_)))));
        assert!(matches!(try_bind("192.0.2.1:80".parse().unwrap(), Tcp), Err(Obstacle::NoAddress)));
    }

    #[test]
    fn somebodys_outgoing_connection_is_in_nobodys_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = client.local_addr().unwrap().port();
        assert_eq!(try_bind(([0, 0, 0, 0], port).into(), Tcp).unwrap(), port);
    }
}
