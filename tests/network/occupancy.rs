//! Ports of a container that is told by its namespace: by a path, a process or a name; agreeing with its id, alone in there
//! or not, there or gone.

use crate::lab::{Lab, lab, refusal, text};
use crate::publishing::{at, tcp};
use std::process::{Child, Command};
use testkit::need;

/// A process in a namespace.
struct Inhabitant(Child);

impl Inhabitant {
    fn of(lab: &Lab, name: &str) -> Self {
        Self(lab.within(name, || Command::new("sleep").arg("1000").spawn()).expect("sleep runs"))
    }
}

impl Drop for Inhabitant {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether somebody outside gets through to port 80 in `server` by `port` of the machine.
fn is_reached(lab: &Lab, server: &str, port: u16) -> bool {
    tcp(lab, "outside", at(&format!("198.51.100.1:{port}")), server, 80).is_some()
}

/// Runs `netwire`, which must succeed, print nothing, and say one line with `said` in it.
#[track_caller]
fn in_vain(lab: &Lab, line: &str, said: &str) {
    let out = lab.command(line).output().expect("netwire runs");
    let (stdout, stderr) = text(&out);
    assert!(out.status.success() && stdout.is_empty(), "netwire {line}: {}\n{stdout}{stderr}", out.status);
    assert!(stderr.starts_with("netwire: ") && stderr.contains(said), "`{said}` is not in: {stderr}");
    assert!(stderr.ends_with("the container's id alone finds what is left: --id\n"), "what to do is not in: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn ports_come_and_go_by_path_process_and_name() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        lab.attach("--network bridge --netns c1 --id one");
        let inhabitant = Inhabitant::of(lab, "c1");
        let process = inhabitant.0.id().to_string();
        let ways = ["c1", "/run/netns/c1", process.as_str()];
        for (way, port) in ways.into_iter().zip([8080, 8081, 8082]) {
            assert!(!is_reached(lab, "c1", port), "{way}");
            let line = format!("publish --netns {way} {port}:80");
            let made = lab.netwire(&line);
            let shown: serde_json::Value = serde_json::from_str(made.trim()).expect("one line of JSON");
            assert_eq!((&shown["container"], &shown["host_port"]), (&"one".into(), &port.into()), "{way}");
            assert!(is_reached(lab, "c1", port), "{way}");
            assert_eq!(lab.netwire(&line), made, "{way}: again it is the same");
            assert_eq!(lab.netwire(&format!("publish --id one {port}:80")), made, "{way}: and by the id");
            assert!(is_reached(lab, "c1", port), "{way}");
        }
        let all = lab.netwire("publish --list");
        assert_eq!(all.lines().count(), 3, "{all}");
        for way in ways {
            assert_eq!(lab.netwire(&format!("publish --list --netns {way}")), all, "{way}");
        }
        for (way, port) in ways.into_iter().zip([8080, 8081]) {
            let line = format!("unpublish --netns {way} {port}:80");
            lab.netwire(&line);
            assert!(!is_reached(lab, "c1", port), "{way}");
            lab.netwire(&line);
            assert!(is_reached(lab, "c1", 8082), "{way}: the other one stays");
        }
        lab.netwire(&format!("unpublish --netns {process}"));
        lab.netwire(&format!("unpublish --netns {process}"));
        assert!(!is_reached(lab, "c1", 8082));
        assert_eq!(lab.netwire("publish --list"), "");
    });
}

/// contract W15
#[test]
fn id_and_namespace_are_of_one_container_or_nothing_is_done() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        for name in ["c1", "c2", "free"] {
            lab.container(name);
        }
        lab.attach("--network bridge --netns c1 --id one -p 8080:80");
        lab.attach("--network bridge --netns c2 --id two");
        let before = (lab.netwire("publish --list"), lab.ruleset());
        const HINT: &str = "give one of --id and --netns alone";
        let other = "container of network namespace c2: one is not attached there, but two";
        let empty = "container of network namespace free: one is not attached there, but in /run/netns/c1";
        for line in ["publish --id one --netns NS 8081:80", "unpublish --id one --netns NS"] {
            lab.refused(&line.replace("NS", "c2"), 1, other, HINT);
            lab.refused(&line.replace("NS", "free"), 1, empty, HINT);
            let stranger = line.replace("one", "nobody").replace("NS", "c2");
            lab.refused(&stranger, 1, "nobody is not attached there, but two", HINT);
        }
        lab.refused("publish --list --id one --netns c2", 1, other, HINT);
        assert_eq!((lab.netwire("publish --list"), lab.ruleset()), before, "nothing was done");
        assert!(is_reached(lab, "c1", 8080));
        // Those that agree.
        lab.netwire("publish --id one --netns c1 8081:80");
        assert!(is_reached(lab, "c1", 8081));
        lab.netwire("unpublish --id one --netns /run/netns/c1 8081:80");
        assert!(!is_reached(lab, "c1", 8081));
        assert!(is_reached(lab, "c1", 8080));
    });
}

#[test]
fn what_is_no_container_of_ours_is_named_with_what_to_do() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        lab.container("free");
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.attach("--network web --netns c1 --id one");
        let both = |netns: &str, code, message: &str, hint: &str| {
            lab.refused(&format!("publish --netns {netns} 8080:80"), code, message, hint);
            lab.refused(&format!("unpublish --netns {netns} 8080:80"), code, message, hint);
        };
        both("..", 2, "`..` is neither a path, nor a process id, nor the name of a network namespace", "");
        both("99999999999", 2, "`99999999999` is no process id", "");
        both("/proc/self/ns/net", 1, "this is the caller's own network namespace", "the namespace of the container");
        both("/etc/passwd", 1, "open network namespace /etc/passwd: this is not a network namespace", "");
        both("c1 --network ../x", 2, "cannot be the name of a network", "");
        lab.refused(
            "unpublish --netns /etc/passwd",
            1,
            "this is not a network namespace",
            "id alone finds what is left",
        );
        for verb in ["publish 80", "unpublish 8080:80", "detach --network web"] {
            lab.refused(verb, 2, "which container is missing", "--id ID, or by the namespace it is attached in");
        }
        lab.refused("publish --netns c1", 2, "not provided: <PORTS>", "");
        lab.refused("publish --netns c1 80:80:80:80", 2, "invalid IP address: 80:80", "");

        // Who publishes needs somebody there.
        let nothing = "find the container of network namespace free: nothing is attached there";
        lab.refused("publish --netns free 80", 1, nothing, "attach --network NAME --netns free --id ID comes first");
        lab.netwire("network create db --subnet 10.8.0.0/24");
        let there = "namespace c1: nothing is attached there to network db";
        lab.refused("publish --netns c1 --network db 80", 1, there, "attach --network db --netns c1 --id ID");
        lab.refused("publish --netns c1 --network nope 80", 1, "find network nope: no such network", "");
        lab.refused("publish --netns gone 80", 1, "namespace gone: no such name in /run/netns", "ip netns add");
        lab.refused("publish --netns 4194305 80", 1, "open network namespace 4194305: no such process", "");
        lab.refused("publish --netns /run/netns/gone 80", 1, "/run/netns/gone: no such file or directory", "");
        lab.refused("publish --list --netns gone", 1, "namespace gone: no such name in /run/netns", "");
        assert_eq!(lab.netwire("publish --list --netns free"), "", "nobody has no ports");

        // Who takes away does not, and is told.
        in_vain(
            lab,
            "unpublish --netns free",
            "nothing is attached in network namespace free: nothing was unpublished",
        );
        in_vain(lab, "unpublish --netns c1 --network db", "nothing is attached to network db in network namespace c1");
        let unknown =
            "namespace gone: no such name in /run/netns, and no record says whose it was: nothing was unpublished";
        in_vain(lab, "unpublish --netns gone 8080:80", unknown);
        in_vain(lab, "unpublish --netns 4194305", "no such process, and no record says whose it was");
        in_vain(lab, "unpublish --netns /run/netns/gone", "no such file or directory, and no record says whose it was");
        lab.netwire("unpublish --netns gone --id nobody");
        assert_eq!(lab.netwire("publish --list"), "");
    });
}

/// contract W15
#[test]
fn a_namespace_that_is_gone_is_known_by_where_it_was() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        for name in ["c1", "c2", "c3"] {
            lab.container(name);
        }
        // Gone is only the name: who is inside lives, and is reached until the port goes.
        lab.attach("--network bridge --netns c1 --id one -p 8080:80");
        lab.sh("touch /run/netns/held; mount --bind /run/netns/c1 /run/netns/held; ip netns del c1");
        assert!(is_reached(lab, "held", 8080));
        lab.refused("publish --netns c1 8081:80", 1, "no such name in /run/netns", "");
        lab.netwire("unpublish --netns c1");
        assert!(!is_reached(lab, "held", 8080));
        assert_eq!(lab.netwire("publish --list"), "");
        lab.netwire("unpublish --netns c1");
        lab.netwire("publish --netns held 8080:80");
        assert!(is_reached(lab, "held", 8080), "by where it is now it is the same container");
        // Somebody else is in its place now: that one is meant by the name, and nothing is known of it.
        lab.container("c1");
        lab.refused("publish --netns c1 8082:80", 1, "nothing is attached there", "comes first");
        in_vain(lab, "unpublish --netns c1", "nothing is attached in network namespace c1");
        assert!(is_reached(lab, "held", 8080), "that was not meant");
        lab.netwire("unpublish --netns held");

        // Gone with all that was in it: its ports are there for others.
        lab.attach("--network bridge --netns c2 --id two -p 8090:80");
        lab.sh("ip netns del c2");
        lab.netwire("unpublish --netns /run/netns/c2");
        assert_eq!(lab.netwire("publish --list"), "");
        lab.attach("--network bridge --netns c3 --id three -p 8090:80");
        assert!(is_reached(lab, "c3", 8090));
        // Where the record is lost, the id is what is left, and it is said so.
        lab.sh("ip netns del c3; rm /run/state/networks/run/bridge.json");
        in_vain(lab, "unpublish --netns c3", "no record says whose it was: nothing was unpublished");
        assert_eq!(lab.netwire("publish --list").lines().count(), 1);
        lab.netwire("unpublish --netns c3 --id three");
        assert_eq!(lab.netwire("publish --list"), "");
    });
}

#[test]
fn who_had_the_namespaces_number_before_is_not_meant() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        lab.attach("--network bridge --netns c1 --id dead -p 8080:80");
        // The kernel gives numbers again in its own time; a record of the dead with the new one's number shows the same.
        lab.sh("ip netns del c1; timeout 60 sh -c 'while ip -o link | grep -q veth; do sleep 0.02; done'; ip netns add c1
             sed -i -E \"s/\\\"inode\\\":[0-9]+/\\\"inode\\\":$(stat -L -c %i /run/netns/c1)/\" /run/state/networks/run/bridge.json");
        assert_eq!(lab.sh("grep -c '\"container\":\"dead\"' /run/state/networks/run/bridge.json"), "1\n");
        lab.refused("publish --netns c1 8081:80", 1, "nothing is attached there", "comes first");
        in_vain(lab, "unpublish --netns c1", "nothing is attached in network namespace c1");
        assert_eq!(lab.netwire("publish --list --netns c1"), "");
        lab.attach("--network bridge --netns c1 --id alive");
        assert!(lab.netwire("publish --netns c1 8082:80").contains("\"container\":\"alive\""));
    });
}

/// contract W15
#[test]
fn what_a_container_calls_itself_does_not_count() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        lab.container("c2");
        let one = lab.attach("--network bridge --netns c1 --id one");
        lab.attach("--network bridge --netns c2 --id two");
        // It takes its neighbour's hardware address and address, as one with the right to may.
        let (mac, address) = (one["mac"].as_str().expect("one"), one["addresses"][0].as_str().expect("one"));
        let own = lab.sh("ip -n c2 -br -4 addr show eth0");
        let own = own.split_whitespace().nth(2).expect("its address").to_owned();
        lab.sh(&format!(
            "ip -n c2 link set eth0 down; ip -n c2 link set eth0 address {mac}; ip -n c2 addr flush dev eth0
             ip -n c2 addr add {address} dev eth0; ip -n c2 link set eth0 up"
        ));
        let shown = lab.netwire("publish --netns c2 8080:80");
        assert!(shown.contains("\"container\":\"two\""), "{shown}");
        let element = lab.ruleset();
        let own = own.split('/').next().expect("its address");
        assert!(element.contains(&format!("{own} . 80")), "the port leads to {own}: {element}");
        lab.netwire("unpublish --netns c2");
        assert!(lab.netwire("publish --netns c1 8080:80").contains("\"container\":\"one\""));
    });
}

#[test]
fn on_several_networks_it_is_the_answer_that_the_id_gets() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.netwire("network create db --subnet 10.8.0.0/24");
        lab.netwire("network create inside --internal --subnet 10.7.0.0/24");
        lab.attach("--network web --netns c1 --id one");
        lab.attach("--network db --netns c1 --id one --ifname eth1");
        lab.attach("--network inside --netns c1 --id one --ifname eth2");
        let by_id = lab.netwire("publish --id one 8080:80");
        assert!(by_id.contains("\"network\":\"db\""), "{by_id}");
        assert_eq!(lab.netwire("publish --netns c1 8080:80"), by_id);
        let on_web = lab.netwire("publish --netns c1 --network web 8081:80");
        assert!(on_web.contains("\"network\":\"web\""), "{on_web}");
        assert!(is_reached(lab, "c1", 8081));
        assert_eq!(lab.netwire("publish --list --netns c1 --network web"), on_web);
        let internal = |whose: &str| {
            let line = format!("publish {whose} --network inside 8083:80");
            lab.refused(&line, 1, "publish ports of one: network inside is internal: nothing comes in", "");
        };
        internal("--id one");
        internal("--netns c1");
        lab.netwire("unpublish --netns c1 --network db");
        assert_eq!(lab.netwire("publish --list"), on_web);
        assert!(is_reached(lab, "c1", 8081));
        lab.netwire("publish --netns c1 8080:80");
        lab.netwire("unpublish --netns c1");
        assert_eq!(lab.netwire("publish --list"), "", "from all networks");
        assert!(!is_reached(lab, "c1", 8081));
    });
}

/// contract W15
#[test]
fn of_several_containers_in_one_namespace_it_is_asked_which() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.container("pod");
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.netwire("network create db --subnet 10.8.0.0/24");
        lab.attach("--network web --netns pod --id a");
        lab.attach("--network db --netns pod --id b --ifname eth1");
        let several = "several containers are attached there: b on network db, a on network web";
        lab.refused("publish --netns pod 8080:80", 1, several, "say which one: --id");
        lab.refused("unpublish --netns pod", 1, several, "say which one: --id");
        let of_a = lab.netwire("publish --netns pod --network web 8080:80");
        assert!(of_a.contains("\"container\":\"a\"") && of_a.contains("\"network\":\"web\""), "{of_a}");
        let of_b = lab.netwire("publish --netns pod --id b 8081:80");
        assert!(of_b.contains("\"container\":\"b\""), "{of_b}");
        assert!(is_reached(lab, "pod", 8080));
        assert_eq!(lab.netwire("publish --list --netns pod"), format!("{of_b}{of_a}"), "of both");
        lab.netwire("unpublish --netns pod --id a");
        assert!(!is_reached(lab, "pod", 8080));
        assert_eq!(lab.netwire("publish --list"), of_b);
    });
}

#[test]
fn it_can_be_detached_by_its_namespace_too() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        lab.outside();
        for name in ["c1", "c2"] {
            lab.container(name);
        }
        lab.attach("--network bridge --netns c1 --id one -p 8080:80");
        lab.attach("--network bridge --netns c2 --id two");
        lab.ping("c1", [172, 17, 0, 1].into());
        lab.netwire("detach --network bridge --netns c1");
        assert!(!lab.sh("ip -n c1 -o link").contains("eth0"));
        assert_eq!(lab.netwire("publish --list"), "", "its ports go with it");
        in_vain(lab, "detach --network bridge --netns c1", "namespace c1: nothing was detached");
        lab.ping("c2", [172, 17, 0, 1].into());
        lab.sh("ip netns del c2");
        lab.netwire("detach --network bridge --netns c2");
        assert_eq!(lab.inspect("bridge")["containers"], serde_json::json!([]));
        in_vain(lab, "detach --network bridge --netns c2", "no record says whose it was: nothing was detached");
        // With an id the namespace is what attach was told, and may be anything by now.
        lab.netwire("detach --network bridge --netns c2 --id two");
    });
}

#[test]
fn kinds_without_ports_say_the_same_as_to_the_id() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        lab.sh("ip link add up0 type veth peer name far; ip link set up0 up; ip link set far up");
        lab.netwire("network create line -d macvlan -o parent=up0 --subnet 10.6.0.0/24");
        lab.attach("--network line --netns c1 --id one");
        let ask = |whose: &str| lab.command(&format!("publish {whose} 8080:80")).output().expect("netwire runs");
        let (by_id, by_namespace) = (ask("--id one"), ask("--netns c1"));
        refusal(&by_id, 1, "publish ports of one: containers on network line of driver macvlan", "bridge network");
        assert_eq!(text(&by_namespace), text(&by_id));
        assert_eq!(by_namespace.status, by_id.status);
        lab.netwire("unpublish --netns c1");
    });
}
