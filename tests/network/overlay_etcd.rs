//! Networks across hosts that know each other by etcd: no address twice, no packet to a host it is not for, and no
//! packet lost while etcd is away.

use crate::dns_client::{A, AAAA, PTR};
use crate::hosts::{ETCD, Etcd, Host, eventually, hosts};
use crate::lab::{Lab, lab};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use testkit::need;

/// How long what is told to others may take to come true; on a busy machine much.
const SOON: Duration = Duration::from_secs(60);

/// Makes `mesh` on each host and joins.
fn join_all(hosts: &[Host<'_>]) {
    for host in hosts {
        host.netwire("network create -d overlay --subnet 10.9.0.0/16 --subnet fd00:9::/64 mesh");
        join(host);
    }
}

fn join(host: &Host<'_>) {
    host.netwire(&format!("overlay join mesh --etcd {ETCD} --ttl 3"));
}

/// How many packets of the tunnel have come to this machine; counted from the first time on. Without those whose frame is for
/// 33:33:00:…, as hosts of IPv6 send by themselves now and then, looking for routers and saying which groups they are in.
fn tunnelled(host: &Host<'_>) -> u64 {
    let out = host.sh("nft list table inet count >/dev/null 2>&1 || {
             nft add table inet count
             nft add chain inet count in '{ type filter hook input priority -300; }'
             nft add rule inet count in udp dport 4789 @th,128,24 != 0x333300 counter
         }
         nft list table inet count");
    let count = out.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    count.expect("a counter")
}

fn all_know(hosts: &[Host<'_>], address: IpAddr) {
    for host in hosts {
        eventually(&format!("{} knows {address}", host.name), SOON, || {
            host.view("mesh")["addresses"].get(address.to_string()).is_some()
        });
    }
}

fn ping_all(lab: &Lab, from: &str, to: &[IpAddr]) {
    to.iter().for_each(|address| lab.ping(from, *address));
}

#[test]
fn known_places_are_reached_without_asking_anybody_else() {
    need!(root, "ip", "busybox", "etcd", "nft");
    lab(|lab| {
        let hosts = hosts(lab, 3);
        let _etcd = Etcd::start(lab);
        join_all(&hosts);
        let one = hosts[0].run("mesh", "c1");
        let two = hosts[1].run("mesh", "c2");
        assert_eq!((one[0].to_string(), two[0].to_string()), ("10.9.0.2".into(), "10.9.0.3".into()));
        all_know(&hosts, one[0]);
        all_know(&hosts, two[0]);
        eventually("the tables are written", SOON, || {
            hosts[0].forwarding().len() >= 3 && hosts[1].forwarding().len() >= 3
        });
        // Give multicast of the links' beginnings the time to pass.
        std::thread::sleep(Duration::from_secs(2));
        let before = (tunnelled(&hosts[1]), tunnelled(&hosts[2]));
        for _ in 0..5 {
            // Neither the question for the neighbour nor the packets themselves go to the third host.
            lab.sh("ip -n c1 neigh flush all; ip -n c2 neigh flush all");
            ping_all(lab, "c1", &two);
            assert_eq!(lab.connect("c2", "c1", one[0]), two[0]);
        }
        let after = (tunnelled(&hosts[1]), tunnelled(&hosts[2]));
        assert!(after.0 >= before.0 + 10, "packets went by the tunnel: {before:?} {after:?}");
        assert_eq!(after.1, before.1, "and none to who has no part in it");
    });
}

#[test]
fn no_address_is_given_twice_by_three_hosts_at_once() {
    need!(root, "ip", "busybox", "etcd");
    const EACH: usize = 12;
    lab(|lab| {
        let hosts = hosts(lab, 3);
        let _etcd = Etcd::start(lab);
        join_all(&hosts);
        let names = |host: &Host<'_>| (0..EACH).map(|n| format!("{}-{n}", host.name)).collect::<Vec<_>>();
        for name in hosts.iter().flat_map(names) {
            lab.container(&name);
        }
        let started: Vec<_> = hosts
            .iter()
            .flat_map(|host| {
                names(host).into_iter().map(move |name| {
                    let line = format!("attach --network mesh --netns {name} --id {name}");
                    host.command(&line).stdout(std::process::Stdio::piped()).spawn().expect("netwire starts")
                })
            })
            .collect();
        let mut given = BTreeSet::new();
        for child in started {
            let out = child.wait_with_output().expect("netwire ends");
            assert!(out.status.success(), "{out:?}");
            given.extend(crate::hosts::addresses(&String::from_utf8_lossy(&out.stdout)));
        }
        assert_eq!(given.len(), 2 * 3 * EACH, "each has two of its own");
        let taken = |host: &Host<'_>| host.view("mesh")["addresses"].as_object().map_or(0, serde_json::Map::len);
        eventually("all know all", SOON, || hosts.iter().all(|host| taken(host) == given.len()));
        hosts[1].refused(
            "attach --network mesh --netns h2-0 --id h2-0 --ifname eth1 --ip 10.9.0.2",
            1,
            "10.9.0.2 is in use by",
            "choose another address",
        );
        for host in &hosts {
            for name in names(host) {
                host.netwire(&format!("detach --network mesh --id {name}"));
            }
        }
        eventually("all was given back", SOON, || hosts.iter().all(|host| taken(host) == 0));
        hosts.iter().for_each(|host| drop(host.netwire("network rm mesh")));
    });
}

#[test]
fn a_host_that_dies_vanishes_and_comes_back() {
    need!(root, "ip", "busybox", "etcd");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        let _etcd = Etcd::start(lab);
        join_all(&hosts);
        let one = hosts[0].run("mesh", "c1");
        let two = hosts[1].run("mesh", "c2");
        all_know(&hosts, one[0]);
        all_know(&hosts, two[0]);
        ping_all(lab, "c1", &two);
        // Without cable and without its server: as good as dead.
        hosts[1].cable(false);
        hosts[1].kill_server("mesh");
        eventually("the other forgets it", SOON, || hosts[0].forwarding().is_empty());
        assert_eq!(hosts[0].peers("mesh"), [""; 0]);
        // Its addresses stay its own: its container still has them.
        lab.container("c3");
        hosts[0].refused(
            "attach --network mesh --netns c3 --id c3 --ip 10.9.0.3",
            1,
            "in use by c2 on host 192.0.2.2",
            "",
        );
        hosts[1].cable(true);
        join(&hosts[1]);
        eventually("it is back", SOON, || hosts[0].peers("mesh") == ["192.0.2.2"]);
        eventually("with its containers", SOON, || lab.reaches("c1", "c2", two[0]));
        // A host that leaves for good gives back what it had; one that cannot is spoken for by another.
        hosts[1].cable(false);
        hosts[1].kill_server("mesh");
        hosts[0].refused("overlay leave mesh --host 192.0.2.2", 1, "is alive, or was a moment ago", "on that host");
        eventually("the other forgets it", SOON, || hosts[0].forwarding().is_empty());
        hosts[0].netwire("overlay leave mesh --host 192.0.2.2");
        let three = hosts[0].attach("mesh", "c3", "--ip 10.9.0.3");
        assert_eq!(three[0], two[0]);
    });
}

#[test]
fn nothing_is_lost_while_etcd_is_away() {
    need!(root, "ip", "busybox", "etcd");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        let mut etcd = Etcd::start(lab);
        join_all(&hosts);
        let one = hosts[0].run("mesh", "c1");
        let two = hosts[1].run("mesh", "c2");
        let three = hosts[1].run("mesh", "c3");
        all_know(&hosts, one[0]);
        all_know(&hosts, three[0]);
        eventually("the tables are written", SOON, || hosts[0].forwarding().len() >= 3);
        let before = hosts[0].forwarding();
        etcd.kill();
        // Longer than a lease lives.
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(500));
            assert_eq!(hosts[0].forwarding(), before);
            lab.ping("c1", two[0]);
        }
        let told = hosts[0].command("overlay peers mesh --json").output().expect("netwire runs");
        assert!(String::from_utf8_lossy(&told.stderr).contains("connection refused"), "{told:?}");
        lab.container("c4");
        hosts[0].refused("attach --network mesh --netns c4 --id c4", 1, "ask etcd at", "whether etcd runs");
        assert_eq!(lab.sh("ip -n c4 -o link show | grep -vc ' lo: ' || true").trim(), "0");
        // Detaching is possible meanwhile; the server gives the address back when it can. A server that is started anew
        // meanwhile takes nothing away.
        hosts[1].netwire("detach --network mesh --id c3");
        hosts[0].kill_server("mesh");
        let started = hosts[0].command("overlay serve mesh").spawn().expect("netwire starts");
        let mut started = Ended(started);
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(hosts[0].forwarding(), before);
        etcd.run(lab);
        eventually("c3's address is free again", SOON, || {
            hosts[1].view("mesh")["addresses"].get(three[0].to_string()).is_none()
        });
        eventually("and known to be", SOON, || hosts[0].view("mesh")["addresses"].get(three[0].to_string()).is_none());
        assert_eq!(hosts[0].attach("mesh", "c4", "")[0], three[0]);
        eventually("the new one is reached", SOON, || lab.reaches("c2", "c4", three[0]));
        assert_eq!(hosts[0].peers("mesh"), ["192.0.2.2"]);
        hosts[0].netwire("overlay leave mesh");
        assert!(started.0.wait().is_ok_and(|status| !status.success()), "it was told to end");
    });
}

/// A process that ends with this.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn damage_is_found_and_mended() {
    need!(root, "ip", "busybox", "etcd");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        let _etcd = Etcd::start(lab);
        join_all(&hosts);
        let one = hosts[0].run("mesh", "c1");
        let two = hosts[1].run("mesh", "c2");
        all_know(&hosts, one[0]);
        all_know(&hosts, two[0]);
        assert_eq!(hosts[0].netwire("check"), "");
        hosts[0].kill_server("mesh");
        for damage in [
            "ip link del $(ip -o link show type vxlan | cut -d: -f2)",
            "ip link set $(ip -o link show type vxlan | cut -d: -f2) down",
            "bridge fdb del $(bridge fdb show | grep '^02.* dst ' | cut -d' ' -f1) dev $(ip -o link show type vxlan | cut -d: -f2) self",
        ] {
            hosts[0].sh(damage);
            let told = hosts[0].command("check").output().expect("netwire runs");
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            assert!(told.contains("vx-") && told.contains("remedy: netwire restore"), "{damage}: {told}");
            hosts[0].netwire("restore");
            assert_eq!(hosts[0].netwire("check"), "", "{damage}");
            ping_all(lab, "c1", &two);
            hosts[0].kill_server("mesh");
        }
        eventually("that nobody follows is told", SOON, || {
            let told = hosts[0].command("check --json").output().expect("netwire runs");
            String::from_utf8_lossy(&told.stdout).contains("nobody follows its members")
        });
        // An attach begins it again.
        hosts[0].run("mesh", "c3");
        eventually("it is followed again", SOON, || {
            hosts[0].command("check").output().expect("netwire runs").status.success()
        });
    });
}

#[test]
fn etcd_that_wants_a_password_gets_it() {
    need!(root, "ip", "etcd");
    lab(|lab| {
        let hosts = hosts(lab, 1);
        let _etcd = Etcd::start(lab);
        Etcd::ask("/v3/auth/user/add", r#"{"name":"root","password":"secret"}"#);
        Etcd::ask("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#);
        Etcd::ask("/v3/auth/enable", "{}");
        let host = &hosts[0];
        host.netwire("network create -d overlay --subnet 10.9.0.0/16 mesh");
        let join = format!("overlay join mesh --etcd {ETCD} --ttl 3");
        host.refused(&join, 1, "ask etcd at 192.0.2.100:2379", "--user and --password-file");
        let file = lab.root.join("password");
        let with = format!("{join} --user root --password-file {}", file.display());
        host.refused(&with, 1, "read password", "");
        std::fs::write(&file, "wrong\n").expect("written");
        host.refused(&with, 1, "authentication failed", "--user and --password-file");
        std::fs::write(&file, "secret\n").expect("written");
        host.netwire(&with);
        let one = host.run("mesh", "c1");
        all_know(&hosts, one[0]);
        host.netwire("detach --network mesh --id c1");
        eventually("the address is given back", SOON, || host.view("mesh")["addresses"] == serde_json::json!({}));
        host.netwire("network rm mesh");
    });
}

#[test]
fn hosts_that_do_not_agree_are_told() {
    need!(root, "ip", "busybox", "etcd");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        let _etcd = Etcd::start(lab);
        hosts[0].netwire("network create -d overlay --subnet 10.9.0.0/16 mesh");
        join(&hosts[0]);
        hosts[1].netwire("network create -d overlay --subnet 10.9.0.0/16 -o vni=7 mesh");
        let line = format!("overlay join mesh --etcd {ETCD}");
        hosts[1].refused(&line, 1, "here it has vni 7", "create it alike");
        hosts[1].netwire("network rm mesh");
        // Another machine under the first one's address.
        hosts[1].sh("ip addr add 192.0.2.1/24 dev up0");
        hosts[1].netwire("network create -d overlay --subnet 10.9.0.0/16 -o local=192.0.2.1 mesh");
        hosts[1].refused(&line, 1, "is a member under this address", "an address of its own");
        hosts[0].netwire("overlay leave mesh");
        assert_eq!(hosts[0].view("mesh"), serde_json::Value::Null);
    });
}

#[test]
fn containers_are_known_by_name_on_every_host() {
    need!(root, "ip", "busybox", "etcd");
    lab(|lab| {
        let hosts = hosts(lab, 2);
        let mut etcd = Etcd::start(lab);
        join_all(&hosts);
        for name in ["c1", "c2"] {
            lab.container(name);
        }
        let one = hosts[0].attach("mesh", "c1", "--name front");
        let two = hosts[1].attach("mesh", "c2", "--name db --alias sql");
        let asks = |from: &str, name: &str, kind| lab.asks(from, "10.9.0.1", name, kind);
        let soon = |from: &str, name: &str, kind, wanted: &str| {
            let what = format!("{from} asks for {name} and is told {wanted}");
            eventually(&what, SOON, || asks(from, name, kind) == wanted);
        };
        for name in ["db", "sql", "c2", "db.mesh"] {
            soon("c1", name, A, &format!("NOERROR {}", two[0]));
            soon("c1", name, AAAA, &format!("NOERROR {}", two[1]));
        }
        soon("c2", "front", A, &format!("NOERROR {}", one[0]));
        soon("c1", "3.0.9.10.in-addr.arpa", PTR, "NOERROR db.mesh.");
        // The name leads there.
        lab.sh("ip netns exec c1 busybox nslookup db 10.9.0.1 | grep -q 10.9.0.3");
        assert_eq!(lab.connect("c1", "c2", two[0]), one[0]);
        // Another name is known there too, and the old one forgotten.
        assert!(hosts[1].netwire("rename --id c2 store --alias data").contains(r#""name":"store""#));
        assert_eq!(asks("c2", "store", A), format!("NOERROR {}", two[0]), "at once on its own host");
        for name in ["store", "data"] {
            soon("c1", name, A, &format!("NOERROR {}", two[0]));
        }
        soon("c1", "db", A, "NXDOMAIN");
        // While etcd is away names stay, and a new one is told when it is back.
        etcd.kill();
        hosts[1].netwire("rename --id c2 late");
        assert_eq!(asks("c1", "store", A), format!("NOERROR {}", two[0]));
        etcd.run(lab);
        soon("c1", "late", A, &format!("NOERROR {}", two[0]));
        hosts[1].netwire("detach --network mesh --id c2");
        soon("c1", "late", A, "NXDOMAIN");
        hosts[0].netwire("detach --network mesh --id c1");
    });
}
