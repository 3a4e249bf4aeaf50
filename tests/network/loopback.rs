//! Loopback addresses are this machine's alone, whatever is published on them.

use crate::lab::{Lab, lab};
use crate::publishing::{at, tcp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use testkit::need;

/// Whether `from` gets a connection to 127.0.0.1:`port` of this machine when it sends it there by `link` and `gateway`.
fn breaks_in(lab: &Lab, from: &str, link: &str, gateway: &str, port: u16) -> bool {
    // Its own loopback addresses are given up: everything of 127.0.0.0/8 goes to the neighbour, and a route back is of no use
    // to who has none of those addresses.
    lab.sh(&format!(
        "ip netns exec {from} sysctl -qw net.ipv4.conf.{link}.route_localnet=1
         ip -n {from} addr del 127.0.0.1/8 dev lo 2>/dev/null || true
         ip -n {from} route flush table local 127.0.0.0/8 2>/dev/null || true
         ip -n {from} route replace 127.0.0.1/32 via {gateway} dev {link}"
    ));
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    lab.within(from, || TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok())
}

#[test]
fn cve_2020_8558() {
    need!(root, "ip", "nft");
    // A neighbour on the container's link, or on the machine's own uplink, sends packets to 127.0.0.1 with the machine's
    // hardware address on them.
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        lab.container("evil");
        lab.attach("--network bridge --netns c1 --id c1 -p 127.0.0.1:8080:80 -p 8090:80");
        lab.attach("--network bridge --netns evil --id evil");
        assert_eq!(lab.sh("cat /proc/sys/net/ipv4/conf/veneer0/route_localnet").trim(), "1", "the way in is open");
        assert_eq!(lab.sh("cat /proc/sys/net/ipv4/conf/all/route_localnet").trim(), "0", "on that link alone");
        let _service = TcpListener::bind("127.0.0.1:7000").expect("a service that trusts loopback");
        let inside = lab.within("c1", || TcpListener::bind("0.0.0.0:80")).expect("the container's service");
        assert!(!breaks_in(lab, "evil", "eth0", "172.17.0.1", 7000));
        assert!(!breaks_in(lab, "evil", "eth0", "172.17.0.1", 8080));
        assert!(!breaks_in(lab, "outside", "eth0", "198.51.100.1", 7000));
        assert!(!breaks_in(lab, "outside", "eth0", "198.51.100.1", 8080));
        // The test would show it: without the defence both get in.
        lab.sh("nft flush chain inet veneer guard");
        assert!(breaks_in(lab, "evil", "eth0", "172.17.0.1", 7000), "the attack itself works");
        assert!(breaks_in(lab, "outside", "eth0", "198.51.100.1", 8080), "the attack itself works");
        // The next attach brings it back.
        lab.attach("--network bridge --netns c1 --id c1");
        assert!(!breaks_in(lab, "evil", "eth0", "172.17.0.1", 7000));
        assert!(!breaks_in(lab, "outside", "eth0", "198.51.100.1", 8080));
        drop(inside);
        assert!(tcp(lab, "", at("127.0.0.1:8080"), "c1", 80).is_some(), "and this machine itself gets through");
    });
}

#[test]
fn a_neighbour_cannot_speak_for_loopback() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("evil");
        lab.attach("--network bridge --netns evil --id evil -p 8090:80");
        let service = std::net::UdpSocket::bind("0.0.0.0:7000").expect("a service");
        service.set_read_timeout(Some(Duration::from_millis(400))).expect("a timeout");
        let send = || {
            lab.sh(
                "ip netns exec evil sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1",
            );
            let socket = lab.within("evil", || std::net::UdpSocket::bind("127.0.0.1:0")).expect("a socket");
            let _ = lab.within("evil", || socket.send_to(b"trust me", "172.17.0.1:7000"));
            service.recv_from(&mut [0; 16]).map(|(_, from)| from.ip())
        };
        assert!(send().is_err());
        lab.sh("nft flush chain inet veneer guard; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.veneer0.rp_filter=0");
        // It depends on the kernel's other checks whether it would come through; if it does, it is as loopback.
        if let Ok(from) = send() {
            assert_eq!(from, IpAddr::from([127, 0, 0, 1]));
        }
    });
}
