//! Tags: bridges in a VLAN, a container that has a VLAN of a link to itself, networks on a VLAN of their parent; these by the
//! CNI plugins first. Debian's kernel has what that takes, so all of it runs in the virtual machine.

mod modules {
    use crate::cable::{By, Cable, answers, lan, neighbours};
    use crate::lab::{Lab, address, guest, lab};
    use serde_json::{Value, json};
    use std::net::IpAddr;
    use testkit::need;

    /// The neighbour's addresses in VLAN 50 of the cable.
    const TAGGED: [&str; 2] = ["10.50.0.2", "fd00:50::2"];

    /// The reference first; but once is enough, in there it takes its time.
    fn each(bys: &[By], body: impl Fn(&Lab, By) + Sync) {
        for by in bys.iter().copied() {
            lab(|lab| {
                lan(lab);
                lab.sh("ip -n lan link add link eth0 name eth0.50 type vlan id 50; ip -n lan link set eth0.50 up
                     ip -n lan addr add 10.50.0.2/24 dev eth0.50; ip -n lan addr add fd00:50::2/64 dev eth0.50 nodad");
                body(lab, by);
            });
        }
    }

    fn cable(kind: &'static str, plugin: Value, options: &str) -> Cable {
        let subnets = vec![("10.50.0.0/24", "10.50.0.2", "10.50.0.16"), ("fd00:50::/64", "fd00:50::2", "fd00:50::100")];
        Cable { kind, plugin, options: options.to_owned(), subnets }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_container_has_a_tag_for_itself() {
        guest!();
        need!(root, "ip", "busybox");
        each(&By::all("vlan"), |lab, by| {
            let cable = cable("vlan", json!({"master": "uplink", "vlanId": 50}), "-o parent=uplink -o vlan=50");
            by.create(lab, "tagged", &cable);
            lab.container("c1");
            let one = by.attach(lab, "tagged", &cable, "c1");
            for to in TAGGED {
                assert!(answers(lab, "c1", ip(to)), "{to}");
            }
            assert_eq!(lab.connect("lan", "c1", one.four).to_string(), TAGGED[0]);
            // Without the tag nobody is there.
            lab.sh("ip -n lan link set eth0.50 down; ip -n lan addr add 10.50.0.3/24 dev br0");
            assert!(!answers(lab, "c1", ip("10.50.0.3")));
            lab.container("c2");
            let refused = by.try_attach(lab, "tagged", &cable, "c2").expect_err("a second one");
            if by == By::Netwire {
                assert!(refused.contains("hint: "), "{refused}");
            }
            by.detach(lab, "tagged", &cable, "c1");
            by.attach(lab, "tagged", &cable, "c2");
        });
    }

    #[test]
    fn a_parent_with_a_tag_is_made_and_removed() {
        guest!();
        need!(root, "ip", "busybox");
        for (kind, bys) in [("macvlan", By::all("macvlan")), ("ipvlan", vec![By::Netwire])] {
            each(&bys, |lab, by| {
                let cable = cable(kind, json!({"master": "uplink.50"}), "-o parent=uplink.50");
                if by == By::Cni {
                    lab.sh("ip link add link uplink name uplink.50 type vlan id 50; ip link set uplink.50 up");
                }
                by.create(lab, "tagged", &cable);
                let [one, two] = ["c1", "c2"].map(|id| {
                    lab.container(id);
                    by.attach(lab, "tagged", &cable, id)
                });
                neighbours(lab, ("c1", &one), ("c2", &two), true);
                for to in TAGGED {
                    assert!(answers(lab, "c1", ip(to)), "{to}");
                }
                assert_eq!(lab.connect("lan", "c2", two.four).to_string(), TAGGED[0]);
                if by == By::Netwire {
                    // A second network on it keeps it, whoever made it.
                    lab.netwire("network create more -d macvlan -o parent=uplink.50 --subnet 10.51.0.0/24");
                    for id in ["c1", "c2"] {
                        by.detach(lab, "tagged", &cable, id);
                    }
                    lab.netwire("network rm tagged");
                    assert!(lab.links().contains(&"uplink.50".to_owned()));
                    lab.netwire("network rm more");
                    assert_eq!(lab.links(), ["uplink"]);
                }
            });
        }
    }

    #[test]
    fn a_parent_that_was_there_stays() {
        guest!();
        need!(root, "ip");
        lab(|lab| {
            lan(lab);
            lab.sh("ip link add link uplink name uplink.50 type vlan id 50; ip link set uplink.50 up");
            lab.netwire("network create tagged -d macvlan -o parent=uplink.50 --subnet 10.50.0.0/24");
            lab.container("c1");
            lab.attach("--network tagged --netns c1 --id c1");
            lab.netwire("detach --network tagged --id c1");
            lab.netwire("network rm tagged");
            assert!(lab.links().contains(&"uplink.50".to_owned()));
        });
    }

    #[test]
    fn a_bridge_keeps_its_vlan_to_itself() {
        guest!();
        need!(root, "ip", "busybox", "bridge");
        for bridge in ["", "--bridge old"] {
            lab(|lab| {
                lan(lab);
                lab.sh("ip link add old type bridge; ip link set old up");
                lab.netwire(&format!("network create tagged -o vlan=50 --subnet 10.50.0.0/24 {bridge}"));
                let [one, two] = ["c1", "c2"].map(|id| {
                    lab.container(id);
                    address(&lab.attach(&format!("--network tagged --netns {id} --id {id}")))
                });
                let name = lab.inspect("tagged")["bridge"].as_str().expect("a bridge").to_owned();
                assert!(answers(lab, "c1", two) && answers(lab, "c2", one));
                if bridge.is_empty() {
                    assert!(answers(lab, "c1", [10, 50, 0, 1].into()), "the gateway is in the VLAN");
                }
                // The uplink leads the VLAN on, with its tag; the neighbour's switch takes it off.
                lab.sh(&format!(
                    "ip link set uplink master {name}; bridge vlan del dev uplink vid 50 2>/dev/null || true
                     bridge vlan add dev uplink vid 50
                     ip -n lan link set br0 type bridge vlan_filtering 1; bridge -n lan vlan add dev eth0 vid 50
                     bridge -n lan vlan add dev br0 vid 50 pvid untagged self; ip -n lan addr add 10.50.0.200/24 dev br0"
                ));
                let neighbour: IpAddr = [10, 50, 0, 200].into();
                assert!(answers(lab, "c1", neighbour) && answers(lab, "lan", two), "with the tag");
                lab.sh(
                    "bridge -n lan vlan add dev br0 vid 1 pvid untagged self; bridge -n lan vlan del dev br0 vid 50 self",
                );
                assert!(!answers(lab, "c1", neighbour), "without it nobody is there");
            });
        }
    }
}
