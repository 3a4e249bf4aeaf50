//! Which ports are given, which refused, and how that is said.

use crate::lab::{Lab, lab};
use crate::publishing::{at, attach, tcp};
use crate::wiring::Wiring;
use std::net::{TcpListener, TcpStream, UdpSocket};
use testkit::need;

fn two(lab: &Lab) {
    lab.outside();
    for name in ["c1", "c2"] {
        lab.container(name);
        attach(Wiring::Netwire, lab, name, &[]);
    }
}

/// Publishes and gives `host_ip:host_port→container_port` of each.
#[track_caller]
fn published(lab: &Lab, line: &str) -> Vec<(String, u64, u64)> {
    let read = |line: &str| {
        let port: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let number = |key: &str| port[key].as_u64().expect("a number");
        (port["host_ip"].as_str().expect("text").to_owned(), number("host_port"), number("container_port"))
    };
    lab.netwire(line).lines().map(read).collect()
}

#[test]
fn a_port_of_another_container_is_refused_by_its_name() {
    need!(root, "ip", "nft");
    lab(|lab| {
        two(lab);
        lab.netwire("publish --id c1 8080:80 127.0.0.1:8081:80 0.0.0.0:8082:80/udp");
        let before = lab.ruleset();
        for (spec, name) in [
            ("8080:80", "publish 0.0.0.0:8080/tcp"),
            ("127.0.0.1:8080:80", "publish 127.0.0.1:8080/tcp"),
            ("127.0.0.1:8081:80", "publish 127.0.0.1:8081/tcp"),
            ("8081:80", "publish 0.0.0.0:8081/tcp"),
            ("8082:80/udp", "publish 0.0.0.0:8082/udp"),
            ("8070-8090:70-90", "publish 0.0.0.0:808"),
        ] {
            let message = format!("{name}{}", if spec.contains('-') { "" } else { ": port is already allocated: c1" });
            lab.refused(
                &format!("publish --id c2 7001:1 {spec}"),
                1,
                &message,
                "netwire unpublish --network bridge --id c1",
            );
            assert_eq!(lab.ruleset(), before, "{spec}: all or none");
        }
        assert_eq!(lab.netwire("publish --list --id c2"), "");
        // The same number of another protocol or address is another port.
        lab.netwire("publish --id c2 8080:80/udp 8082:80 198.51.100.1:8081:80");
        lab.netwire("unpublish --id c1 127.0.0.1:8081:80");
        lab.refused("publish --id c1 8081:80", 1, "port is already allocated: c2", "");
        lab.netwire("unpublish --id c2 198.51.100.1:8081:80");
        lab.netwire("publish --id c1 8081:80");
        // Two doors that lead to different places are one too many, also for one container.
        lab.refused(
            "publish --id c1 8081:81",
            1,
            "publish 8081/tcp: port is already allocated: it leads to port 80",
            "",
        );
        lab.refused("publish --id c1 7002:1 7002:2", 1, "port is already allocated", "");
        assert!(tcp(lab, "outside", at("198.51.100.1:8081"), "c1", 80).is_some());
    });
}

#[test]
fn attach_gives_nothing_where_a_port_is_taken() {
    need!(root, "ip", "nft");
    lab(|lab| {
        two(lab);
        lab.netwire("publish --id c1 8080:80");
        let (rules, links) = (lab.ruleset(), lab.links());
        lab.container("c3");
        lab.refused(
            "attach --network bridge --netns c3 --id c3 -p 7001:1 -p 8080:80",
            1,
            "port is already allocated: c1",
            "",
        );
        assert_eq!((lab.ruleset(), lab.links()), (rules, links));
        assert_eq!(lab.inspect("bridge")["containers"].as_array().map(Vec::len), Some(2));
        // One that was attached before stays so.
        lab.refused("attach --network bridge --netns c2 --id c2 -p 8080:80", 1, "port is already allocated: c1", "");
        lab.ping("c2", [172, 17, 0, 1].into());
    });
}

#[test]
fn what_a_process_listens_at_is_refused_by_its_name() {
    need!(root, "ip");
    lab(|lab| {
        two(lab);
        let own = format!("(process {})", std::process::id());
        let listener = TcpListener::bind("127.0.0.1:7000").expect("a listener");
        let socket = UdpSocket::bind("[::]:7000").expect("a socket");
        for spec in ["7000:80", "127.0.0.1:7000:80", "7000:80/udp"] {
            lab.refused(&format!("publish --id c1 {spec}"), 1, "address already in use", "stop it, or choose another");
            lab.refused(&format!("publish --id c1 {spec}"), 1, &own, "stop it, or choose another");
        }
        lab.netwire("publish --id c1 198.51.100.1:7000:80");
        lab.netwire("unpublish --id c1");
        // Somebody's own connection that comes from the port is no reason, nor is one that just ended.
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (server, _) = listener.accept().expect("accepted");
        let port = client.local_addr().expect("an address").port();
        lab.netwire(&format!("publish --id c1 {port}:80"));
        drop((server, client, listener, socket));
        lab.netwire("publish --id c1 7000:80 7000:80/udp");
        lab.refused(
            "publish --id c1 192.0.2.9:80:80",
            1,
            "publish 192.0.2.9:80/tcp: cannot assign requested address",
            "",
        );
    });
}

#[test]
fn free_ports_and_ranges() {
    need!(root, "ip");
    lab(|lab| {
        two(lab);
        let free = published(lab, "publish --id c1 80 :81 0:82/udp 127.0.0.1::83 90-92");
        assert_eq!(free.iter().map(|p| p.2).collect::<Vec<_>>(), [80, 81, 82, 83, 90, 91, 92]);
        assert!(free.iter().all(|p| p.1 > 1023));
        assert_eq!(free[3].0, "127.0.0.1");
        assert!(tcp(lab, "outside", at(&format!("198.51.100.1:{}", free[0].1)), "c1", 80).is_some());
        // Again, they are the same ones.
        assert_eq!(published(lab, "publish --id c1 80 :81 0:82/udp 127.0.0.1::83 90-92"), free);
        assert_eq!(lab.netwire("publish --list --id c1").lines().count(), 7);
        let range = published(lab, "publish --id c1 9000-9002:1-3");
        assert_eq!(range.iter().map(|p| (p.1, p.2)).collect::<Vec<_>>(), [(9000, 1), (9001, 2), (9002, 3)]);
        let _listener = TcpListener::bind("0.0.0.0:9003").expect("a listener");
        for (n, wanted) in [(1, 9004), (2, 9005)] {
            let one = published(lab, &format!("publish --id c2 9000-9005:{n}"));
            assert_eq!((one[0].1, one[0].2), (wanted, n));
        }
        assert_eq!(published(lab, "publish --id c2 9000-9005:1")[0].1, 9004);
        lab.refused("publish --id c2 9000-9005:3", 1, "port is already allocated: all of the range are", "");
        lab.netwire("unpublish --id c1 9001:2");
        assert_eq!(published(lab, "publish --id c2 9000-9005:3")[0].1, 9001);
        lab.netwire("unpublish --id c1 9000-9002:1-3 80");
        assert_eq!(lab.netwire("publish --list --id c1").lines().count(), 6);
    });
}

#[test]
fn what_cannot_be_meant() {
    need!(root, "ip");
    lab(|lab| {
        two(lab);
        lab.refused("publish --id c1 80:80/icmp", 2, "invalid proto: icmp", "");
        lab.refused(
            "publish --id c1 1-2:1-3",
            2,
            "invalid ranges specified for container and host Ports: 1-3 and 1-2",
            "",
        );
        lab.refused(
            "attach --network bridge --netns c1 --id c1 -p [::1:80:80",
            2,
            "invalid IP address [::1: missing ']'",
            "",
        );
        lab.refused("publish --id nobody 80:80", 1, "publish ports of nobody: it is on no network", "netwire attach");
        lab.refused("publish --id nobody --network bridge 80:80", 1, "it is not on network bridge", "netwire attach");
        lab.refused("publish --id c1 [::1]:80:80", 1, "the container has no address of that family", "");
        lab.refused("publish --id c1", 2, "required arguments were not provided", "");
    });
}

#[test]
fn two_state_roots_do_not_take_each_others_ports() {
    need!(root, "ip", "nft");
    lab(|lab| {
        two(lab);
        lab.netwire("publish --id c1 8080:80");
        let other = Lab { root: "/run/other".into() };
        lab.container("c3");
        other.netwire("network create web --subnet 10.9.0.0/24");
        other.refused("attach --network web --netns c3 --id c3 -p 8080:80", 1, "port is already allocated: c1", "");
        other.attach("--network web --netns c3 --id c3 -p 8081:80");
        other.netwire("detach --network web --id c3");
        other.netwire("network rm web");
        assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_some());
    });
}
