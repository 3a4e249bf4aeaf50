//! `netwire --cni-path DIR`: networks of ours carried by the reference's plugins, and by ours.

use super::plugins::Plugins;
use crate::lab::{Lab, address, lab};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;
use testkit::need;

fn each(body: impl Fn(&Lab, &str) + Sync) {
    for plugins in Plugins::all() {
        lab(|lab| body(lab, &format!("--cni-path {}", plugins.folder())));
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("one line of JSON")
}

/// Whether port 80 in `server` is reached from `from` by `to`.
fn asks(lab: &Lab, from: &str, server: &str, to: SocketAddr) -> bool {
    let _listener = super::packets::server_at(lab, server, [0; 4].into());
    lab.within(from, || TcpStream::connect_timeout(&to, Duration::from_millis(1500)).is_ok())
}

#[test]
fn attach_publish_detach() {
    need!(root, "ip", "busybox", "iptables");
    each(|lab, path| {
        lab.outside();
        lab.netwire("network create web --subnet 10.9.0.0/24");
        for name in ["c1", "c2"] {
            lab.sh(&format!("ip netns add {name}; ip -n {name} link set lo up"));
        }
        let attach = |id: &str, more: &str| {
            json(&lab.netwire(&format!("{path} attach --network web --netns {id} --id {id} {more}")))
        };
        let one = attach("c1", "-p 8080:80");
        let two = attach("c2", "--ip 10.9.0.77 --mac 02:11:00:00:00:77");
        assert_eq!((one["addresses"][0].as_str(), one["gateway"].as_str()), (Some("10.9.0.2/24"), Some("10.9.0.1")));
        assert_eq!(one["ports"][0]["host_port"], 8080);
        assert_eq!(
            (two["addresses"][0].as_str(), two["mac"].as_str()),
            (Some("10.9.0.77/24"), Some("02:11:00:00:00:77"))
        );
        let outside: IpAddr = [198, 51, 100, 2].into();
        let uplink: IpAddr = [198, 51, 100, 1].into();
        assert_eq!(lab.connect("c1", "outside", outside), uplink, "{path}");
        assert_eq!(lab.connect("c1", "c2", address(&two)), address(&one), "{path}");
        assert!(asks(lab, "outside", "c1", SocketAddr::new(uplink, 8080)), "{path}: published by attach");
        // Attaching once more makes it anew; ports come and go beside each other.
        let again = attach("c1", "-p 8080:80");
        assert_eq!(again["interface"], "eth0");
        lab.netwire(&format!("{path} publish --id c1 8090:80"));
        assert!(asks(lab, "outside", "c1", SocketAddr::new(uplink, 8090)), "{path}: published later");
        assert!(asks(lab, "outside", "c1", SocketAddr::new(uplink, 8080)), "{path}: still published");
        lab.netwire(&format!("{path} unpublish --id c1 8080:80"));
        assert!(!asks(lab, "outside", "c1", SocketAddr::new(uplink, 8080)), "{path}: unpublished");
        assert!(asks(lab, "outside", "c1", SocketAddr::new(uplink, 8090)), "{path}: the other one stays");
        // The namespace tells the container as its id does.
        lab.netwire(&format!("{path} publish --netns c1 8091:80"));
        assert!(asks(lab, "outside", "c1", SocketAddr::new(uplink, 8091)), "{path}: by the namespace");
        lab.netwire(&format!("{path} unpublish --netns /run/netns/c1 8091:80"));
        assert!(!asks(lab, "outside", "c1", SocketAddr::new(uplink, 8091)), "{path}: by the namespace");
        let disagree = format!("{path} unpublish --id c1 --netns c2");
        lab.refused(&disagree, 1, "c1 is not attached there, but c2", "--id and --netns");
        lab.sh("ip netns add free");
        lab.refused(&format!("{path} publish --netns free 80:80"), 1, "nothing is attached there", "comes first");
        for id in ["c1", "c1", "c2"] {
            lab.netwire(&format!("{path} detach --network web --id {id}"));
        }
        assert!(!asks(lab, "outside", "c1", SocketAddr::new(uplink, 8090)), "{path}");
        assert_eq!(lab.sh("ip -n c1 -o link | wc -l; ip -n c2 -o link | wc -l"), "1\n1\n", "{path}: only lo");
        let left = lab.sh("find /run/state -path '*/.cni/*' -name '*.json' -o -path '*/.store/*' -name '10.*'");
        assert_eq!(left, "", "{path}: no record, no address");
    });
}

#[test]
fn ports_are_published_where_the_network_says() {
    need!(root, "ip", "iptables");
    each(|lab, path| {
        lab.outside();
        lab.sh("ip addr add 198.51.100.77/24 dev uplink; ip netns add c1; ip -n c1 link set lo up");
        lab.netwire("network create web --subnet 10.9.0.0/24 -o host_binding_ipv4=198.51.100.77");
        let one = json(&lab.netwire(&format!("{path} attach --network web --netns c1 --id c1 -p 8080:80")));
        assert_eq!(one["ports"].as_array().map(Vec::len), Some(1), "{path}: {one}");
        lab.netwire(&format!("{path} publish --id c1 8090:80"));
        for port in [8080, 8090] {
            assert!(asks(lab, "outside", "c1", SocketAddr::new([198, 51, 100, 77].into(), port)), "{path}: {port}");
            assert!(!asks(lab, "outside", "c1", SocketAddr::new([198, 51, 100, 1].into(), port)), "{path}: {port}");
        }
        lab.netwire(&format!("{path} unpublish --id c1 8080:80"));
        assert!(!asks(lab, "outside", "c1", SocketAddr::new([198, 51, 100, 77].into(), 8080)), "{path}");
        lab.netwire(&format!("{path} detach --network web --id c1"));
    });
}

#[test]
fn what_plugins_cannot_is_named() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.container("c1");
        let attach = "attach --network web --netns c1 --id c1";
        lab.refused(&format!("--cni-path /nowhere {attach}"), 1, "it is not in /nowhere", "install the CNI plugins");
        let path = format!("--cni-path {}", Plugins::Ours.folder());
        lab.refused(&format!("{path} {attach} -p 80"), 1, "they choose no port", "name the port");
        lab.netwire("network create by --subnet 10.8.0.0/24 -o outbound_addr4=198.51.100.1");
        lab.refused(&format!("{path} attach --network by --netns c1 --id c1"), 1, "they have no outbound_addr4", "");
        lab.refused(
            &format!("{path} publish --id c1 8080:80"),
            1,
            "no network that CNI plugins carry",
            "attach comes first",
        );
        assert!(lab.links().is_empty(), "{:?}", lab.links());
        lab.netwire(&format!("{path} detach --network web --id c1"));
    });
}

/// contract W15
#[test]
fn a_namespace_is_known_by_its_number() {
    need!(root, "ip", "iptables");
    each(|lab, path| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.netwire("network create db --subnet 10.10.0.0/24");
        let make = |name: &str| drop(lab.sh(&format!("ip netns add {name}; ip -n {name} link set lo up")));
        make("c1");
        let attach = |network: &str, netns: &str, id: &str| {
            json(&lab.netwire(&format!("{path} attach --network {network} --netns {netns} --id {id}")))
        };
        assert_eq!(attach("web", "c1", "dead")["interface"], "eth0");
        assert_eq!(attach("db", "c1", "dead")["interface"], "eth1", "{path}: the next number");
        lab.netwire(&format!("{path} publish --netns c1 --network web 8080:80"));
        // What is published is listed, by whichever way.
        let all = lab.netwire(&format!("{path} publish --list"));
        assert!(all.contains("\"host_port\":8080") && all.contains("\"container\":\"dead\""), "{path}: {all}");
        for way in ["--netns c1", "--id dead", "--id dead --netns c1", "--network web", "--netns c1 --network web"] {
            assert_eq!(lab.netwire(&format!("{path} publish --list {way}")), all, "{path}: {way}");
        }
        assert_eq!(lab.netwire(&format!("{path} publish --list --netns c1 --network db")), "", "{path}");

        // It dies without a word, and another namespace has its name; then also its number.
        let records = "/run/state/networks/run/.cni";
        let outer = lab.sh("ip -o link show type veth | sed 's/@.*//; s/.* //'");
        lab.sh("ip netns del c1");
        for end in outer.split_whitespace() {
            lab.sh(&format!("while ip link show {end} 2>/dev/null | grep -q .; do sleep 0.02; done"));
        }
        let nobody = |what: &str| {
            for network in ["", "--network web"] {
                let publish = format!("{path} publish --netns c1 {network} 8081:80");
                lab.refused(&publish, 1, "nothing is attached there", "comes first");
                assert_eq!(lab.netwire(&format!("{path} publish --list --netns c1 {network}")), "", "{path}: {what}");
            }
            let out = lab.command(&format!("{path} detach --network web --netns c1")).output().expect("netwire runs");
            let (_, said) = crate::lab::text(&out);
            assert!(out.status.success() && said.contains("nothing was detached"), "{path}: {what}: {said}");
        };
        make("c1");
        nobody("its name");
        let number = lab.sh("stat -L -c %i /run/netns/c1");
        lab.sh(&format!("sed -i -E 's/\"number\":[0-9]+/\"number\":{}/' {records}/*/dead@*.json", number.trim()));
        assert_eq!(lab.sh(&format!("grep -l '\"number\":{}' {records}/*/dead@*.json | wc -l", number.trim())), "2\n");
        nobody("its number");
        attach("web", "c1", "alive");
        let shown = lab.netwire(&format!("{path} publish --netns c1 8082:80"));
        assert!(shown.contains("\"container\":\"alive\""), "{path}: {shown}");
        for (network, id) in [("web", "alive"), ("web", "dead"), ("db", "dead")] {
            lab.netwire(&format!("{path} detach --network {network} --id {id}"));
        }
        assert_eq!(lab.sh(&format!("find {records} -name '*@*'")), "", "{path}");
    });
}
