//! Networks that a program of the user's carries, as root, who may have them too. (As a user: tests/ctr/rootless.rs.)

use crate::lab::{Lab, lab};
use std::time::{Duration, Instant};
use testkit::need;

/// How long what ends by itself may take to; on a busy machine much.
const PATIENCE: Duration = Duration::from_secs(30);

/// Processes in `lab`'s network namespace that carry packets.
fn carriers(lab: &Lab) -> usize {
    let here = lab.sh("readlink /proc/self/ns/net");
    let mut found = 0;
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&line).replace('\0', " ");
        let carries = words.contains("slirp4netns --configure") || words.contains("pasta --quiet");
        let ours =
            || std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns.to_string_lossy() == here.trim());
        found += usize::from(carries && ours());
    }
    found
}

#[track_caller]
fn ends(lab: &Lab) {
    let end = Instant::now() + PATIENCE;
    while carriers(lab) > 0 {
        assert!(Instant::now() < end, "a carrier lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn life(program: &str) {
    lab(|lab| {
        lab.outside();
        lab.container("c1");
        let line = format!("--network {program} --netns c1 --id c1 -p 127.0.0.1:8080:80");
        let made = lab.attach(&line);
        assert_eq!((&made["driver"], &made["addresses"][0]), (&program.into(), &"10.0.2.100/24".into()), "{made}");
        assert_eq!(made["ports"][0]["host_port"], 8080);
        assert_eq!(lab.attach(&line), made, "a second attach finds what stands");
        assert_eq!(carriers(lab), 1);
        let there = lab.sh("ip -n c1 -o -4 addr show dev eth0; ip -n c1 route");
        assert!(there.contains("10.0.2.100/24") && there.contains("default via 10.0.2.2"), "{there}");
        // Port 80 is 0050 there, and 0A is LISTEN.
        lab.sh("ip netns exec c1 busybox nc -l -p 80 -e echo page >/dev/null 2>&1 &
             for n in $(seq 500); do
                 ip netns exec c1 grep -hq ':0050 [0:]* 0A ' /proc/net/tcp /proc/net/tcp6 && break; sleep 0.01
             done
             [ \"$(busybox nc -w 30 127.0.0.1 8080 </dev/null)\" = page ]");
        lab.container("c2");
        let taken = format!("attach --network {program} --netns c2 --id c2 -p 127.0.0.1:8080:80");
        lab.refused(&taken, 1, "netwire: publish 127.0.0.1:8080: port is already allocated", "choose another");
        for whose in ["--id c1", "--netns c1"] {
            let fixed =
                format!("ports of c1: a program of the user's carries network {program}, and its ports are those");
            lab.refused(&format!("publish {whose} 127.0.0.1:8081:80"), 1, &fixed, "detach it, and attach it again");
            lab.refused(&format!("unpublish {whose}"), 1, &fixed, "detach it, and attach it again");
        }
        lab.netwire(&format!("detach --network {program} --netns c1"));
        lab.netwire(&format!("detach --network {program} --id c1"));
        assert_eq!(carriers(lab), 0);

        // the namespace's name goes
        lab.attach(&line);
        lab.sh("ip netns del c1");
        ends(lab);

        // the keeper is killed: the next attach repairs, detach leaves nothing
        lab.container("c1");
        lab.attach(&line);
        let keeper =
            lab.sh("cat /run/state/networks/run/user/*.json | grep -o '\"keeper\":{\"id\":[0-9]*' | grep -o '[0-9]*$'");
        lab.sh(&format!("kill -9 {keeper}"));
        lab.attach(&line);
        assert_eq!(carriers(lab), 1);
        lab.netwire(&format!("detach --network {program} --id c1"));
        assert_eq!(carriers(lab), 0);

        // standard input ends
        lab.sh(&format!(
            "mkfifo /run/alive; exec 4<>/run/alive
             VENEER_ROOT={} {} attach {line} --until-eof </run/alive 4>&- >/dev/null",
            lab.root.display(),
            env!("CARGO_BIN_EXE_netwire")
        ));
        ends(lab);
        // The keeper ends its program first, and then clears up.
        let end = Instant::now() + PATIENCE;
        while !lab.sh("ls /run/state/networks/run/user").is_empty() {
            assert!(Instant::now() < end, "files are left");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn pasta_lives_as_long_as_the_container() {
    need!(root, netns, "pasta", "busybox");
    life("pasta");
}

#[test]
fn slirp4netns_lives_as_long_as_the_container() {
    need!(root, netns, "slirp4netns", "busybox");
    life("slirp4netns");
}

#[test]
fn beside_another_network_it_has_the_next_number() {
    need!(root, netns, "slirp4netns", "pasta");
    lab(|lab| {
        lab.outside();
        lab.netwire("network create web --subnet 10.9.0.0/24 --disable-dns");
        for program in ["pasta", "slirp4netns"] {
            lab.container("c1");
            let carried = format!("--network {program} --netns c1 --id c1");
            assert_eq!(lab.attach("--network web --netns c1 --id c1")["interface"], "eth0");
            let made = lab.attach(&carried);
            assert_eq!(made["interface"], "eth1", "{program}");
            assert_eq!(lab.attach(&carried), made, "{program}: again it is the same");
            assert!(lab.sh("ip -n c1 -o -4 addr show dev eth1").contains("10.0.2.100/24"), "{program}");
            lab.netwire(&format!("detach --network {program} --id c1"));
            lab.netwire("detach --network web --id c1");
            lab.sh("ip netns del c1");
            ends(lab);
        }
    });
}

#[test]
fn without_a_way_out_user_means_slirp4netns_and_without_a_program_a_word() {
    need!(root, netns, "slirp4netns");
    lab(|lab| {
        lab.container("c1");
        let made = lab.attach("--network user --netns c1 --id c1");
        assert_eq!(made["driver"], "slirp4netns");
        lab.netwire("detach --network user --id c1");
        let out = lab.command("attach --network user --netns c1 --id c1").env("PATH", "/nowhere").output();
        let out = out.expect("netwire runs");
        crate::lab::refusal(
            &out,
            1,
            "netwire: attach to network user: neither pasta nor slirp4netns is installed",
            "install passt or slirp4netns; as root the network bridge needs neither",
        );
        lab.refused(
            "network create user",
            2,
            "netwire: `user` cannot be the name of a network: it means something else there",
            "",
        );
        let fixed = "netwire: attach: network user takes no --ip: a program of the user's carries it";
        lab.refused("attach --network user --netns c1 --id c1 --ip 10.0.0.1", 2, fixed, "");
    });
}
