//! Damage of every kind: `netwire check` says it, `netwire restore` mends it, `netwire prune` removes what nobody owns.

use crate::lab::{Lab, address, lab, text};
use crate::publishing::bound;
use std::net::IpAddr;
use testkit::need;

/// What `check` found, a line each; the exit status must say the same.
#[track_caller]
fn found(lab: &Lab) -> Vec<String> {
    let out = lab.command("check").output().expect("netwire runs");
    let (stdout, stderr) = text(&out);
    let lines: Vec<String> = stdout.lines().map(str::to_owned).collect();
    assert_eq!((out.status.code(), stderr.as_str()), (Some(i32::from(!lines.is_empty())), ""), "{stdout}");
    lines
}

/// `web` at 10.9.0.0/24 on bridge `web0`, with container `c1`, whose port 80 is the machine's 8080.
fn web(lab: &Lab) -> (IpAddr, String) {
    lab.netwire("network create --subnet 10.9.0.0/24 --bridge web0 --disable-dns web");
    lab.container("c1");
    let attached = lab.attach("--network web --netns c1 --id c1 -p 8080:80");
    (address(&attached), attached["host_interface"].as_str().expect("a name").to_owned())
}

#[test]
fn what_is_damaged_is_found_and_mended() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        lab.outside();
        let (one, outer) = web(lab);
        assert_eq!(found(lab), [""; 0], "all is well");
        for (damage, said) in [
            ("nft flush ruleset", "packet rules"),
            ("nft delete table inet veneer", "packet rules"),
            ("ip link del web0", "its bridge web0 is missing"),
            (&format!("ip link del {outer}"), "eth0 of c1 is missing"),
            ("ip addr flush dev web0", "lacks the address 10.9.0.1"),
            ("ip link set web0 down", "web0 is down"),
            (&format!("ip link set {outer} nomaster"), "is not on the bridge"),
            (&format!("ip link set {outer} down"), "is down outside"),
            ("ip -n c1 addr flush dev eth0", "lacks the address 10.9.0.2"),
            ("ip -n c1 link set eth0 down", "is down"),
            ("sysctl -qw net.ipv4.ip_forward=0", "does not forward packets of IPv4"),
            (&format!("ip link del web0; ip link del {outer}; nft flush ruleset"), "its bridge web0 is missing"),
        ] {
            lab.sh(damage);
            let lines = found(lab);
            let named = lines.iter().find(|line| line.contains(said));
            assert!(named.is_some_and(|line| line.contains("remedy: netwire restore")), "{damage}: {lines:?}");
            assert_eq!(found(lab), lines, "looking changes nothing");
            for _ in 0..2 {
                lab.netwire("restore");
            }
            assert_eq!(found(lab), [""; 0], "{damage}");
            lab.ping("c1", [10, 9, 0, 1].into());
            lab.ping("c1", [198, 51, 100, 2].into());
            let listening = lab.within("c1", || bound(|| std::net::TcpListener::bind("0.0.0.0:80")));
            let through = lab.within("outside", || {
                let patience = std::time::Duration::from_secs(5);
                std::net::TcpStream::connect_timeout(&"198.51.100.1:8080".parse().expect("an address"), patience)
            });
            assert!(through.is_ok(), "{damage}: {through:?}");
            let patience = std::time::Duration::from_secs(5);
            let own = std::net::TcpStream::connect_timeout(&([127, 0, 0, 1], 8080).into(), patience);
            assert!(own.is_ok(), "{damage}: by loopback: {own:?}");
            drop(listening);
        }
        assert_eq!(lab.inspect("web")["containers"][0]["addresses"][0], format!("{one}/24"));
    });
}

#[test]
fn findings_are_json_too() {
    need!(root, "ip", "nft");
    lab(|lab| {
        web(lab);
        lab.sh("ip link set web0 down");
        let out = lab.command("check --json").output().expect("netwire runs");
        let finding: serde_json::Value = serde_json::from_slice(&out.stdout).expect("one line of JSON");
        assert_eq!((finding["network"].as_str(), finding["remedy"].as_str()), (Some("web"), Some("netwire restore")));
    });
}

#[test]
fn a_reboot_leaves_what_is_written_down() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        let (one, _) = web(lab);
        lab.netwire("network create --subnet 10.8.0.0/24 --subnet fd00:8::/64 --disable-dns db");
        // Containers, links and rules are gone, and what was written in the run folder names another boot.
        lab.sh("ip netns del c1; ip link del web0; nft flush ruleset; sysctl -qw net.ipv4.ip_forward=0");
        let run = lab.root.join("networks/run");
        lab.sh(&format!("find {} -type f -exec sed -i 's/\"boot\":\"/&x/' {{}} +", run.display()));
        lab.netwire("restore");
        assert_eq!(found(lab), [""; 0]);
        assert!(lab.sh("ip addr show web0").contains("10.9.0.1/24"));
        assert!(lab.ruleset().contains("\"web0\""), "the rules know it: {}", lab.ruleset());
        assert!(lab.sh("ip -6 addr show").contains("fd00:8::1/64"));
        lab.container("c2");
        let two = lab.attach("--network web --netns c2 --id c2");
        assert_eq!(address(&two), one, "nobody has the address any more");
        lab.ping("c2", [10, 9, 0, 1].into());
        // Without the run folder nobody knows of the container; it can be attached again.
        lab.sh(&format!("rm -r {}", run.display()));
        lab.netwire("restore");
        assert_eq!(found(lab), [""; 0]);
        lab.attach("--network web --netns c2 --id c2");
        lab.ping("c2", [10, 9, 0, 1].into());
    });
}

#[test]
fn a_damaged_definition_is_named_and_stands_in_nobodys_way() {
    need!(root, "ip", "nft");
    lab(|lab| {
        web(lab);
        lab.netwire("network create --subnet 10.8.0.0/24 --bridge db0 --disable-dns db");
        std::fs::write(lab.root.join("networks/web.json"), "{").expect("written");
        let lines = found(lab);
        assert!(lines.iter().any(|line| line.contains("web.json") && line.contains("move it away")), "{lines:?}");
        lab.refused("restore", 1, "web.json", "move it away");
        assert!(lab.links().contains(&"db0".to_owned()), "the other one was restored");
        assert_eq!(lab.netwire("prune"), "", "and what belongs to the damaged one stays");
        assert!(lab.links().contains(&"web0".to_owned()));
    });
}

#[test]
fn what_died_without_a_word_is_removed() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        lab.outside();
        web(lab);
        lab.container("c2");
        lab.attach("--network web --netns c2 --id c2 -p 8081:80");
        lab.sh("ip netns del c1");
        let half_done = lab.root.join("networks/.web.json.4194305");
        std::fs::write(&half_done, "{").expect("written");
        let lines = found(lab);
        assert!(lines.iter().any(|line| line.contains("c1 has a lease on eth0 and is gone")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("was begun and never finished")), "{lines:?}");
        let gone = lab.netwire("prune");
        assert!(gone.contains("lease of c1 (eth0) on network web") && gone.contains(".web.json.4194305"), "{gone}");
        assert_eq!(lab.netwire("prune"), "");
        assert_eq!(found(lab), [""; 0]);
        assert!(!lab.ruleset().contains("8080") && lab.ruleset().contains("8081"), "{}", lab.ruleset());
        assert_eq!(lab.inspect("web")["containers"].as_array().map(Vec::len), Some(1));
        lab.ping("c2", [10, 9, 0, 1].into());
    });
}

#[test]
fn a_network_without_definition_goes_when_nobody_is_on_it() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.netwire("network create --subnet 10.9.0.0/24 --disable-dns web");
        lab.netwire("network create --subnet 10.8.0.0/24 --disable-dns db");
        for (network, name) in [("web", "c1"), ("db", "c2")] {
            lab.container(name);
            lab.attach(&format!("--network {network} --netns {name} --id {name}"));
        }
        // Another state root in the same namespace, whose networks are unknown here.
        let other = lab.root.with_file_name("other");
        let elsewhere = |line: &str| {
            let out = lab.command(line).env("VENEER_ROOT", &other).output().expect("netwire runs");
            assert!(out.status.success(), "{line}: {}", text(&out).1);
        };
        elsewhere("network create --subnet 10.7.0.0/24 --disable-dns web");
        lab.container("c3");
        elsewhere("attach --network web --netns c3 --id c3");
        let before = lab.links().len();
        std::fs::remove_file(lab.root.join("networks/web.json")).expect("lost");
        assert!(found(lab).iter().any(|line| line.contains("of network web, which is not defined here")));
        assert_eq!((lab.netwire("prune"), lab.links().len()), (String::new(), before), "c1 is alive");
        lab.sh("ip netns del c1");
        let gone = lab.netwire("prune");
        assert!(gone.contains("of network web"), "{gone}");
        assert_eq!(lab.netwire("prune"), "");
        // The bridge and its veth are gone; the other root's and the other network's are not.
        assert_eq!(lab.links().len(), before - 2, "{:?}", lab.links());
        let lines = found(lab);
        assert!(lines.iter().all(|line| line.contains("leave it if another state root's is meant")), "{lines:?}");
        assert!(lab.ruleset().contains("network web"), "the other root's rules stand");
    });
}

#[test]
fn a_list_says_who_is_where() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.netwire("network create --subnet 10.9.0.0/24 --disable-dns web");
        lab.container("c1");
        lab.attach("--network web --netns c1 --id c1 --name shop --alias store -p 8080:80");
        let line = lab.netwire("list --json");
        let web: serde_json::Value = serde_json::from_str(line.lines().next_back().expect("a line")).expect("JSON");
        let one = &web["containers"][0];
        assert_eq!(
            (web["name"].as_str(), one["id"].as_str(), one["name"].as_str()),
            (Some("web"), Some("c1"), Some("shop"))
        );
        assert_eq!((one["addresses"][0].as_str(), one["aliases"][0].as_str()), (Some("10.9.0.2/24"), Some("store")));
        let ports = one["ports"].as_array().expect("ports");
        assert!(ports.iter().any(|p| p["host_port"] == 8080 && p["container_port"] == 80), "{ports:?}");
        let table = lab.netwire("list");
        assert!(table.contains("shop") && table.contains("0.0.0.0:8080->80/tcp"), "{table}");
    });
}
