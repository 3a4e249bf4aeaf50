//! Kernel parameters of a container's namespace, and of nobody else's.

use crate::lab::lab;
use testkit::need;

#[test]
fn they_are_written_inside() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        let read = |at: &str, key: &str| lab.sh(&format!("{at} cat /proc/sys/{key}")).trim().to_owned();
        let inside = "nsenter --net=/run/netns/c1";
        let before = read("", "net/ipv4/ip_unprivileged_port_start");
        lab.attach(
            "--network bridge --netns c1 --id c1 --ifname lan0.5 --sysctl net.ipv4.conf.IFNAME.rp_filter=2
             --sysctl net.ipv4.ip_unprivileged_port_start=80 --sysctl net/ipv4/conf/lan0.5/log_martians=1",
        );
        assert_eq!(read(inside, "net/ipv4/conf/lan0.5/rp_filter"), "2");
        assert_eq!(read(inside, "net/ipv4/conf/lan0.5/log_martians"), "1");
        assert_eq!(read(inside, "net/ipv4/ip_unprivileged_port_start"), "80");
        assert_eq!(read("", "net/ipv4/ip_unprivileged_port_start"), before, "ours is as it was");
    });
}

#[test]
fn what_is_not_of_the_network_is_refused() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        let line = |key: &str| format!("attach --network bridge --netns c1 --id c1 --sysctl {key}");
        lab.refused(&line("kernel.hostname=x"), 2, "`kernel.hostname` is not of the network", "");
        lab.refused(&line("net/../kernel/hostname=x"), 2, "is no kernel parameter", "");
        lab.refused(&line("net.ipv4.no_such=1"), 1, "set kernel parameter net.ipv4.no_such", "no such parameter");
        // A failure leaves nothing.
        assert_eq!(lab.sh("ip -n c1 -o link show | grep -vc ' lo: ' || true").trim(), "0");
    });
}
