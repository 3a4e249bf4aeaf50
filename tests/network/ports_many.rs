//! Thousands of ports, a hundred publishers at once, and others that change the rules meanwhile.

use crate::lab::{Lab, lab};
use crate::publishing::{at, attach, tcp};
use crate::wiring::Wiring;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::need;

/// What `line` costs, in what does not depend on the machine: how often it calls the kernel, and how many messages it sends.
fn cost(lab: &Lab, line: &str) -> (usize, usize) {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/run/trace", env!("CARGO_BIN_EXE_netwire")])
        .args(line.split_whitespace())
        .env("VENEER_ROOT", &lab.root)
        .stdout(Stdio::null())
        .status()
        .expect("strace runs");
    assert!(status.success(), "{line}");
    let trace = std::fs::read("/run/trace").expect("a trace");
    let trace = String::from_utf8_lossy(&trace);
    let sent = trace.lines().filter(|line| line.contains(" sendto(") || line.contains(" sendmsg(")).count();
    (trace.lines().count(), sent)
}

#[test]
fn two_hundred_and_six_ports_cost_the_same_beside_ten_thousand() {
    need!(root, "ip", "nft", "strace");
    lab(|lab| {
        lab.outside();
        for name in ["c1", "c2"] {
            lab.container(name);
            attach(Wiring::Netwire, lab, name, &[]);
        }
        let publish = "publish --id c1 3000-3205:3000-3205";
        // The first time makes what all ports have in common.
        lab.netwire(publish);
        lab.netwire("unpublish --id c1");
        let alone = cost(lab, publish);
        lab.netwire("unpublish --id c1");
        lab.netwire("publish --id c2 10000-19999:10000-19999");
        let beside = cost(lab, publish);
        assert!(beside.0 <= alone.0 + alone.0 / 10, "calls: {alone:?} alone, {beside:?} beside ten thousand");
        assert_eq!(beside.1, alone.1, "messages");
        lab.netwire("unpublish --id c1");
        // And where the container itself has the ten thousand.
        let more = cost(lab, "publish --id c2 3000-3205:3000-3205");
        assert!(more.0 <= alone.0 + alone.0 / 10, "calls: {alone:?} alone, {more:?} in addition to ten thousand");
        assert_eq!(more.1, alone.1, "messages");
        lab.netwire("unpublish --id c2 3000-3205:3000-3205");
        lab.netwire(publish);
        for (port, name) in [(3000, "c1"), (3205, "c1"), (10000, "c2"), (19999, "c2")] {
            let to = at(&format!("198.51.100.1:{port}"));
            assert!(tcp(lab, "outside", to, name, port).is_some(), "{port}");
        }
        assert_eq!(lab.netwire("publish --list").lines().count(), 10_206);
        // One that is taken among many: nothing of all the others is left behind.
        let before = lab.sh("nft list map inet veneer ports4 | wc -l");
        lab.refused("publish --id c1 19000-21000:1-2001", 1, "port is already allocated: c2", "");
        assert_eq!(lab.sh("nft list map inet veneer ports4 | wc -l"), before);
        lab.netwire("detach --network bridge --id c2");
        assert_eq!(lab.netwire("publish --list").lines().count(), 206);
    });
}

#[test]
fn a_hundred_at_once_while_others_change_the_rules() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.outside();
        for n in 0..100 {
            lab.container(&format!("c{n}"));
        }
        let over = AtomicBool::new(false);
        let made: Vec<serde_json::Value> = std::thread::scope(|scope| {
            // Somebody else changes the rules all the time.
            let noise = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    lab.sh("nft 'add table ip noise; delete table ip noise'");
                }
            });
            let one = |n: usize| {
                // The thread of a scope is in the lab's namespaces, as its maker is.
                let line =
                    format!("--network bridge --netns c{n} --id c{n} -p {}:80 -p 80 -p 127.0.0.1::81", 20_000 + n);
                move || lab.attach(&line)
            };
            let all: Vec<_> = (0..100).map(|n| scope.spawn(one(n))).collect();
            let made = all.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>();
            over.store(true, Ordering::Relaxed);
            noise.join().expect("noise");
            made.into_iter().map(|one| one.expect("attached")).collect()
        });
        let addresses: BTreeSet<&str> = made.iter().filter_map(|one| one["addresses"][0].as_str()).collect();
        assert_eq!(addresses.len(), 100);
        let ports = made.iter().flat_map(|one| one["ports"].as_array().expect("ports"));
        let ports: BTreeSet<(u64, String)> =
            ports.map(|p| (p["host_port"].as_u64().expect("a port"), p["host_ip"].to_string())).collect();
        assert_eq!(ports.len(), 300);
        let all_addresses = ports.iter().filter(|(_, ip)| ip.contains("0.0.0.0")).map(|(port, _)| *port);
        let taken: BTreeSet<u64> = all_addresses.collect();
        assert!(ports.iter().filter(|(_, ip)| ip.contains("127")).all(|(port, _)| !taken.contains(port)));
        for n in [0, 50, 99] {
            let to = at(&format!("198.51.100.1:{}", 20_000 + n));
            assert!(tcp(lab, "outside", to, &format!("c{n}"), 80).is_some());
        }
        std::thread::scope(|scope| {
            for n in 0..100 {
                scope.spawn(move || lab.netwire(&format!("detach --network bridge --id c{n}")));
            }
        });
        assert_eq!(lab.netwire("publish --list"), "");
        assert_eq!(lab.sh("nft list ruleset | grep -c 'c[0-9]' || true").trim(), "0", "{}", lab.ruleset());
    });
}
