//! Which subnets and bridges networks get, and what happens when the machine changes.

use crate::lab::{Lab, address, lab};
use testkit::need;

fn subnet(lab: &Lab, network: &str) -> String {
    lab.inspect(network)["subnets"][0]["subnet"].as_str().expect("a subnet").to_owned()
}

#[test]
fn the_default_network_takes_the_first_free_pool() {
    need!(root, "ip");
    lab(|lab| {
        lab.sh("ip link add up1 type veth peer name up2; ip addr add 172.17.5.1/24 dev up1; ip link set up1 up");
        lab.container("c1");
        let one = lab.attach("--network bridge --netns c1 --id c1");
        assert_eq!(
            (one["addresses"][0].as_str(), one["gateway"].as_str()),
            (Some("172.18.0.2/16"), Some("172.18.0.1"))
        );
        assert_eq!(one["bridge"], "veneer0");
    });
}

#[test]
fn a_route_that_came_later_moves_the_default_network_while_nobody_is_on_it() {
    need!(root, "ip");
    lab(|lab| {
        assert_eq!(subnet(lab, "bridge"), "172.17.0.0/16");
        lab.sh("ip link add up1 type veth peer name up2; ip link set up1 up; ip route add 172.17.0.0/16 dev up1");
        lab.container("c1");
        assert_eq!(address(&lab.attach("--network bridge --netns c1 --id c1")).to_string(), "172.18.0.2");
        // A network with a subnet of its own is not moved behind its owner's back.
        lab.netwire("network create web --subnet 10.5.0.0/24");
        lab.sh("ip route add 10.5.0.0/16 dev up1");
        lab.refused(
            "attach --network web --netns c1 --id c1 --ifname eth1",
            1,
            "use subnet 10.5.0.0/24: it overlaps 10.5.0.0/16, which this machine reaches already",
            "with another --subnet",
        );
    });
}

#[test]
fn networks_leave_the_first_pool_to_the_default_one() {
    need!(root, "ip");
    lab(|lab| {
        for (name, expected) in [("a", "172.18.0.0/16"), ("b", "172.19.0.0/16")] {
            lab.netwire(&format!("network create {name}"));
            assert_eq!(subnet(lab, name), expected);
        }
        assert_eq!(subnet(lab, "bridge"), "172.17.0.0/16");
        lab.netwire("network rm a");
        lab.netwire("network create c");
        assert_eq!(subnet(lab, "c"), "172.18.0.0/16");
        assert_eq!(lab.netwire("network ls -q"), "b\nbridge\nc\n");
    });
}

#[test]
fn a_foreign_bridge_is_used_and_left() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.sh("ip link add br0 type bridge; ip addr add 10.6.0.1/24 dev br0; ip link set br0 up");
        lab.netwire("network create mine --bridge br0 --subnet 10.6.0.0/24");
        lab.container("c1");
        assert_eq!(address(&lab.attach("--network mine --netns c1 --id c1")).to_string(), "10.6.0.2");
        assert!(lab.reaches("c1", "", [10, 6, 0, 1].into()));
        lab.netwire("detach --network mine --id c1");
        lab.netwire("network rm mine");
        assert_eq!((lab.links(), lab.ruleset()), (vec!["br0".to_owned()], String::new()));
    });
}

#[test]
fn packets_are_as_large_as_the_way_out_takes() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.sh("ip link set uplink mtu 1420");
        lab.container("c1");
        assert_eq!(lab.attach("--network bridge --netns c1 --id c1")["mtu"], 1420);
        assert!(lab.sh("ip -n c1 link show eth0").contains("mtu 1420"));
        lab.netwire("network create big --mtu 9000");
        lab.container("c2");
        assert_eq!(lab.attach("--network big --netns c2 --id c2")["mtu"], 9000);
        assert!(lab.sh("ip -n c2 link show eth0").contains("mtu 9000"));
    });
}

#[test]
fn two_state_roots_do_not_take_each_others_bridge() {
    need!(root, "ip", "busybox");
    lab(|one| {
        let two = &Lab { root: "/run/other".into() };
        // Both have the default network defined the same before either has made it.
        assert_eq!((subnet(one, "bridge"), subnet(two, "bridge")), ("172.17.0.0/16".into(), "172.17.0.0/16".into()));
        one.container("c1");
        one.container("c2");
        assert_eq!(address(&one.attach("--network bridge --netns c1 --id same")).to_string(), "172.17.0.2");
        let second = two.attach("--network bridge --netns c2 --id same");
        assert_eq!(
            (second["bridge"].as_str(), second["addresses"][0].as_str()),
            (Some("veneer1"), Some("172.18.0.2/16"))
        );
        one.ping("c1", [172, 17, 0, 1].into());
        one.ping("c2", [172, 18, 0, 1].into());
        two.netwire("detach --network bridge --id same");
        two.netwire("network rm bridge");
        one.ping("c1", [172, 17, 0, 1].into());
        one.netwire("detach --network bridge --id same");
        one.netwire("network rm bridge");
        assert_eq!((one.links(), one.ruleset()), (Vec::new(), String::new()));
    });
}

#[test]
fn a_network_is_made_for_the_namespace_that_is_named_and_goes_from_there() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("host1");
        lab.container("c1");
        lab.sh("ip netns add up; ip -n host1 link add up1 type veth peer name up2 netns up
                ip -n host1 addr add 172.18.5.1/24 dev up1; ip -n host1 link set up1 up");
        lab.netwire("network create web --netns host1");
        assert_eq!(subnet(lab, "web"), "172.19.0.0/16", "it is there that 172.18.5.0/24 is reached already");
        assert_eq!(lab.netwire("network --netns host1 create --ignore web").len(), 65, "the same once more");
        let there = |line: &str| lab.within("host1", || lab.netwire(line));
        there("attach --network web --netns /run/netns/c1 --id c1");
        let bridge = lab.inspect("web")["bridge"].as_str().expect("a name").to_owned();
        assert!(lab.sh("ip -n host1 -o link show").contains(&bridge) && !lab.links().contains(&bridge));
        there("detach --network web --id c1");
        for how in ["--netns host1", "--netns /run/netns/host1"] {
            assert!(lab.netwire(&format!("network ls -q {how}")).contains("web\n"));
            assert!(lab.netwire(&format!("network inspect web {how}")).contains(&bridge));
        }
        lab.netwire("network rm web --netns host1");
        assert!(!lab.sh("ip -n host1 -o link show").contains(&bridge));
        assert!(!lab.sh("ip netns exec host1 nft list ruleset").contains(&bridge));
        lab.netwire("network rm -f web --netns host1");
        lab.refused(
            "network create web --netns nowhere",
            1,
            "open network namespace nowhere: no such name",
            "ip netns add",
        );
        assert_eq!(lab.netwire("network ls -q"), "bridge\n", "nothing half made");
    });
}
