//! Large packets, and over the edge from a network of large packets to one of smaller ones.

use crate::lab::{Lab, address, lab, nth_address};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
use testkit::need;

/// How long nothing may come before it counts as lost; on a busy machine much.
const PATIENCE: Duration = Duration::from_secs(30);
const BULK: usize = 1 << 20;

fn all_of(to: IpAddr) -> SocketAddr {
    let all = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    all.parse().expect("an address")
}

/// One datagram of `size` bytes from `from` to `to` in `server`, and back.
fn echo(lab: &Lab, from: &str, server: &str, to: IpAddr, size: usize) {
    let socket = lab.within(server, || UdpSocket::bind(all_of(to))).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let port = socket.local_addr().expect("its address").port();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 65536];
            let (length, peer) = socket.recv_from(&mut buffer).expect("a datagram");
            socket.send_to(&buffer[..length], peer).expect("sent back");
        });
        lab.within(from, || {
            let socket = UdpSocket::bind(all_of(to)).expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            socket.connect((to, port)).expect("connected");
            let sent: Vec<u8> = (0..size).map(|n| n as u8).collect();
            socket.send(&sent).expect("sent");
            let mut buffer = vec![0; 65536];
            let length = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{size} bytes to {to}: {e}"));
            assert!(buffer[..length] == sent, "what was sent comes back");
        });
    });
}

/// A megabyte each way over one connection.
fn bulk(lab: &Lab, from: &str, server: &str, to: IpAddr) {
    let listener = lab.within(server, || TcpListener::bind(all_of(to))).expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut got = vec![0; BULK];
            stream.read_exact(&mut got).expect("a megabyte");
            stream.write_all(&got).expect("a megabyte back");
        });
        lab.within(from, || {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(to, port), PATIENCE).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream.write_all(&vec![7; BULK]).expect("sent");
            let mut got = vec![0; BULK];
            stream.read_exact(&mut got).unwrap_or_else(|e| panic!("a megabyte from {to}: {e}"));
        });
    });
}

#[test]
fn large_packets_pass_in_networks_of_every_size() {
    need!(root, "ip");
    lab(|lab| {
        for (name, mtu, net) in [("small", 1280, 1), ("usual", 1500, 2), ("jumbo", 9000, 3), ("largest", 65535, 4)] {
            lab.netwire(&format!(
                "network create {name} --mtu {mtu} --subnet 10.{net}.0.0/24 --subnet fd0{net}::/64 --disable-dns"
            ));
            let names = [1, 2].map(|n| format!("{name}{n}"));
            let made = names.clone().map(|id| {
                lab.container(&id);
                lab.attach(&format!("--network {name} --netns {id} --id {id}"))
            });
            for line in &made {
                assert_eq!(line["mtu"], mtu);
            }
            assert!(lab.sh(&format!("ip -n {} -o link show eth0", names[0])).contains(&format!("mtu {mtu} ")));
            for n in [0, 1] {
                let to = nth_address(&made[1], n);
                // Beyond 1500 no fragments: with br_netfilter the kernel loses them, on a bridge made by hand just so.
                let sizes = if mtu <= 1500 { vec![mtu - 48, mtu - 28, mtu - 27, mtu, 40_000] } else { vec![mtu - 48] };
                for size in sizes {
                    echo(lab, &names[0], &names[1], to, size as usize);
                }
                bulk(lab, &names[0], &names[1], to);
            }
        }
    });
}

#[test]
fn the_edge_to_smaller_packets_is_found_and_passed() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.outside();
        lab.outside_v6();
        lab.sh("ip link set uplink mtu 1300; ip -n outside link set eth0 mtu 1300");
        lab.netwire("network create jumbo --mtu 9000 --ipv6 --disable-dns");
        lab.container("c1");
        lab.attach("--network jumbo --netns c1 --id c1");
        for to in ["198.51.100.2", "2001:db8::2"] {
            bulk(lab, "c1", "outside", to.parse().expect("an address"));
        }
    });
}

#[test]
fn a_network_takes_the_size_of_the_way_out() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.sh("ip link set uplink mtu 1300");
        lab.container("c1");
        let one = lab.attach("--network bridge --netns c1 --id c1");
        assert_eq!((&one["mtu"], address(&one).is_ipv4()), (&1300.into(), true));
    });
}
