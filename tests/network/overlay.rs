//! Networks across hosts that know each other without etcd: packets between machines, at the edge of what fits, and what
//! becomes of them when one goes.

use crate::hosts::{Host, eventually, hosts};
use crate::lab::{Lab, lab};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use testkit::need;

const CREATE: &str = "network create -d overlay --subnet 10.9.0.0/16 --subnet fd00:9::/64";

/// Makes `mesh` on each host, with a range of its own.
fn create(hosts: &[Host<'_>], more: &str) {
    for (n, host) in (1..).zip(hosts) {
        let ranges = format!("--ip-range 10.9.{n}.0/24 --ip-range fd00:9::{n}:0/112");
        host.netwire(&format!("{CREATE} {ranges} {more} mesh"));
    }
}

fn join_all(hosts: &[Host<'_>]) {
    for host in hosts {
        let others = hosts.iter().filter(|other| other.address != host.address);
        let peers: Vec<String> = others.map(|other| format!("--peer {}", other.address)).collect();
        host.netwire(&format!("overlay join mesh {}", peers.join(" ")));
    }
}

/// Sends one datagram in a packet of exactly `bytes`, which must arrive; whether it was not cut into pieces at home.
pub(crate) fn fits(lab: &Lab, from: &str, to: (&str, IpAddr), bytes: usize) -> bool {
    let (container, address) = to;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let headers = if address.is_ipv4() { 28 } else { 48 };
    let server = lab.within(container, || UdpSocket::bind(any)).expect("a server");
    server.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let port = server.local_addr().expect("its address").port();
    let client = lab.within(from, || UdpSocket::bind(any)).expect("a client");
    let before = fragments(lab, from);
    client.send_to(&vec![7; bytes - headers], SocketAddr::new(address, port)).expect("sent");
    let mut buffer = vec![0; bytes];
    let (length, _) = server.recv_from(&mut buffer).expect("it arrives");
    assert_eq!(length, bytes - headers);
    fragments(lab, from) == before
}

/// How many pieces this namespace has cut packets into so far, of either family.
fn fragments(lab: &Lab, name: &str) -> u64 {
    let six = lab.within(name, || std::fs::read_to_string("/proc/thread-self/net/snmp6")).expect("counters");
    let six = six.lines().find_map(|line| line.strip_prefix("Ip6FragCreates")?.trim().parse::<u64>().ok());
    lab.counter(name, "Ip", "FragCreates") + six.expect("a count")
}

fn reach_each_other(lab: &Lab, one: (&str, &[IpAddr]), two: (&str, &[IpAddr])) {
    for (from, to) in [(one.0, two), (two.0, one)] {
        for address in to.1 {
            lab.ping(from, *address);
        }
        assert_eq!(lab.connect(from, to.0, to.1[0]), if from == one.0 { one.1[0] } else { two.1[0] });
    }
}

#[test]
fn containers_on_three_hosts_reach_each_other() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        let hosts = hosts(lab, 3);
        create(&hosts, "");
        join_all(&hosts);
        let names = ["c1", "c2", "c3"];
        let all: Vec<Vec<IpAddr>> = hosts.iter().zip(names).map(|(host, name)| host.run("mesh", name)).collect();
        for (n, addresses) in (1..).zip(&all) {
            let text: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            assert_eq!((addresses.len(), text[0].starts_with(&format!("10.9.{n}."))), (2, true), "{text:?}");
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            reach_each_other(lab, (names[a], &all[a]), (names[b], &all[b]));
        }
        // The way out is each one's own host.
        lab.ping("c1", [192, 0, 2, 100].into());
        assert_eq!(hosts[0].peers("mesh"), ["192.0.2.2", "192.0.2.3"]);
    });
}

#[test]
fn the_largest_packet_crosses_whole_and_a_larger_one_is_refused_at_home() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        create(&hosts, "");
        join_all(&hosts);
        let (_, two) = (hosts[0].run("mesh", "c1"), hosts[1].run("mesh", "c2"));
        let mtu = lab.sh("ip -n c1 link show eth0");
        assert!(mtu.contains("mtu 1450"), "{mtu}");
        for address in two {
            let before = fragments(lab, "h1");
            assert!(fits(lab, "c1", ("c2", address), 1450), "{address}");
            assert_eq!(fragments(lab, "h1"), before, "nothing was cut on the way");
            assert!(!fits(lab, "c1", ("c2", address), 1451), "{address}");
        }
    });
}

#[test]
fn over_ipv6_and_another_port_and_number() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        for (n, host) in (1..).zip(&hosts) {
            let tunnel = format!("-o local=2001:db8::{n} -o vni=7 -o port=8472");
            host.netwire(&format!(
                "network create -d overlay --subnet 10.9.0.0/16 --ip-range 10.9.{n}.0/24 {tunnel} mesh"
            ));
            host.netwire(&format!("overlay join mesh --peer 2001:db8::{}", 3 - n));
        }
        let (one, two) = (hosts[0].run("mesh", "c1"), hosts[1].run("mesh", "c2"));
        reach_each_other(lab, ("c1", &one), ("c2", &two));
        assert!(hosts[0].sh("ip -d link show type vxlan").contains("vxlan id 7 local 2001:db8::1"));
        assert!(fits(lab, "c1", ("c2", two[0]), 1430) && !fits(lab, "c1", ("c2", two[0]), 1431));
    });
}

#[test]
fn by_a_file_that_grows_and_by_a_group() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        create(&hosts, "");
        let file = lab.root.join("peers");
        std::fs::write(&file, "192.0.2.1 # the first\n").expect("a file");
        let join = format!("overlay join mesh --peers-file {}", file.display());
        hosts.iter().for_each(|host| drop(host.netwire(&join)));
        let (one, two) = (hosts[0].run("mesh", "c1"), hosts[1].run("mesh", "c2"));
        assert_eq!(hosts[0].peers("mesh"), [""; 0]);
        std::fs::write(&file, "192.0.2.1 # the first\n192.0.2.2\n").expect("a file");
        hosts.iter().for_each(|host| drop(host.netwire(&join)));
        reach_each_other(lab, ("c1", &one), ("c2", &two));
        // Another way to know each other: the tunnel is made anew under the containers.
        hosts.iter().for_each(|host| drop(host.netwire("overlay join mesh --group 239.1.1.1")));
        reach_each_other(lab, ("c1", &one), ("c2", &two));
        assert!(hosts[0].sh("ip -d link show type vxlan").contains("group 239.1.1.1"));
    });
}

#[test]
fn a_host_that_leaves_is_out_and_can_come_back() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        create(&hosts, "");
        join_all(&hosts);
        let (one, two) = (hosts[0].run("mesh", "c1"), hosts[1].run("mesh", "c2"));
        let local = hosts[1].run("mesh", "c3");
        reach_each_other(lab, ("c1", &one), ("c2", &two));
        for _ in 0..2 {
            hosts[1].netwire("overlay leave mesh");
        }
        assert_eq!((hosts[1].peers("mesh"), hosts[1].forwarding()), (Vec::new(), Vec::new()));
        assert!(!lab.reaches("c2", "c1", one[0]));
        reach_each_other(lab, ("c2", &two), ("c3", &local));
        hosts[1].netwire("overlay join mesh --peer 192.0.2.1");
        eventually("they see each other again", Duration::from_secs(30), || lab.reaches("c2", "c1", one[0]));
    });
}

#[test]
fn what_cannot_be_meant_is_refused() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        let hosts = hosts(lab, 1);
        let host = &hosts[0];
        host.netwire("network create plain");
        host.netwire("network create -d overlay --subnet 10.9.0.0/16 mesh");
        let hint = "--ip-range";
        host.refused(
            "overlay join mesh --peer 192.0.2.2",
            1,
            "two hosts could give the same address of 10.9.0.0/16",
            hint,
        );
        host.refused("overlay join plain --peer 192.0.2.2", 1, "it is of driver bridge", "-d overlay");
        host.refused("overlay join none-such --peer 192.0.2.2", 1, "no such network", "");
        host.refused("overlay join mesh", 2, "how the other hosts are known is missing", "--etcd URL");
        host.refused("overlay join mesh --group 10.0.0.1", 2, "is no multicast group", "");
        host.refused("overlay join mesh --etcd https://192.0.2.9:2379", 2, "by TLS is not supported", "");
        host.refused("overlay join mesh --etcd http://192.0.2.100:2379", 1, "connection refused", "whether etcd runs");
        host.refused("network create -d overlay nowhere", 1, "subnet", "--subnet");
        host.refused("network create -d overlay --subnet 10.8.0.0/16 -o vni=0 x", 2, "`0` is not in 1..=16777215", "");
        host.refused("network create -d overlay --subnet 10.8.0.0/16 -o encrypted x", 2, "`encrypted`", "");
        host.refused("network create -o vni=5 x", 2, "means nothing to a network of driver bridge", "");
        host.netwire("network create -d overlay --subnet 10.8.0.0/16 -o local=203.0.113.9 far");
        lab.container("c1");
        host.refused("attach --network far --netns c1 --id c1", 1, "this host has no address 203.0.113.9", "-o local=");
        for name in ["far", "mesh", "plain"] {
            host.netwire(&format!("network rm {name}"));
        }
        assert_eq!(host.sh("ip -o link show | grep -vc -e ' lo: ' -e up0 || true").trim(), "0");
    });
}
