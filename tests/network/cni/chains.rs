//! Ours behind theirs and theirs behind ours: in a chain, on one store, and one after the other.

use super::plugins::{Attachment, Plugins, address, configuration, ipam, with_previous};
use crate::lab::lab;
use serde_json::{Value, json};
use testkit::need;

const BOTH_WAYS: [(Plugins, Plugins); 2] = [(Plugins::Theirs, Plugins::Ours), (Plugins::Ours, Plugins::Theirs)];

#[test]
fn a_chain_of_both() {
    need!(root, "ip", "iptables", "tc");
    if !Plugins::are_here() {
        return;
    }
    for (first, second) in BOTH_WAYS {
        lab(|lab| {
            lab.outside();
            lab.container("c1");
            let attachment = Attachment::of("c1");
            let bridge = configuration("bridge", json!({"isGateway": true, "ipMasq": true, "ipam": ipam()}));
            let rest = [
                configuration(
                    "portmap",
                    json!({"runtimeConfig": {"portMappings": [
                    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}),
                ),
                configuration("tuning", json!({"mtu": 1300, "mac": "02:11:00:00:00:77", "dataDir": "/run/cni-tuning"})),
                configuration(
                    "bandwidth",
                    json!({"ingressRate": 80_000_000, "ingressBurst": 8_000_000,
                    "egressRate": 80_000_000, "egressBurst": 8_000_000}),
                ),
                configuration("firewall", json!({"ingressPolicy": "same-bridge"})),
            ];
            let mut result = first.add(&attachment, std::slice::from_ref(&bridge)).expect("a bridge");
            for one in &rest {
                let answer = second.call("ADD", &attachment, &with_previous(one, &result));
                assert_eq!(answer.code, 0, "{first:?} {second:?} {one}: {answer:?}");
                result = answer.document;
            }
            assert_eq!(result["interfaces"][2]["mac"], "02:11:00:00:00:77");
            assert_eq!(result["interfaces"].as_array().map(Vec::len), Some(4), "the queue is the fourth");
            lab.connect("c1", "outside", [198, 51, 100, 2].into());
            for one in rest.iter().rev() {
                let answer = second.call("DEL", &attachment, &with_previous(one, &result));
                assert_eq!(answer.code, 0, "{second:?} {one}: {answer:?}");
            }
            // The reference leaves the bucket at the outer end to go with it.
            assert!(second == Plugins::Theirs || !lab.sh("tc qdisc").contains("tbf"), "{second:?}");
            assert!(lab.sh("ip -n c1 link show eth0").contains("mtu 1500"), "{second:?}: put back");
            let answer = first.call("DEL", &attachment, &with_previous(&bridge, &result));
            assert_eq!(answer.code, 0, "{first:?}: {answer:?}");
            assert_eq!(lab.sh("ls /run/cni-store/net | grep -c ^10. || :").trim(), "0", "no address is left");
        });
    }
}

#[test]
fn one_store_for_both() {
    need!(root, "ip");
    if !Plugins::are_here() {
        return;
    }
    for (first, second) in BOTH_WAYS {
        lab(|lab| {
            let keys = json!({"type": "host-local", "dataDir": "/run/cni-store", "resolvConf": "",
                "ranges": [[{"subnet": "10.5.0.0/29"}, {"subnet": "10.6.0.0/30"}], [{"subnet": "fd05::/125"}]]});
            let chain = [configuration("host-local", json!({"ipam": keys}))];
            let mut all = Vec::new();
            // 10.5.0.2 to .6 and 10.6.0.2: each in turn, until none is left.
            for number in 1..=6 {
                let (name, plugins) = (format!("c{number}"), if number % 2 == 0 { second } else { first });
                let result = plugins.attach(lab, &name, &chain);
                all.push((name, address(&result).to_string(), result));
            }
            let given: Vec<_> = all.iter().map(|(_, address, _)| address.as_str()).collect();
            assert_eq!(given, ["10.5.0.2", "10.5.0.3", "10.5.0.4", "10.5.0.5", "10.5.0.6", "10.6.0.2"]);
            for plugins in [first, second] {
                lab.sh("ip netns add c9");
                let answer = plugins.add(&Attachment::of("c9"), &chain).expect_err("no address is left");
                let said = answer.document["msg"].as_str().unwrap_or_default().to_owned();
                assert!(
                    said.contains("no IP addresses available in range set: 10.5.0.1-10.5.0.6,10.6.0.1-10.6.0.2"),
                    "{plugins:?}: {said}"
                );
                lab.sh("ip netns del c9");
            }
            // What one gave the other takes back; the next is the one after the last.
            for (number, (name, _, result)) in all.iter().enumerate() {
                let plugins = if number % 2 == 0 { second } else { first };
                assert_eq!(plugins.call("CHECK", &Attachment::of(name), &with_previous(&chain[0], result)).code, 0);
                plugins.detach(name, &chain, result);
            }
            let next = second.attach(lab, "c7", &chain);
            assert_eq!(address(&next).to_string(), "10.5.0.2");
        });
    }
}

#[test]
fn addresses_from_a_foreign_program() {
    need!(root, "ip");
    if !Plugins::are_here() {
        return;
    }
    lab(|lab| {
        // A type that we do not know is executed from CNI_PATH, with all of the configuration.
        lab.sh(&format!("mkdir /run/foreign; cp {}/host-local /run/foreign/giver", Plugins::Theirs.folder()));
        lab.container("c1");
        let keys = json!({"type": "giver", "dataDir": "/run/cni-store", "subnet": "10.5.0.0/24"});
        let configuration = configuration("bridge", json!({"ipam": keys}));
        let call = |verb: &str, configuration: &Value| {
            let mut command = std::process::Command::new(format!("{}/bridge", Plugins::Ours.folder()));
            command
                .env("CNI_CONTAINERID", "c1")
                .env("CNI_NETNS", "/run/netns/c1")
                .env("CNI_IFNAME", "eth0")
                .env("CNI_PATH", "/nowhere:/run/foreign");
            super::plugins::execute(command, verb, configuration.to_string().as_bytes())
        };
        let added = call("ADD", &configuration);
        assert_eq!((added.code, address(&added.document).to_string()), (0, "10.5.0.2".into()));
        assert_eq!(call("CHECK", &with_previous(&configuration, &added.document)).code, 0);
        assert_eq!(call("DEL", &configuration).code, 0);
        assert_eq!(lab.sh("ls /run/cni-store/net | grep -c ^10. || :").trim(), "0");
        let mut unknown = configuration.clone();
        unknown["ipam"]["type"] = json!("nobody");
        let refused = call("ADD", &unknown);
        assert!(refused.document["msg"].as_str().is_some_and(|m| m.contains("failed to find plugin \"nobody\"")));
        assert!(lab.links().iter().all(|link| !link.starts_with("veth")), "nothing is left");
    });
}
