//! macvlan: containers with hardware addresses of their own on a link of the machine. By the CNI plugin first.

use crate::cable::{Attached, By, Cable, answers, lan, neighbours, reflect, subnets};
use crate::lab::{Lab, lab};
use serde_json::json;
use std::net::IpAddr;
use testkit::need;

const LAN: [&str; 2] = ["198.51.100.2", "fd00:51::2"];
const PARENT: [&str; 2] = ["198.51.100.1", "fd00:51::1"];

fn cable(mode: &str) -> Cable {
    Cable {
        kind: "macvlan",
        plugin: json!({"master": "uplink", "mode": mode}),
        options: format!("-o parent=uplink -o macvlan_mode={mode}"),
        subnets: subnets(),
    }
}

fn each(body: impl Fn(&Lab, By) + Sync) {
    for by in By::all("macvlan") {
        lab(|lab| {
            lan(lab);
            body(lab, by);
        });
    }
}

fn two(lab: &Lab, by: By, cable: &Cable) -> [Attached; 2] {
    by.create(lab, "street", cable);
    ["c1", "c2"].map(|id| {
        lab.container(id);
        by.attach(lab, "street", cable, id)
    })
}

/// That the container and the neighbour on the cable reach each other.
#[track_caller]
fn on_the_cable(lab: &Lab, id: &str, attached: &Attached) {
    for address in LAN {
        assert!(answers(lab, id, address.parse().expect("an address")), "{id} to {address}");
    }
    for address in std::iter::once(attached.four).chain(attached.six) {
        assert!(answers(lab, "lan", address), "the cable to {address}");
    }
    assert_eq!(lab.connect("lan", id, attached.four).to_string(), LAN[0]);
    assert_eq!(lab.connect(id, "lan", LAN[0].parse().expect("an address")), attached.four);
}

#[test]
fn bridge_mode_joins_containers() {
    need!(root, "ip", "busybox");
    each(|lab, by| {
        let [one, two] = two(lab, by, &cable("bridge"));
        assert_eq!((one.four.to_string(), two.four.to_string()), ("198.51.100.16".into(), "198.51.100.17".into()));
        assert_ne!(one.mac, two.mac);
        neighbours(lab, ("c1", &one), ("c2", &two), true);
        on_the_cable(lab, "c1", &one);
        on_the_cable(lab, "c2", &two);
        // What the parent sends never turns up to its children, nor the other way.
        for address in PARENT {
            assert!(!answers(lab, "c1", address.parse::<IpAddr>().expect("an address")), "{address}");
        }
        assert!(!answers(lab, "", one.four));
        by.detach(lab, "street", &cable("bridge"), "c1");
        assert!(!answers(lab, "c2", one.four));
        assert_eq!(lab.sh("ip -n c1 -o link show | grep -vc ' lo: ' || true").trim(), "0");
    });
}

#[test]
fn vepa_leaves_it_to_the_switch_and_private_to_nobody() {
    need!(root, "ip", "busybox");
    for (mode, reflected) in [("vepa", true), ("private", false)] {
        each(|lab, by| {
            let [one, two] = two(lab, by, &cable(mode));
            on_the_cable(lab, "c1", &one);
            neighbours(lab, ("c1", &one), ("c2", &two), false);
            reflect(lab, true);
            neighbours(lab, ("c1", &one), ("c2", &two), reflected);
        });
    }
}

#[test]
fn passthru_takes_one() {
    need!(root, "ip", "busybox");
    each(|lab, by| {
        let cable = cable("passthru");
        by.create(lab, "street", &cable);
        for id in ["c1", "c2"] {
            lab.container(id);
        }
        let one = by.attach(lab, "street", &cable, "c1");
        on_the_cable(lab, "c1", &one);
        let refused = by.try_attach(lab, "street", &cable, "c2").expect_err("a second one");
        if by == By::Netwire {
            assert!(refused.contains("hint: ") && refused.contains("passthru"), "{refused}");
        }
        by.detach(lab, "street", &cable, "c1");
        by.attach(lab, "street", &cable, "c2");
    });
}

#[test]
fn the_parent_is_where_the_default_route_goes() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.netwire("network create street -d macvlan --subnet 198.51.100.0/24 --ip-range 198.51.100.16/28");
        lab.container("c1");
        let line = "attach --network street --netns c1 --id c1";
        lab.refused(line, 1, "no default route", "-o parent=INTERFACE");
        lan(lab);
        let one = crate::lab::address(&lab.attach(&line["attach ".len()..]));
        assert!(answers(lab, "lan", one));
        lab.refused("network create x -d macvlan -o parent=up/link", 2, "cannot be the name of an interface", "");
        lab.netwire("network create nowhere -d macvlan -o parent=nolink --subnet 10.4.0.0/24");
        lab.refused(
            "attach --network nowhere --netns c1 --id c1 --ifname eth1",
            1,
            "nolink: no such interface",
            "NAME.TAG",
        );
        lab.refused("network create y -d macvlan -o macvlan_mode=l2", 2, "`l2` is none of bridge, private", "");
    });
}

#[test]
fn life_is_told_from_inside() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lan(lab);
        lab.netwire("network create street -d macvlan -o parent=uplink --subnet 198.51.100.0/24");
        let attach = |id: &str, at: &str| lab.attach(&format!("--network street --netns {id} --id {id} {at}"));
        lab.container("c1");
        let first = attach("c1", "--ip 198.51.100.9");
        let number = || lab.sh("ip -n c1 -o link show eth0 | cut -d: -f1");
        let before = number();
        assert_eq!(first, attach("c1", ""), "attached again it is the same");
        assert_eq!(number(), before, "and left alone");
        lab.container("c2");
        let taken = "attach --network street --netns c2 --id c2 --ip 198.51.100.9";
        lab.refused(taken, 1, "198.51.100.9 is in use by c1", "detach that container");
        lab.refused("network rm street", 1, "it is in use by c1", "");
        // The container dies without a word, and another one has its namespace's name, maybe even its number.
        lab.sh("ip netns del c1; ip netns add c1");
        attach("c2", "--ip 198.51.100.9");
        // One that lost its interface is attached anew.
        lab.sh("ip -n c2 link del eth0");
        attach("c2", "");
        assert!(answers(lab, "lan", [198, 51, 100, 9].into()));
        // What has its name and is not ours is not touched.
        lab.sh("ip -n c1 link add eth0 type bridge");
        let taken = "attach --network street --netns c1 --id c1 --ifname eth0";
        lab.refused(taken, 1, "create interface eth0", "another with --ifname");
        lab.netwire("detach --network street --id c1");
        assert!(lab.sh("ip -n c1 -o link show type bridge").contains("eth0"));
        lab.sh("ip netns del c2");
        lab.netwire("network rm street");
    });
}

#[test]
fn killed_anywhere_it_is_healed() {
    need!(root, "ip", "strace", "busybox");
    const ATTACH: &str = "attach --network street --netns c1 --id c1";
    let prepare = |lab: &Lab| {
        lan(lab);
        lab.netwire("network create street -d macvlan -o parent=uplink --subnet 198.51.100.0/24");
        lab.container("c1");
        lab.container("c2");
    };
    crate::killed::sweep(&crate::killed::Victim::of(ATTACH), prepare, |lab, what| {
        let two = lab.attach("--network street --netns c2 --id c2");
        let one = lab.attach(&ATTACH["attach ".len()..]);
        assert_ne!(one["addresses"], two["addresses"], "{what}");
        assert!(answers(lab, "c1", crate::lab::address(&two)), "{what}");
        lab.netwire("detach --network street --id c1");
        lab.netwire("detach --network street --id c2");
        lab.netwire("network rm street");
        assert_eq!(lab.sh("ip -n c1 -o link show | grep -vc ' lo: ' || true").trim(), "0", "{what}");
    });
}
