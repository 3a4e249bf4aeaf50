//! `kill -9` at any point of what makes and removes: the same command given again, or the one that takes back, heals it.

use crate::killed::{Victim, sweep};
use crate::lab::Lab;
use serde_json::json;
use testkit::need;

const WEB: &str = "network create web --subnet 10.9.0.0/24 --subnet fd09::/64";
const ATTACH: &str = "attach --network web --netns c1 --id c1 --name one --rate-out 100mbit -p 8080:80";
const DETACH: &str = "detach --network web --id c1";

fn two(lab: &Lab) {
    lab.netwire(WEB);
    lab.container("c1");
    lab.container("c2");
}

fn attached(lab: &Lab) {
    two(lab);
    lab.netwire(ATTACH);
}

/// Two containers reach the gateway by both families and each other, under their names; nobody else is there.
#[track_caller]
fn whole(lab: &Lab, what: &str) {
    // Another container is not in its way, whatever was left.
    let two = lab.attach("--network web --netns c2 --id c2 --name two");
    let one = lab.attach(&ATTACH["attach ".len()..]);
    for name in ["c1", "c2"] {
        lab.ping(name, [10, 9, 0, 1].into());
        lab.ping(name, "fd09::1".parse().expect("an address"));
    }
    assert_ne!(one["addresses"], two["addresses"], "{what}");
    lab.ping("c2", crate::lab::address(&one));
    let asked = lab.asks("c2", "10.9.0.1", "one", crate::dns_client::A);
    assert_eq!(asked, format!("NOERROR {}", crate::lab::address(&one)), "{what}");
    assert_eq!(lab.inspect("web")["containers"].as_array().map(Vec::len), Some(2), "{what}");
    // A bridge, two outer ends, the limit's ifb.
    assert_eq!(lab.links().len(), 4, "{what}: {:?}", lab.links());
    assert_eq!(lab.netwire("publish --list").lines().count(), 2, "{what}: 8080 of both families");
    lab.netwire("check");
    lab.netwire("detach --network web --id c2");
    nothing(lab, what);
}

/// Nothing of the network is there when it was removed.
#[track_caller]
fn nothing(lab: &Lab, what: &str) {
    lab.netwire(DETACH);
    lab.netwire("network rm -f web");
    assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()), "{what}");
    assert_eq!(lab.netwire("network ls -q"), "bridge\n", "{what}");
    let left = lab.sh("find /run/state -type f ! -name '*.lock' ! -name bridge.json ! -name '.*.new'");
    assert_eq!(left, "", "{what}: no lease, no port, no half-made file");
}

#[test]
fn attach_is_healed_by_attach() {
    need!(root, "ip", "busybox", "strace", "nft");
    sweep(&Victim::of(ATTACH), two, whole);
}

#[test]
fn attach_is_cleaned_up_by_detach() {
    need!(root, "ip", "strace", "nft");
    sweep(&Victim::of(ATTACH), two, nothing);
}

#[test]
fn attach_that_changes_what_is_there_is_healed_by_attach() {
    need!(root, "ip", "busybox", "strace", "nft");
    let damaged = |lab: &Lab| {
        attached(lab);
        lab.sh("nft flush ruleset; ip link del dev $(ip -o link show type bridge | cut -d: -f2)");
    };
    sweep(&Victim::of(ATTACH), damaged, whole);
}

#[test]
fn detach_goes_on_when_repeated() {
    need!(root, "ip", "strace", "nft");
    sweep(&Victim::of(DETACH), attached, nothing);
}

#[test]
fn detach_is_taken_back_by_attach() {
    need!(root, "ip", "busybox", "strace", "nft");
    sweep(&Victim::of(DETACH), attached, whole);
}

#[test]
fn removal_goes_on_when_repeated() {
    need!(root, "ip", "strace", "nft");
    let prepare = |lab: &Lab| {
        attached(lab);
        lab.netwire(DETACH);
    };
    sweep(&Victim::of("network rm web"), prepare, nothing);
    // Or the network is there again as it was.
    sweep(&Victim::of("network rm web"), prepare, |lab, what| {
        lab.netwire(&format!("{WEB} --ignore"));
        whole(lab, what);
    });
}

#[test]
fn creation_is_whole_or_nothing() {
    need!(root, "ip", "busybox", "strace", "nft");
    let prepare = |lab: &Lab| {
        lab.container("c1");
        lab.container("c2");
    };
    sweep(&Victim::of(WEB), prepare, |lab, what| {
        lab.netwire(&format!("{WEB} --ignore"));
        whole(lab, what);
    });
}

#[test]
fn renaming_goes_on_when_repeated() {
    need!(root, "ip", "busybox", "strace", "nft");
    const RENAME: &str = "rename --id c1 other";
    sweep(&Victim::of(RENAME), attached, |lab, what| {
        let asks = |name: &str| lab.asks("c1", "10.9.0.1", name, crate::dns_client::A);
        let (old, new) = (asks("one"), asks("other"));
        assert!((old == "NXDOMAIN") != (new == "NXDOMAIN"), "{what}: {old} {new}");
        lab.netwire(RENAME);
        assert_eq!(asks("other"), "NOERROR 10.9.0.2", "{what}");
        whole(lab, what);
    });
}

#[test]
fn restoring_and_pruning_go_on_when_repeated() {
    need!(root, "ip", "busybox", "strace", "nft");
    let damaged = |lab: &Lab| {
        attached(lab);
        lab.sh("nft flush ruleset; ip link del dev $(ip -o link show type bridge | cut -d: -f2)");
    };
    sweep(&Victim::of("restore"), damaged, |lab, what| {
        lab.netwire("restore");
        lab.netwire("check");
        lab.ping("c1", [10, 9, 0, 1].into());
        whole(lab, what);
    });
    let died = |lab: &Lab| {
        attached(lab);
        lab.sh("ip netns del c1; while ip -o link show type veth | grep -q veth; do sleep 0.02; done");
    };
    sweep(&Victim::of("prune"), died, |lab, what| {
        lab.netwire("prune");
        lab.netwire("check");
        lab.container("c1");
        whole(lab, what);
    });
}

#[test]
fn lines_are_healed_too() {
    need!(root, "ip", "busybox", "strace", "nft");
    const LINE: &str = "attach --network line --netns c1 --id c1 --rate-in 100mbit";
    let prepare = |lab: &Lab| {
        lab.netwire("network create line -d ptp --subnet 10.70.0.0/24");
        lab.container("c1");
    };
    sweep(&Victim::of(LINE), prepare, |lab, what| {
        lab.attach(&LINE["attach ".len()..]);
        lab.ping("c1", [10, 70, 0, 1].into());
        lab.netwire("detach --network line --id c1");
        lab.netwire("network rm line");
        assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()), "{what}");
    });
}

/// As a CNI plugin: what a runtime does after a failed ADD is DEL, and then ADD again.
#[test]
fn a_plugin_is_healed_by_del_and_add() {
    need!(root, "ip", "busybox", "strace", "nft");
    let chain = json!({"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
        "macspoofchk": true, "ipam": {"type": "host-local", "dataDir": "/run/cni-store", "ranges": [[{"subnet": "10.5.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}]}});
    let of = |verb: &str| {
        let word = |name: &'static str, value: &str| (name, value.to_owned());
        let environment = vec![
            word("CNI_COMMAND", verb),
            word("CNI_CONTAINERID", "c1"),
            word("CNI_NETNS", "/run/netns/c1"),
            word("CNI_IFNAME", "eth0"),
            word("CNI_PATH", "/nowhere"),
        ];
        Victim { line: "", environment, input: chain.to_string() }
    };
    let call = |lab: &Lab, verb: &str, what: &str| {
        let victim = of(verb);
        let mut command = lab.command("");
        command.envs(victim.environment);
        let answer = crate::cni::plugins::execute(command, verb, victim.input.as_bytes());
        assert_eq!(answer.code, 0, "{what}: {verb}: {answer:?}");
    };
    let heal = |lab: &Lab, what: &str| {
        call(lab, "DEL", what);
        call(lab, "ADD", what);
        lab.ping("c1", [10, 5, 0, 1].into());
        call(lab, "DEL", what);
        assert_eq!(lab.links(), ["cni0"], "{what}");
        assert_eq!(lab.sh("ls /run/cni-store/net | grep -c ^10. || :").trim(), "0", "{what}: no address is left");
        assert!(!lab.ruleset().contains("10.5."), "{what}: {}", lab.ruleset());
    };
    sweep(&of("ADD"), |lab| lab.container("c1"), heal);
    let added = |lab: &Lab| {
        lab.container("c1");
        call(lab, "ADD", "at first");
    };
    sweep(&of("DEL"), added, heal);
}
