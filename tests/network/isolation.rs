//! Who does not reach whom: networks, neighbours, and what comes from outside unasked.

use crate::lab::{Lab, address, lab};
use crate::publishing::{at, tcp, unbridge, with_and_without_bridged_rules};
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;
use testkit::need;

fn each_way(body: impl Fn(&Lab) + Sync) {
    for way in 0..2 {
        lab(|lab| {
            if let Some(setting) = with_and_without_bridged_rules(lab).get(way) {
                lab.sh(setting);
                body(lab);
            }
        });
    }
}

/// Attaches and gives the addresses, IPv4 first.
pub(crate) fn attached(lab: &Lab, name: &str, network: &str, more: &str) -> Vec<IpAddr> {
    lab.container(name);
    let made = lab.attach(&format!("--network {network} --netns {name} --id {name} {more}"));
    let all = made["addresses"].as_array().expect("addresses").iter();
    all.map(|a| a.as_str().and_then(|a| a.split('/').next()?.parse().ok()).expect("an address")).collect()
}

#[test]
fn neighbours_that_may_not_talk() {
    need!(root, "ip");
    each_way(|lab| {
        lab.outside();
        lab.netwire("network create quiet --subnet 10.9.0.0/24 --subnet fd09::/64 -o icc=false");
        attached(lab, "c1", "quiet", "-p 8080:80");
        let two = attached(lab, "c2", "quiet", "");
        for to in two {
            assert_eq!(tcp(lab, "c1", (to, 80).into(), "c2", 80), None, "{to}");
        }
        // Nor by way of the gateway, which a container may try by a route of its own.
        lab.sh("ip -n c1 route add 10.9.0.3/32 via 10.9.0.1; ip -n c1 -6 route add fd09::3/128 via fd09::1");
        assert_eq!(tcp(lab, "c1", at("10.9.0.3:80"), "c2", 80), None);
        assert_eq!(tcp(lab, "c1", at("[fd09::3]:80"), "c2", 80), None);
        // The machine and the world are there for them.
        assert!(tcp(lab, "c1", at("10.9.0.1:7000"), "", 7000).is_some());
        assert!(tcp(lab, "c1", at("198.51.100.2:7000"), "outside", 7000).is_some());
        assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_some());
    });
}

#[test]
fn what_is_published_is_reached_by_neighbours_that_may_not_talk() {
    need!(root, "ip");
    lab(|lab| {
        unbridge(lab);
        lab.outside();
        lab.netwire("network create quiet --subnet 10.9.0.0/24 -o icc=false");
        attached(lab, "c1", "quiet", "-p 8080:80");
        attached(lab, "c2", "quiet", "");
        assert!(tcp(lab, "c2", at("198.51.100.1:8080"), "c1", 80).is_some());
    });
}

#[test]
fn networks_are_apart_unless_they_are_open() {
    need!(root, "ip");
    each_way(|lab| {
        lab.outside();
        lab.netwire("network create a --subnet 10.1.0.0/24 --subnet fd01::/64");
        lab.netwire("network create b --subnet 10.2.0.0/24 --subnet fd02::/64");
        lab.netwire("network create x --subnet 10.3.0.0/24 --subnet fd03::/64 -o isolate=false");
        lab.netwire("network create y --subnet 10.4.0.0/24 --subnet fd04::/64 -o isolate=false");
        let at_port = |lab: &Lab, name: &str, network: &str| attached(lab, name, network, "");
        attached(lab, "a1", "a", "");
        let b = attached(lab, "b1", "b", "-p 8080:80");
        at_port(lab, "x1", "x");
        let y = at_port(lab, "y1", "y");
        for to in b {
            assert_eq!(tcp(lab, "a1", (to, 80).into(), "b1", 80), None, "{to}");
            assert_eq!(tcp(lab, "x1", (to, 80).into(), "b1", 80), None, "{to}");
        }
        for to in y {
            assert!(tcp(lab, "x1", (to, 80).into(), "y1", 80).is_some(), "{to}");
            assert_eq!(tcp(lab, "a1", (to, 80).into(), "y1", 80), None, "{to}");
        }
        // What is published is for everybody.
        assert!(tcp(lab, "a1", at("198.51.100.1:8080"), "b1", 80).is_some());
    });
}

#[test]
fn nothing_unasked_comes_from_outside() {
    need!(root, "ip");
    each_way(|lab| {
        lab.outside();
        lab.sh(
            "ip addr add 2001:db8:1::1/64 dev uplink nodad; ip -n outside addr add 2001:db8:1::2/64 dev eth0 nodad
             ip -n outside route add fd09::/64 via 2001:db8:1::1; ip -n outside route add 10.9.0.0/24 via 198.51.100.1",
        );
        lab.netwire("network create web --subnet 10.9.0.0/24 --subnet fd09::/64");
        let one = attached(lab, "c1", "web", "-p 8080:80");
        for to in &one {
            for port in [80, 81] {
                assert_eq!(tcp(lab, "outside", (*to, port).into(), "c1", port), None, "{to} {port}");
            }
        }
        let server = lab.within("c1", || UdpSocket::bind("[::]:53")).expect("a server");
        server.set_read_timeout(Some(Duration::from_millis(400))).expect("a timeout");
        let client = lab.within("outside", || UdpSocket::bind("[::]:0")).expect("a client");
        for to in &one {
            let to = match to {
                IpAddr::V4(to) => to.to_ipv6_mapped().into(),
                IpAddr::V6(_) => *to,
            };
            let _ = client.send_to(b"?", (to, 53));
            assert!(server.recv_from(&mut [0]).is_err(), "{to}");
        }
        // What they ask for themselves is answered.
        assert!(tcp(lab, "c1", at("198.51.100.2:7000"), "outside", 7000).is_some());
        assert!(tcp(lab, "c1", at("[2001:db8:1::2]:7000"), "outside", 7000).is_some());
    });
}

#[test]
fn an_internal_network_publishes_nothing() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.netwire("network create vault --subnet 10.9.0.0/24 --internal");
        let one = attached(lab, "c1", "vault", "");
        lab.refused("publish --id c1 8080:80", 1, "network vault is internal", "attach the container to a network");
        lab.container("c2");
        lab.refused(
            "attach --network vault --netns c2 --id c2 -p 8080:80",
            1,
            "network vault is internal",
            "attach the container to a network",
        );
        assert_eq!(lab.inspect("vault")["containers"].as_array().map(Vec::len), Some(1), "nothing is left of it");
        // Also a rule of somebody else's that leads there leads nowhere.
        lab.sh(&format!(
            "sysctl -qw net.ipv4.ip_forward=1; nft add table ip other
             nft 'add chain ip other p {{ type nat hook prerouting priority -100; }}'
             nft add rule ip other p tcp dport 8080 dnat to {}:80",
            one[0]
        ));
        assert_eq!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80), None);
    });
}

#[test]
fn masquerading_is_chosen_by_family() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.sh(
            "ip addr add 2001:db8:1::1/64 dev uplink nodad; ip -n outside addr add 2001:db8:1::2/64 dev eth0 nodad
             ip -n outside route add fd09::/64 via 2001:db8:1::1; ip -n outside route add 10.9.0.0/24 via 198.51.100.1",
        );
        let seen = |name: &str, to: &str| tcp(lab, name, at(to), "outside", 7000).map(|a| a.to_string());
        let (v4, v6) = ("198.51.100.2:7000", "[2001:db8:1::2]:7000");
        lab.netwire("network create web --subnet 10.9.0.0/24 --subnet fd09::/64");
        attached(lab, "c1", "web", "");
        assert_eq!(seen("c1", v4).as_deref(), Some("198.51.100.1"));
        assert_eq!(seen("c1", v6).as_deref(), Some("2001:db8:1::1"));
        lab.netwire("detach --network web --id c1");
        lab.netwire("network rm web");
        lab.netwire("network create web --subnet 10.9.0.0/24 --subnet fd09::/64 -o masquerade=false");
        let one = attached(lab, "c2", "web", "");
        assert_eq!(seen("c2", v4), Some(one[0].to_string()));
        assert_eq!(seen("c2", v6), Some(one[1].to_string()));
        lab.netwire("detach --network web --id c2");
        lab.netwire("network rm web");
        lab.netwire("network create web --subnet 10.9.0.0/24 --subnet fd09::/64 -o gateway_mode_ipv6=routed");
        let one = attached(lab, "c3", "web", "-p 8080:80");
        assert_eq!(seen("c3", v4).as_deref(), Some("198.51.100.1"));
        assert_eq!(seen("c3", v6), Some(one[1].to_string()));
        attached(lab, "c4", "web", "");
        for name in ["c3", "c4", ""] {
            assert!(tcp(lab, name, at("198.51.100.1:8080"), "c3", 80).is_some(), "{name}");
            assert!(tcp(lab, name, at("[2001:db8:1::1]:8080"), "c3", 80).is_some(), "{name}");
        }
    });
}

#[test]
fn groups_and_broadcasts_are_left_alone() {
    need!(root, "ip");
    each_way(|lab| {
        lab.container("c1");
        lab.container("c2");
        let one = address(&lab.attach("--network bridge --netns c1 --id c1 -p 8080:80/udp"));
        lab.attach("--network bridge --netns c2 --id c2");
        let receiver = lab.within("c2", || {
            let socket = UdpSocket::bind("0.0.0.0:8080").expect("a socket");
            socket.join_multicast_v4(&[239, 1, 2, 3].into(), &[172, 17, 0, 3].into()).expect("joined");
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            socket
        });
        let sender = lab.within("c1", || UdpSocket::bind("0.0.0.0:0")).expect("a socket");
        sender.set_broadcast(true).expect("broadcasts");
        for to in ["239.1.2.3:8080", "172.17.255.255:8080", "255.255.255.255:8080"] {
            sender.send_to(b"all", to).expect("sent");
            let (length, from) = receiver.recv_from(&mut [0; 8]).unwrap_or_else(|e| panic!("{to}: {e}"));
            assert_eq!((length, from.ip()), (3, one), "{to}");
        }
    });
}
