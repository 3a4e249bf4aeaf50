//! What goes through: the same bodies on the reference first.

use super::plugins::{Plugins, address, configuration, dual, ipam};
use crate::lab::{Lab, lab};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use testkit::need;

const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));
const UPLINK: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

fn each(body: impl Fn(&Lab, Plugins) + Sync) {
    for plugins in Plugins::all() {
        lab(|lab| body(lab, plugins));
    }
}

fn bridge(more: Value) -> Value {
    let mut whole = json!({"isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": ipam()});
    for (key, value) in more.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    configuration("bridge", whole)
}

fn portmap(mappings: Value) -> Value {
    configuration("portmap", json!({"runtimeConfig": {"portMappings": mappings}}))
}

/// A server at port 80 in `server`. A program that another test starts just now may hold the last one's port for a moment.
pub(super) fn server_at(lab: &Lab, server: &str, address: IpAddr) -> TcpListener {
    let bind = || lab.within(server, || TcpListener::bind((address, 80)));
    for _ in 0..200 {
        if let Ok(listener) = bind() {
            return listener;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bind().expect("a server")
}

/// Whether a server at port 80 in `server` is reached from `from` by `to`; and what it saw as the peer.
fn asks(lab: &Lab, from: &str, server: &str, to: SocketAddr) -> Option<IpAddr> {
    let bind: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let listener = server_at(lab, server, bind);
    listener.set_nonblocking(true).expect("no waiting");
    let reached = lab.within(from, || TcpStream::connect_timeout(&to, Duration::from_millis(1500)).is_ok());
    let peer = listener.accept().ok().map(|(_, peer)| peer.ip());
    peer.filter(|_| reached)
}

#[test]
fn what_leaves_is_masqueraded_and_neighbours_are_not() {
    need!(root, "ip", "busybox", "iptables");
    each(|lab, plugins| {
        lab.outside();
        let chain = [bridge(json!({}))];
        let one = plugins.attach(lab, "c1", &chain);
        let two = plugins.attach(lab, "c2", &chain);
        lab.ping("c1", OUTSIDE);
        assert_eq!(lab.connect("c1", "outside", OUTSIDE), UPLINK);
        assert_eq!(lab.connect("c1", "c2", address(&two)), address(&one));
        plugins.detach("c1", &chain, &one);
        plugins.detach("c2", &chain, &two);
    });
}

#[test]
fn routed_pairs_reach_outside_and_each_other() {
    need!(root, "ip", "busybox", "iptables");
    each(|lab, plugins| {
        lab.outside();
        let chain = [configuration("ptp", json!({"ipMasq": true, "ipam": ipam()}))];
        let one = plugins.attach(lab, "c1", &chain);
        let two = plugins.attach(lab, "c2", &chain);
        assert_eq!(lab.connect("c1", "outside", OUTSIDE), UPLINK);
        assert_eq!(lab.connect("c1", "c2", address(&two)), address(&one), "others of the network see the address");
        assert_eq!(lab.connect("", "c1", address(&one)).to_string(), "10.5.0.1");
        plugins.detach("c1", &chain, &one);
        lab.ping("c2", OUTSIDE);
        plugins.detach("c2", &chain, &two);
    });
}

#[test]
fn without_masquerading_the_address_is_seen() {
    need!(root, "ip", "iptables");
    each(|lab, plugins| {
        lab.outside();
        lab.sh("ip -n outside route add 10.5.0.0/24 via 198.51.100.1");
        let chain = [bridge(json!({"ipMasq": false}))];
        let one = plugins.attach(lab, "c1", &chain);
        assert_eq!(lab.connect("c1", "outside", OUTSIDE), address(&one));
    });
}

#[test]
fn ports_are_reached_from_everywhere() {
    need!(root, "ip", "iptables");
    each(|lab, plugins| {
        lab.outside();
        let chain = [
            bridge(json!({})),
            portmap(json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                           {"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}])),
        ];
        let one = plugins.attach(lab, "c1", &chain);
        let other = plugins.attach(lab, "c2", &chain[..1]);
        let at = |ip: IpAddr, port| SocketAddr::new(ip, port);
        let loopback: IpAddr = [127, 0, 0, 1].into();
        assert_eq!(asks(lab, "outside", "c1", at(UPLINK, 8080)), Some(OUTSIDE), "{plugins:?}");
        assert!(asks(lab, "", "c1", at(loopback, 8080)).is_some(), "{plugins:?}: by loopback");
        assert!(asks(lab, "", "c1", at(UPLINK, 8080)).is_some(), "{plugins:?}: from the machine itself");
        assert!(asks(lab, "c2", "c1", at(UPLINK, 8080)).is_some(), "{plugins:?}: from a neighbour");
        assert!(asks(lab, "c1", "c1", at(UPLINK, 8080)).is_some(), "{plugins:?}: from itself");
        assert!(asks(lab, "", "c1", at(loopback, 8081)).is_some(), "{plugins:?}: one address");
        assert_eq!(asks(lab, "outside", "c1", at(UPLINK, 8081)), None, "{plugins:?}: only that address");
        plugins.detach("c1", &chain, &one);
        plugins.detach("c1", &chain, &one);
        assert_eq!(asks(lab, "outside", "c2", at(UPLINK, 8080)), None, "{plugins:?}: nothing is left");
        plugins.detach("c2", &chain[..1], &other);
    });
}

#[test]
fn ports_of_six() {
    need!(root, "ip", "ip6tables");
    each(|lab, plugins| {
        lab.outside();
        lab.sh("ip addr add fd98::1/64 dev uplink nodad; ip -n outside addr add fd98::2/64 dev eth0 nodad
             ip -n outside route add default via fd98::1");
        let chain = [
            bridge(json!({"ipMasq": false, "ipam": dual()})),
            portmap(json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}])),
        ];
        let one = plugins.attach(lab, "c1", &chain);
        let uplink: IpAddr = "fd98::1".parse().expect("an address");
        // The reference's bridge has no address of its own before nobody else was seen with it.
        let mut attempts = (0..8).map(|_| asks(lab, "outside", "c1", SocketAddr::new(uplink, 8080)));
        let reached = if plugins == Plugins::Ours { attempts.next().flatten() } else { attempts.find_map(|r| r) };
        assert_eq!(reached.map(|ip| ip.to_string()).as_deref(), Some("fd98::2"), "{plugins:?}");
        plugins.detach("c1", &chain, &one);
    });
}

#[test]
fn a_neighbour_on_the_link_reaches_no_loopback_port() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.outside();
        let chain = [
            bridge(json!({})),
            portmap(json!([{"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}])),
        ];
        Plugins::Ours.attach(lab, "c1", &chain);
        // CVE-2020-8558: who is on the bridge sends to 127.0.0.1 by the bridge's own hardware address.
        Plugins::Ours.attach(lab, "c2", &chain[..1]);
        lab.sh("ip netns exec c2 sysctl -qw net.ipv4.conf.all.route_localnet=1
             ip -n c2 route flush table local; ip -n c2 route add 127.0.0.1 via 10.5.0.1");
        let loopback = SocketAddr::new([127, 0, 0, 1].into(), 8081);
        assert_eq!(asks(lab, "c2", "c1", loopback), None);
        assert!(asks(lab, "", "c1", loopback).is_some(), "the machine itself does");
    });
}

#[test]
fn isolated_bridges_do_not_reach_each_other() {
    need!(root, "ip", "iptables");
    each(|lab, plugins| {
        let chain = |name: &str, subnet: &str| {
            let ipam = json!({"type": "host-local", "dataDir": "/run/cni-store", "subnet": subnet,
                              "routes": [{"dst": "0.0.0.0/0"}]});
            let of = |kind: &str, mut more: Value| {
                more["name"] = json!(name);
                configuration(kind, more)
            };
            vec![
                of("bridge", json!({"bridge": name, "isGateway": true, "ipam": ipam})),
                of("firewall", json!({"ingressPolicy": "same-bridge"})),
            ]
        };
        plugins.attach(lab, "c1", &chain("br1", "10.51.0.0/24"));
        let two = plugins.attach(lab, "c2", &chain("br2", "10.52.0.0/24"));
        let three = plugins.attach(lab, "c3", &chain("br1", "10.51.0.0/24"));
        assert!(lab.reaches("c1", "c3", address(&three)), "{plugins:?}: neighbours");
        assert!(!lab.reaches("c1", "c2", address(&two)), "{plugins:?}: strangers");
        assert!(lab.reaches("", "c2", address(&two)), "{plugins:?}: the machine");
        let open = plugins.attach(lab, "c4", &chain("br3", "10.53.0.0/24")[..1]);
        assert!(lab.reaches("c1", "c4", address(&open)), "{plugins:?}: a bridge that nobody isolated");
    });
}

#[test]
fn forged_hardware_addresses_are_dropped() {
    need!(root, "ip", "busybox", "nft");
    each(|lab, plugins| {
        let chain = [bridge(json!({"macspoofchk": true, "ipMasq": false}))];
        let one = plugins.attach(lab, "c1", &chain);
        let gateway: IpAddr = [10, 5, 0, 1].into();
        lab.ping("c1", gateway);
        let mac = one["interfaces"][2]["mac"].as_str().expect("a hardware address").to_owned();
        let forge = |mac: &str| {
            lab.sh(&format!(
                "ip -n c1 link set eth0 address {mac}; ip -n c1 neigh flush dev eth0; ip neigh flush dev cni0"
            ))
        };
        forge("02:99:00:00:00:01");
        assert!(!lab.reaches("c1", "", gateway), "{plugins:?}");
        forge(&mac);
        assert!(lab.reaches("c1", "", gateway), "{plugins:?}");
        plugins.detach("c1", &chain, &one);
        assert!(!lab.ruleset().contains(&mac), "{plugins:?}: nothing is left: {}", lab.ruleset());
    });
}

/// The other end of the machine's uplink, which is a switch with a neighbour at it, for links that stand on the uplink.
fn street(lab: &Lab) {
    crate::cable::lan(lab);
}

/// Addresses of the street's own subnets, which the reference gives from .16 on.
fn on_the_street() -> Value {
    let ranges: Vec<Value> = crate::cable::subnets()
        .iter()
        .map(|(subnet, gateway, first)| json!([{"subnet": subnet, "gateway": gateway, "rangeStart": first}]))
        .collect();
    json!({"type": "host-local", "dataDir": "/run/cni-store", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]})
}

/// Both ways between the container and the neighbour on the cable: ping and TCP.
#[track_caller]
fn on_the_cable(lab: &Lab, id: &str, result: &Value, what: &str) {
    let neighbour: IpAddr = [198, 51, 100, 2].into();
    assert!(crate::cable::answers(lab, id, neighbour), "{what}");
    assert_eq!(lab.connect(id, "lan", neighbour), address(result), "{what}");
    assert_eq!(lab.connect("lan", id, address(result)), neighbour, "{what}");
}

#[test]
fn links_on_the_machines_own_link() {
    need!(root, "ip", "busybox");
    // In which modes neighbours reach each other, and in which where the switch sends packets back.
    for (mode, directly, reflected) in [("bridge", true, true), ("vepa", false, true), ("private", false, false)] {
        each(|lab, plugins| {
            street(lab);
            let what = format!("{plugins:?} {mode}");
            let chain = [configuration("macvlan", json!({"master": "uplink", "mode": mode, "ipam": on_the_street()}))];
            let [one, two] = ["c1", "c2"].map(|id| plugins.attach(lab, id, &chain));
            on_the_cable(lab, "c1", &one, &what);
            on_the_cable(lab, "c2", &two, &what);
            assert_eq!(crate::cable::answers(lab, "c1", address(&two)), directly, "{what}");
            crate::cable::reflect(lab, true);
            assert_eq!(crate::cable::answers(lab, "c2", address(&one)), reflected, "{what}");
            plugins.detach("c1", &chain, &one);
            assert!(!crate::cable::answers(lab, "lan", address(&one)), "{what}: gone");
            on_the_cable(lab, "c2", &two, &what);
            plugins.detach("c2", &chain, &two);
        });
    }
    each(|lab, plugins| {
        street(lab);
        let keys = json!({"master": "uplink", "mode": "passthru", "ipam": on_the_street()});
        let chain = [configuration("macvlan", keys)];
        let one = plugins.attach(lab, "c1", &chain);
        on_the_cable(lab, "c1", &one, "passthru");
        plugins.detach("c1", &chain, &one);
    });
}

#[test]
fn bandwidth_holds_back_both_ways() {
    need!(root, "ip", "busybox", "tc");
    each(|lab, plugins| {
        // 2 and 4 megabits, 20 kB at once.
        let limits =
            json!({"ingressRate": 2_000_000, "ingressBurst": 160_000, "egressRate": 4_000_000, "egressBurst": 160_000});
        let chain = [bridge(json!({"ipMasq": false})), configuration("bandwidth", limits)];
        let one = plugins.attach(lab, "c1", &chain);
        let gateway: IpAddr = [10, 5, 0, 1].into();
        let inward = crate::bandwidth::throughput(lab, "", "c1", address(&one));
        let outward = crate::bandwidth::throughput(lab, "c1", "", gateway);
        assert!((80_000.0..420_000.0).contains(&inward), "{plugins:?}: {inward}");
        assert!((160_000.0..800_000.0).contains(&outward), "{plugins:?}: {outward}");
        let answers = chain.iter().rev().map(|c| {
            plugins.call("DEL", &super::plugins::Attachment::of("c1"), &super::plugins::with_previous(c, &one))
        });
        assert!(answers.map(|answer| answer.code).all(|code| code == 0), "{plugins:?}");
        let free = plugins.attach(lab, "c2", &chain[..1]);
        let unlimited = crate::bandwidth::throughput(lab, "", "c2", address(&free));
        assert!(unlimited > 3.0 * inward, "{plugins:?}: {inward} {unlimited}");
    });
}

#[test]
fn tuning_changes_what_packets_may_be() {
    need!(root, "ip", "busybox");
    each(|lab, plugins| {
        let tuning = json!({"mtu": 1300, "mac": "02:11:00:00:00:77", "dataDir": "/run/cni-tuning",
            "sysctl": {"net.ipv4.icmp_echo_ignore_all": "1"}});
        let chain = [bridge(json!({"ipMasq": false})), configuration("tuning", tuning)];
        let one = plugins.attach(lab, "c1", &chain);
        let gateway: IpAddr = [10, 5, 0, 1].into();
        lab.ping("c1", gateway);
        // The sysctl: it answers nobody. The hardware address: it is what neighbours see. The mtu: what is larger is cut.
        assert!(!crate::cable::answers(lab, "", address(&one)), "{plugins:?}");
        assert!(lab.sh("ip neigh show dev cni0").contains("02:11:00:00:00:77"), "{plugins:?}");
        let whole = |bytes: usize| crate::overlay::fits(lab, "c1", ("", gateway), bytes);
        assert!(whole(1300) && !whole(1301), "{plugins:?}");
        plugins.detach("c1", &chain[1..], &one);
        assert!(whole(1500), "{plugins:?}: put back");
        plugins.detach("c1", &chain[..1], &one);
    });
}

/// What Debian's kernel has as modules: in the virtual machine.
mod modules {
    use super::{configuration, each, json, on_the_cable, on_the_street, street};
    use crate::cable::answers;
    use crate::cni::plugins::address;
    use crate::lab::guest;
    use testkit::need;

    #[test]
    fn ipvlans_share_a_hardware_address() {
        guest!();
        need!(root, "ip", "busybox");
        each(|lab, plugins| {
            street(lab);
            let chain = [configuration("ipvlan", json!({"master": "uplink", "mode": "l2", "ipam": on_the_street()}))];
            let [one, two] = ["c1", "c2"].map(|id| plugins.attach(lab, id, &chain));
            on_the_cable(lab, "c1", &one, "ipvlan");
            assert!(answers(lab, "c1", address(&two)) && answers(lab, "c2", address(&one)), "{plugins:?}");
            let mac = |at: &str| lab.sh(&format!("ip {at} -o link show | grep -o 'link/ether [^ ]*'"));
            assert_eq!(mac("-n c1"), mac("-n c2"), "{plugins:?}");
            plugins.detach("c1", &chain, &one);
            assert!(!answers(lab, "c2", address(&one)), "{plugins:?}");
            plugins.detach("c2", &chain, &two);
        });
    }

    #[test]
    fn a_vlan_carries_its_tag() {
        guest!();
        need!(root, "ip", "busybox");
        each(|lab, plugins| {
            street(lab);
            lab.sh("ip -n lan link add link eth0 name eth0.50 type vlan id 50; ip -n lan link set eth0.50 up
                 ip -n lan addr add 10.50.0.2/24 dev eth0.50");
            let ipam = json!({"type": "host-local", "dataDir": "/run/cni-store", "subnet": "10.50.0.0/24", "rangeStart": "10.50.0.16",
                "gateway": "10.50.0.2"});
            let chain = [configuration("vlan", json!({"master": "uplink", "vlanId": 50, "ipam": ipam}))];
            let one = plugins.attach(lab, "c1", &chain);
            let neighbour = [10, 50, 0, 2].into();
            assert!(answers(lab, "c1", neighbour), "{plugins:?}");
            assert_eq!(lab.connect("c1", "lan", neighbour), address(&one), "{plugins:?}");
            assert_eq!(lab.connect("lan", "c1", address(&one)), neighbour, "{plugins:?}");
            // Without the tag nobody is there.
            lab.sh("ip -n lan link set eth0.50 down; ip -n lan addr add 10.50.0.2/24 dev br0");
            assert!(!answers(lab, "c1", neighbour), "{plugins:?}");
            plugins.detach("c1", &chain, &one);
        });
    }
}
