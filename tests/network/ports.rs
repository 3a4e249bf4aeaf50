//! Published ports: who reaches them, and by which addresses. The first bodies run on the CNI plugins first.

use crate::lab::{Lab, lab};
use crate::publishing::{any, at, attach, tcp, udp, udp_by, unbridge, with_and_without_bridged_rules};
use crate::wiring::Wiring;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
use testkit::need;

const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 17, 0, 1));

/// On each wiring, with bridged frames passing the rules and without.
fn each(body: impl Fn(&Lab, Wiring) + Sync) {
    for wiring in Wiring::all() {
        for way in 0..2 {
            lab(|lab| {
                if let Some(setting) = with_and_without_bridged_rules(lab).get(way) {
                    lab.sh(setting);
                    body(lab, wiring);
                }
            });
        }
    }
}

#[test]
fn a_port_is_reached_from_everywhere() {
    need!(root, "ip", "iptables");
    each(|lab, wiring| {
        lab.outside();
        lab.container("c1");
        lab.container("c2");
        let one = attach(wiring, lab, "c1", &["8080:80"]);
        let two = attach(wiring, lab, "c2", &[]);
        let seen = |from: &str, to: &str| tcp(lab, from, at(to), "c1", 80);
        assert_eq!(seen("outside", "198.51.100.1:8080"), Some([198, 51, 100, 2].into()), "{wiring:?}");
        assert!(seen("", "198.51.100.1:8080").is_some(), "{wiring:?}");
        assert!(seen("", "172.17.0.1:8080").is_some(), "{wiring:?}");
        assert_eq!(seen("", "127.0.0.1:8080"), Some(GATEWAY), "{wiring:?}");
        // A neighbour is seen by its own address or the gateway's: the answer has to come back by this machine.
        assert!([Some(two), Some(GATEWAY)].contains(&seen("c2", "198.51.100.1:8080")), "{wiring:?}");
        assert!([Some(two), Some(GATEWAY)].contains(&seen("c2", "172.17.0.1:8080")), "{wiring:?}");
        assert_eq!(seen("c1", "198.51.100.1:8080"), Some(GATEWAY), "{wiring:?}");
        // Where it leads is reached as before.
        assert_eq!(tcp(lab, "c2", (one, 80).into(), "c1", 80), Some(two), "{wiring:?}");
        assert_eq!(seen("outside", "198.51.100.1:80"), None, "{wiring:?}");
    });
}

#[test]
fn so_is_one_of_udp() {
    need!(root, "ip", "iptables");
    each(|lab, wiring| {
        lab.outside();
        lab.container("c1");
        lab.container("c2");
        attach(wiring, lab, "c1", &["5300:53/udp"]);
        attach(wiring, lab, "c2", &[]);
        for (from, to) in [
            ("outside", "198.51.100.1:5300"),
            ("", "198.51.100.1:5300"),
            ("", "127.0.0.1:5300"),
            ("c2", "198.51.100.1:5300"),
            ("c1", "198.51.100.1:5300"),
        ] {
            assert!(udp(lab, from, at(to), "c1", 53).is_some(), "{wiring:?}: {to} from `{from}`");
        }
    });
}

#[test]
fn one_address_is_one_address() {
    need!(root, "ip", "iptables");
    each(|lab, wiring| {
        lab.outside();
        lab.container("c1");
        attach(wiring, lab, "c1", &["127.0.0.1:8081:80", "198.51.100.1:8082:80"]);
        let reaches = |from: &str, to: &str| tcp(lab, from, at(to), "c1", 80).is_some();
        assert!(reaches("", "127.0.0.1:8081"), "{wiring:?}");
        assert!(!reaches("outside", "198.51.100.1:8081"), "{wiring:?}");
        assert!(!reaches("", "198.51.100.1:8081"), "{wiring:?}");
        assert!(reaches("outside", "198.51.100.1:8082"), "{wiring:?}");
        assert!(!reaches("", "127.0.0.1:8082"), "{wiring:?}");
    });
}

/// A network of both families with c1, which has port 8080, and c2; and an outside that has both.
fn both_families(lab: &Lab) {
    lab.outside();
    lab.sh("ip addr add 2001:db8:1::1/64 dev uplink nodad; ip -n outside addr add 2001:db8:1::2/64 dev eth0 nodad
         ip -n outside route add fd09::/64 via 2001:db8:1::1; ip -n outside route add 10.9.0.0/24 via 198.51.100.1");
    lab.netwire("network create web --subnet 10.9.0.0/24 --subnet fd09::/64");
    lab.container("c1");
    lab.container("c2");
    lab.attach("--network web --netns c1 --id c1 -p 8080:80");
    lab.attach("--network web --netns c2 --id c2");
    settled(lab);
}

/// Waits until no address is on trial any more: before that the kernel asks for no neighbour's.
fn settled(lab: &Lab) {
    lab.sh("for n in $(seq 100); do [ \"$(ip -6 addr show tentative)\" ] || break; sleep 0.05; done");
}

#[test]
fn a_port_is_reached_by_ipv6() {
    need!(root, "ip");
    for way in 0..2 {
        lab(|lab| {
            let Some(setting) = with_and_without_bridged_rules(lab).get(way).copied() else { return };
            lab.sh(setting);
            both_families(lab);
            let seen = |from: &str, to: &str| tcp(lab, from, at(to), "c1", 80);
            let gateway: IpAddr = "fd09::1".parse().expect("an address");
            assert_eq!(seen("outside", "[2001:db8:1::1]:8080"), Some("2001:db8:1::2".parse().expect("an address")));
            assert!(seen("", "[2001:db8:1::1]:8080").is_some());
            assert!(seen("c2", "[2001:db8:1::1]:8080").is_some());
            assert_eq!(seen("c1", "[2001:db8:1::1]:8080"), Some(gateway));
            assert!(udp(lab, "outside", at("[2001:db8:1::1]:5300"), "c1", 53).is_none());
            lab.netwire("publish --id c1 5300:53/udp");
            for (from, to) in
                [("outside", "[2001:db8:1::1]:5300"), ("c2", "[2001:db8:1::1]:5300"), ("", "127.0.0.1:5300")]
            {
                assert!(udp(lab, from, at(to), "c1", 53).is_some(), "{to} from `{from}`");
            }
            assert!(seen("outside", "198.51.100.1:8080").is_some());
            assert!(seen("", "127.0.0.1:8080").is_some());
            // Nobody reaches by its own address what is not published, in either family.
            assert_eq!(seen("outside", "[fd09::2]:80"), None);
            assert_eq!(seen("outside", "10.9.0.2:80"), None);
        });
    }
}

#[test]
fn a_port_is_unpublished_and_what_came_by_it_ends() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        attach(Wiring::Netwire, lab, "c1", &["8080:80", "8081:80"]);
        let listener = lab.within("c1", || TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80))).expect("a listener");
        let connect = |to: &str| lab.within("outside", || TcpStream::connect(at(to))).expect("a connection");
        let (mut ends, mut stays) = (connect("198.51.100.1:8080"), connect("198.51.100.1:8081"));
        let (_one, _two) = (listener.accept().expect("one"), listener.accept().expect("two"));
        lab.netwire("unpublish --id c1 8080:80");
        ends.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        ends.write_all(b"still there?").expect("sent into the void");
        let reset = ends.read(&mut [0; 1]).expect_err("no more of it");
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
        stays.write_all(b"!").expect("the other one stays");
        drop(listener);
        assert_eq!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80), None);
        assert!(tcp(lab, "outside", at("198.51.100.1:8081"), "c1", 80).is_some());
        // Again, and what was never published, is fine.
        lab.netwire("unpublish --id c1 8080:80");
        lab.netwire("unpublish --id c1");
        lab.netwire("unpublish --id nobody");
        assert_eq!(lab.netwire("publish --list"), "");
        assert_eq!(tcp(lab, "outside", at("198.51.100.1:8081"), "c1", 80), None);
    });
}

#[test]
fn who_goes_on_sending_datagrams_reaches_who_has_the_port_now() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        lab.container("c2");
        attach(Wiring::Netwire, lab, "c1", &[]);
        attach(Wiring::Netwire, lab, "c2", &[]);
        let to = at("198.51.100.1:5300");
        let client = lab.within("outside", || UdpSocket::bind((any(to), 0))).expect("a client");
        // Nobody there: the kernel remembers that, as long as the client goes on.
        assert!(udp_by(&client, lab, to, "c1", 53).is_none());
        lab.netwire("publish --id c1 5300:53/udp");
        assert!(udp_by(&client, lab, to, "c1", 53).is_some());
        lab.netwire("unpublish --id c1 5300:53/udp");
        assert!(udp_by(&client, lab, to, "c1", 53).is_none());
        lab.netwire("publish --id c2 5300:53/udp");
        assert!(udp_by(&client, lab, to, "c2", 53).is_some());
        lab.netwire("detach --network bridge --id c2");
        lab.netwire("publish --id c1 5300:53/udp");
        assert!(udp_by(&client, lab, to, "c1", 53).is_some());
    });
}

#[test]
fn connections_outlive_whatever_is_made_sure_of() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.outside();
        for name in ["c1", "c2", "c3"] {
            lab.container(name);
        }
        attach(Wiring::Netwire, lab, "c1", &["8080:80"]);
        let listener = lab.within("c1", || TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80))).expect("a listener");
        let mut client = lab.within("outside", || TcpStream::connect(at("198.51.100.1:8080"))).expect("a connection");
        let (mut server, _) = listener.accept().expect("accepted");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut alive = || {
            client.write_all(b"x").expect("sent");
            server.read_exact(&mut [0]).expect("received");
            server.write_all(b"y").expect("sent back");
            client.read_exact(&mut [0]).expect("received back");
        };
        alive();
        attach(Wiring::Netwire, lab, "c2", &["8081:80"]);
        attach(Wiring::Netwire, lab, "c1", &["8080:80"]);
        lab.netwire("publish --id c1 8080:80 8082:80/udp");
        alive();
        for damage in ["nft flush chain inet veneer published", "nft flush ruleset"] {
            lab.sh(damage);
            attach(Wiring::Netwire, lab, "c3", &[]);
            alive();
        }
    });
}

#[test]
fn a_flushed_firewall_heals_at_the_next_attach_or_publish() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.outside();
        for name in ["c1", "c2"] {
            lab.container(name);
        }
        lab.netwire("network create other --subnet 10.9.0.0/24");
        attach(Wiring::Netwire, lab, "c1", &["8080:80", "127.0.0.1:8081:80"]);
        lab.attach("--network other --netns c2 --id c2 -p 8090:80");
        let sorted = || {
            let mut lines: Vec<String> = lab.ruleset().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let whole = sorted();
        for heal in ["publish --id c1 8080:80", "publish --id c2 8090:80", "attach --network other --netns c2 --id c2"]
        {
            for damage in ["nft flush ruleset", "nft flush chain inet veneer output"] {
                lab.sh(damage);
                lab.netwire(heal);
                assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_some(), "{damage}: {heal}");
                assert!(tcp(lab, "", at("127.0.0.1:8081"), "c1", 80).is_some(), "{damage}: {heal}");
                assert!(tcp(lab, "outside", at("198.51.100.1:8090"), "c2", 80).is_some(), "{damage}: {heal}");
            }
        }
        assert_eq!(sorted(), whole);
    });
}

#[test]
fn what_the_dead_left_leads_nowhere_else() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        for name in ["c1", "c2", "c3"] {
            lab.container(name);
        }
        let one = attach(Wiring::Netwire, lab, "c1", &["8080:80", "8081:80"]);
        lab.sh("ip netns del c1; while ip -o link | grep -q veth; do sleep 0.02; done");
        // The port is somebody else's for the asking, and the address somebody else's without the ports.
        lab.attach("--network bridge --netns c2 --id c2 -p 8080:80");
        let three = lab.attach(&format!("--network bridge --netns c3 --id c3 --ip {one}"));
        assert_eq!(crate::lab::address(&three), one);
        assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c2", 80).is_some());
        assert_eq!(tcp(lab, "outside", at("198.51.100.1:8081"), "c3", 80), None);
        assert_eq!(lab.netwire("publish --list").lines().count(), 1);
    });
}

#[test]
fn by_loopback_of_ipv6_where_the_kernel_can() {
    need!(root, "ip");
    lab(|lab| {
        unbridge(lab);
        both_families(lab);
        lab.netwire("publish --id c1 [::1]:8081:80 [::1]:5300:53/udp");
        assert!(tcp(lab, "", at("[::1]:8080"), "c1", 80).is_some());
        assert!(tcp(lab, "", at("[::1]:8081"), "c1", 80).is_some());
        assert!(udp(lab, "", at("[::1]:5300"), "c1", 53).is_some());
        assert_eq!(tcp(lab, "outside", at("[2001:db8:1::1]:8081"), "c1", 80), None);
        // What listens at [::1] itself is reached as ever.
        assert_eq!(tcp(lab, "", at("[::1]:7000"), "", 7000), Some(Ipv6Addr::LOCALHOST.into()));
    });
}
