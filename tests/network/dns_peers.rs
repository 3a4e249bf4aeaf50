//! The same questions, asked of other name servers of container networks first: aardvark-dns (podman's) and dnsmasq.

use crate::dns_client::{A, AAAA, PTR, ask_by_tcp};
use crate::lab::{Lab, lab};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::need;

const AARDVARK: &str = "/usr/lib/podman/aardvark-dns";
const SERVER: &str = "10.9.0.1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Aardvark,
    Dnsmasq,
    Netwire,
}

/// What a question must be answered with, and who of the others can answer it in the versions there are: aardvark-dns 1.4
/// knows no TCP and no names for addresses of its own, dnsmasq refuses what it would have to ask others.
const QUESTIONS: &[(&str, u16, &str, &[Peer])] = &[
    ("db", A, "NOERROR 10.9.0.2", &[Peer::Aardvark, Peer::Dnsmasq]),
    ("DB", A, "NOERROR 10.9.0.2", &[Peer::Aardvark, Peer::Dnsmasq]),
    ("sql", A, "NOERROR 10.9.0.2 10.9.0.3", &[Peer::Aardvark, Peer::Dnsmasq]),
    ("db2", AAAA, "NOERROR", &[Peer::Aardvark]),
    ("nobody", A, "NXDOMAIN", &[Peer::Aardvark]),
    ("2.0.9.10.in-addr.arpa", PTR, "NOERROR db.", &[Peer::Dnsmasq]),
];

/// A server that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bridge with two containers, made by hand.
fn bridge(lab: &Lab) {
    lab.sh("ip link add br0 type bridge; ip addr add 10.9.0.1/24 dev br0; ip link set br0 up");
    for (name, address) in [("c1", "10.9.0.2"), ("c2", "10.9.0.3")] {
        lab.container(name);
        lab.sh(&format!(
            "ip link add v{name} type veth peer name eth0 netns {name}; ip link set v{name} master br0 up
             ip -n {name} addr add {address}/24 dev eth0; ip -n {name} link set eth0 up"
        ));
    }
}

fn start(lab: &Lab, peer: Peer) -> Option<Running> {
    let mut command = match peer {
        Peer::Netwire => {
            lab.netwire("network create web --subnet 10.9.0.0/24");
            for (name, called) in [("c1", "db"), ("c2", "db2")] {
                lab.container(name);
                lab.attach(&format!("--network web --netns {name} --id {name} --name {called} --alias sql"));
            }
            return None;
        }
        Peer::Aardvark => {
            bridge(lab);
            std::fs::create_dir("/run/aardvark").expect("a folder");
            let names = "10.9.0.1\n0123456789ab 10.9.0.2  db,sql\nfedcba987654 10.9.0.3  db2,sql\n";
            std::fs::write("/run/aardvark/web", names).expect("names");
            // It goes into the background; in a process namespace of its own it ends with the first process there.
            let mut command = Command::new("unshare");
            command.args(["-p", "-f", "--kill-child", "sh", "-c"]);
            command.arg(format!("{AARDVARK} --config /run/aardvark --port 53 run; exec sleep 600"));
            command
        }
        Peer::Dnsmasq => {
            bridge(lab);
            std::fs::write("/run/names", "10.9.0.2 db sql\n10.9.0.3 db2 sql\n").expect("names");
            let mut command = Command::new("dnsmasq");
            command.args([
                "-k",
                "-C",
                "/dev/null",
                "--no-hosts",
                "--no-resolv",
                "--addn-hosts=/run/names",
                "-u",
                "root",
            ]);
            command.args(["--listen-address=10.9.0.1", "--bind-interfaces", "--pid-file=/run/dnsmasq.pid"]);
            command
        }
    };
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let until = Instant::now() + Duration::from_secs(10);
    while lab.sh("ss -Hlnu sport = :53").is_empty() {
        assert!(Instant::now() < until, "{peer:?} does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(Running(child))
}

/// Addresses in any order, names without the network's.
fn plain(answer: &str) -> String {
    let mut words: Vec<&str> = answer.split(' ').collect();
    words[1..].sort_unstable();
    words.join(" ").replace("db.web.", "db.")
}

#[test]
fn others_answer_the_same() {
    need!(root, "ip", "ss", "dnsmasq", "unshare");
    for peer in [Peer::Aardvark, Peer::Dnsmasq, Peer::Netwire] {
        if peer == Peer::Aardvark && !Path::new(AARDVARK).exists() {
            continue;
        }
        lab(|lab| {
            let _running = start(lab, peer);
            for (name, kind, answer, who) in QUESTIONS {
                if peer == Peer::Netwire || who.contains(&peer) {
                    assert_eq!(plain(&lab.asks("c2", SERVER, name, *kind)), *answer, "{name} of {peer:?}");
                }
            }
            if peer != Peer::Aardvark {
                let server = SERVER.parse().expect("an address");
                let by_tcp = lab.within("c2", || ask_by_tcp(server, "db", A)).expect("an answer");
                assert_eq!(by_tcp, "NOERROR 10.9.0.2", "{peer:?} by TCP");
            }
        });
    }
}
