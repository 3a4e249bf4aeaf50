//! Who is given which address: ranges, reservations, several subnets, exhaustion, release.

use crate::lab::lab;
use testkit::need;

#[test]
fn ranges_and_reserved_addresses() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire(
            "network create web --subnet 10.9.0.0/24 --ip-range 10.9.0.128/30 --aux-address router=10.9.0.129 --disable-dns",
        );
        let attach = |name: &str, more: &str| {
            lab.container(name);
            lab.attach(&format!("--network web --netns {name} --id {name} {more}"))["addresses"][0].clone()
        };
        assert_eq!(attach("c1", ""), "10.9.0.128/24", "a range's first address is an address like others");
        assert_eq!(attach("c2", ""), "10.9.0.130/24", "the second is reserved");
        assert_eq!(attach("c3", "--ip 10.9.0.9"), "10.9.0.9/24", "who asks may have one outside of the range");
        assert_eq!(attach("c4", ""), "10.9.0.131/24");
        lab.container("c5");
        let five = "attach --network web --netns c5 --id c5";
        lab.refused(five, 1, "all addresses of 10.9.0.128/30 are in use", "larger --ip-range");
        lab.refused(&format!("{five} --ip 10.9.0.129"), 1, "10.9.0.129 is reserved for router", "");
        lab.netwire("detach --network web --id c2");
        assert_eq!(
            lab.attach(&five["attach ".len()..])["addresses"][0],
            "10.9.0.130/24",
            "what was given back is given"
        );
    });
}

#[test]
fn a_second_subnet_is_used_when_the_first_is_full() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/30 --subnet 10.10.0.0/30 --disable-dns");
        lab.container("c1");
        lab.container("c2");
        let one = lab.attach("--network web --netns c1 --id c1");
        let two = lab.attach("--network web --netns c2 --id c2");
        assert_eq!((&one["addresses"][0], &one["gateway"]), (&"10.9.0.2/30".into(), &"10.9.0.1".into()));
        assert_eq!((&two["addresses"][0], &two["gateway"]), (&"10.10.0.2/30".into(), &"10.10.0.1".into()));
        lab.ping("c2", [10, 10, 0, 1].into());
        lab.ping("c2", [10, 9, 0, 2].into());
        lab.container("c3");
        lab.refused(
            "attach --network web --netns c3 --id c3",
            1,
            "all addresses of 10.9.0.0/30 and 10.10.0.0/30 are in use",
            "--subnet",
        );
    });
}

#[test]
fn an_address_is_not_given_before_its_last_holder_is_gone() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/30 --disable-dns");
        for round in 0..10 {
            let (name, last) = (format!("c{round}"), format!("c{}", round - 1));
            lab.container(&name);
            if round > 0 {
                // Not awaited: the one address is still leaving when the next one asks for it.
                assert!(lab.command(&format!("detach --network web --id {last}")).status().expect("netwire").success());
                let inside = lab.sh(&format!("ip -n {last} -o link show up"));
                assert!(!inside.contains("LOWER_UP,") || !inside.contains("eth0"), "no packet passes: {inside}");
            }
            let one = lab.attach(&format!("--network web --netns {name} --id {name}"));
            assert_eq!(one["addresses"][0], "10.9.0.2/30");
            lab.ping(&name, [10, 9, 0, 1].into());
            if round > 0 {
                assert!(!lab.sh(&format!("ip -n {last} -o addr show")).contains("10.9.0.2"), "round {round}");
            }
        }
        assert_eq!(lab.links().len(), 2, "{:?}", lab.links());
    });
}

#[test]
fn detached_and_attached_again_at_once() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.container("c1");
        lab.container("c2");
        lab.attach("--network bridge --netns c2 --id c2");
        for round in 0..10 {
            let one = lab.attach("--network bridge --netns c1 --id c1");
            assert_eq!(one["addresses"][0], "172.17.0.3/16", "round {round}");
            lab.ping("c1", [172, 17, 0, 1].into());
            assert!(lab.command("detach --network bridge --id c1").status().expect("netwire").success());
            if round % 2 == 0 {
                // Twice is fine, and what leaves is on the network no more.
                assert!(lab.command("detach --network bridge --id c1").status().expect("netwire").success());
                assert_eq!(lab.inspect("bridge")["containers"].as_array().map(Vec::len), Some(1));
            }
        }
        lab.settled();
        assert_eq!(lab.links().len(), 2, "{:?}", lab.links());
        lab.netwire("detach --network bridge --id c2");
        lab.netwire("network rm bridge");
        assert_eq!(lab.links(), Vec::<String>::new());
    });
}

#[test]
fn a_container_that_is_started_again_waits_for_nothing_and_keeps_its_address() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        for round in 0..10 {
            let name = format!("life{round}");
            lab.container(&name);
            let one = lab.attach(&format!("--network bridge --netns {name} --id c1"));
            assert_eq!(one["addresses"][0], "172.17.0.2/16", "round {round}");
            lab.ping(&name, [172, 17, 0, 1].into());
            assert!(lab.command("detach --network bridge --id c1").status().expect("netwire").success());
        }
        lab.settled();
        assert_eq!(lab.links(), ["veneer0"]);
        assert_eq!(lab.inspect("bridge")["containers"], serde_json::json!([]));
    });
}

#[test]
fn routes_names_and_hardware_addresses_as_told() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24 --route 10.50.0.0/16,10.9.0.5 --disable-dns");
        lab.container("c1");
        let one = lab.attach(
            "--network web --netns c1 --id c1 --mac 02:00:00:00:00:07 --name db --alias sql --route 10.60.0.0/16 \
             --route 10.70.0.0/16,10.9.0.6,50",
        );
        assert_eq!(one["mac"], "02:00:00:00:00:07");
        let routes = lab.sh("ip -n c1 route show");
        for route in
            ["10.50.0.0/16 via 10.9.0.5", "10.60.0.0/16 via 10.9.0.1", "10.70.0.0/16 via 10.9.0.6 dev eth0 metric 50"]
        {
            assert!(routes.contains(route), "{route} is not in: {routes}");
        }
        let member = &lab.inspect("web")["containers"][0];
        assert_eq!((&member["name"], &member["aliases"]), (&"db".into(), &serde_json::json!(["sql"])));
    });
}

#[test]
fn options_in_the_words_of_others() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire(
            "network create web --subnet 10.9.0.0/24 -o com.docker.network.bridge.name=br7 --disable-dns \
             -o com.docker.network.driver.mtu=1400 -o hairpin=true -o metric=77",
        );
        lab.container("c1");
        let one = lab.attach("--network web --netns c1 --id c1");
        assert_eq!((&one["bridge"], &one["mtu"]), (&"br7".into(), &1400.into()));
        assert!(lab.sh("ip -n c1 route show default").contains("metric 77"));
        assert!(lab.sh("bridge -d link show").contains("hairpin on"));
        assert_eq!(lab.inspect("web")["options"]["com.docker.network.driver.mtu"], "1400");
        lab.netwire("network create quiet --subnet 10.8.0.0/24 -o no_default_route=true --disable-dns");
        lab.container("c2");
        lab.attach("--network quiet --netns c2 --id c2");
        assert_eq!(lab.sh("ip -n c2 route show default"), "");
        lab.refused("network create x -o vrf=red", 2, "option `vrf` is not supported", "");
        lab.refused("network create x -o colour=red", 2, "option `colour` is unknown", "");
        lab.refused("network create x -d weave", 2, "`weave` is no network driver", "");
        for (name, hint) in [("host", "without a network namespace"), ("none", "loopback"), ("container:c1", "--net=")]
        {
            lab.refused(
                &format!("attach --network {name} --netns c1 --id c1"),
                2,
                "cannot be the name of a network",
                hint,
            );
        }
        lab.netwire("network create web --ignore");
        lab.netwire("network rm -f web2");
    });
}

#[test]
fn a_definition_of_before_is_read() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.sh(
            r#"mkdir -p /run/state/networks; cat >/run/state/networks/old.json <<'J'
{"format": 1, "name": "old", "id": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "driver": "bridge",
 "bridge": "vn-001122334455", "subnet": "10.9.0.0/24", "gateway": "10.9.0.1", "adopted": false, "internal": false,
 "labels": {}, "created_s": 1}
J"#,
        );
        lab.container("c1");
        assert_eq!(lab.attach("--network old --netns c1 --id c1")["addresses"][0], "10.9.0.2/24");
        lab.ping("c1", [10, 9, 0, 1].into());
    });
}
