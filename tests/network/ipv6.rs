//! Networks of both families, and of IPv6 alone: packets in every direction, and no belief in what containers say of routes.

use crate::lab::{Lab, address, lab, nth_address};
use std::net::IpAddr;
use std::time::Duration;
use testkit::need;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn text(value: &serde_json::Value, n: usize) -> &str {
    value[n].as_str().unwrap_or_default()
}

#[test]
fn a_network_of_both_families_carries_both() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        lab.outside();
        lab.outside_v6();
        lab.netwire("network create web --ipv6 --disable-dns");
        lab.container("c1");
        lab.container("c2");
        let one = lab.attach("--network web --netns c1 --id c1");
        let two = lab.attach("--network web --netns c2 --id c2");
        let (four, six) = (address(&one), nth_address(&one, 1));
        assert!(four.is_ipv4() && six.is_ipv6(), "{one}");
        let IpAddr::V6(local) = six else { panic!("{six}") };
        assert_eq!(local.octets()[0], 0xfd, "a unique local address: {six}");
        assert_eq!(text(&one["gateways"], 1), text(&one["addresses"], 1).replace("::2/64", "::1"), "{one}");
        for n in [0, 1] {
            lab.ping("c1", ip(text(&one["gateways"], n)));
            let peer = nth_address(&two, n);
            assert_eq!(lab.connect("c1", "c2", peer), nth_address(&one, n), "to a neighbour");
            assert_eq!(lab.connect("", "c1", nth_address(&one, n)), ip(text(&one["gateways"], n)), "from this machine");
        }
        // Beyond the machine they are this machine.
        assert_eq!(lab.connect("c1", "outside", ip("198.51.100.2")), ip("198.51.100.1"));
        assert_eq!(lab.connect("c1", "outside", ip("2001:db8::2")), ip("2001:db8::1"));
        lab.sh("ip -n outside route add fd00::/8 via 2001:db8::1");
        assert!(!lab.reaches("outside", "c1", six), "what is not published is not reached");
    });
}

#[test]
fn the_first_packet_of_ipv6_is_not_lost_and_addresses_work_at_once() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create six --ipv4=false --ipv6 --disable-dns");
        lab.container("c1");
        let one = lab.attach("--network six --netns c1 --id c1");
        assert_eq!(one["addresses"].as_array().map(Vec::len), Some(1), "{one}");
        // An address that is still being tried is no address yet, and what is lost is sent again.
        lab.connect("c1", "", ip(text(&one["gateways"], 0)));
        for namespace in ["c1", ""] {
            assert_eq!(lab.counter(namespace, "Tcp", "RetransSegs"), 0, "in `{namespace}`");
        }
    });
}

#[test]
fn subnets_gateways_and_addresses_as_told() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire(
            "network create web --subnet 10.9.0.0/24 --subnet fd09::/64 --gateway fd09::ff --gateway 10.9.0.254 --disable-dns",
        );
        lab.container("c1");
        let one = lab.attach("--network web --netns c1 --id c1 --ip 10.9.0.7 --ip6 fd09::7");
        assert_eq!((text(&one["addresses"], 0), text(&one["addresses"], 1)), ("10.9.0.7/24", "fd09::7/64"));
        assert_eq!((text(&one["gateways"], 0), text(&one["gateways"], 1)), ("10.9.0.254", "fd09::ff"));
        assert!(lab.sh("ip -n c1 -6 route show default").contains("via fd09::ff dev eth0"));
        lab.ping("c1", ip("fd09::ff"));
        // Given again, it is the same; with other addresses it is refused.
        assert_eq!(lab.attach("--network web --netns c1 --id c1 --ip 10.9.0.7 --ip6 fd09::7"), one);
        lab.refused(
            "attach --network web --netns c1 --id c1 --ip fd09::8",
            1,
            "c1 has the addresses 10.9.0.7 and fd09::7 there",
            "detach it first",
        );
    });
}

#[test]
fn an_internal_network_of_ipv6_is_closed() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.outside_v6();
        lab.netwire("network create vault --internal --subnet fd0a::/64 --ipv4=false --disable-dns");
        lab.container("c1");
        lab.container("c2");
        let one = lab.attach("--network vault --netns c1 --id c1");
        let two = lab.attach("--network vault --netns c2 --id c2");
        assert_eq!(one["gateways"], serde_json::json!([]));
        assert!(lab.reaches("c1", "c2", address(&two)));
        // Also for a container that helps itself to a route, on a machine that forwards.
        lab.sh("sysctl -qw net.ipv6.conf.all.forwarding=1; ip -n c1 route add default via fd0a::1");
        lab.sh("ip -n outside route add fd0a::/64 via 2001:db8::1");
        assert!(!lab.reaches("c1", "outside", ip("2001:db8::2")));
        assert!(!lab.reaches("outside", "c1", address(&one)));
    });
}

/// A router advertisement of `from`, as a container that wants others' packets would send it: "I am the way to everywhere".
fn advertise(lab: &Lab, from: &str) {
    let packet = "import socket,struct
s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_MULTICAST_HOPS,255)
s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_MULTICAST_IF,socket.if_nametoindex('eth0'))
s.sendto(struct.pack('!BBHBBHII',134,0,0,64,0,1800,0,0)+struct.pack('!BBBBIII',3,4,64,0xc0,3600,3600,0)+socket.inet_pton(socket.AF_INET6,'2001:db8:bad::'),('ff02::1',0))";
    // Its own link-local address is being tried at first.
    lab.sh(&format!(
        "while [ \"$(ip -n {from} -6 addr show tentative)\" ]; do sleep 0.05; done
         nsenter --net=/run/netns/{from} python3 -c \"{packet}\""
    ));
}

#[test]
fn what_a_container_says_of_routes_is_not_believed() {
    need!(root, "ip", "python3");
    lab(|lab| {
        lab.netwire("network create web --ipv6 --disable-dns");
        for name in ["c1", "c2"] {
            lab.container(name);
            lab.attach(&format!("--network web --netns {name} --id {name}"));
        }
        // A neighbour that listens shows that the advertisement is one.
        lab.sh("ip netns add witness; ip link add w0 type veth peer name eth0 netns witness");
        let bridge = lab.inspect("web")["bridge"].as_str().expect("a bridge").to_owned();
        lab.sh(&format!("ip link set w0 master {bridge} up; ip -n witness link set eth0 up"));
        advertise(lab, "c2");
        let routes = |name: &str| lab.sh(&format!("ip -n {name} -6 route show; ip -n {name} -6 addr show"));
        let heard = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            routes("witness").contains("2001:db8:bad:")
        });
        assert!(heard, "the witness believes: {}", routes("witness"));
        assert!(!routes("c1").contains("2001:db8:bad:") && routes("c1").matches("default").count() == 1);
        let here = lab.sh("ip -6 route show; ip -6 addr show");
        assert!(!here.contains("2001:db8:bad:") && !here.contains("default"), "{here}");
    });
}

#[test]
fn a_machine_that_lives_on_router_advertisements_keeps_its_way_out() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.sh("sysctl -qw net.ipv6.conf.uplink.accept_ra=1 net.ipv6.conf.all.forwarding=0");
        lab.container("c1");
        lab.netwire("network create web --ipv6 --disable-dns");
        lab.attach("--network web --netns c1 --id c1");
        let shown = lab.sh("sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.uplink.accept_ra");
        assert_eq!(shown, "1\n2\n");
    });
}

#[test]
fn a_subnet_is_chosen_beside_the_machines_own_routes() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.sh("ip addr add fd55::1/16 dev uplink nodad");
        lab.refused(
            "network create web --subnet fd55:1::/64",
            1,
            "use subnet fd55:1::/64: it overlaps fd55::/16, which this machine reaches already",
            "another --subnet",
        );
        lab.netwire("network create a --subnet fd66::/64 --ipv4=false");
        lab.refused("network create b --subnet fd66::/48", 1, "fd66::/48 overlaps fd66::/64 of network a", "--subnet");
        lab.refused("network create b --subnet fd77::/127", 1, "fd77::/127 has no room for a gateway", "/126");
        lab.refused("network create b --ipv4=false", 1, "neither IPv4 nor IPv6", "--ipam-driver none");
        lab.refused("network create b --ipv6 --mtu 1000", 1, "an MTU of 1000 is too small for IPv6", "1280");
    });
}
