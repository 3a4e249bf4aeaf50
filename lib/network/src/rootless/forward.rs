//! Published ports of a user network: each is a socket that the program listens on, so it is one that the user may have.

use super::Routes;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use spec::published::{Host, Protocol, Published as Spec};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

const PUBLISH: &str = "publish";

/// One port of the caller's that leads into the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The address it listens on; any where none is given.
    pub host_ip: Option<IpAddr>,
    /// The port outside.
    pub host_port: u16,
    /// The port inside.
    pub container_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A port as it is printed: one for each address it listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// The address outside.
    pub host_ip: IpAddr,
    /// The port outside.
    pub host_port: u16,
    /// The port inside.
    pub container_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl Forward {
    /// The addresses that it is on, where the network has these families.
    pub(super) fn listening(&self, families: Routes) -> Vec<Listening> {
        let any = || {
            let four = families.four.then_some(IpAddr::from(Ipv4Addr::UNSPECIFIED));
            four.into_iter().chain(families.six.then_some(Ipv6Addr::UNSPECIFIED.into())).collect::<Vec<_>>()
        };
        let Self { host_port, container_port, protocol, .. } = *self;
        let on = |host_ip| Listening { host_ip, host_port, container_port, protocol };
        self.host_ip.map_or_else(any, |ip| vec![ip]).into_iter().map(on).collect()
    }
}

/// A socket that holds a port until the choice is made.
#[derive(Debug)]
enum Held {
    Tcp { _socket: TcpListener },
    Udp { _socket: UdpSocket },
}

/// Chooses the ports and makes sure that they can be had; the programs' own words for it are few. They are free again when
/// this returns.
pub(super) fn choose(specs: &[Spec]) -> Result<Vec<Forward>> {
    let mut held = Vec::new();
    let mut chosen = Vec::new();
    for spec in specs {
        if spec.protocol == Protocol::Sctp {
            return Err(Error::new(Kind::Unsupported, PUBLISH, spec)
                .because("the program that carries a user's packets knows TCP and UDP")
                .hint("as root a network like bridge has sctp too"));
        }
        for (number, container_port) in spec.container.clone().enumerate() {
            let host_port = match &spec.host {
                Host::Free => hold(spec, 0, &mut held)?,
                Host::These(ports) => hold(spec, ports.start() + number as u16, &mut held)?,
                Host::OneOf(ports) => {
                    let mut last = None;
                    let found =
                        ports.clone().find_map(|port| hold(spec, port, &mut held).map_err(|e| last = Some(e)).ok());
                    match (found, last) {
                        (Some(port), _) => port,
                        (None, Some(e)) => return Err(e),
                        (None, None) => continue,
                    }
                }
            };
            chosen.push(Forward { host_ip: spec.address, host_port, container_port, protocol: spec.protocol });
        }
    }
    Ok(chosen)
}

/// Holds `port` (0: one that is free) on all addresses that `spec` means, and gives its number.
fn hold(spec: &Spec, port: u16, held: &mut Vec<Held>) -> Result<u16> {
    let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
    let mut number = port;
    let mut sockets = Vec::new();
    for ip in spec.address.map_or_else(|| any.to_vec(), |ip| vec![ip]) {
        let address = SocketAddr::new(ip, number);
        let bound = match spec.protocol {
            Protocol::Udp => UdpSocket::bind(address)
                .and_then(|socket| Ok((socket.local_addr()?.port(), Held::Udp { _socket: socket }))),
            _ => TcpListener::bind(address)
                .and_then(|socket| Ok((socket.local_addr()?.port(), Held::Tcp { _socket: socket }))),
        };
        match bound {
            Ok((found, socket)) => {
                number = found;
                sockets.push(socket);
            }
            // Without IPv6, or where std's socket of both families has it from the one before.
            Err(e) if spec.address.is_none() && ip.is_ipv6() && is_covered(&e) => {}
            Err(e) => return Err(refused(address, e)),
        }
    }
    held.extend(sockets);
    Ok(number)
}

/// Whether the IPv6 half of a port on all addresses need not be held: there is no IPv6, or our own IPv4 socket is in the way
/// (Linux lets a socket of both families in only where no other one is).
fn is_covered(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EADDRINUSE))
}

fn refused(address: SocketAddr, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::new(Kind::InUse, PUBLISH, address).because("port is already allocated").hint("choose another")
        }
        std::io::ErrorKind::PermissionDenied => {
            Error::new(Kind::NotPermitted, PUBLISH, address).because(error).hint(format!(
                "choose a port above 1023, or let users have it: sysctl net.ipv4.ip_unprivileged_port_start={}",
                address.port()
            ))
        }
        _ => Error::new(Kind::Invalid, PUBLISH, address).because(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_chosen_among_the_free_ones() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let spec = |text: String| text.parse::<Spec>().unwrap();
        let error = choose(&[spec(format!("127.0.0.1:{port}:80"))]).unwrap_err();
        assert_eq!(error.to_string(), format!("publish 127.0.0.1:{port}: port is already allocated"));
        let two = choose(&[spec("127.0.0.1::80-81".into())]).unwrap();
        assert_eq!((two.len(), two[1].container_port), (2, 81));
        assert!(two[0].host_port != two[1].host_port && two[0].host_port > 0);
        if port < u16::MAX {
            let next = choose(&[spec(format!("127.0.0.1:{port}-{}:80", port + 1))]).unwrap();
            assert_eq!(next[0].host_port, port + 1);
        }
        assert!(choose(&[spec("9000:80/sctp".into())]).unwrap_err().to_string().contains("knows TCP and UDP"));
    }
}
