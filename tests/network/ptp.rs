//! Point to point: a veth pair to each container and routes, no bridge. By the CNI plugin first.

use crate::cable::{Attached, By, Cable, answers, lan, neighbours};
use crate::lab::{Lab, lab};
use serde_json::json;
use std::net::IpAddr;
use testkit::need;

fn cable() -> Cable {
    let subnets = vec![("10.70.0.0/24", "10.70.0.1", "10.70.0.16"), ("fd00:70::/64", "fd00:70::1", "fd00:70::100")];
    Cable { kind: "ptp", plugin: json!({"ipMasq": true}), options: String::new(), subnets }
}

fn each(body: impl Fn(&Lab, By) + Sync) {
    for by in By::all("ptp") {
        lab(|lab| {
            lan(lab);
            body(lab, by);
        });
    }
}

fn two(lab: &Lab, by: By) -> [Attached; 2] {
    by.create(lab, "lines", &cable());
    ["c1", "c2"].map(|id| {
        lab.container(id);
        by.attach(lab, "lines", &cable(), id)
    })
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn both_ways_and_between_containers() {
    need!(root, "ip", "busybox");
    each(|lab, by| {
        let [one, two] = two(lab, by);
        assert_eq!(one.four, ip("10.70.0.16"));
        assert!(answers(lab, "c1", ip("10.70.0.1")) && answers(lab, "c1", ip("fd00:70::1")));
        assert!(answers(lab, "", one.four) && answers(lab, "", one.six.expect("an address")));
        assert_eq!(lab.connect("", "c1", one.four), ip("10.70.0.1"));
        assert_eq!(lab.connect("c1", "", ip("10.70.0.1")), one.four);
        assert_eq!(lab.connect("c1", "c2", two.four), one.four);
        neighbours(lab, ("c1", &one), ("c2", &two), true);
        assert_eq!(lab.sh("ip -o link show type bridge"), "");
        by.detach(lab, "lines", &cable(), "c1");
        assert!(!answers(lab, "c2", one.four));
        assert_eq!(lab.connect("", "c2", two.four), ip("10.70.0.1"));
        assert_eq!(lab.links().len(), 2, "uplink and the end of c2's");
    });
}

#[test]
fn what_leaves_a_line_is_masqueraded() {
    need!(root, "ip", "busybox");
    each(|lab, by| {
        let [one, _] = two(lab, by);
        assert_eq!(lab.connect("c1", "lan", ip("198.51.100.2")), ip("198.51.100.1"));
        // The cable knows no way back to the container's own address.
        assert!(answers(lab, "c1", ip("fd00:51::2")));
        assert_eq!(lab.connect("c1", "", ip("198.51.100.1")), one.four, "the machine itself sees who it is");
    });
}
