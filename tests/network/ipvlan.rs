//! ipvlan: containers behind the hardware address of a link of the machine. By the CNI plugin first. Debian's kernel has it as
//! a module, so all of it runs in the virtual machine.

mod modules {
    use crate::cable::{Attached, By, Cable, answers, lan, neighbours, subnets};
    use crate::lab::{Lab, guest, lab};
    use serde_json::json;
    use std::net::IpAddr;
    use testkit::need;

    fn cable(mode: &str, more: &str) -> Cable {
        Cable {
            kind: "ipvlan",
            plugin: json!({"master": "uplink", "mode": mode}),
            options: format!("-o parent=uplink -o ipvlan_mode={mode} {more}"),
            subnets: subnets(),
        }
    }

    fn each(bys: &[By], body: impl Fn(&Lab, By) + Sync) {
        for by in bys {
            lab(|lab| {
                lan(lab);
                body(lab, *by);
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

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ipvlan_l2_shares_a_hardware_address() {
        guest!();
        need!(root, "ip", "busybox");
        each(&By::all("ipvlan"), |lab, by| {
            let cable = cable("l2", "");
            let [one, two] = two(lab, by, &cable);
            neighbours(lab, ("c1", &one), ("c2", &two), true);
            for to in ["198.51.100.2", "fd00:51::2"] {
                assert!(answers(lab, "c1", ip(to)), "{to}");
            }
            assert_eq!(lab.connect("lan", "c1", one.four).to_string(), "198.51.100.2");
            assert!(!answers(lab, "c1", ip("198.51.100.1")), "the parent's own address");
            let mac = |at: &str| lab.sh(&format!("ip {at} -o link show | grep -o 'link/ether [^ ]*'"));
            assert_eq!(mac("-n c1"), mac("-n c2"));
            by.detach(lab, "street", &cable, "c1");
            assert!(!answers(lab, "c2", one.four));
        });
    }

    #[test]
    fn ipvlan_private_keeps_containers_apart() {
        guest!();
        need!(root, "ip", "busybox");
        each(&[By::Netwire], |lab, by| {
            let [one, two] = two(lab, by, &cable("l2", "-o ipvlan_flag=private"));
            neighbours(lab, ("c1", &one), ("c2", &two), false);
            assert!(answers(lab, "c1", ip("198.51.100.2")));
        });
    }

    #[test]
    fn ipvlan_l3_goes_by_the_parents_routes() {
        guest!();
        need!(root, "ip", "busybox");
        for mode in ["l3", "l3s"] {
            each(&[By::Netwire], |lab, by| {
                let mut cable = cable(mode, "");
                cable.subnets =
                    vec![("10.60.0.0/24", "10.60.0.1", "10.60.0.16"), ("fd00:60::/64", "fd00:60::1", "fd00:60::100")];
                lab.sh("ip -n lan route add 10.60.0.0/24 via 198.51.100.1
                     ip -n lan -6 route add fd00:60::/64 via fd00:51::1");
                let [one, two] = two(lab, by, &cable);
                neighbours(lab, ("c1", &one), ("c2", &two), true);
                assert_eq!(lab.connect("c1", "lan", ip("198.51.100.2")), one.four);
                assert_eq!(lab.connect("lan", "c2", two.four).to_string(), "198.51.100.2");
                assert!(answers(lab, "lan", one.six.expect("an address")));
            });
        }
    }
}
