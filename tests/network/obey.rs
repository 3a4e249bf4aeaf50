//! Ports of a network that obeys the machine's input policy: what a rule of the machine's own at `input` drops is not reached,
//! which on other networks it is.

use crate::hosts::eventually;
use crate::lab::{Lab, address, lab, text};
use crate::publishing::{at, tcp, udp};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::need;

const DROP: &str = "nft add table inet mine; nft 'add chain inet mine input { type filter hook input priority 0; }'; \
    nft add rule inet mine input tcp dport 8080 iifname up0 drop; nft add rule inet mine input udp dport 5300 iifname up0 drop";
const PATIENCE: Duration = Duration::from_secs(20);
const ALLOW: &str = "nft delete table inet mine";

/// Processes of the lab that serve ports; ended when the test ends, however it does.
struct Relays<'a>(&'a Lab);

impl Relays<'_> {
    fn pids(&self) -> Vec<String> {
        let own = "n=$(readlink /proc/self/ns/net); for p in /proc/[0-9]*; do \
            [ \"$(readlink $p/ns/net 2>/dev/null)\" = \"$n\" ] && tr '\\0' ' ' 2>/dev/null <$p/cmdline | grep -q '^netwire relay ' && echo ${p#/proc/}; \
            done; true";
        self.0.sh(own).split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Relays<'_> {
    fn drop(&mut self) {
        for pid in self.pids() {
            self.0.sh(&format!("kill -9 {pid} || true"));
        }
    }
}

/// A network that obeys, or one that does not, and `c1` on it with ports.
fn with(option: &str, body: impl Fn(&Lab, &Relays<'_>) + Sync) {
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        lab.netwire(&format!("network create web --subnet 10.5.0.0/24 --disable-dns {option}"));
        let relays = Relays(lab);
        lab.attach("--network web --netns c1 --id c1 -p 8080:80 -p 5300:53/udp");
        body(lab, &relays);
        lab.netwire("detach --network web --id c1");
        assert_eq!(relays.pids(), [""; 0]);
        assert_eq!(lab.sh("ls -A /run/veneer/netwire/.proxies 2>/dev/null || true"), "");
    });
}

fn outside(lab: &Lab) -> [bool; 2] {
    [
        tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_some(),
        udp(lab, "outside", at("198.51.100.1:5300"), "c1", 53).is_some(),
    ]
}

#[test]
fn what_the_policy_drops_is_not_reached() {
    need!(root, "ip", "nft");
    let link =
        |lab: &Lab| lab.sh("ip -br -4 addr | awk '/198.51.100.1/ {sub(/@.*/, \"\", $1); print $1}'").trim().to_owned();
    with("", |lab, _| {
        lab.sh(&DROP.replace("up0", &link(lab)));
        assert_eq!(outside(lab), [true, true], "rules for input do not see what is led away before");
    });
    with("-o obey_input=true", |lab, relays| {
        assert_eq!(relays.pids().len(), 1);
        assert_eq!(outside(lab), [true, true]);
        lab.sh(&DROP.replace("up0", &link(lab)));
        assert_eq!(outside(lab), [false, false]);
        assert!(tcp(lab, "", at("127.0.0.1:8080"), "c1", 80).is_some(), "loopback is another link");
        lab.sh(ALLOW);
        assert_eq!(outside(lab), [true, true]);
    });
}

#[test]
fn each_port_comes_and_goes_by_itself() {
    need!(root, "ip", "nft");
    with("-o obey_input=true", |lab, relays| {
        lab.netwire("publish --id c1 8081:80");
        assert!(tcp(lab, "outside", at("198.51.100.1:8081"), "c1", 80).is_some());
        lab.netwire("unpublish --id c1 8080:80");
        assert!(tcp(lab, "outside", at("198.51.100.1:8080"), "c1", 80).is_none());
        assert!(udp(lab, "outside", at("198.51.100.1:5300"), "c1", 53).is_some(), "it was served by the same process");
        lab.refused("publish --id c1 9000:90/sctp", 1, "only TCP and UDP can", "without -o obey_input");
        lab.container("c2");
        lab.attach("--network bridge --netns c2 --id c2 -p 8090:80");
        lab.refused("publish --id c2 8081:80", 1, "address already in use", "choose another port");
        lab.refused("publish --id c1 8090:80", 1, "port is already allocated", "");
        lab.netwire("detach --network bridge --id c2");
        for pid in relays.pids() {
            lab.sh(&format!("kill -9 {pid}; while grep -qs '^State:.[^Z]' /proc/{pid}/status; do sleep 0.01; done"));
        }
        let (said, _) = text(&lab.command("check").output().expect("netwire runs"));
        assert!(said.contains("port 0.0.0.0:8081/tcp of c1 on network web is served by nobody"), "{said}");
        lab.netwire("restore");
        assert!(tcp(lab, "outside", at("198.51.100.1:8081"), "c1", 80).is_some());
        assert!(udp(lab, "outside", at("198.51.100.1:5300"), "c1", 53).is_some());
    });
}

#[test]
fn many_bytes_go_both_ways_and_an_end_is_passed_on() {
    use std::io::{Read, Write};
    need!(root, "ip", "nft");
    with("-o obey_input=true", |lab, _| {
        let listener = lab.within("c1", || std::net::TcpListener::bind("0.0.0.0:80").expect("bind"));
        let echo = std::thread::spawn(move || {
            for _ in 0..8 {
                let (mut stream, _) = listener.accept().expect("a connection");
                std::thread::spawn(move || {
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).expect("all of it");
                    stream.write_all(&all).expect("the same back");
                });
            }
        });
        let clients: Vec<_> = (0..8_u8)
            .map(|n| {
                let mut stream = lab.within("outside", || {
                    TcpStream::connect_timeout(&at("198.51.100.1:8080"), Duration::from_secs(5)).expect("connects")
                });
                std::thread::spawn(move || {
                    let sent = vec![n; 3 << 20];
                    stream.write_all(&sent).expect("taken");
                    stream.shutdown(std::net::Shutdown::Write).expect("the end");
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).expect("comes back");
                    assert!(back == sent, "{} of {}", back.len(), sent.len());
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("no failure"));
        echo.join().expect("no failure");
        // Nobody listens any more: who connects hears of it.
        let refused = lab.within("outside", || {
            let mut stream = TcpStream::connect_timeout(&at("198.51.100.1:8080"), Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read(&mut [0; 1])
        });
        assert_eq!(refused.expect_err("no answer").kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn both_families_are_served() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("c1");
        lab.netwire("network create web --subnet 10.5.0.0/24 --subnet fd05::/64 --disable-dns -o obey_input=true");
        let _relays = Relays(lab);
        let attached = lab.attach("--network web --netns c1 --id c1 -p 8080:80 -p 5300:53/udp");
        assert!(address(&attached).is_ipv4());
        for to in ["127.0.0.1", "[::1]", "10.5.0.1", "[fd05::1]"] {
            assert!(tcp(lab, "", at(&format!("{to}:8080")), "c1", 80).is_some(), "{to}");
            assert!(udp(lab, "", at(&format!("{to}:5300")), "c1", 53).is_some(), "{to}");
        }
        lab.netwire("detach --network web --id c1");
    });
}

/// How long `pid` ran in the next half second.
fn worked(pid: &str) -> Duration {
    let run = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it lives");
        Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number"))
    };
    let before = run();
    std::thread::sleep(Duration::from_millis(500));
    run() - before
}

/// What `ss` tells of the only connection to the container.
fn to_the_container(lab: &Lab) -> String {
    lab.sh("ss -Htno dst 10.5.0.2:80")
}

#[test]
fn what_nothing_can_be_done_about_is_waited_for() {
    use std::io::{Read, Write};
    need!(root, "ip", "nft");
    let connect = |lab: &Lab| {
        lab.within("outside", || {
            TcpStream::connect_timeout(&at("198.51.100.1:8080"), Duration::from_secs(5)).expect("connects")
        })
    };
    with("-o obey_input=true", |lab, relays| {
        let [relay] = relays.pids().try_into().expect("one process");
        let listener = lab.within("c1", || std::net::TcpListener::bind("0.0.0.0:80").expect("bind"));
        // The container has answered and closed; the client has asked, said its end, and does not read yet.
        let mut client = connect(lab);
        client.write_all(b"?").expect("taken");
        client.shutdown(std::net::Shutdown::Write).expect("the end");
        let (mut server, _) = listener.accept().expect("a connection");
        server.read_to_end(&mut Vec::new()).expect("all of it");
        let mut sent = 0;
        let waiting = || to_the_container(lab).split_whitespace().nth(1) != Some("0");
        let until = Instant::now() + PATIENCE;
        while !(waiting() && {
            std::thread::sleep(Duration::from_millis(50));
            waiting()
        }) {
            assert!(Instant::now() < until, "the relay takes more than {sent}");
            sent += server.write(&[7; 64 << 10]).expect("taken");
        }
        drop(server);
        eventually("the container's end is seen", PATIENCE, || to_the_container(lab).is_empty());
        let work = worked(&relay);
        assert!(work < Duration::from_millis(25), "a reader who takes his time costs {work:?} of half a second");
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("comes");
        assert!(all.len() == sent && all.iter().all(|byte| *byte == 7), "{} of {sent}", all.len());
        drop(listener);

        // The client is gone while the container has not even answered.
        lab.sh("ip netns exec c1 nft add table inet deaf; \
            ip netns exec c1 nft 'add chain inet deaf input { type filter hook input priority 0; policy drop; }'");
        let client = connect(lab);
        eventually("the relay asks", PATIENCE, || to_the_container(lab).contains("SYN-SENT"));
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&client, nix::sys::socket::sockopt::Linger, &at_once).expect("lingers not");
        drop(client);
        std::thread::sleep(Duration::from_millis(50));
        let work = worked(&relay);
        assert!(work < Duration::from_millis(25), "somebody gone costs {work:?} of half a second");
    });
}

#[test]
fn who_has_gone_without_a_word_is_noticed() {
    need!(root, "ip", "nft");
    with("-o obey_input=true", |lab, _| {
        let _listener = lab.within("c1", || std::net::TcpListener::bind("0.0.0.0:80").expect("bind"));
        let _client = lab.within("outside", || TcpStream::connect(at("198.51.100.1:8080")).expect("connects"));
        let both = "ss -Htno state established '( sport = :8080 or dport = :80 )'";
        // Of seconds, where the kernel's own would be of hours.
        let soon = |line: &str| line.contains("timer:(keepalive,") && !line.contains("min");
        eventually("both ends are asked after", PATIENCE, || {
            let told = lab.sh(both);
            told.lines().count() == 2 && told.lines().all(soon)
        });
    });
}

#[test]
fn the_state_may_be_named_from_where_one_is() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("c1");
        let netwire = |line: &str| {
            let out = lab.command(line).current_dir("/run").env("VENEER_ROOT", "state").output().expect("netwire runs");
            let (stdout, stderr) = text(&out);
            assert!(out.status.success() && stderr.is_empty(), "netwire {line}: {stdout}{stderr}");
        };
        netwire("network create web --subnet 10.5.0.0/24 --disable-dns -o obey_input=true");
        let relays = Relays(lab);
        netwire("attach --network web --netns c1 --id c1 -p 8080:80");
        assert!(tcp(lab, "", at("127.0.0.1:8080"), "c1", 80).is_some());
        netwire("detach --network web --id c1");
        assert_eq!(relays.pids(), [""; 0]);
    });
}
