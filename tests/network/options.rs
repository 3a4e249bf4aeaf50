//! Options of a network that docker and podman have under the same names: what they do to packets.

use crate::isolation::attached;
use crate::lab::{address, lab};
use crate::publishing::{at, tcp};
use std::net::IpAddr;
use testkit::need;

#[test]
fn what_leaves_has_the_address_that_was_told() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        lab.outside();
        lab.sh("ip addr add 198.51.100.77/24 dev uplink; ip addr add 2001:db8:1::1/64 dev uplink nodad
             ip addr add 2001:db8:1::77/64 dev uplink nodad; ip -n outside addr add 2001:db8:1::2/64 dev eth0 nodad");
        let told = "-o outbound_addr4=198.51.100.77 -o outbound_addr6=2001:db8:1::77";
        lab.netwire(&format!("network create web --subnet 10.9.0.0/24 --subnet fd09::/64 {told}"));
        lab.netwire("network create other --subnet 10.10.0.0/24");
        let one = attached(lab, "c1", "web", "");
        attached(lab, "c2", "web", "");
        attached(lab, "c3", "other", "");
        let outside = |text: &str| -> IpAddr { text.parse().expect("an address") };
        assert_eq!(lab.connect("c1", "outside", outside("198.51.100.2")), outside("198.51.100.77"));
        assert_eq!(lab.connect("c1", "outside", outside("2001:db8:1::2")), outside("2001:db8:1::77"));
        assert_eq!(lab.connect("c3", "outside", outside("198.51.100.2")), outside("198.51.100.1"), "another network's");
        assert_eq!(lab.connect("c2", "c1", one[0]), "10.9.0.3".parse::<IpAddr>().expect("an address"), "not within");
        // A flush heals it too, and with the network it goes.
        lab.sh("nft flush ruleset");
        lab.netwire("restore");
        lab.netwire("check");
        assert_eq!(lab.connect("c1", "outside", outside("198.51.100.2")), outside("198.51.100.77"));
        for (id, network) in [("c1", "web"), ("c2", "web"), ("c3", "other")] {
            lab.netwire(&format!("detach --network {network} --id {id}"));
        }
        lab.netwire("network rm web");
        assert!(!lab.ruleset().contains("198.51.100.77"), "{}", lab.ruleset());
    });
}

/// Whoever gets the bridge next does not inherit them.
#[test]
fn what_few_networks_have_goes_with_a_definition_that_was_lost() {
    need!(root, "ip", "nft");
    lab(|lab| {
        let told = "-o outbound_addr4=198.51.100.77 -o trusted_host_interfaces=inner";
        lab.netwire(&format!("network create web --subnet 10.9.0.0/24 --bridge web0 {told}"));
        lab.netwire("network create other --subnet 10.10.0.0/24");
        attached(lab, "c1", "web", "");
        attached(lab, "c2", "other", "");
        let has = |what: &str| lab.ruleset().contains(what);
        assert!(has("198.51.100.77") && has("\"inner\" . \"web0\""), "{}", lab.ruleset());
        // Told another one, it has that.
        lab.sh("sed -i s/198.51.100.77/198.51.100.78/ /run/state/networks/web.json");
        assert!(lab.command("check").output().expect("netwire runs").status.code() == Some(1));
        lab.netwire("restore");
        lab.netwire("check");
        assert!(has("198.51.100.78") && !has("198.51.100.77"), "{}", lab.ruleset());
        lab.sh("rm /run/state/networks/web.json; ip netns del c1
             while ip -o link show master web0 | grep -q veth; do sleep 0.02; done");
        lab.netwire("prune");
        assert!(has("network other") && !has("web0") && !has("198.51.100.78"), "{}", lab.ruleset());
    });
}

#[test]
fn ports_are_published_on_the_networks_own_address() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.outside();
        let key = "com.docker.network.bridge.host_binding_ipv4";
        lab.netwire(&format!("network create web --subnet 10.9.0.0/24 -o {key}=127.0.0.1"));
        attached(lab, "c1", "web", "-p 8080:80 -p 198.51.100.1:8081:80");
        assert!(tcp(lab, "", at("127.0.0.1:8080"), "c1", 80).is_some());
        assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_none(), "only there");
        assert!(tcp(lab, "outside", at("198.51.100.1:8081"), "c1", 80).is_some(), "what names one has that");
        lab.netwire("unpublish --id c1 8080:80");
        assert!(tcp(lab, "", at("127.0.0.1:8080"), "c1", 80).is_none(), "taken away as it was published");
        // A definition that cannot be read is in nobody's way who wants to be rid of all.
        lab.sh("echo '{' >/run/state/networks/web.json");
        lab.netwire("unpublish --id c1");
        assert_eq!(lab.netwire("publish --list"), "");
    });
}

#[test]
fn trusted_links_reach_containers_directly() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.outside();
        lab.sh("ip netns add friend; ip link add inner type veth peer name eth0 netns friend
             ip addr add 192.0.2.1/24 dev inner; ip link set inner up
             ip -n friend addr add 192.0.2.2/24 dev eth0; ip -n friend link set eth0 up
             ip -n friend route add default via 192.0.2.1; ip -n outside route add 10.9.0.0/24 via 198.51.100.1");
        let key = "com.docker.network.bridge.trusted_host_interfaces";
        lab.netwire(&format!("network create web --subnet 10.9.0.0/24 -o {key}=inner:nothing"));
        let one = attached(lab, "c1", "web", "");
        assert!(lab.reaches("friend", "c1", one[0]));
        assert!(!lab.reaches("outside", "c1", one[0]));
        lab.netwire("check");
        lab.netwire("detach --network web --id c1");
        lab.netwire("network rm web");
        assert_eq!(lab.ruleset(), "");
        // Nothing comes into an internal network.
        lab.netwire(&format!("network create inside --internal --subnet 10.9.0.0/24 -o {key}=inner"));
        let two = attached(lab, "c2", "inside", "");
        assert!(!lab.reaches("friend", "c2", two[0]));
        lab.netwire("check");
        lab.refused("network create x -o trusted_host_interfaces=a/b", 2, "cannot be the name of an interface", "");
    });
}

/// A definition of before they were refused; with the network goes all that it had in the packet rules.
#[test]
fn trusted_links_that_are_named_twice_are_in_nobodys_way() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.netwire("network create other --subnet 10.10.0.0/24");
        attached(lab, "c2", "other", "");
        let key = "trusted_host_interfaces";
        lab.netwire(&format!("network create web --bridge web0 --subnet 10.9.0.0/24 -o icc=false -o {key}=up0"));
        lab.sh(&format!("sed -i 's/\"{key}\": \"up0\"/\"{key}\": \"up0:up1:up0:web0\"/' /run/state/networks/web.json"));
        attached(lab, "c1", "web", "");
        let rules = lab.ruleset();
        assert!(rules.contains("\"up1\" . \"web0\""), "{rules}");
        assert!(!rules.contains("\"web0\" . \"web0\""), "containers of it do not reach each other: {rules}");
        lab.netwire("check");
        lab.netwire("detach --network web --id c1");
        lab.netwire("network rm web");
        assert!(!lab.ruleset().contains("web0"), "{}", lab.ruleset());
    });
}

#[test]
fn interfaces_are_called_as_the_network_says() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire(
            "network create web --disable-dns --subnet 10.9.0.0/24 -o com.docker.network.container_iface_prefix=net",
        );
        lab.container("c1");
        let attached = lab.attach("--network web --netns c1 --id c1");
        assert_eq!(attached["interface"], "net0");
        assert_eq!(lab.attach("--network web --netns c1 --id c1"), attached, "again it is the same");
        lab.ping("c1", [10, 9, 0, 1].into());
        assert!(lab.sh("ip -n c1 -o link").contains(" net0@"));
        // Where the run folder was lost it is found by its name.
        lab.sh("rm -r /run/state/networks/run");
        lab.netwire("detach --network web --id c1");
        assert!(!lab.sh("ip -n c1 -o link").contains("net0"));
        let named = lab.attach("--network web --netns c1 --id c1 --ifname eth7");
        assert_eq!(named["interface"], "eth7");
        lab.ping("c1", [10, 9, 0, 1].into());
        assert_eq!(address(&named).to_string(), "10.9.0.2");
    });
}

/// Of one prefix, of another, and each time the lowest number that is free.
#[test]
fn interfaces_on_several_networks_are_numbered() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        for (name, subnet, more) in [
            ("a", "10.1.0.0/24", "-o container_iface_prefix=net"),
            ("b", "10.2.0.0/24", "-o container_iface_prefix=net"),
            ("c", "10.3.0.0/24", ""),
            ("d", "10.4.0.0/24", "-d ptp -o container_iface_prefix=net"),
        ] {
            lab.netwire(&format!("network create {name} --disable-dns --subnet {subnet} {more}"));
        }
        lab.container("c1");
        let attach = |network: &str| {
            let made = lab.attach(&format!("--network {network} --netns c1 --id c1"));
            made["interface"].as_str().expect("a name").to_owned()
        };
        assert_eq!(["a", "b", "c", "d"].map(attach), ["net0", "net1", "eth0", "net2"]);
        assert_eq!(["d", "c", "b", "a"].map(attach), ["net2", "eth0", "net1", "net0"], "again it is the same");
        for gateway in [[10, 1, 0, 1], [10, 2, 0, 1], [10, 3, 0, 1], [10, 4, 0, 1]] {
            lab.ping("c1", gateway.into());
        }
        // Whoever leaves leaves its own, and whoever comes at once does not go round what is just leaving.
        let detach = |network: &str| {
            let out = lab.command(&format!("detach --network {network} --id c1")).output().expect("netwire runs");
            assert!(out.status.success(), "{out:?}");
        };
        for _ in 0..3 {
            detach("a");
            assert_eq!(attach("a"), "net0");
            detach("a");
            detach("b");
            assert_eq!((attach("b"), attach("a")), ("net0".into(), "net1".into()));
            detach("a");
            detach("b");
            assert_eq!((attach("a"), attach("b")), ("net0".into(), "net1".into()));
        }
        // Another container's in the same namespace, and a stranger's link.
        lab.sh("ip -n c1 link add eth1 type bridge");
        assert_eq!(lab.attach("--network c --netns c1 --id c2")["interface"], "eth2");
        // Where the run folder was lost they are found by their names.
        lab.sh("rm -r /run/state/networks/run");
        assert_eq!(["b", "d", "c"].map(attach), ["net1", "net2", "eth0"]);
        lab.sh("rm -r /run/state/networks/run");
        for network in ["a", "b", "c", "d"] {
            detach(network);
        }
        let left = lab.sh("ip -n c1 -br link | cut -d' ' -f1 | cut -d@ -f1 | sort");
        assert_eq!(left, "eth1\neth2\nlo\n");
    });
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    lab(|lab| {
        for (create, why) in [
            ("--bridge web0 -o trusted_host_interfaces=web0", "`web0` is its own bridge"),
            ("-o outbound_addr6=fd00::1", "option `outbound_addr6`: it has no subnet of IPv6"),
            ("--internal -o outbound_addr4=192.0.2.1", "nothing leaves an internal network"),
            ("-o masquerade=false -o outbound_addr4=192.0.2.1", "what leaves in IPv4 keeps its own address"),
            (
                "--ipv6 -o gateway_mode_ipv6=routed -o outbound_addr6=fd00::1",
                "option `outbound_addr6`: what leaves in IPv6 keeps its own address",
            ),
        ] {
            lab.refused(&format!("network create x {create}"), 1, why, "");
        }
        lab.netwire("network create y --ipv6 -o gateway_mode_ipv6=routed -o outbound_addr4=192.0.2.1");
        for (option, why) in [
            ("encrypted", "put the hosts' link into a tunnel"),
            ("vrf=red", "--bridge DEV"),
            ("host_interface_name=v0", "attach prints it as host_interface"),
            ("outbound_addr4=fd00::1", "no address of IPv4"),
            ("outbound_addr4=0.0.0.0", "`0.0.0.0` is no machine's address"),
            ("outbound_addr6=::", "`::` is no machine's address"),
            ("trusted_host_interfaces=up0:up1:up0", "`up0` is named twice"),
        ] {
            lab.refused(&format!("network create x -o {option}"), 2, why, "");
        }
    });
}
