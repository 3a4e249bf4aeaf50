//! The sockets that questions come in by: UDP and TCP, port 53, of each of the network's own addresses.
//!
//! A packet for the bridge's address is taken by the kernel whatever link it came in by. So with each question comes the
//! number of its link (`IP_PKTINFO`), and who comes by another than the bridge is not answered: this is no open resolver.
//! The machine itself comes by `lo`, from an address of its own; with TCP the handshake proves the address.

use crate::dns::resolv::{PORT, index_of};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

/// How many connections may wait.
const BACKLOG: i32 = 64;
/// How many questions may wait, in bytes of the socket's queue: while the program is replaced, they do.
const QUEUE_BYTES: usize = 1 << 20;
/// The link that the machine speaks to itself by.
const LOOPBACK: u32 = 1;
/// Room for what the kernel says of a datagram.
const CONTROL_BYTES: usize = 128;

/// The two sockets of one address.
#[derive(Debug)]
pub(crate) struct Door {
    /// The address.
    pub(crate) address: IpAddr,
    /// Questions.
    pub(crate) datagrams: UdpSocket,
    /// Connections.
    pub(crate) connections: TcpListener,
}

impl Door {
    /// Opens both.
    pub(crate) fn open(address: IpAddr) -> io::Result<Self> {
        let udp = socket(address, SocketType::DGRAM)?;
        // Before it is bound, so that nothing comes without.
        match address {
            IpAddr::V4(_) => nix::sys::socket::setsockopt(&udp, nix::sys::socket::sockopt::Ipv4PacketInfo, &true)?,
            IpAddr::V6(_) => nix::sys::socket::setsockopt(&udp, nix::sys::socket::sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        // The machine's limit (net.core.rmem_max) may allow less.
        let _ = sockopt::set_socket_recv_buffer_size(&udp, QUEUE_BYTES);
        let tcp = socket(address, SocketType::STREAM)?;
        for socket in [&udp, &tcp] {
            bind(socket, &at(address))?;
        }
        listen(&tcp, BACKLOG)?;
        Ok(Self { address, datagrams: udp.into(), connections: tcp.into() })
    }

    /// The one whose sockets these are, opened by another process.
    pub(crate) fn inherit(udp: OwnedFd, tcp: OwnedFd) -> io::Result<Self> {
        let (datagrams, connections) = (UdpSocket::from(udp), TcpListener::from(tcp));
        let address = datagrams.local_addr()?.ip();
        if connections.local_addr()?.ip() != address {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { address, datagrams, connections })
    }

    /// The next question, from where and by which link; `None` when there is none just now.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr, u32)>> {
        let mut control = vec![0; CONTROL_BYTES];
        let mut parts = [IoSliceMut::new(buffer)];
        let socket = self.datagrams.as_raw_fd();
        let received = match recvmsg::<SockaddrStorage>(socket, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)
        {
            Ok(received) => received,
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let link = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => u32::try_from(info.ipi_ifindex).ok(),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_ifindex),
            _ => None,
        });
        let from = received.address.and_then(|address| {
            let four = address.as_sockaddr_in().map(|a| SocketAddr::new(a.ip().into(), a.port()));
            four.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
        });
        // Without an address or a link nobody is answered.
        let unknown = SocketAddr::new([0, 0, 0, 0].into(), 0);
        Ok(Some((received.bytes, from.unwrap_or(unknown), link.unwrap_or(0))))
    }
}

/// Whether a question from `client` that came in by `link` is the machine's own.
pub(crate) fn is_own(client: IpAddr, link: u32, ours: &[IpAddr]) -> bool {
    link == LOOPBACK && ours.contains(&client)
}

/// The number of the bridge, looked up again when a link with another number turns up: it may have been made anew.
#[derive(Debug)]
pub(crate) struct Bridge {
    name: String,
    index: u32,
}

impl Bridge {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), index: index_of(name).unwrap_or(0) }
    }

    /// Whether `link` is it.
    pub(crate) fn is(&mut self, link: u32) -> bool {
        if link == 0 || link == LOOPBACK {
            return false;
        }
        if self.index != link {
            self.index = index_of(&self.name).unwrap_or(0);
        }
        self.index == link
    }
}

fn at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, PORT)
}

fn socket(address: IpAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // For UDP: beside a server on every address (0.0.0.0) that allows it, as dnsmasq does. For TCP: also while connections
    // of the last server are dying.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // The bridge may be still to come, and may be made anew.
    if address.is_ipv4() {
        sockopt::set_ip_freebind(&socket, true)?;
    } else {
        sockopt::set_ipv6_v6only(&socket, true)?;
        sockopt::set_ipv6_freebind(&socket, true)?;
    }
    Ok(socket)
}
