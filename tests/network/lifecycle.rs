//! Attach and detach, again and again, many at once, and nothing is left.

use crate::lab::{Lab, address, lab};
use std::collections::HashSet;
use std::process::Stdio;
use testkit::need;

/// Nothing of a network is left: no link, no rule, no lease.
#[track_caller]
fn nothing_left(lab: &Lab) {
    lab.netwire("network rm bridge");
    assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()));
    let left = lab.sh("find /run/state -name '*.json*'");
    assert_eq!(left, "");
}

#[test]
fn attach_prints_what_it_made() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("c1");
        let one = lab.attach("--network bridge --netns c1 --id c1");
        assert_eq!(one["network"], "bridge");
        assert_eq!(one["interface"], "eth0");
        assert_eq!(one["mac"], "02:42:ac:11:00:02");
        assert_eq!(one["addresses"], serde_json::json!(["172.17.0.2/16"]));
        assert_eq!(one["gateway"], "172.17.0.1");
        let inside = lab.sh("ip -n c1 -o addr; ip -n c1 -o link; ip -n c1 route");
        for fact in
            ["inet 172.17.0.2/16 brd 172.17.255.255", "link/ether 02:42:ac:11:00:02", "default via 172.17.0.1 dev eth0"]
        {
            assert!(inside.contains(fact), "`{fact}` is not in:\n{inside}");
        }
        assert!(inside.contains("lo: <LOOPBACK,UP"), "{inside}");
        assert_eq!(lab.sh("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
        let host = one["host_interface"].as_str().expect("its name");
        assert_eq!(lab.links(), ["veneer0", host]);
        // Again: the same, and the link is not made anew.
        let index = lab.sh("ip -n c1 -o link show eth0");
        assert_eq!(lab.attach("--network bridge --netns c1 --id c1"), one);
        assert_eq!(lab.sh("ip -n c1 -o link show eth0"), index);
        assert_eq!(lab.inspect("bridge")["containers"][0]["addresses"][0], "172.17.0.2/16");
        lab.netwire("detach --network bridge --netns c1 --id c1");
        lab.netwire("detach --network bridge --netns c1 --id c1");
        assert_eq!(lab.inspect("bridge")["containers"], serde_json::json!([]));
        nothing_left(lab);
        lab.netwire("detach --network bridge --id c1");
        lab.netwire("detach --network never-there --id c1");
    });
}

#[test]
fn namespaces_are_told_by_path_process_or_name() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("named");
        lab.attach("--network bridge --netns /run/netns/named --id a");
        let mut process = std::process::Command::new("unshare").args(["-n", "sleep", "60"]).spawn().expect("unshare");
        while lab.sh(&format!("readlink /proc/{}/ns/net", process.id())) == lab.sh("readlink /proc/self/ns/net") {
            std::thread::yield_now();
        }
        let attached = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lab.netwire(&format!("loopback --netns {}", process.id()));
            lab.attach(&format!(
                "--network bridge --netns {} --id b --ifname net7 --ip 172.17.9.9 --mac 02:00:00:00:00:09",
                process.id()
            ));
            lab.sh(&format!("nsenter -t {} -n ip -o addr", process.id()))
        }));
        process.kill().expect("killed");
        process.wait().expect("gone");
        let inside = attached.expect("attached");
        assert!(inside.contains("net7    inet 172.17.9.9/16") && inside.contains("127.0.0.1/8"), "{inside}");
        // The process is gone and its namespace with it; detaching is no error, nor is the way it is named.
        lab.netwire(&format!("detach --network bridge --netns {} --id b", process.id()));
        lab.netwire("detach --network bridge --id a");
        nothing_left(lab);
    });
}

#[test]
fn addresses_are_the_lowest_free_and_come_back() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/29");
        let attach = |name: &str| {
            lab.container(name);
            address(&lab.attach(&format!("--network web --netns {name} --id {name}"))).to_string()
        };
        assert_eq!(["a", "b", "c"].map(attach), ["10.9.0.2", "10.9.0.3", "10.9.0.4"]);
        lab.netwire("detach --network web --id b");
        assert_eq!(["d", "e", "f"].map(attach), ["10.9.0.3", "10.9.0.5", "10.9.0.6"]);
        lab.container("g");
        lab.refused(
            "attach --network web --netns g --id g",
            1,
            "take an address of network web: all addresses of 10.9.0.0/29 are in use",
            "larger --subnet",
        );
        // Containers that died without a word give theirs back when it is needed.
        lab.sh("ip netns del c; ip netns del e");
        let patience = std::time::Instant::now();
        while lab.links().len() > 4 && patience.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(address(&lab.attach("--network web --netns g --id g")).to_string(), "10.9.0.4");
        assert_eq!(lab.inspect("web")["containers"].as_array().map(Vec::len), Some(4));
        // An address that a dead container had can be asked for.
        lab.container("h");
        assert_eq!(address(&lab.attach("--network web --netns h --id h --ip 10.9.0.5")).to_string(), "10.9.0.5");
    });
}

#[test]
fn twenty_at_once_get_twenty_addresses() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
        names.iter().for_each(|name| lab.container(name));
        let all = |verb: &str| {
            let start = |name: &String| {
                let mut command = lab.command(&format!("{verb} --network bridge --netns {name} --id {name}"));
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("netwire runs")
            };
            let running: Vec<_> = names.iter().map(start).collect();
            let ended = running.into_iter().map(|child| child.wait_with_output().expect("it ends"));
            ended
                .map(|out| {
                    let (stdout, stderr) = crate::lab::text(&out);
                    assert!(out.status.success() && stderr.is_empty(), "{verb}: {stdout}{stderr}");
                    stdout
                })
                .collect::<Vec<_>>()
        };
        let attached: Vec<serde_json::Value> =
            all("attach").iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let addresses: HashSet<_> = attached.iter().map(address).collect();
        assert_eq!(addresses.len(), 20);
        assert!(addresses.contains(&[172, 17, 0, 2].into()) && addresses.contains(&[172, 17, 0, 21].into()));
        assert_eq!(lab.links().len(), 21);
        for name in &names {
            lab.ping(name, [172, 17, 0, 1].into());
        }
        all("detach");
        lab.settled();
        assert_eq!(lab.links(), ["veneer0"]);
        nothing_left(lab);
    });
}

#[test]
fn a_reboot_heals_itself() {
    need!(root, "ip", "busybox", "nft");
    lab(|lab| {
        lab.container("c1");
        lab.netwire("network create web --label tier=front");
        let before = lab.inspect("web");
        lab.attach("--network web --netns c1 --id c1 --ip 172.18.0.77");
        // What a reboot does: links, rules and settings are gone, and leases tell of another boot.
        lab.sh("for l in $(ip -o link show type bridge | cut -d: -f2); do ip link del $l; done; ip netns del c1
             nft flush ruleset; sysctl -qw net.ipv4.ip_forward=0
             sed -i 's/\"boot\":\"/\"boot\":\"0/' /run/state/networks/run/web.json");
        assert_eq!(lab.inspect("web"), before);
        lab.outside();
        lab.container("c2");
        assert_eq!(address(&lab.attach("--network web --netns c2 --id c2")).to_string(), "172.18.0.2");
        lab.ping("c2", [198, 51, 100, 2].into());
    });
}

#[test]
fn a_container_that_starts_again_keeps_its_address() {
    need!(root, "ip", "busybox");
    lab(|lab| {
        for round in 0..3 {
            lab.container("c1");
            let one = lab.attach("--network bridge --netns c1 --id c1");
            assert_eq!(address(&one).to_string(), "172.17.0.2", "round {round}");
            lab.ping("c1", [172, 17, 0, 1].into());
            // It dies; whoever starts it again need not wait until the kernel has taken the old namespace down.
            lab.sh("ip netns del c1");
        }
    });
}

#[test]
fn it_runs_no_other_program() {
    need!(root, "ip", "strace");
    lab(|lab| {
        lab.container("c1");
        for verb in
            ["attach --network bridge --netns c1 --id c1", "detach --network bridge --id c1", "network rm bridge"]
        {
            let netwire = env!("CARGO_BIN_EXE_netwire");
            lab.sh(&format!(
                "VENEER_ROOT=/run/state strace -f -qq -o /run/trace -e trace=execve,execveat {netwire} {verb}"
            ));
            let trace = std::fs::read_to_string("/run/trace").expect("a trace");
            assert_eq!(trace.matches("exec").count(), 1, "{verb}: {trace}");
        }
    });
}
