//! Questions that are passed on, to a server of the test's own in the namespace that plays the outside.

use crate::dns_client::{A, Client, PTR, UPSTREAM, ask_by_tcp, with_upstream};
use crate::lab::{Lab, lab};
use std::sync::atomic::Ordering;
use testkit::need;

const SERVER: &str = "10.9.0.1";

fn network(lab: &Lab, options: &str) {
    lab.outside();
    lab.own_etc(&format!("nameserver {UPSTREAM}\n"));
    lab.netwire(&format!("network create web --subnet 10.9.0.0/24 {options}"));
    lab.container("c1");
    lab.attach("--network web --netns c1 --id c1 --name db");
}

/// How many questions that `matches` (words of nft) leave by UDP from now on.
fn counted<'a>(lab: &'a Lab, matches: &str) -> impl Fn() -> u64 + 'a {
    lab.sh(&format!(
        "nft add table inet asked; nft 'add chain inet asked out {{ type filter hook output priority 0; }}'
         nft 'add rule inet asked out {matches} udp dport 53 counter'"
    ));
    move || {
        let listed = lab.sh("nft list table inet asked");
        let count = listed.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        count.expect("a counter")
    }
}

#[test]
fn what_is_not_ours_is_asked_elsewhere() {
    need!(root, "ip");
    lab(|lab| {
        network(lab, "");
        with_upstream(lab, UPSTREAM, |seen| {
            let asks = |name: &str, kind| lab.asks("c1", SERVER, name, kind);
            assert_eq!(asks("plain.example", A), "NOERROR 192.0.2.1");
            assert_eq!(asks("PLAIN.Example", A), "NOERROR 192.0.2.1");
            assert_eq!(asks("other.example", A), "NXDOMAIN");
            assert_eq!(asks("1.2.0.192.in-addr.arpa", PTR), "NXDOMAIN");
            assert_eq!(asks("refused.example", A), "REFUSED", "passed on when nobody knows better");
            assert_eq!(asks("forged.example", A), "NOERROR 192.0.2.1", "only the true answer counts");
            assert_eq!(asks("big.example", A), "NOERROR TC");
            let server = SERVER.parse().expect("an address");
            let whole = lab.within("c1", || ask_by_tcp(server, "big.example", A)).expect("an answer");
            assert_eq!(whole.split(' ').count(), 101, "{whole}");
            assert_eq!(seen.streams.load(Ordering::Relaxed), 1);
            let before = seen.datagrams.load(Ordering::Relaxed);
            for ours in ["nobody", "db.web", "9.0.9.10.in-addr.arpa"] {
                asks(ours, A);
            }
            assert_eq!(seen.datagrams.load(Ordering::Relaxed), before, "what is ours is nobody's business");
            assert_eq!(asks("late.example", A), "NOERROR 192.0.2.1", "a lost question is asked again");
            assert!(seen.datagrams.load(Ordering::Relaxed) >= before + 2, "the first was lost");
            assert_eq!(asks("never.example", A), "SERVFAIL", "before the resolver gives up");
        });
    });
}

#[test]
fn servers_that_do_not_answer_are_passed_over() {
    need!(root, "ip", "nft");
    lab(|lab| {
        network(lab, "");
        lab.sh("ip -n outside addr add 198.51.100.3/24 dev eth0");
        // Nobody listens on the first, and no such machine is the second.
        std::fs::write("/etc/resolv.conf", format!("nameserver 198.51.100.3\nnameserver {UPSTREAM}\n"))
            .expect("written");
        with_upstream(lab, UPSTREAM, |_| {
            assert_eq!(lab.asks("c1", SERVER, "plain.example", A), "NOERROR 192.0.2.1");
            // Replaced by rename, as most do.
            std::fs::write("/etc/new", format!("nameserver 198.51.100.9\nnameserver {UPSTREAM}\n")).expect("written");
            std::fs::rename("/etc/new", "/etc/resolv.conf").expect("renamed");
            let tried = counted(lab, "ip daddr 198.51.100.9");
            assert_eq!(lab.asks("c1", SERVER, "plain.example", A), "NOERROR 192.0.2.1");
            let once = tried();
            assert!(once > 0, "it was tried");
            assert_eq!(lab.asks("c1", SERVER, "plain.example", A), "NOERROR 192.0.2.1");
            assert_eq!(tried(), once, "and is asked last for a while");
        });
    });
}

#[test]
fn the_networks_and_the_containers_own_servers() {
    need!(root, "ip");
    lab(|lab| {
        network(lab, "--dns 198.51.100.4");
        lab.sh("ip -n outside addr add 198.51.100.4/24 dev eth0; ip -n outside addr add 198.51.100.5/24 dev eth0");
        lab.container("c2");
        lab.attach("--network web --netns c2 --id c2 --dns 198.51.100.5");
        let asks = |from: &str| lab.asks(from, SERVER, "plain.example", A);
        with_upstream(lab, "198.51.100.4", |_| assert_eq!(asks("c1"), "NOERROR 192.0.2.1"));
        with_upstream(lab, "198.51.100.5", |_| {
            assert_eq!(asks("c2"), "NOERROR 192.0.2.1");
            assert_eq!(asks("c1"), "SERVFAIL");
        });
    });
}

#[test]
fn nothing_goes_round_in_circles_and_internal_networks_ask_nobody() {
    need!(root, "ip", "nft");
    lab(|lab| {
        network(lab, "");
        lab.netwire("network create other --subnet 10.10.0.0/24");
        lab.netwire("network create closed --subnet 10.11.0.0/24 --internal");
        for name in ["c2", "c3"] {
            lab.container(name);
        }
        lab.attach("--network other --netns c2 --id c2");
        lab.attach("--network closed --netns c3 --id c3 --name inner");
        with_upstream(lab, UPSTREAM, |seen| {
            assert_eq!(lab.asks("c3", "10.11.0.1", "plain.example", A), "SERVFAIL");
            assert_eq!(lab.asks("c3", "10.11.0.1", "inner", A), "NOERROR 10.11.0.2");
            // The server itself, another of ours, who asks: none of them is asked.
            std::fs::write("/etc/resolv.conf", "nameserver 10.9.0.1\nnameserver 10.10.0.1\nnameserver 10.9.0.2\n")
                .expect("written");
            let asked = counted(lab, "ip daddr { 10.9.0.1, 10.10.0.1, 10.9.0.2 }");
            assert_eq!(lab.asks("c1", SERVER, "plain.example", A), "SERVFAIL");
            assert_eq!(asked(), 0);
            assert_eq!(seen.datagrams.load(Ordering::Relaxed), 0);
        });
    });
}

#[test]
fn many_at_once_wait_for_nobody() {
    need!(root, "ip");
    lab(|lab| {
        network(lab, "");
        with_upstream(lab, UPSTREAM, |seen| {
            let server = SERVER.parse().expect("an address");
            lab.within("c1", || {
                let mut clients: Vec<Client> = (0..100).map(|_| Client::of(server)).collect();
                for client in &mut clients {
                    client.start("never.example");
                }
                assert_eq!(Client::of(server).ask("db", A, None).expect("an answer"), "NOERROR 10.9.0.2");
                assert_eq!(Client::of(server).ask("plain.example", A, None).expect("an answer"), "NOERROR 192.0.2.1");
                assert!(!clients.iter().any(Client::is_answered), "the others still wait");
                // More than one client may have in the air are refused, not kept.
                let mut more: Vec<Client> = (0..60).map(|_| Client::of(server)).collect();
                more.iter_mut().enumerate().for_each(|(n, client)| client.start(&format!("never.more{n}.example")));
                for client in &mut more {
                    assert_eq!(client.finish().expect("an answer"), "SERVFAIL");
                }
                let names = seen.names.lock().expect("the names").clone();
                let kept = names.iter().filter(|name| name.contains(".more")).count();
                assert!((20..40).contains(&kept), "{names:?}");
                for client in &mut clients {
                    assert_eq!(client.finish().expect("an answer"), "SERVFAIL");
                }
            });
        });
    });
}
