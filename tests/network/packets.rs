//! What goes through, and what does not. The bodies that take a [`Wiring`] run on the CNI plugins first.

use crate::lab::{Lab, address, lab};
use crate::wiring::Wiring;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use testkit::need;

fn each(body: impl Fn(&Lab, Wiring) + Sync) {
    for wiring in Wiring::all() {
        lab(|lab| body(lab, wiring));
    }
}

#[test]
fn containers_reach_each_other_and_the_gateway() {
    need!(root, "ip", "busybox");
    each(|lab, wiring| {
        lab.container("c1");
        lab.container("c2");
        let (one, two) = (wiring.attach(lab, "c1"), wiring.attach(lab, "c2"));
        assert_eq!((one.address.to_string(), two.address.to_string()), ("172.17.0.2".into(), "172.17.0.3".into()));
        assert_eq!(one.gateway.to_string(), "172.17.0.1");
        lab.ping("c1", two.address);
        assert_eq!(lab.connect("c1", "c2", two.address), one.address);
        assert_eq!(lab.connect("c2", "c1", one.address), two.address);
        lab.ping("c1", one.gateway);
        assert_eq!(lab.connect("c1", "", one.gateway), one.address);
        assert_eq!(lab.connect("", "c1", one.address), one.gateway);
    });
}

#[test]
fn what_leaves_is_masqueraded() {
    need!(root, "ip", "busybox");
    each(|lab, wiring| {
        lab.outside();
        lab.container("c1");
        let one = wiring.attach(lab, "c1");
        let outside: IpAddr = [198, 51, 100, 2].into();
        let uplink: IpAddr = [198, 51, 100, 1].into();
        // The outside has no route back to 172.17.0.0/16: only a rewritten source is answered.
        lab.ping("c1", outside);
        assert_eq!(lab.connect("c1", "outside", outside), uplink);
        let server = lab.within("outside", || UdpSocket::bind("0.0.0.0:5300")).expect("a server");
        server.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let client = lab.within("c1", || UdpSocket::bind("0.0.0.0:0")).expect("a client");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        client.send_to(b"question", SocketAddr::new(outside, 5300)).expect("sent");
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer).expect("the question");
        assert_eq!((&buffer[..length], from.ip()), (&b"question"[..], uplink));
        server.send_to(b"answer", from).expect("answered");
        let (length, from) = client.recv_from(&mut buffer).expect("the answer");
        assert_eq!((&buffer[..length], from.ip()), (&b"answer"[..], outside));
        // Traffic to the machine itself is not rewritten.
        assert_eq!(lab.connect("c1", "", uplink), one.address);
    });
}

#[test]
fn nothing_is_wired_any_more_after_detach() {
    need!(root, "ip", "busybox");
    each(|lab, wiring| {
        lab.container("c1");
        lab.container("c2");
        let (one, two) = (wiring.attach(lab, "c1"), wiring.attach(lab, "c2"));
        wiring.detach(lab, "c1");
        wiring.detach(lab, "c1");
        assert!(!lab.reaches("c2", "c1", one.address));
        assert_eq!(lab.sh("ip -n c1 -o link show | grep -vc ' lo: ' || true").trim(), "0");
        lab.ping("c2", two.gateway);
    });
}

#[test]
fn the_outside_reaches_no_container_unasked() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        let one = Wiring::Netwire.attach(lab, "c1");
        lab.sh("ip -n outside route add 172.17.0.0/16 via 198.51.100.1");
        assert!(!lab.reaches("outside", "c1", one.address));
        assert_eq!(lab.connect("c1", "outside", [198, 51, 100, 2].into()).to_string(), "198.51.100.1");
    });
}

#[test]
fn the_first_packet_is_not_lost() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.container("c1");
        lab.attach("--network bridge --netns c1 --id c1");
        // A lost first packet shows as a second of waiting: the question for the neighbour is repeated after one.
        for n in 2..12 {
            let name = format!("c{n}");
            lab.container(&name);
            let one = address(&lab.attach(&format!("--network bridge --netns {name} --id {name}")));
            lab.sh(&format!("nsenter --net=/run/netns/c1 busybox ping -c 1 -W 1 -A {one}"));
        }
    });
}

#[test]
fn networks_are_apart() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire("network create web");
        lab.netwire("network create db");
        for name in ["w1", "w2", "d1"] {
            lab.container(name);
        }
        let attach = |name: &str, network: &str| {
            address(&lab.attach(&format!("--network {network} --netns {name} --id {name}")))
        };
        let (_, w2, d1) = (attach("w1", "web"), attach("w2", "web"), attach("d1", "db"));
        assert!(lab.reaches("w1", "w2", w2));
        assert!(!lab.reaches("w1", "d1", d1));
        // A container on both reaches both; its way out stays the first network's.
        lab.attach("--network db --netns w1 --id w1 --ifname eth1");
        assert!(lab.reaches("w1", "d1", d1));
        assert!(lab.sh("ip -n w1 route show default").contains("dev eth0"));
    });
}

#[test]
fn an_internal_network_is_closed() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.outside();
        lab.netwire("network create vault --internal");
        lab.container("c1");
        lab.container("c2");
        let one = lab.attach("--network vault --netns c1 --id c1");
        let two = lab.attach("--network vault --netns c2 --id c2");
        assert_eq!(one["gateway"], serde_json::Value::Null);
        assert!(lab.reaches("c1", "c2", address(&two)));
        assert!(lab.reaches("", "c1", address(&one)), "the machine itself is let in");
        assert_eq!(lab.sh("ip -n c1 route show default"), "");
        // Also for a container that helps itself to a route, and on a machine that forwards.
        let gateway = lab.inspect("vault")["subnets"][0]["gateway"].as_str().map(str::to_owned).expect("a gateway");
        lab.sh(&format!("sysctl -qw net.ipv4.ip_forward=1; ip -n c1 route add default via {gateway}"));
        lab.sh("ip -n outside route add 172.16.0.0/12 via 198.51.100.1");
        assert!(!lab.reaches("c1", "outside", [198, 51, 100, 2].into()));
        assert!(!lab.reaches("outside", "c1", address(&one)));
    });
}
