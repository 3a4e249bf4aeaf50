//! Bad input: one clear line, a hint, the right code, and nothing left behind.

use crate::lab::{lab, refusal};
use std::process::Command;
use testkit::need;

#[test]
fn wrong_command_lines() {
    let netwire = |line: &str| {
        Command::new(env!("CARGO_BIN_EXE_netwire")).args(line.split_whitespace()).output().expect("netwire runs")
    };
    for (line, message) in [
        ("", "what to do is missing"),
        ("frobnicate", "unrecognized subcommand 'frobnicate'"),
        ("attach --frobnicate", "unexpected argument '--frobnicate'"),
        ("attach --network a --id x", "not provided: --netns <NETNS>"),
        ("network create a --subnet 10.1.2.3/8", "`10.1.2.3/8` has host bits set: the subnet is 10.0.0.0/8"),
        ("network create a --subnet fd00::/x", "`fd00::/x` is not a subnet"),
        ("network create none", "`none` cannot be the name of a network"),
        ("network create a --mtu 12", "12 is not in 68..=65535"),
        ("attach --network a --netns c --id x --ip nonsense", "invalid value 'nonsense' for '--ip <IP>'"),
        ("attach --network a --netns c --id x --ifname a-name-of-more-than-15", "is longer than 15 bytes"),
    ] {
        refusal(&netwire(line), 2, message, "");
    }
    let help = netwire("--help");
    assert!(help.status.success() && help.stderr.is_empty());
    let (help, _) = crate::lab::text(&help);
    for word in ["network", "attach", "detach", "loopback", "VENEER_ROOT", "Exit status"] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn what_is_not_there_or_taken() {
    need!(root, "ip", "nft");
    lab(|lab| {
        lab.container("c1");
        lab.container("c2");
        lab.refused(
            "attach --network nope --netns c1 --id x",
            1,
            "find network nope: no such network",
            "network create nope",
        );
        lab.refused("network inspect nope", 1, "find network nope: no such network", "network ls");
        lab.refused("network rm nope", 1, "remove network nope: no such network", "");
        lab.refused(
            "attach --network bridge --netns nope --id x",
            1,
            "open network namespace nope: no such name in /run/netns",
            "ip netns add",
        );
        lab.refused(
            "attach --network bridge --netns 4194305 --id x",
            1,
            "open network namespace 4194305: no such process",
            "",
        );
        lab.refused(
            "attach --network bridge --netns /etc/passwd --id x",
            1,
            "/etc/passwd: this is not a network namespace",
            "",
        );
        lab.refused(
            "attach --network bridge --netns /proc/self/ns/net --id x",
            1,
            "is the caller's own network namespace",
            "unshare -n",
        );
        assert_eq!((lab.links(), lab.ruleset()), (Vec::new(), String::new()), "nothing is made before all is checked");

        lab.netwire("network create web --subnet 10.9.0.0/30");
        lab.refused("network create web", 1, "create network web: a network of this name exists", "network rm web");
        lab.refused(
            "network create b --subnet 10.9.0.0/16",
            1,
            "10.9.0.0/16 overlaps 10.9.0.0/30 of network web",
            "another --subnet",
        );
        lab.refused(
            "network create b --subnet 10.8.0.0/31",
            1,
            "10.8.0.0/31 has no room for a gateway and a container",
            "/30",
        );
        lab.refused("network create b --gateway 10.8.0.1", 2, "--gateway 10.8.0.1 without a subnet", "--subnet");
        lab.refused(
            "network create b --subnet 10.8.0.0/24 --gateway 10.7.0.1",
            2,
            "--gateway 10.7.0.1 is not in 10.8.0.0/24",
            "",
        );
        lab.refused(
            "network create b --subnet 10.8.0.0/24 --gateway 10.8.0.0",
            1,
            "10.8.0.0 is not an interface's address in 10.8.0.0/24",
            "",
        );

        lab.attach("--network web --netns c1 --id c1");
        let attach = "attach --network web --netns c2 --id c2";
        lab.refused(attach, 1, "all addresses of 10.9.0.0/30 are in use", "larger --subnet");
        lab.refused(&format!("{attach} --ip 10.9.0.2"), 1, "10.9.0.2 is in use by c1", "another address");
        lab.refused(&format!("{attach} --ip 10.9.0.1"), 1, "10.9.0.1 is its gateway", "");
        lab.refused(&format!("{attach} --ip 10.9.0.3"), 1, "10.9.0.3 is no interface's address", "");
        lab.refused(&format!("{attach} --ip 10.8.0.1"), 1, "10.8.0.1 is not in its subnet 10.9.0.0/30", "");
        lab.refused(
            "network rm web",
            1,
            "remove network web: it is in use by c1",
            "netwire detach --network web --id c1",
        );
        lab.refused(
            "attach --network web --netns c1 --id c1 --ip 10.9.0.3",
            1,
            "c1 has the address 10.9.0.2 there",
            "detach it first",
        );

        // The interface's name is taken inside: nothing of the attempt is left.
        let taken = "attach --network bridge --netns c1 --id c1 --ifname eth0";
        lab.refused(taken, 1, "create interface eth0: file exists", "another with --ifname");
        assert_eq!(lab.inspect("bridge")["containers"], serde_json::json!([]));
        assert_eq!(lab.links().len(), 3, "{:?}", lab.links());
    });
}

#[test]
fn the_bridges_name_is_something_else() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        lab.sh("ip link add tun7 type veth peer name other");
        lab.netwire("network create web --bridge tun7 --subnet 10.9.0.0/24");
        lab.refused(
            "attach --network web --netns c1 --id c1",
            1,
            "set up bridge tun7: an interface of this name exists and is no bridge",
            "--bridge",
        );
    });
}

#[test]
fn without_the_right() {
    need!(root, "ip", "setpriv");
    lab(|lab| {
        lab.container("c1");
        let out = Command::new("setpriv")
            .args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin", env!("CARGO_BIN_EXE_netwire")])
            .args(["attach", "--network", "bridge", "--netns", "c1", "--id", "c1"])
            .env("VENEER_ROOT", &lab.root)
            .output()
            .expect("setpriv runs");
        refusal(&out, 1, "set up bridge veneer0: operation not permitted", "CAP_NET_ADMIN");
        assert_eq!(lab.links(), Vec::<String>::new());
    });
}

#[test]
fn files_that_are_not_ours_or_newer() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web");
        lab.sh("sed -i 's/\"format\": 2/\"format\": 9/' /run/state/networks/web.json");
        lab.refused("network inspect web", 1, "its format is 9, this netwire knows up to 2", "newer netwire");
        lab.sh("echo '{' >/run/state/networks/web.json");
        lab.refused("network inspect web", 1, "read /run/state/networks/web.json: ", "move it away");
    });
}

#[test]
fn what_the_machine_lacks_is_said_and_lived_without() {
    need!(root, "ip", "busybox", "strace");
    lab(|lab| {
        lab.container("c1");
        // The second socket is the one for nf_tables.
        let without_nf_tables = |line: &str| {
            Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=socket:error=EPROTONOSUPPORT:when=2"])
                .arg(env!("CARGO_BIN_EXE_netwire"))
                .args(line.split_whitespace())
                .env("VENEER_ROOT", &lab.root)
                .output()
                .expect("strace runs")
        };
        lab.netwire("network ls");
        lab.netwire("network create vault --internal");
        // What is internal must be closed, so there is no living without.
        refusal(
            &without_nf_tables("attach --network vault --netns c1 --id c1"),
            1,
            "set packet rules for network vault: protocol not supported",
            "nf_tables",
        );
        let out = without_nf_tables("attach --network bridge --netns c1 --id c1");
        let (stdout, stderr) = crate::lab::text(&out);
        assert!(out.status.success() && stdout.contains("172.17.0.2/16"), "{stdout}{stderr}");
        assert_eq!(
            stderr,
            "netwire: network bridge has no masquerading, nothing beyond this machine answers: \
             set packet rules for network bridge: protocol not supported\n"
        );
        lab.ping("c1", [172, 17, 0, 1].into());
    });
    lab(|lab| {
        lab.container("c1");
        lab.sh("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
        let out = lab.command("attach --network bridge --netns c1 --id c1").output().expect("netwire runs");
        let (_, stderr) = crate::lab::text(&out);
        assert!(out.status.success(), "{stderr}");
        assert_eq!(
            stderr,
            "netwire: containers reach only this machine: switch on /proc/sys/net/ipv4/ip_forward: read-only file system\n"
        );
    });
}
