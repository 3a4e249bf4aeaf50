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
