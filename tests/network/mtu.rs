//! Large packets over the edges of the MTU.

use crate::lab::lab;
use testkit::need;

/// An echo request of `size` bytes of payload that may not be cut up.
fn passes(lab: &crate::lab::Lab, from: &str, to: &str, size: u32) -> bool {
    let line = format!(
        "nsenter --net=/run/netns/{from} ping -q -M do -c 1 -W 1 -s {size} {to} >/dev/null 2>&1 && echo yes || :"
    );
    lab.sh(&line) == "yes\n"
}

#[test]
fn packets_are_as_large_as_the_network_says_and_no_larger() {
    need!(root, "ip", "ping");
    lab(|lab| {
        for (name, mtu, net) in [("small", 1280, 1), ("usual", 1500, 2), ("jumbo", 9000, 3)] {
            lab.netwire(&format!(
                "network create {name} --mtu {mtu} --subnet 10.{net}.0.0/24 --subnet fd0{net}::/64 --disable-dns"
            ));
            for n in [1, 2] {
                lab.container(&format!("{name}{n}"));
                let made = lab.attach(&format!("--network {name} --netns {name}{n} --id {name}{n}"));
                assert_eq!(made["mtu"], mtu);
            }
            let (one, four, six) = (format!("{name}1"), format!("10.{net}.0.3"), format!("fd0{net}::3"));
            // 20 bytes of IPv4 or 40 of IPv6, and 8 of ICMP.
            assert!(passes(lab, &one, &four, mtu - 28), "{name}");
            assert!(!passes(lab, &one, &four, mtu - 27), "{name}");
            assert!(passes(lab, &one, &six, mtu - 48), "{name}");
            assert!(!passes(lab, &one, &six, mtu - 47), "{name}");
        }
    });
}

#[test]
fn the_network_takes_the_mtu_of_the_way_out() {
    need!(root, "ip", "ping");
    lab(|lab| {
        lab.outside();
        lab.sh("ip link set uplink mtu 1300; ip -n outside link set eth0 mtu 1300");
        lab.container("c1");
        assert_eq!(lab.attach("--network bridge --netns c1 --id c1")["mtu"], 1300);
        assert!(passes(lab, "c1", "198.51.100.2", 1272));
        assert!(!passes(lab, "c1", "198.51.100.2", 1273));
    });
}
