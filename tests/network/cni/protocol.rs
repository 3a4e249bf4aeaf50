//! What CNI 1.1 says beyond the reference: sentences of SPEC.md, each with its case.

use super::plugins::{Answer, Attachment, Plugins, configuration, dual, execute, ipam, with_previous};
use crate::lab::{Lab, lab};
use serde_json::{Value, json};
use std::process::Command;
use testkit::need;

const OURS: Plugins = Plugins::Ours;

fn newest(kind: &str, more: Value) -> Value {
    let mut whole = configuration(kind, more);
    whole["cniVersion"] = json!("1.1.0");
    whole
}

fn code(answer: &Answer) -> (i32, u64) {
    (answer.code, answer.document["code"].as_u64().unwrap_or_default())
}

fn chain() -> Vec<Value> {
    vec![
        newest("bridge", json!({"isGateway": true, "ipMasq": true, "ipam": dual()})),
        newest(
            "portmap",
            json!({"runtimeConfig": {"portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}),
        ),
    ]
}

#[test]
fn version_says_all_that_are_spoken() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwire"));
    command.env_remove("CNI_CONTAINERID");
    let answer = execute(command, "VERSION", br#"{"cniVersion":"0.4.0"}"#);
    assert_eq!(answer.code, 0);
    assert_eq!(answer.document["cniVersion"], "0.4.0", "the value of cniVersion specified on input");
    let all = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    assert_eq!(answer.document["supportedVersions"], all);
}

#[test]
fn a_result_says_the_version_asked_for() {
    need!(root, "ip");
    lab(|lab| {
        let result = OURS.attach(lab, "c1", &chain());
        assert_eq!(result["cniVersion"], "1.1.0");
        assert_eq!(result["interfaces"][2]["mtu"], 1500, "1.1 has the mtu");
        assert_eq!(result["interfaces"][2]["sandbox"], "/run/netns/c1", "the value passed via CNI_NETNS");
        let again = OURS.call("ADD", &Attachment::of("c1"), &chain()[0]);
        assert_eq!(again.code, 1, "an interface of the requested name exists: MUST return with an error");
        assert_eq!(again.document["cniVersion"], "1.1.0");
        assert_eq!(OURS.call("CHECK", &Attachment::of("c1"), &with_previous(&chain()[0], &result)).code, 0);
    });
}

#[test]
fn errors_have_their_reserved_codes() {
    need!(root, "ip");
    lab(|lab| {
        lab.container("c1");
        let on = Attachment::of("c1");
        let portmap = |more: Value| {
            let mut whole = newest("portmap", json!({"prevResult": {"cniVersion": "1.1.0", "ips": []}}));
            for (key, value) in more.as_object().expect("an object") {
                whole[key] = value.clone();
            }
            whole
        };
        let add = |configuration: &Value| OURS.call("ADD", &on, configuration);
        assert_eq!(code(&add(&configuration("bridge", json!({"cniVersion": "9.9.9"})))), (1, 1));
        let unsupported = add(&portmap(json!({"conditionsV4": ["-s", "192.0.2.1"]})));
        assert_eq!(code(&unsupported), (1, 2));
        let said = unsupported.document["msg"].as_str().unwrap_or_default();
        assert!(said.contains("conditionsV4") && said.contains("192.0.2.1"), "key and value: {said}");
        assert_eq!(code(&OURS.call("ADD", &Attachment::of("gone"), &chain()[0])), (1, 3));
        let nameless = Attachment { container: "../x", ..on.clone() };
        let wrong = OURS.call("ADD", &nameless, &chain()[0]);
        assert_eq!(code(&wrong), (1, 4));
        assert!(wrong.document["msg"].as_str().is_some_and(|m| m.contains("CNI_CONTAINERID")), "{wrong:?}");
        let mut command = Command::new(format!("{}/bridge", OURS.folder()));
        command.env("CNI_CONTAINERID", "c1").env("CNI_NETNS", "/run/netns/c1").env("CNI_IFNAME", "eth0");
        assert_eq!(code(&execute(command, "ADD", b"{")), (1, 6));
        assert_eq!(code(&add(&newest("bridge", json!({"vlan": -1})))), (1, 7));
        assert_eq!(code(&add(&newest("bridge", json!({"mtu": "large"})))), (1, 6));
        assert!(lab.links().is_empty(), "nothing was made: {:?}", lab.links());
    });
}

#[test]
fn del_succeeds_where_nothing_is() {
    need!(root, "ip");
    lab(|lab| {
        let kinds = ["bridge", "ptp", "macvlan", "portmap", "firewall", "tuning", "bandwidth", "loopback"];
        let configured = |kind: &str| newest(kind, json!({"master": "nothing", "ipam": ipam()}));
        for kind in kinds {
            let never = OURS.call("DEL", &Attachment::of("gone"), &configured(kind));
            assert_eq!((never.code, never.document), (0, Value::Null), "{kind} without a namespace");
        }
        let result = OURS.attach(lab, "c1", &chain());
        lab.sh("ip netns del c1");
        for _ in 0..2 {
            for answer in OURS.del(&Attachment::of("c1"), &chain(), &Value::Null) {
                assert_eq!(answer.code, 0, "without namespace and prevResult: {answer:?}");
            }
        }
        assert_eq!(lab.sh("ls /run/cni-store/net | grep -c '[.:].*[.:]' || :").trim(), "0", "{result}");
        assert!(!lab.ruleset().contains("10.5.0.2"), "{}", lab.ruleset());
    });
}

#[test]
fn check_sees_what_is_damaged() {
    need!(root, "ip", "nft");
    let damages = [
        ("an address", "ip -n c1 addr del 10.5.0.2/24 dev eth0", 0),
        ("a route", "ip -n c1 route del default", 0),
        ("the interface", "ip -n c1 link del eth0", 0),
        ("the port", "for v in $(ip -o link | grep -o 'veth[0-9a-f]*'); do ip link set $v nomaster; done", 0),
        ("the gateway", "ip addr flush dev cni0", 0),
        ("the reservation", "rm /run/cni-store/net/10.5.0.2 /run/cni-store/net/fd05::2", 0),
        ("the masquerading", "nft flush ruleset", 0),
        ("the ports", "nft delete table inet veneer-cni", 1),
    ];
    for (what, damage, at) in damages {
        lab(|lab| {
            let result = OURS.attach(lab, "c1", &chain());
            let check = || OURS.call("CHECK", &Attachment::of("c1"), &with_previous(&chain()[at], &result));
            assert_eq!(check().code, 0, "whole: {:?}", check());
            lab.sh(damage);
            let answer = check();
            assert_eq!(answer.code, 1, "without {what}");
            for answer in OURS.del(&Attachment::of("c1"), &chain(), &result) {
                assert_eq!(answer.code, 0, "DEL without {what}: {answer:?}");
            }
        });
    }
}

#[test]
fn gc_takes_what_is_stale_and_nothing_else() {
    need!(root, "ip", "nft");
    lab(|lab| {
        let all: Vec<_> = ["c1", "c2", "c3"].map(|name| (name, ports(name))).into_iter().collect();
        for (name, chain) in &all {
            OURS.attach(lab, name, chain);
        }
        let mut other = chain();
        other[0]["name"] = json!("net2");
        other[0]["bridge"] = json!("cni2");
        other[0]["ipam"]["ranges"] = json!([[{"subnet": "10.8.0.0/24"}]]);
        other[0]["ipam"]["routes"] = json!([]);
        OURS.attach(lab, "c4", &other[..1]);
        // c1 and c3 died without a word.
        lab.sh("ip netns del c1; ip netns del c3");
        let valid = json!([{"containerID": "c2", "ifname": "eth0"}]);
        for configuration in &chain() {
            let mut told = configuration.clone();
            told["cni.dev/valid-attachments"] = valid.clone();
            let answer = OURS.call("GC", &Attachment::of("c9"), &told);
            assert_eq!((answer.code, answer.document), (0, Value::Null), "no output on success");
        }
        let left = lab.sh("cd /run/cni-store/net; ls | grep -v ^l");
        assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["10.5.0.3", "fd05::3"]);
        let rules = lab.ruleset();
        assert!(rules.contains("net c2 eth0") && rules.contains("net2 c4 eth0"), "{rules}");
        assert!(!rules.contains("net c1 eth0") && !rules.contains("net c3 eth0"), "{rules}");
        let answer = OURS.call("GC", &Attachment::of("c9"), &chain()[0]);
        assert_eq!(code(&answer), (1, 7), "without a list nobody knows what is stale");
    });
}

fn ports(name: &str) -> Vec<Value> {
    let mut chain = chain();
    let port = 8000 + name[1..].parse::<u16>().expect("a number");
    chain[1]["runtimeConfig"]["portMappings"][0]["hostPort"] = json!(port);
    chain
}

#[test]
fn status_says_when_nothing_is_left() {
    need!(root, "ip");
    lab(|lab| {
        let keys = json!({"type": "host-local", "dataDir": "/run/cni-store", "subnet": "10.5.0.0/30"});
        let bridge = newest("bridge", json!({"ipam": keys}));
        let status = || OURS.call("STATUS", &Attachment::of("c9"), &bridge);
        assert_eq!(code(&status()), (0, 0));
        OURS.attach(lab, "c1", std::slice::from_ref(&bridge));
        assert_eq!(code(&status()), (1, 50), "resources are exhausted and no new ADD requests can be serviced");
        OURS.detach("c1", std::slice::from_ref(&bridge), &Value::Null);
        assert_eq!(code(&status()), (0, 0));
        let lost = newest("macvlan", json!({"master": "nothing"}));
        assert_eq!(code(&OURS.call("STATUS", &Attachment::of("c9"), &lost)), (1, 50));
        let mut old = bridge.clone();
        old["cniVersion"] = json!("1.0.0");
        assert_eq!(code(&OURS.call("STATUS", &Attachment::of("c9"), &old)), (1, 1), "1.0 has no STATUS");
    });
}

#[test]
fn a_port_that_somebody_has_is_refused_by_name() {
    need!(root, "ip");
    lab(|lab| {
        OURS.attach(lab, "c1", &chain());
        lab.container("c2");
        let answer = OURS.add(&Attachment::of("c2"), &chain()).expect_err("the port is taken");
        let said = answer.document["msg"].as_str().unwrap_or_default();
        assert!(said.contains("port is already allocated") && said.contains("c1"), "{said}");
    });
}

#[test]
fn a_network_of_ours_is_a_type() {
    need!(root, "ip");
    lab(|lab| {
        lab.netwire("network create web --subnet 10.9.0.0/24");
        lab.container("c1");
        let configuration = json!({"cniVersion": "1.1.0", "name": "web", "type": "netwire"});
        let call = |lab: &Lab, verb: &str, configuration: &Value| {
            let mut command = lab.command("");
            command
                .env("CNI_CONTAINERID", "c1")
                .env("CNI_NETNS", "/run/netns/c1")
                .env("CNI_IFNAME", "eth0")
                .env("CNI_PATH", "/nowhere");
            execute(command, verb, configuration.to_string().as_bytes())
        };
        let added = call(lab, "ADD", &configuration);
        assert_eq!(added.code, 0, "{added:?}");
        assert_eq!(added.document["ips"][0]["address"], "10.9.0.2/24");
        assert_eq!(added.document["interfaces"][2]["name"], "eth0");
        lab.ping("c1", [10, 9, 0, 1].into());
        let checked = with_previous(&configuration, &added.document);
        assert_eq!(call(lab, "CHECK", &checked).code, 0);
        assert_eq!(call(lab, "DEL", &checked).code, 0);
        assert_eq!(call(lab, "DEL", &checked).code, 0);
        assert_eq!(call(lab, "CHECK", &checked).code, 1);
        let mut unknown = configuration.clone();
        unknown["name"] = json!("nowhere");
        assert_eq!(call(lab, "ADD", &unknown).code, 1);
    });
}
