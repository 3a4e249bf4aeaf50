//! Two hundred at once: no address is given twice, and nothing is left behind.

use crate::lab::{Lab, lab};
use std::collections::HashSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::need;

const CONTAINERS: usize = 200;
const AT_ONCE: usize = 16;

/// Runs `work` for each number, several at a time, in this namespace.
fn each<T: Send>(lab: &Lab, work: impl Fn(&Lab, usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < CONTAINERS));
        numbers.map(|n| work(lab, n)).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("the work is done")).collect()
    })
}

fn run(lab: &Lab, line: &str) -> String {
    let out = lab.command(line).stdin(Stdio::null()).output().expect("netwire runs");
    let (stdout, stderr) = crate::lab::text(&out);
    assert!(out.status.success() && stderr.is_empty(), "netwire {line}: {}\n{stdout}{stderr}", out.status);
    stdout
}

#[test]
fn two_hundred_attach_and_detach_at_once() {
    need!(root, "ip", "nft", "busybox");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/22 --subnet fd09::/64 --disable-dns");
        lab.sh(&format!("for n in $(seq 0 {}); do ip netns add c$n; done", CONTAINERS - 1));
        for round in 0..2 {
            let attached = each(lab, |lab, n| run(lab, &format!("attach --network web --netns c{n} --id c{n}")));
            let mut addresses = HashSet::new();
            for line in &attached {
                let made: serde_json::Value = serde_json::from_str(line).expect("JSON");
                for address in made["addresses"].as_array().expect("addresses") {
                    assert!(addresses.insert(address.as_str().expect("an address").to_owned()), "twice: {address}");
                }
            }
            assert_eq!(addresses.len(), 2 * CONTAINERS);
            assert_eq!(lab.links().len(), CONTAINERS + 1);
            assert_eq!(lab.inspect("web")["containers"].as_array().map(Vec::len), Some(CONTAINERS));
            lab.ping("c0", [10, 9, 0, 1].into());
            lab.ping("c199", [10, 9, 0, 1].into());
            if round == 0 {
                each(lab, |lab, n| run(lab, &format!("detach --network web --id c{n}")));
            } else {
                // Some are detached, some die; half of them while others come.
                each(lab, |lab, n| match n % 4 {
                    0 => drop(run(lab, &format!("detach --network web --id c{n}"))),
                    1 => drop(lab.sh(&format!("ip netns del c{n}"))),
                    2 => drop(run(lab, &format!("attach --network web --netns c{n} --id c{n}"))),
                    _ => {
                        run(lab, &format!("detach --network web --id c{n}"));
                        run(lab, &format!("attach --network web --netns c{n} --id c{n}"));
                    }
                });
                lab.settled();
                let on = lab.inspect("web")["containers"].as_array().map(Vec::len).unwrap_or_default();
                assert!((CONTAINERS / 2..=3 * CONTAINERS / 4).contains(&on), "{on} are on the network");
                each(lab, |lab, n| run(lab, &format!("detach --network web --id c{n}")));
            }
            lab.settled();
            assert_eq!(lab.inspect("web")["containers"], serde_json::json!([]));
        }
        lab.netwire("network rm web");
        assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()), "nothing is left");
        lab.sh("for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done");
    });
}

/// Several networks of one namespace at once: each interface has a name of its own.
#[test]
fn several_networks_choose_names_at_once() {
    need!(root, "ip");
    const NETWORKS: usize = 8;
    lab(|lab| {
        for n in 0..NETWORKS {
            lab.netwire(&format!("network create n{n} --subnet 10.{n}.0.0/24 --disable-dns"));
        }
        for round in 0..5 {
            lab.container(&format!("c{round}"));
            let attach = |n| {
                let line = run(lab, &format!("attach --network n{n} --netns c{round} --id c{round}"));
                let made: serde_json::Value = serde_json::from_str(&line).expect("JSON");
                made["interface"].as_str().expect("a name").to_owned()
            };
            let mut names: Vec<String> = std::thread::scope(|scope| {
                let all: Vec<_> = (0..NETWORKS).map(|n| scope.spawn(move || attach(n))).collect();
                all.into_iter().map(|one| one.join().expect("attached")).collect()
            });
            names.sort();
            assert_eq!(names, (0..NETWORKS).map(|n| format!("eth{n}")).collect::<Vec<_>>());
            let inside = lab.sh(&format!("ip -n c{round} -o link | grep -c eth"));
            assert_eq!(inside.trim(), NETWORKS.to_string(), "nothing else was left of those who were late");
            (0..NETWORKS).for_each(|n| drop(run(lab, &format!("detach --network n{n} --id c{round}"))));
        }
    });
}
