//! Names of containers: who answers to what, from where, and who is not answered.

use crate::dns_client::{A, AAAA, Client, PTR, TXT, ask_by_tcp, question};
use crate::lab::lab;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use testkit::need;

#[test]
fn names_aliases_ids_and_addresses() {
    need!(root, "ip");
    lab(|lab| {
        let id = "0123456789abcdef".repeat(4);
        lab.netwire("network create web --subnet 10.9.0.0/24 --subnet fd09::/64 --dns-domain lan.example");
        for name in ["c1", "c2", "c3"] {
            lab.container(name);
        }
        let attached =
            lab.attach(&format!("--network web --netns c1 --id {id} --name db --alias sql --alias api.example.com"));
        assert_eq!(attached["dns"], serde_json::json!(["10.9.0.1", "fd09::1"]));
        lab.attach("--network web --netns c2 --id c2 --name db2 --alias sql");
        lab.attach("--network web --netns c3 --id c3");
        let asks = |name: &str, kind| lab.asks("c2", "10.9.0.1", name, kind);
        for name in ["db", "DB", "db.web", "Db.Lan.Example", "0123456789ab", "api.example.com"] {
            assert_eq!(asks(name, A), "NOERROR 10.9.0.2", "{name}");
            assert_eq!(asks(name, AAAA), "NOERROR fd09::2", "{name}");
            assert_eq!(asks(name, TXT), "NOERROR", "{name}: nothing of the kind, but the name is there");
        }
        let both = [asks("sql", A), asks("sql", A)];
        assert!(both.contains(&"NOERROR 10.9.0.2 10.9.0.3".into()), "{both:?}");
        assert!(both.contains(&"NOERROR 10.9.0.3 10.9.0.2".into()), "by turns: {both:?}");
        assert_eq!(asks("c3", A), "NOERROR 10.9.0.4");
        assert_eq!(asks("2.0.9.10.in-addr.arpa", PTR), "NOERROR db.lan.example.");
        assert_eq!(asks("9.0.9.10.in-addr.arpa", PTR), "NXDOMAIN");
        let six = format!("2.{}9.0.d.f.ip6.arpa", "0.".repeat(27));
        assert_eq!(asks(&six, PTR), "NOERROR db.lan.example.");
        assert_eq!(asks("nobody", A), "NXDOMAIN");
        assert_eq!(asks("nobody.lan.example", A), "NXDOMAIN");
        // By IPv6, by TCP, and from the machine itself.
        assert_eq!(lab.asks("c2", "fd09::1", "db", AAAA), "NOERROR fd09::2");
        let by_tcp = |server: &str| {
            let server = server.parse().expect("an address");
            lab.within("c2", || ask_by_tcp(server, "db", A)).expect("an answer")
        };
        assert_eq!((by_tcp("10.9.0.1"), by_tcp("fd09::1")), ("NOERROR 10.9.0.2".into(), "NOERROR 10.9.0.2".into()));
        assert_eq!(lab.asks("", "10.9.0.1", "db.web", A), "NOERROR 10.9.0.2");
        assert_eq!(lab.asks("", "10.9.0.1", "elsewhere.example", A), "SERVFAIL", "not passed on for the machine");
    });
}

#[test]
fn resolvers_of_others_understand_it() {
    need!(root, "ip", "dig", "busybox", "getent");
    lab(|lab| {
        lab.own_etc("nameserver 127.0.0.1\n");
        lab.netwire("network create web --subnet 10.9.0.0/24 --subnet fd09::/64");
        for name in ["db", "asks"] {
            lab.container(name);
            lab.attach(&format!("--network web --netns {name} --id {name}1 --name {name}"));
        }
        lab.sh("mkdir -p /etc/netns/asks; echo nameserver 10.9.0.1 >/etc/netns/asks/resolv.conf");
        let from = |command: &str| lab.sh(&format!("ip netns exec asks {command}"));
        assert_eq!(from("getent ahostsv4 db | grep STREAM").split_whitespace().next(), Some("10.9.0.2"));
        let both = from("getent ahosts db");
        assert!(both.contains("10.9.0.2") && both.contains("fd09::2"), "{both}");
        assert_eq!(from("getent hosts 10.9.0.2").split_whitespace().nth(1), Some("db.web"));
        let looked_up = from("busybox nslookup db");
        assert!(looked_up.contains("10.9.0.2") && looked_up.contains("fd09::2"), "{looked_up}");
        assert_eq!(from("dig +short db A").trim(), "10.9.0.2");
        assert_eq!(from("dig +short +tcp @fd09::1 db AAAA").trim(), "fd09::2");
        assert_eq!(from("dig +short -x 10.9.0.2").trim(), "db.web.");
        let cookies = from("dig +dnssec +nsid db A");
        assert!(cookies.contains("status: NOERROR") && cookies.contains("EDNS: version: 0"), "{cookies}");
        assert!(from("dig +edns=1 +noednsnegotiation db A").contains("status: BADVERS"));
        assert!(from("dig CH TXT version.bind").contains("status: REFUSED"));
        assert!(from("dig axfr web | cat").contains("failed"));
        let unknown = lab.sh("ip netns exec asks getent hosts nobody || echo $?");
        assert_eq!(unknown.trim(), "2");
    });
}

#[test]
fn many_addresses_are_cut_or_whole() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        for n in 0..40 {
            lab.container(&format!("c{n}"));
            lab.attach(&format!("--network web --netns c{n} --id c{n} --alias all"));
        }
        let server = "10.9.0.1".parse().expect("an address");
        let count = |text: &str| text.split(' ').filter(|word| word.contains('.')).count();
        let ask = |takes| lab.within("c1", || Client::of(server).ask("all", A, takes)).expect("an answer");
        let plain = ask(None);
        assert!(plain.ends_with(" TC") && (25..40).contains(&count(&plain)), "{plain}");
        let large = ask(Some(1232));
        assert!(!large.ends_with(" TC") && count(&large) == 40, "{large}");
        let by_tcp = lab.within("c1", || ask_by_tcp(server, "all", A)).expect("an answer");
        assert_eq!(count(&by_tcp), 40, "{by_tcp}");
    });
}

#[test]
fn a_container_on_two_networks_sees_both() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.netwire("network create back --subnet 10.10.0.0/24");
        for name in ["front", "both", "store"] {
            lab.container(name);
        }
        lab.attach("--network web --netns front --id front");
        lab.attach("--network web --netns both --id both");
        lab.attach("--network back --netns both --id both --ifname eth1");
        lab.attach("--network back --netns store --id store --alias data");
        assert_eq!(lab.asks("both", "10.9.0.1", "data", A), "NOERROR 10.10.0.3");
        assert_eq!(lab.asks("both", "10.9.0.1", "store.back", A), "NOERROR 10.10.0.3");
        assert_eq!(lab.asks("both", "10.9.0.1", "3.0.10.10.in-addr.arpa", PTR), "NOERROR store.back.");
        assert_eq!(lab.asks("both", "10.10.0.1", "front", A), "NOERROR 10.9.0.2");
        assert_eq!(lab.asks("front", "10.9.0.1", "data", A), "NXDOMAIN", "it is not on that network");
        lab.netwire("detach --network back --id store");
        assert_eq!(lab.asks("both", "10.9.0.1", "data", A), "NXDOMAIN");
    });
}

#[test]
fn strangers_are_not_answered() {
    need!(root, "ip");
    lab(|lab| {
        lab.outside();
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.container("c1");
        lab.attach("--network web --netns c1 --id c1 --name db");
        assert_eq!(lab.asks("c1", "10.9.0.1", "db", A), "NOERROR 10.9.0.2");
        // The machine takes packets for the bridge's address by any link, and a neighbour may claim any address.
        lab.sh("ip -n outside route add 10.9.0.0/24 via 198.51.100.1; ip -n outside addr add 10.9.0.77/32 dev lo
                sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.uplink.rp_filter=0");
        for source in ["198.51.100.2", "10.9.0.77"] {
            let answered = lab.within("outside", || {
                let socket = UdpSocket::bind(format!("{source}:0")).expect("a socket");
                socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
                let server: SocketAddr = "10.9.0.1:53".parse().expect("an address");
                let _ = socket.send_to(&question(1, "db", A, None), server);
                socket.recv(&mut [0; 512]).is_ok()
            });
            assert!(!answered, "from {source}");
        }
        let server = "10.9.0.1".parse().expect("an address");
        assert!(lab.within("outside", || ask_by_tcp(server, "db", A)).is_err());
        // Another network's containers are strangers too.
        lab.netwire("network create other --subnet 10.10.0.0/24");
        lab.container("c2");
        lab.attach("--network other --netns c2 --id c2");
        assert_eq!(lab.within("c2", || Client::of(server).send(&question(1, "db", A, None))), None);
    });
}

#[test]
fn hostile_messages_are_refused_and_survived() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.container("c1");
        lab.attach("--network web --netns c1 --id c1 --name db");
        let server = "10.9.0.1".parse().expect("an address");
        let send = |bytes: &[u8]| lab.within("c1", || Client::of(server).send(bytes));
        let rcode = |bytes: &[u8]| send(bytes).map(|answer| answer[3] & 15);
        let loops = [&question(1, "", A, None)[..12], &[0xc0, 12, 0, 1, 0, 1]].concat();
        assert_eq!(rcode(&loops), Some(1), "a name that points to itself");
        let mut counts = question(1, "db", A, None);
        counts[6..12].fill(0xff);
        assert_eq!(rcode(&counts), Some(1), "more records than there are");
        assert_eq!(rcode(&question(1, "db", A, None)[..14]), Some(1), "cut");
        assert_eq!(send(&[0; 5]), None, "too short to be answered");
        let mut answer = question(1, "db", A, None);
        answer[2] |= 0x80;
        assert_eq!(send(&answer), None, "answers are not answered, or two servers would never stop");
        // Any bytes, by both ways; afterwards it still answers.
        let mut seed = 88_172_645_463_325_252_u64;
        lab.within("c1", || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            for _ in 0..2000 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let mut bytes = question(seed as u16, "db.web", A, Some(1232));
                for n in 0..seed as usize % 5 {
                    let at = (seed >> (8 * n)) as usize % bytes.len();
                    bytes[at] = (seed >> 32) as u8;
                }
                let _ = socket.send_to(&bytes, (server, 53));
                if seed.is_multiple_of(97)
                    && let Ok(mut stream) = std::net::TcpStream::connect((server, 53))
                {
                    let _ = std::io::Write::write_all(&mut stream, &bytes);
                }
            }
        });
        assert_eq!(lab.asks("c1", "10.9.0.1", "db", A), "NOERROR 10.9.0.2");
    });
}
